//! Where reads of network stores are kept, and how many bytes of them.

use std::path::PathBuf;

use super::{config, var};
use crate::error::Result;

/// Bytes of a cache whose size is not set: some epochs of a small data set, on any disk.
const BYTES: u64 = 16 << 30;

/// Below this a cache would hold a few objects and be busy with removing them.
const LEAST: u64 = 1 << 20;

/// The settings of the local cache; see [`crate::cache`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ReadCache {
    pub folder: PathBuf,
    pub bytes: u64,
}

impl ReadCache {
    /// What the environment says: `S3DLIO_READ_CACHE`, a folder, and `S3DLIO_READ_CACHE_BYTES`.
    ///
    /// # Errors
    /// [`StoreError::Config`](crate::StoreError::Config): another value than these.
    pub(crate) fn resolve() -> Result<Option<Self>> {
        let bytes =
            match var("S3DLIO_READ_CACHE_BYTES") {
                None => BYTES,
                Some(text) => text.trim().parse().ok().filter(|&bytes| bytes >= LEAST).ok_or_else(|| {
                    config("S3DLIO_READ_CACHE_BYTES", &text, "a whole number of bytes, at least 1048576")
                })?,
            };
        let Some(text) = var("S3DLIO_READ_CACHE") else { return Ok(None) };
        let folder = PathBuf::from(&text);
        if !folder.is_absolute() {
            return Err(config("S3DLIO_READ_CACHE", &text, "the absolute path of a folder"));
        }
        Ok(Some(Self { folder, bytes }))
    }
}

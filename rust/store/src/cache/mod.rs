//! A cache of what was read from network stores, in a local folder; off unless the environment names one.
//!
//! An entry is what one request brought: an object, or a range of one, with the entity tag of its version. It is given out
//! again when the server has answered that the object still is that version (`If-None-Match`, 304), or when the caller
//! asks for just that version. So a reader never sees less than the store has, and pays for a body once.
//!
//! Processes share a folder without speaking with each other: entries appear by renaming, carry checksums, and are removed
//! by age of their last use. No crate does this: those with a bound hold the folder for one process.

mod entry;
mod folder;
mod layer;

use std::path::PathBuf;

pub(crate) use layer::Cached;

use crate::error::{Result, StoreError};
use crate::settings::var;

/// Bytes of a cache whose size is not set: a tenth of a small disk.
const BYTES: u64 = 16 << 30;

/// Below this a cache would hold a few objects and be busy with removing them.
const LEAST: u64 = 1 << 20;

/// Where a cache is, and how large it may be.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct CacheSettings {
    pub folder: PathBuf,
    pub bytes: u64,
}

impl CacheSettings {
    /// What the environment says: `S3DLIO_READ_CACHE`, a folder, and `S3DLIO_READ_CACHE_BYTES`.
    pub(crate) fn resolve() -> Result<Option<Self>> {
        let wrong = |option: &str, found: String, expected: &str| StoreError::Config {
            option: option.into(),
            found,
            expected: expected.into(),
        };
        let Some(folder) = var("S3DLIO_READ_CACHE") else { return Ok(None) };
        let folder = PathBuf::from(folder);
        if !folder.is_absolute() {
            return Err(wrong("S3DLIO_READ_CACHE", folder.display().to_string(), "the absolute path of a folder"));
        }
        let bytes =
            match var("S3DLIO_READ_CACHE_BYTES") {
                None => BYTES,
                Some(text) => text.trim().parse().ok().filter(|&bytes| bytes >= LEAST).ok_or_else(|| {
                    wrong("S3DLIO_READ_CACHE_BYTES", text, "a whole number of bytes, at least 1048576")
                })?,
            };
        Ok(Some(Self { folder, bytes }))
    }
}

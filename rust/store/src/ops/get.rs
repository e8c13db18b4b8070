//! `get`: whole objects and ranges, in one buffer.

use bytes::Bytes;
use s3dlio_runtime::stats::{self, Counter};

use super::fetch::fetch;
use crate::error::Result;
use crate::local::Mode;
use crate::observe::{self, Verb};
use crate::registry::{self, Backend};
use crate::work::Work;
use crate::{Uri, local};

/// How an object is fetched.
#[derive(Debug, Clone, Copy)]
pub struct GetOptions {
    /// First byte.
    pub offset: u64,
    /// Number of bytes; to the end if `None`. A range that passes the end is cut there.
    pub length: Option<u64>,
    /// Size of the object, when the caller knows it (0 is a size): saves the first request from finding it out.
    pub size: Option<u64>,
    /// Bytes in one ranged request; objects above twice that are fetched in parallel.
    ///
    /// 8 MiB: at 100 MB/s a connection this is 80 ms, long beside the round trip it costs.
    pub part_size: u64,
    /// Ranged requests of one object in flight.
    pub max_parts: usize,
}

impl Default for GetOptions {
    fn default() -> Self {
        Self { offset: 0, length: None, size: None, part_size: 8 << 20, max_parts: 8 }
    }
}

impl GetOptions {
    pub(super) fn verb(&self) -> Verb {
        if self.offset > 0 || self.length.is_some() { Verb::GetRange } else { Verb::Get }
    }
}

/// Fetches an object or a range of it.
///
/// # Errors
/// At once: a URI or settings that cannot work. From the work: what [`StoreError`](crate::StoreError) lists.
pub fn get(uri: &Uri, options: GetOptions) -> Result<Work<Bytes>> {
    let backend = registry::open(uri)?;
    let uri = uri.clone();
    Ok(match backend {
        Backend::Local(mode) => Work::here(move || read(&uri, options, mode)),
        Backend::Object(store) => Work::network(async move { fetch(&store, &uri, options).await }),
    })
}

/// Reads a local file or a range of it, as one operation.
pub(super) fn read(uri: &Uri, options: GetOptions, mode: Mode) -> Result<Bytes> {
    let span = observe::begin(options.verb(), uri);
    let result = local::read(&uri.key, options.offset, options.length, mode);
    let bytes = result.as_ref().map_or(0, |bytes| bytes.len() as u64);
    stats::add(Counter::GetRequests, 1);
    stats::add(Counter::GetBytes, bytes);
    span.end(bytes, &result);
    result
}

//! `get`: whole objects and ranges, in one buffer.

use bytes::Bytes;
use s3dlio_runtime::stats::{self, Counter};

use super::fetch::fetch;
use crate::compression::{Codec, decompress};
use crate::error::Result;
use crate::local::{Arena, Mode, Reader};
use crate::observe::{self, Span, Verb};
use crate::registry::{self, Backend};
use crate::work::{Step, Work, on_pool};
use crate::{Uri, local};

/// Local reads above this (some 20 ms) leave the calling thread.
pub(super) const LARGE: u64 = 64 << 20;

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
        Backend::Local(mode) => Work::stepped(move || begin(uri, options, mode)),
        Backend::Object(store) => Work::request(async move { fetch(&store, &uri, options).await }),
    })
}

/// Most bytes that a compressed object may become: the bound that archives have, against bodies that lie.
const MAX_DECOMPRESSED: u64 = 16 << 30;

/// Fetches a whole object and decodes it, on the reading pool.
///
/// # Errors
/// As [`get`]; [`StoreError::Corrupt`](crate::StoreError::Corrupt) for a body that is damaged, of another format, or
/// becomes more than 16 GiB.
pub fn get_decompressed(uri: &Uri, codec: Codec) -> Result<Work<Bytes>> {
    let body = get(uri, GetOptions::default())?.into_future();
    let name = uri.to_string();
    Ok(Work::network(async move {
        let body = body.await?;
        on_pool(move || decompress(&name, body, codec, MAX_DECOMPRESSED)).await
    }))
}

/// A local file is read here, unless that takes so long that the caller should be able to give up.
fn begin(uri: Uri, options: GetOptions, mode: Mode) -> Result<Step<Bytes>> {
    let span = observe::begin(options.verb(), &uri);
    match Reader::open(uri.key.clone(), mode) {
        Ok(reader) if reader.wanted(options.offset, options.length) > LARGE => {
            Ok(Step::Later(Box::pin(
                async move { finish(span, reader.read_on_pool(options.offset, options.length).await) },
            )))
        }
        Ok(reader) => finish(span, reader.read(options.offset, options.length)).map(Step::Done),
        Err(error) => finish(span, Err(error)).map(Step::Done),
    }
}

/// Reads a local file or a range of it, as one operation, on this thread.
///
/// # Errors
/// As [`get`].
pub fn read_file(uri: &Uri, options: GetOptions, mode: Mode) -> Result<Bytes> {
    let span = observe::begin(options.verb(), uri);
    finish(span, local::read(&uri.key, options.offset, options.length, mode))
}

/// As [`read_file`], of a whole file into memory that small ones share.
///
/// # Errors
/// As [`get`].
pub fn read_into_arena(uri: &Uri, arena: &mut Arena, mode: Mode) -> Result<Bytes> {
    let span = observe::begin(Verb::Get, uri);
    finish(span, arena.read(&uri.key, mode))
}

fn finish(span: Span, result: Result<Bytes>) -> Result<Bytes> {
    let bytes = result.as_ref().map_or(0, |bytes| bytes.len() as u64);
    stats::add(Counter::GetRequests, 1);
    stats::add(Counter::GetBytes, bytes);
    span.end(bytes, &result);
    result
}

//! `get_into`: objects and ranges, into memory that the caller lends.

use s3dlio_runtime::stats::{self, Counter};

use super::fetch::{fetch_into, fits};
use super::get::{GetOptions, LARGE};
use crate::Uri;
use crate::error::Result;
use crate::local::{Mode, Reader};
use crate::observe;
use crate::region::Region;
use crate::registry::{self, Backend};
use crate::work::{Step, Work, on_pool};

/// Reads an object or a range of it into `memory`; how many bytes that were.
///
/// Memory that has been written to before is quicker to fill than fresh memory, which the system clears page by page.
///
/// # Errors
/// As [`get`](super::get()); [`StoreError::Config`](crate::StoreError::Config) when there is more than the memory takes, of
/// which nothing is then written.
pub fn get_into(uri: &Uri, options: GetOptions, memory: Region) -> Result<Work<u64>> {
    let backend = registry::open(uri)?;
    let uri = uri.clone();
    Ok(match backend {
        Backend::Local(mode) => Work::stepped(move || begin(uri, options, memory, mode)),
        Backend::Object(store) => Work::request(async move { fetch_into(&store, &uri, options, memory).await }),
    })
}

fn begin(uri: Uri, options: GetOptions, memory: Region, mode: Mode) -> Result<Step<u64>> {
    let wanted = options.length.unwrap_or(memory.len() as u64);
    if wanted > LARGE {
        return Ok(Step::Later(Box::pin(on_pool(move || read(&uri, options, memory, mode)))));
    }
    read(&uri, options, memory, mode).map(Step::Done)
}

fn read(uri: &Uri, options: GetOptions, mut memory: Region, mode: Mode) -> Result<u64> {
    let span = observe::begin(options.verb(), uri);
    let result = Reader::open(uri.key.as_str(), mode).and_then(|reader| {
        let wanted = usize::try_from(reader.wanted(options.offset, options.length)).unwrap_or(usize::MAX);
        if wanted == 0 {
            // Files of /proc and the like say that they are empty and still have content.
            let bytes = reader.read(options.offset, options.length)?;
            fits(uri, memory.len(), bytes.len())?;
            memory.append(&bytes);
            return Ok(bytes.len() as u64);
        }
        fits(uri, memory.len(), wanted)?;
        reader.read_into(options.offset, &mut memory.memory()[..wanted]).map(|read| read as u64)
    });
    let bytes = *result.as_ref().unwrap_or(&0);
    stats::add(Counter::GetRequests, 1);
    stats::add(Counter::GetBytes, bytes);
    span.end(bytes, &result);
    result
}

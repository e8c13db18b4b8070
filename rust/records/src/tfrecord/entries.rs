//! The places of records, from an index or from the file itself.

use bytes::Bytes;
use s3dlio_formats::tfrecord::index::{Index, Verify, parse_index};
use s3dlio_store::{Uri, Work};

use super::headers::{Headers, Sink, Text, of_bytes};
use crate::error::{Place, RecordError, Result};
use crate::input::Input;
use crate::jobs;

/// Bytes that tell a text from a file of records, which begins with a length and so with zeros.
const LOOK: u64 = 64;

/// The places of the records of `uri`, which is an index or a TFRecord file: its first bytes tell.
///
/// # Errors
/// At once: a URI or settings that cannot work. From the work: those of the store; [`RecordError::Format`] for a damaged
/// file.
pub fn entries(uri: &Uri, verify: Verify) -> s3dlio_store::Result<Work<Result<Index>>> {
    let input = Input::open(uri)?;
    Ok(jobs::work(async move {
        let input = input.into_future().await?;
        let first = input.read(0..input.size().min(LOOK))?.into_future().await?;
        if !is_text(&first) {
            return Headers::new(input, verify, Index::default()).finish().await;
        }
        index_in(input).await
    }))
}

/// The entries of an index.
///
/// # Errors
/// At once: a URI or settings that cannot work. From the work: those of the store; [`RecordError::Format`] for a line
/// that is no entry.
pub fn read_index(uri: &Uri) -> s3dlio_store::Result<Work<Result<Index>>> {
    let input = Input::open(uri)?;
    Ok(jobs::work(async move { index_in(input.into_future().await?).await }))
}

async fn index_in(input: Input) -> Result<Index> {
    let text = input.read(0..input.size())?.into_future().await?;
    jobs::decode(move || parse(input.uri(), &text)).wait().await?
}

/// The places of the records of a file in memory; `name` is what errors call it.
///
/// # Errors
/// [`RecordError::Format`].
pub fn entries_of(name: &str, bytes: &Bytes, verify: Verify) -> Result<Index> {
    in_memory(name, bytes, verify, Index::default())
}

/// The text of the index of a file in memory; `name` is what errors call it.
///
/// # Errors
/// [`RecordError::Format`].
pub fn index_text(name: &str, bytes: &Bytes, verify: Verify) -> Result<Vec<u8>> {
    in_memory(name, bytes, verify, Text::default()).map(|text| text.0)
}

fn in_memory<S: Sink>(name: &str, bytes: &Bytes, verify: Verify, sink: S) -> Result<S> {
    of_bytes(bytes, verify, sink).map_err(|(place, error)| RecordError::Format {
        uri: name.to_owned(),
        place,
        source: error.into(),
    })
}

fn is_text(first: &[u8]) -> bool {
    first.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace())
}

/// An index from its text.
pub(super) fn parse(uri: &Uri, text: &[u8]) -> Result<Index> {
    let entries = parse_index(text).map_err(|error| RecordError::format(uri, Place::default(), error))?;
    Ok(entries.into_iter().collect())
}

//! The places of records, from an index or from the file itself.

use bytes::Bytes;
use s3dlio_formats::tfrecord::index::{Index, Verify, parse_index};
use s3dlio_store::{Uri, Work};

use super::headers::{Headers, of_bytes};
use crate::error::{Place, RecordError, Result};
use crate::input::Input;
use crate::task;

/// Bytes that tell a text from a file of records, which begins with a length and so with zeros.
const LOOK: u64 = 64;

/// The places of the records of `uri`, which is an index or a TFRecord file: its first bytes tell.
///
/// # Errors
/// At once: a URI or settings that cannot work. From the work: those of the store; [`RecordError::Format`] for a damaged
/// file.
pub fn entries(uri: &Uri, verify: Verify) -> s3dlio_store::Result<Work<Result<Index>>> {
    let input = Input::open(uri)?;
    Ok(task::work(async move {
        let input = input.into_future().await?;
        let first = input.read(0..input.size().min(LOOK))?.into_future().await?;
        if !is_text(&first) {
            return Headers::new(input, verify, Index::default()).finish().await;
        }
        let text = input.read(0..input.size())?.into_future().await?;
        let uri = input.uri().clone();
        task::decode(move || parse(&uri, &text)).await?
    }))
}

/// The places of the records of a file in memory; `name` is what errors call it.
///
/// # Errors
/// [`RecordError::Format`].
pub fn entries_of(name: &str, bytes: &Bytes, verify: Verify) -> Result<Index> {
    of_bytes(bytes, verify, Index::default()).map_err(|(place, error)| RecordError::Format {
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

//! From a file to its index.

use bytes::Bytes;
use s3dlio_formats::tfrecord::index::Verify;
use s3dlio_store::{StoreError, Uri, Work};

use super::headers::{Headers, Text};
use crate::error::Result;
use crate::input::Input;
use crate::jobs;
use crate::output::Output;

/// Writes the index of the file `input` to `output` and returns the number of records.
///
/// Of a file in a network store only as much is read as its headers take: small records are read through, large ones
/// stepped over. The index appears when it is complete.
///
/// # Errors
/// At once: URIs or settings that cannot work, and equal URIs. From the work: those of the stores;
/// [`RecordError::Format`](crate::RecordError::Format) for a damaged, truncated or compressed file.
pub fn create_index(input: &Uri, output: &Uri, verify: Verify) -> s3dlio_store::Result<Work<Result<u64>>> {
    if input == output {
        let reason = "is the TFRecord file itself: name another object for its index".into();
        return Err(StoreError::InvalidUri { uri: output.to_string(), reason });
    }
    let input = Input::open(input)?;
    let output = Output::create(output)?;
    Ok(jobs::work(async move { write(input.into_future().await?, &output, verify).await }))
}

/// Writes the index of an open file.
pub(super) async fn write(input: Input, output: &Output, verify: Verify) -> Result<u64> {
    let mut headers = Headers::new(input, verify, Text::default());
    loop {
        let (mut next, more) = headers.step().await?;
        let text = Bytes::from(std::mem::take(&mut next.sink.0));
        output.write(text)?.into_future().await?;
        if !more {
            output.finish()?.into_future().await?;
            return Ok(next.records());
        }
        headers = next;
    }
}

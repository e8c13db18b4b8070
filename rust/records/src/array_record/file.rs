//! One ArrayRecord file that is open for reading.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use s3dlio_formats::array_record::{ArrayRecordError, Index, ReaderOptions, Tail};
use s3dlio_formats::riegeli::{Records, RiegeliError};
use s3dlio_store::{Uri, Work};

use super::cache;
use crate::error::{Place, RecordError, Result};
use crate::input::{Input, after};

/// Bytes in front of the postscript that are read along from a local file: a small index then costs no read of its own.
const LOCAL_PREFETCH: u64 = 64 << 10;

/// An ArrayRecord file, open for reads of any of its records; clones share it.
///
/// It may be used by several threads and in forked children, as [`Input`].
#[derive(Debug, Clone)]
pub struct File(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    input: Input,
    options: ReaderOptions,
    /// For [`cache`].
    number: u64,
    index: Arc<Index>,
}

impl File {
    /// Opens a file: reads and checks its index. Of a network store this takes two requests, and a third one where the
    /// index is larger than [`ReaderOptions::footer_prefetch`].
    ///
    /// # Errors
    /// At once: a URI or settings that cannot work. From the work: no such file, or one that is damaged or no ArrayRecord
    /// file.
    pub fn open(uri: &Uri, options: ReaderOptions) -> s3dlio_store::Result<Work<Result<Self>>> {
        Ok(after(Input::open(uri)?, move |input| async move {
            let index = read_index(&input, &options).await;
            let file = |index| Inner { input, options, number: cache::file_number(), index: Arc::new(index) };
            Ok(index.map(|index| Self(Arc::new(file(index)))))
        }))
    }

    /// The file.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        self.0.input.uri()
    }

    /// What it was opened with.
    #[must_use]
    pub fn options(&self) -> &ReaderOptions {
        &self.0.options
    }

    /// Where its chunks are.
    #[must_use]
    pub fn index(&self) -> &Index {
        &self.0.index
    }

    /// Number of records.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.0.index.num_records()
    }

    /// True for a file without records.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Makes sure that this process has a client for the file; see [`Input::connect`].
    ///
    /// # Errors
    /// As [`Input::connect`].
    pub fn connect(&self) -> s3dlio_store::Result<()> {
        self.0.input.connect()
    }

    /// The bytes of the file.
    pub(super) fn input(&self) -> &Input {
        &self.0.input
    }

    /// A chunk that is kept decoded.
    pub(super) fn kept(&self, chunk: u64) -> Option<Records> {
        cache::get(self.0.number, chunk)
    }

    /// Decodes a chunk from the bytes of its [likely range](Index::likely_range), and keeps it for the next who asks; `None`
    /// where the bytes turn out to be too few.
    pub(super) fn decode_likely(&self, chunk: u64, bytes: &Bytes) -> Result<Option<Records>> {
        let range = self.index().range(chunk);
        match self.index().decode(chunk, bytes) {
            Ok(records) => {
                cache::put(self.0.number, chunk, &records);
                Ok(Some(records))
            }
            Err(ArrayRecordError::Riegeli(RiegeliError::Truncated { .. }))
                if (bytes.len() as u64) < range.end - range.start =>
            {
                Ok(None)
            }
            Err(error) => Err(self.damaged(chunk, &error)),
        }
    }

    /// Decodes a chunk from all bytes that it can take.
    pub(super) fn decode(&self, chunk: u64, bytes: &Bytes) -> Result<Records> {
        self.index().decode(chunk, bytes).map_err(|error| self.damaged(chunk, &error))
    }

    #[cold]
    fn damaged(&self, chunk: u64, error: &ArrayRecordError) -> RecordError {
        wrong(self.uri(), error, Some(self.index().records(chunk).start))
    }

    /// Makes sure that there are such records.
    pub(super) fn check(&self, indices: &[u64]) -> Result<()> {
        let length = self.len();
        match indices.iter().find(|&&index| index >= length) {
            None => Ok(()),
            Some(&index) => Err(RecordError::OutOfRange { uri: self.uri().to_string(), index, length }),
        }
    }
}

fn wrong(uri: &Uri, error: &ArrayRecordError, record: Option<u64>) -> RecordError {
    let place = Place { offset: error.offset(), record };
    RecordError::format(uri, place, error.clone())
}

/// Reads the end of the file, and so much more of it as the index takes.
async fn read_index(input: &Input, options: &ReaderOptions) -> Result<Index> {
    let failed = |error: ArrayRecordError| wrong(input.uri(), &error, None);
    let size = input.size();
    let postscript = Tail::range(size).map_err(failed)?;
    let prefetch = if input.is_local() { LOCAL_PREFETCH } else { options.footer_prefetch };
    let start = postscript.start - prefetch.min(postscript.start);
    let end = input.fetch(start..postscript.end).await?;
    let at = |range: Range<u64>| (range.start - start) as usize..(range.end - start) as usize;
    let tail = Tail::parse(size, &end.slice(at(postscript))).map_err(failed)?;
    let header = tail.header_range();
    let header = if header.start >= start { end.slice(at(header)) } else { input.fetch(header).await? };
    let range = tail.index_range(&header).map_err(failed)?;
    let index = if range.start >= start { end.slice(at(range)) } else { input.fetch(range).await? };
    Index::parse(&tail, &index).map_err(failed)
}

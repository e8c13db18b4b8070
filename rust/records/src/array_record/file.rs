//! One ArrayRecord file that is open for reading.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use s3dlio_formats::array_record::{ArrayRecordError, Index, IndexStorage, Opened, Opener, ReaderOptions, TAIL};
use s3dlio_formats::riegeli::{Records, RiegeliError};
use s3dlio_store::registry::{self, Backend};
use s3dlio_store::{Uri, Work};

use super::cache;
use crate::error::{Place, RecordError, Result};
use crate::input::{Input, after, work};

/// Bytes in front of the last block that are read along from a local file: a small index then costs no read of its own.
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
    num_records: u64,
    writer_options: Option<String>,
    /// `None` where it is read anew for each call.
    index: Option<Arc<Index>>,
}

impl File {
    /// Opens a file: reads and checks its index. Of a network store this takes one request, and another one where the
    /// index is larger than [`ReaderOptions::footer_prefetch_bytes`]; of one that knows no ranges from the end of an object
    /// (Azure's) one more.
    ///
    /// # Errors
    /// At once: a URI or settings that cannot work. From the work: no such file, or one that is damaged or no ArrayRecord
    /// file.
    pub fn open(uri: &Uri, options: ReaderOptions) -> s3dlio_store::Result<Work<Result<Self>>> {
        let backend = registry::open(uri)?;
        if let Backend::Local(_) = backend {
            return Ok(after(Input::open(uri)?, move |input| async move {
                let index = read_index(&input, &options).await;
                Ok(index.map(|index| Self::new(input, options, index)))
            }));
        }
        let uri = uri.clone();
        Ok(Work::network(async move {
            let length = options.footer_prefetch_bytes.saturating_add(TAIL);
            let (input, tail) = Input::open_tail(uri, backend, length).await?;
            let index = find_index(&input, &options, tail).await;
            Ok(index.map(|index| Self::new(input, options, index)))
        }))
    }

    /// Opens the file that an input stands for, which spares the look at its metadata; on any thread.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn of(input: Input, options: ReaderOptions) -> Work<Result<Self>> {
        work(input.is_local(), async move {
            let index = read_index(&input, &options).await;
            Ok(index.map(|index| Self::new(input, options, index)))
        })
    }

    /// The records of each chunk and the bytes that they take decoded (in the file, where its index does not tell); none
    /// where the index is not in memory.
    pub fn chunks(&self) -> impl Iterator<Item = (Range<u64>, u64)> {
        let index = self.0.index.as_deref();
        let chunks = (0..index.map_or(0, Index::num_chunks)).filter_map(move |chunk| index?.chunk(chunk));
        chunks.map(|entry| (entry.records, entry.decoded_size.unwrap_or(entry.range.end - entry.range.start)))
    }

    fn new(input: Input, options: ReaderOptions, index: Index) -> Self {
        let (num_records, writer_options) = (index.num_records(), index.writer_options().map(str::to_owned));
        let index = (options.index_storage == IndexStorage::InMemory).then(|| Arc::new(index));
        Self(Arc::new(Inner { input, options, number: cache::file_number(), num_records, writer_options, index }))
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

    /// The text of the options that it was written with, if it keeps one.
    #[must_use]
    pub fn writer_options(&self) -> Option<&str> {
        self.0.writer_options.as_deref()
    }

    /// Bytes of the file.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.0.input.size()
    }

    /// Number of records.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.0.num_records
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

    /// The file together with its index, which is read now unless it is in memory.
    pub(super) async fn indexed(&self) -> Result<Indexed> {
        let index = match &self.0.index {
            Some(index) => Arc::clone(index),
            None => Arc::new(read_index(self.input(), self.options()).await?),
        };
        Ok(Indexed { file: self.clone(), index })
    }

    /// Makes sure that there are such records.
    pub(super) fn check(&self, indices: &[u64]) -> Result<()> {
        match indices.iter().find(|&&index| index >= self.len()) {
            None => Ok(()),
            Some(&index) => Err(self.out_of_range(index)),
        }
    }

    pub(super) fn out_of_range(&self, index: u64) -> RecordError {
        RecordError::OutOfRange { uri: self.uri().to_string(), index, length: self.len() }
    }

    /// Threads that decode for one call.
    pub(super) fn threads(&self) -> usize {
        let most = s3dlio_runtime::settings::decode_threads();
        self.options().max_parallelism.map_or(most, |wanted| most.min(wanted as usize))
    }
}

/// A file whose index is in memory.
#[derive(Debug, Clone)]
pub(super) struct Indexed {
    pub file: File,
    pub index: Arc<Index>,
}

impl Indexed {
    /// A chunk that is kept decoded.
    pub fn kept(&self, chunk: usize) -> Option<Records> {
        cache::get(self.file.0.number, chunk)
    }

    /// Decodes a chunk from the bytes of its likely range, and keeps it for the next who asks; `None` where the bytes turn
    /// out to be too few.
    pub fn decode_likely(&self, chunk: usize, bytes: &Bytes) -> Result<Option<Records>> {
        match self.index.decode(chunk, bytes) {
            Ok(records) => {
                cache::put(self.file.0.number, chunk, &records);
                Ok(Some(records))
            }
            Err(ArrayRecordError::Riegeli(RiegeliError::Truncated { .. }))
                if self.index.range(chunk).is_some_and(|range| (bytes.len() as u64) < range.end - range.start) =>
            {
                Ok(None)
            }
            Err(error) => Err(self.damaged(chunk, error)),
        }
    }

    /// Decodes a chunk from all bytes that it can take.
    pub fn decode(&self, chunk: usize, bytes: &Bytes) -> Result<Records> {
        self.index.decode(chunk, bytes).map_err(|error| self.damaged(chunk, error))
    }

    #[cold]
    fn damaged(&self, chunk: usize, error: ArrayRecordError) -> RecordError {
        wrong(self.file.uri(), error, self.index.records(chunk).map(|records| records.start))
    }
}

fn wrong(uri: &Uri, error: ArrayRecordError, record: Option<u64>) -> RecordError {
    let place = Place { offset: error.offset(), record };
    RecordError::format(uri, place, error)
}

/// Reads the end of an open file, and so much more of it as the index takes.
pub(crate) async fn read_index(input: &Input, options: &ReaderOptions) -> Result<Index> {
    find_index(input, options, Bytes::new()).await
}

/// As [`read_index`], of a file whose last bytes are at hand.
async fn find_index(input: &Input, options: &ReaderOptions, tail: Bytes) -> Result<Index> {
    let failed = |error| wrong(input.uri(), error, None);
    let prefetch = if input.is_local() { LOCAL_PREFETCH } else { options.footer_prefetch_bytes };
    let mut opener = Opener::new(input.size(), prefetch).map_err(failed)?;
    if !tail.is_empty() {
        opener.supply(input.size() - tail.len() as u64, tail);
    }
    loop {
        match opener.next_step().map_err(failed)? {
            Opened::Index(index) => return Ok(index),
            Opened::Need(need) => opener.supply(need.offset, input.fetch(need.offset..need.offset + need.len).await?),
        }
    }
}

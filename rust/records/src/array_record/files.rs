//! Several files as one sequence of records.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use quick_cache::sync::Cache;
use s3dlio_formats::array_record::ReaderOptions;
use s3dlio_runtime::fork::ForkLocal;
use s3dlio_store::{Uri, Work};

use super::File;
use crate::error::{RecordError, Result};
use crate::input::work;

/// Files opened at the same time to count their records.
const OPENING: usize = 64;

/// Files read at the same time by one call.
const READING: usize = 16;

/// Files kept open: well below the 1024 descriptors that a process may have by default.
const OPEN: usize = 256;

/// Records `start` to `end` of a file; `end` is `None` for all that there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The file.
    pub uri: Uri,
    /// First record.
    pub start: u64,
    /// The record behind the last.
    pub end: Option<u64>,
}

/// A range of the records of a file, and where it lies in the sequence.
#[derive(Debug)]
struct Span {
    uri: Uri,
    records: Range<u64>,
    /// Records of this and all earlier spans.
    end: u64,
}

/// Records of one or more files, in the order of the files.
///
/// Files are opened when they are first read, and so many of them stay open as a process can afford. May be used by
/// several threads and in forked children; clones share them.
#[derive(Debug, Clone)]
pub struct Files(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    spans: Vec<Span>,
    options: ReaderOptions,
    open: ForkLocal<Cache<usize, File>>,
}

impl Files {
    /// Takes the ranges as they are, and opens those files whose end is not given, several at a time.
    ///
    /// # Errors
    /// At once: a URI or settings that cannot work, a range that ends before it begins. From the work: as
    /// [`File::open`].
    pub fn open(parts: Vec<Part>, options: ReaderOptions) -> Result<Work<Result<Self>>> {
        let mut counting = Vec::new();
        for (number, part) in parts.iter().enumerate() {
            match part.end {
                None => counting.push((number, File::open(&part.uri, options.clone())?)),
                Some(end) if end < part.start => {
                    let found = format!("records {} to {end} of {}", part.start, part.uri);
                    return Err(RecordError::config("paths", found, "a range that ends behind its begin"));
                }
                Some(_) => {}
            }
        }
        if counting.is_empty() {
            return Ok(Work::here(move || Self::new(parts, &[], options)));
        }
        let opening = stream::iter(counting)
            .map(|(number, file)| async move { Ok::<_, RecordError>((number, file.into_future().await??)) });
        Ok(Work::network(async move {
            let opened: Result<Vec<(usize, File)>> = opening.buffer_unordered(OPENING).try_collect().await;
            match opened {
                Ok(opened) => Self::new(parts, &opened, options),
                Err(error) => Ok(Err(error)),
            }
        }))
    }

    fn new(parts: Vec<Part>, opened: &[(usize, File)], options: ReaderOptions) -> s3dlio_store::Result<Result<Self>> {
        let mut lengths: Vec<Option<u64>> = parts.iter().map(|part| part.end).collect();
        opened.iter().for_each(|(number, file)| lengths[*number] = Some(file.len()));
        let mut total = 0_u64;
        let mut spans = Vec::with_capacity(parts.len());
        for (Part { uri, start, .. }, end) in parts.into_iter().zip(lengths) {
            let records = start..end.unwrap_or(start).max(start);
            total = total.saturating_add(records.end - records.start);
            spans.push(Span { uri, records, end: total });
        }
        let files = Self(Arc::new(Inner { spans, options, open: ForkLocal::new() }));
        opened.iter().take(OPEN).for_each(|(number, file)| files.opened().insert(*number, file.clone()));
        Ok(Ok(files))
    }

    /// Number of records.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.0.spans.last().map_or(0, |span| span.end)
    }

    /// True without records.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The files and ranges, all with their ends.
    pub fn parts(&self) -> impl Iterator<Item = Part> {
        let part = |span: &Span| Part { uri: span.uri.clone(), start: span.records.start, end: Some(span.records.end) };
        self.0.spans.iter().map(part)
    }

    /// Whether the file of each part is open.
    #[must_use]
    pub fn open_parts(&self) -> Vec<bool> {
        (0..self.0.spans.len()).map(|number| self.opened().peek(&number).is_some()).collect()
    }

    /// Closes the files; they are opened again when they are read.
    pub fn close(&self) {
        self.opened().clear();
    }

    fn opened(&self) -> &Cache<usize, File> {
        self.0.open.get_or_init(|| Cache::new(OPEN))
    }

    /// The span of a record, and the number of the record in its file.
    fn locate(&self, index: u64) -> Result<(usize, u64)> {
        let number = self.0.spans.partition_point(|span| span.end <= index);
        let Some(span) = self.0.spans.get(number) else {
            let uri = self.0.spans.last().map_or_else(String::new, |span| span.uri.to_string());
            return Err(RecordError::OutOfRange { uri, index, length: self.len() });
        };
        let length = span.records.end - span.records.start;
        Ok((number, span.records.start + (index - (span.end - length))))
    }

    /// The file of a span. Opening reads the environment, so this is called on the calling thread.
    fn file(&self, number: usize) -> Result<Opening> {
        if let Some(file) = self.opened().get(&number) {
            file.connect()?;
            return Ok(Opening::Open(file));
        }
        Ok(Opening::Opens(File::open(&self.0.spans[number].uri, self.0.options.clone())?))
    }

    async fn ready(&self, number: usize, opening: Opening) -> Result<File> {
        let work = match opening {
            Opening::Open(file) => return Ok(file),
            Opening::Opens(work) => work,
        };
        let file = match work {
            // Opening a local file waits for nothing.
            Work::Here(_) => work.wait()??,
            Work::Request(opened) | Work::Network(opened) => opened.await??,
        };
        let wanted = &self.0.spans[number].records;
        if wanted.end > file.len() {
            let length = file.len();
            return Err(RecordError::OutOfRange { uri: file.uri().to_string(), index: wanted.end - 1, length });
        }
        self.opened().insert(number, file.clone());
        Ok(file)
    }

    fn is_local(&self, number: usize) -> bool {
        self.0.spans[number].uri.scheme.is_local()
    }
}

enum Opening {
    Open(File),
    Opens(Work<Result<File>>),
}

impl Files {
    /// The record at `index`.
    ///
    /// # Errors
    /// At once: no such record. From the work: as [`File::get`].
    pub fn get(&self, index: u64) -> Result<Work<Result<Bytes>>> {
        let (number, record) = self.locate(index)?;
        let opening = self.file(number)?;
        let files = self.clone();
        Ok(work(self.is_local(number), async move {
            let one = async { files.ready(number, opening).await?.indexed().await?.one(record).await };
            Ok(one.await)
        }))
    }

    /// The records at `indices`, in their order; they may repeat.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn get_many(&self, indices: &[u64]) -> Result<Work<Result<Vec<Bytes>>>> {
        let mut wanted = Vec::with_capacity(indices.len());
        for (at, &index) in indices.iter().enumerate() {
            let (number, record) = self.locate(index)?;
            wanted.push((number, record, at));
        }
        wanted.sort_by_key(|&(number, ..)| number);
        let mut groups = Vec::new();
        for group in wanted.chunk_by(|one, other| one.0 == other.0) {
            let number = group[0].0;
            let records: Vec<u64> = group.iter().map(|&(_, record, _)| record).collect();
            let places: Vec<usize> = group.iter().map(|&(.., at)| at).collect();
            groups.push((number, self.file(number)?, records, places));
        }
        let local = groups.iter().all(|(number, ..)| self.is_local(*number));
        let (files, total) = (self.clone(), indices.len());
        Ok(work(local, async move {
            let reading = stream::iter(groups).map(|(number, opening, records, places)| {
                let files = &files;
                async move {
                    let file = files.ready(number, opening).await?.indexed().await?;
                    Ok::<_, RecordError>((file.many(&records).await?, places))
                }
            });
            let mut reading = reading.buffer_unordered(READING);
            let mut results = vec![Bytes::new(); total];
            let read = async {
                while let Some((records, places)) = reading.try_next().await? {
                    places.into_iter().zip(records).for_each(|(at, record)| results[at] = record);
                }
                Ok(results)
            };
            Ok(read.await)
        }))
    }
}

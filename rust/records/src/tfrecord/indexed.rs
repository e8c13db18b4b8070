//! Records by their number.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use s3dlio_formats::tfrecord::decode;
use s3dlio_formats::tfrecord::index::{Entry, Index, Verify};
use s3dlio_store::ops::{self, GetOptions};
use s3dlio_store::{StoreError, Uri, Work};

use super::entries::parse;
use super::headers::Headers;
use crate::error::{Place, RecordError, Result};
use crate::input::Input;
use crate::jobs;

/// Files that are opened at a time.
const OPENING: usize = 32;

/// Local reads above this (some 20 ms) leave the calling thread.
const LARGE: u64 = 64 << 20;

/// Where the index of a file comes from.
#[derive(Debug, Clone)]
pub enum IndexFrom {
    /// From this object.
    Uri(Uri),
    /// From the object beside the file with `.idx` behind its name; where there is none, from the file's headers.
    Beside,
    /// From the file's headers.
    Headers,
    /// From these places.
    Index(Arc<Index>),
}

/// The records of files behind each other, by their number; clones share them. It may be used in a forked child.
#[derive(Debug, Clone)]
pub struct Indexed(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    files: Vec<File>,
    /// Number of the first record of each file, and of all records.
    starts: Vec<u64>,
    verify: bool,
}

#[derive(Debug)]
struct File {
    input: Input,
    index: Arc<Index>,
}

impl Indexed {
    /// Opens files, each with its index, and holds the one against the other. With `verify` both checksums of every
    /// record are compared when it is read.
    ///
    /// # Errors
    /// At once: URIs or settings that cannot work. From the work: those of the store; [`RecordError::Format`] for a
    /// damaged index or one of another file, and for a file that is compressed.
    pub fn open(files: Vec<(Uri, IndexFrom)>, verify: bool) -> s3dlio_store::Result<Work<Result<Self>>> {
        let opening = files.into_iter().map(|(uri, from)| Opening::begin(&uri, from));
        let opening = opening.collect::<s3dlio_store::Result<Vec<_>>>()?;
        Ok(jobs::work(async move {
            let files = ops::each(opening, OPENING, Opening::finish).await?;
            let mut starts = vec![0];
            starts.extend(files.iter().scan(0, |records, file: &File| {
                *records += file.index.len();
                Some(*records)
            }));
            Ok(Self(Arc::new(Inner { files, starts, verify })))
        }))
    }

    /// Number of records.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.0.starts.last().copied().unwrap_or(0)
    }

    /// Whether there is no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The files, each with its index.
    pub fn files(&self) -> impl Iterator<Item = (&Uri, &Arc<Index>)> {
        self.0.files.iter().map(|file| (file.input.uri(), &file.index))
    }

    /// The file that holds a record, and where in it.
    #[must_use]
    pub fn place(&self, number: u64) -> Option<(&Uri, Entry)> {
        let (file, record) = self.locate(number)?;
        let file = &self.0.files[file];
        Some((file.input.uri(), file.index.get(record)?))
    }

    /// Bytes of each file when it was opened.
    pub fn sizes(&self) -> impl Iterator<Item = u64> {
        self.0.files.iter().map(|file| file.input.size())
    }

    /// Makes sure that this process has clients for the files; see [`Input::connect`].
    ///
    /// # Errors
    /// As [`Input::connect`].
    pub fn connect(&self) -> s3dlio_store::Result<()> {
        self.0.files.iter().try_for_each(|file| file.input.connect())
    }

    /// The number of the file and of the record in it.
    fn locate(&self, number: u64) -> Option<(usize, u64)> {
        let file = self.0.starts.partition_point(|&start| start <= number).checked_sub(1)?;
        (file < self.0.files.len()).then(|| (file, number - self.0.starts[file]))
    }

    /// The payloads of these records, in their order, which may repeat. Neighbours are read together, and several
    /// requests are in flight.
    ///
    /// # Errors
    /// At once: [`RecordError::OutOfRange`], and settings that cannot work. From the work: those of the store;
    /// [`RecordError::Format`] for a damaged record, or one that is not where the index says.
    pub fn read(&self, numbers: &[u64]) -> Result<Work<Result<Vec<Bytes>>>> {
        let mut groups: Vec<Group> = Vec::new();
        // In the order of the numbers of files, so that each file is asked once.
        let mut of_file: BTreeMap<usize, usize> = BTreeMap::new();
        let (mut bytes, mut local) = (0_u64, true);
        for (at, &number) in numbers.iter().enumerate() {
            let out_of_range = || {
                let uri = self.0.files.first().map(|file| file.input.uri().to_string()).unwrap_or_default();
                RecordError::OutOfRange { uri, index: number, length: self.len() }
            };
            let (file, record) = self.locate(number).ok_or_else(out_of_range)?;
            let entry = self.0.files[file].index.get(record).ok_or_else(out_of_range)?;
            let group = *of_file.entry(file).or_insert_with(|| {
                local &= self.0.files[file].input.is_local();
                groups.push(Group { file, ..Group::default() });
                groups.len() - 1
            });
            bytes += entry.size;
            groups[group].wanted.push((at, record));
            groups[group].ranges.push(entry.offset..entry.offset + entry.size);
        }
        for group in &groups {
            self.0.files[group.file].input.connect()?;
        }
        let (this, total) = (self.clone(), numbers.len());
        if local {
            let job =
                move || Ok(this.collect(total, groups, |group| Ok(this.file(group).read_many_now(&group.ranges)?)));
            return Ok(if bytes > LARGE { Work::pool(job) } else { Work::here(job) });
        }
        Ok(jobs::work(async move {
            let reading = this.clone();
            let read = ops::each(groups, OPENING, |mut group| {
                let work = reading.file(&group).read_many(std::mem::take(&mut group.ranges));
                async move { Ok::<_, RecordError>((group, work?.into_future().await?)) }
            });
            let mut results = vec![Bytes::new(); total];
            for (group, frames) in read.await? {
                this.open_frames(&group, frames, &mut results)?;
            }
            Ok(results)
        }))
    }

    fn file(&self, group: &Group) -> &Input {
        &self.0.files[group.file].input
    }

    fn collect(
        &self,
        total: usize,
        groups: Vec<Group>,
        read: impl Fn(&Group) -> Result<Vec<Bytes>>,
    ) -> Result<Vec<Bytes>> {
        let mut results = vec![Bytes::new(); total];
        for group in groups {
            let frames = read(&group)?;
            self.open_frames(&group, frames, &mut results)?;
        }
        Ok(results)
    }

    /// Takes the payloads out of the records of one file.
    fn open_frames(&self, group: &Group, frames: Vec<Bytes>, results: &mut [Bytes]) -> Result<()> {
        let file = &self.0.files[group.file];
        for (&(at, record), frame) in group.wanted.iter().zip(frames) {
            results[at] = decode::record(&frame, self.0.verify).map_err(|error| {
                let offset = file.index.get(record).map(|entry| entry.offset);
                RecordError::format(file.input.uri(), Place { offset, record: Some(record) }, error)
            })?;
        }
        Ok(())
    }
}

/// The records wanted of one file.
#[derive(Debug, Default)]
struct Group {
    file: usize,
    /// Where each stands in the request, and its number in the file.
    wanted: Vec<(usize, u64)>,
    ranges: Vec<Range<u64>>,
}

/// A file that is being opened.
struct Opening {
    input: Work<Input>,
    index: Source,
}

enum Source {
    Text(Uri, Work<Bytes>, bool),
    Headers,
    Index(Arc<Index>),
}

impl Opening {
    fn begin(uri: &Uri, from: IndexFrom) -> s3dlio_store::Result<Self> {
        let text = |index: Uri, optional| {
            let work = ops::get(&index, GetOptions::default())?;
            Ok::<_, StoreError>(Source::Text(index, work, optional))
        };
        let index = match from {
            IndexFrom::Uri(index) => text(index, false)?,
            IndexFrom::Beside => text(uri.with_key(format!("{}.idx", uri.key)), true)?,
            IndexFrom::Headers => Source::Headers,
            IndexFrom::Index(index) => Source::Index(index),
        };
        Ok(Self { input: Input::open(uri)?, index })
    }

    async fn finish(self) -> Result<File> {
        let input = self.input.into_future().await?;
        let (index, name) = match self.index {
            Source::Index(index) => (index, None),
            Source::Headers => (scan(input.clone()).await?, None),
            Source::Text(uri, text, optional) => match text.into_future().await {
                Err(StoreError::NotFound { .. }) if optional => (scan(input.clone()).await?, None),
                text => {
                    let (text, name) = (text?, uri.clone());
                    (Arc::new(jobs::decode(move || parse(&uri, &text)).wait().await??), Some(name))
                }
            },
        };
        index.check(input.size()).map_err(|(record, error)| {
            RecordError::format(name.as_ref().unwrap_or(input.uri()), Place { offset: None, record }, error)
        })?;
        Ok(File { input, index })
    }
}

async fn scan(input: Input) -> Result<Arc<Index>> {
    Ok(Arc::new(Headers::new(input, Verify::Auto, Index::default()).finish().await?))
}

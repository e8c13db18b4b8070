//! Reading one file from front to back, ahead of its caller.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use s3dlio_formats::riegeli::Records;
use s3dlio_runtime::fork::ForkLocal;
use s3dlio_store::{StoreError, Work};
use tokio::sync::Mutex;

use super::File;
use super::file::Indexed;
use crate::error::{RecordError, Result};
use crate::input::work;
use crate::jobs::{self, Job};

/// Bytes of a window of a local file: large beside a system call and a hand-over between threads, small enough to stay in
/// the processor's cache until it is decoded.
const LOCAL_WINDOW: u64 = 512 << 10;

/// The same of a network store, where a request should bring more than it costs.
const WINDOW: u64 = 4 << 20;

/// Windows of a network store in flight where all of a range is wanted: 64 MiB, enough for most links.
const WINDOWS: usize = 16;

/// Reads the records of a file one after another.
///
/// Windows of neighbouring chunks are read and decoded on other threads before they are asked for:
/// [`readahead`](s3dlio_formats::array_record::ReaderOptions::readahead_buffer_size) bytes ahead at most. Clones are the same reader.
/// In a forked child it goes on from where it was.
#[derive(Debug, Clone)]
pub struct Reader(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    file: File,
    /// The next record.
    position: AtomicU64,
    /// Where reading ends: behind this many records.
    until: u64,
    /// Windows and bytes that are read ahead.
    most: (usize, u64),
    ahead: ForkLocal<Mutex<Ahead>>,
}

/// What has been read beyond the position.
#[derive(Debug, Default)]
struct Ahead {
    /// Decoded chunks, the first of which holds the record `first`, as its first one.
    ready: VecDeque<Records>,
    first: u64,
    windows: VecDeque<Window>,
    /// Kept while reading goes on, wherever the index is otherwise.
    file: Option<Indexed>,
}

/// Neighbouring chunks on their way.
#[derive(Debug)]
struct Window {
    chunks: Range<usize>,
    bytes: u64,
    read: Job<Chunks>,
}

/// Decoded chunks, and why the next one could not be.
#[derive(Debug)]
struct Chunks {
    decoded: VecDeque<Records>,
    error: Option<RecordError>,
}

/// What [`Reader::next_with`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<T> {
    /// A record.
    Record(T),
    /// There are no more.
    End,
    /// The next record has to be waited for: [`Reader::fill`].
    Wait,
}

impl Reader {
    /// Begins at the first record.
    #[must_use]
    pub fn new(file: File) -> Self {
        let (all, ahead) = (0..file.len(), file.options().readahead_buffer_size);
        let windows = if ahead == 0 { 1 } else { Self::windows(&file) };
        Self::make(file, all, (windows, ahead))
    }

    /// Begins at record `records.start` and ends before `records.end`, or with the file. All of them being wanted, it
    /// reads further ahead in a network store than the options of the file say.
    #[must_use]
    pub fn over(file: File, records: Range<u64>) -> Self {
        let windows = if file.input().is_local() { Self::windows(&file) } else { WINDOWS };
        Self::make(file, records, (windows, windows as u64 * WINDOW))
    }

    fn make(file: File, records: Range<u64>, most: (usize, u64)) -> Self {
        let until = records.end.min(file.len());
        let position = AtomicU64::new(records.start.min(until));
        Self(Arc::new(Inner { file, position, until, most, ahead: ForkLocal::new() }))
    }

    /// One more than there are threads, so that none is idle while a window is handed over.
    fn windows(file: &File) -> usize {
        if file.threads() == 0 { 1 } else { file.threads() + 1 }
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.0.file
    }

    /// The number of the next record.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.0.position.load(Ordering::Acquire)
    }

    /// Goes on with record `index`, or at the end if there are fewer.
    pub fn seek(&self, index: u64) {
        self.0.position.store(index.min(self.0.until), Ordering::Release);
    }

    fn ahead(&self) -> &Mutex<Ahead> {
        self.0.ahead.get_or_init(Mutex::default)
    }

    /// Passes the next record to `take`, if it is there, and moves on.
    pub fn next_with<T>(&self, take: impl FnOnce(&[u8]) -> T) -> Next<T> {
        let position = self.position();
        if position >= self.0.until {
            return Next::End;
        }
        // Another thread is at it: wait for one's turn elsewhere.
        let Ok(mut ahead) = self.ahead().try_lock() else { return Next::Wait };
        let Some((records, number)) = ahead.find(position) else { return Next::Wait };
        let range = records.range(number).unwrap_or_default();
        let taken = take(&records.data()[range]);
        self.0.position.store(position + 1, Ordering::Release);
        Next::Record(taken)
    }

    /// Waits until the next record is there.
    ///
    /// # Errors
    /// From the work: a damaged chunk, and what else the store says. The position stays: reading again fails again,
    /// [`seek`](Self::seek) leads past it.
    pub fn fill(&self) -> s3dlio_store::Result<Work<Result<()>>> {
        self.file().connect()?;
        let reader = self.clone();
        Ok(work(self.file().uri().scheme.is_local(), async move { Ok(reader.filled().await) }))
    }

    async fn filled(&self) -> Result<()> {
        let mut ahead = self.ahead().lock().await;
        let position = self.position();
        if position >= self.0.until || ahead.find(position).is_some() {
            return Ok(());
        }
        let file = match &ahead.file {
            Some(file) => file.clone(),
            None => ahead.file.insert(self.file().indexed().await?).clone(),
        };
        let Some((chunk, _)) = file.index.locate(position) else { return Ok(()) };
        ahead.ready.clear();
        // After a jump, and where a wait was given up, the windows do not go on from here.
        if ahead.windows.front().is_some_and(|window| window.chunks.start != chunk) {
            ahead.windows.clear();
        }
        let next = ahead.windows.back().map_or(chunk, |window| window.chunks.end);
        file.schedule(&mut ahead, next, self);
        let Some(window) = ahead.windows.pop_front() else { return Ok(()) };
        let first = file.index.records(window.chunks.start).unwrap_or_default().start;
        let read = window.read.wait().await?;
        ahead.first = first;
        ahead.ready = read.decoded;
        if ahead.find(position).is_none()
            && let Some(error) = read.error
        {
            ahead.windows.clear();
            return Err(error);
        }
        Ok(())
    }
}

impl Indexed {
    /// Begins windows from chunk `next` on, as far as the reader may go; one at least.
    fn schedule(&self, ahead: &mut Ahead, mut next: usize, reader: &Reader) {
        let last = reader.0.until.checked_sub(1).and_then(|last| self.index.locate(last));
        let end = last.map_or(0, |(chunk, _)| chunk + 1);
        let (most, readahead) = reader.0.most;
        let local = self.file.input().is_local();
        let size = if local { LOCAL_WINDOW } else { WINDOW }.min(readahead);
        let mut bytes: u64 = ahead.windows.iter().map(|window| window.bytes).sum();
        while ahead.windows.len() < most && next < end {
            let window = self.window(next..end, size);
            bytes += window.bytes;
            if !ahead.windows.is_empty() && bytes > readahead {
                break;
            }
            next = window.chunks.end;
            let read = self.read(window.chunks.clone(), local, self.file.threads() == 0);
            ahead.windows.push_back(Window { chunks: window.chunks, bytes: window.bytes, read });
        }
    }

    /// The first of `chunks` that together take about `size` bytes, in the file or decoded.
    fn window(&self, chunks: Range<usize>, size: u64) -> Planned {
        let first = chunks.start;
        let (mut end, mut bytes) = (first, 0);
        for chunk in chunks {
            let range = self.index.range(chunk).unwrap_or_default();
            let weight = self.weight(chunk, range.end - range.start);
            if chunk > first && bytes + weight > size {
                break;
            }
            bytes += weight;
            end = chunk + 1;
        }
        Planned { chunks: first..end, bytes }
    }

    fn read(&self, chunks: Range<usize>, local: bool, here: bool) -> Job<Chunks> {
        let file = self.clone();
        if here && local {
            return Job::done(file.read_window_now(chunks));
        }
        if local {
            return jobs::decode(move || file.read_window_now(chunks));
        }
        jobs::fetch(async move {
            match file.file.input().fetch(file.window_range(&chunks)).await {
                Ok(bytes) => jobs::decode(move || file.decode_window(chunks, &bytes)).wait().await,
                Err(error) => Ok(Chunks::failed(error)),
            }
        })
    }
}

impl Indexed {
    /// Bytes of the file that neighbouring chunks take.
    fn window_range(&self, chunks: &Range<usize>) -> Range<u64> {
        let range = |chunk| self.index.range(chunk).unwrap_or_default();
        range(chunks.start).start..range(chunks.end - 1).end
    }

    fn read_window_now(&self, chunks: Range<usize>) -> Chunks {
        match self.file.input().read_now(self.window_range(&chunks)) {
            Ok(bytes) => self.decode_window(chunks, &bytes),
            Err(error) => Chunks::failed(error),
        }
    }

    /// Decodes neighbouring chunks up to the first that is damaged.
    fn decode_window(&self, chunks: Range<usize>, bytes: &Bytes) -> Chunks {
        let base = self.window_range(&chunks).start;
        let mut decoded = VecDeque::with_capacity(chunks.len());
        for chunk in chunks {
            let range = self.index.range(chunk).unwrap_or_default();
            match self.decode(chunk, &bytes.slice((range.start - base) as usize..(range.end - base) as usize)) {
                Ok(records) => decoded.push_back(records),
                Err(error) => return Chunks { decoded, error: Some(error) },
            }
        }
        Chunks { decoded, error: None }
    }
}

impl Chunks {
    fn failed(error: StoreError) -> Self {
        Self { decoded: VecDeque::new(), error: Some(error.into()) }
    }
}

struct Planned {
    chunks: Range<usize>,
    bytes: u64,
}

impl Ahead {
    /// The chunk that holds a record, and the number of the record in it. Chunks before it are dropped.
    fn find(&mut self, position: u64) -> Option<(&Records, usize)> {
        if position < self.first {
            return None;
        }
        loop {
            let length = self.ready.front()?.len() as u64;
            if position - self.first < length {
                break;
            }
            self.ready.pop_front();
            self.first += length;
        }
        let number = (position - self.first) as usize;
        self.ready.front().map(|records| (records, number))
    }
}

//! Writing files: records are collected where they arrive, chunks are encoded on other threads and written in order.

use std::collections::{HashMap, VecDeque};
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::{StreamExt, stream};
use s3dlio_formats::disky::{Buffer, DEFAULT_CHUNK_SIZE, Options};
use s3dlio_formats::riegeli::chunk::EncodedChunk;
use s3dlio_formats::riegeli::{Records, RiegeliError};
use s3dlio_runtime::{fork, settings};
use s3dlio_store::{StoreError, Uri, Work};

use super::file::File;
use super::options::{Compression, ShardOptions};
use super::shards::Names;
use crate::error::{RecordError, Result};
use crate::jobs::{self, Job};

/// Files that are finished at the same time.
const FINISHING: usize = 16;

/// Writes one Disky file, or a directory of shards. Clones are the same writer; calls from several threads take turns.
///
/// Each file appears whole, under its name, when it is complete: at [`finish`](Self::finish), or when it has reached its
/// limit. Dropping the last clone before that gives up what is not complete. What waits to be encoded or written is
/// bounded: a writer that is ahead waits.
#[derive(Debug, Clone)]
pub struct Writer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    uri: Uri,
    options: Options,
    /// Record bytes that complete a file.
    max_bytes: u64,
    auto_sharding: bool,
    /// Tasks that may wait.
    ahead: usize,
    /// Whether chunks are encoded by whoever drains: right where that only copies and hashes, into a single file.
    here: bool,
    generation: u64,
    front: Mutex<Front>,
    /// Locked before `front`. Not dropped in a forked child, where its tasks belong to threads that do not exist.
    back: ManuallyDrop<tokio::sync::Mutex<Back>>,
    failed: AtomicBool,
}

/// Where records arrive.
#[derive(Debug, Default)]
struct Front {
    /// The open files, which take turns.
    slots: Vec<Slot>,
    turn: usize,
    /// In the order in which they are done.
    tasks: VecDeque<Task>,
    files: u64,
    closed: bool,
}

#[derive(Debug)]
struct Slot {
    file: u64,
    buffer: Buffer,
    /// Record bytes of the file so far.
    bytes: u64,
}

#[derive(Debug)]
enum Task {
    Open(u64),
    Plain(u64, Records),
    Encoded(u64, Job<std::result::Result<EncodedChunk, RiegeliError>>),
    Finish(u64),
}

/// Where chunks leave.
#[derive(Debug)]
struct Back {
    names: Names,
    files: HashMap<u64, File>,
}

impl Writer {
    /// Prepares to write one file; asks the store nothing yet.
    #[must_use]
    pub fn create(uri: &Uri, compression: Compression) -> Self {
        let plain = compression == Compression::None;
        let ahead = if plain { 0 } else { settings::decode_threads().max(1) };
        let mut inner = Inner::new(uri.clone(), compression, Names::One(uri.clone()), ahead);
        inner.here = plain;
        inner.front.get_mut().unwrap_or_else(PoisonError::into_inner).open(inner.options);
        Self(Arc::new(inner))
    }

    /// Opens `num_shards` files `{prefix}_{n}` in a directory, which is made if it is not there. Records go to them in
    /// turn.
    ///
    /// # Errors
    /// At once: an option that nothing can be written with. From the work: those of listing and writing.
    pub fn create_shards(directory: &Uri, prefix: &str, options: &ShardOptions) -> Result<Work<Result<Self>>> {
        options.check()?;
        let (names, options, uri) =
            (Names::numbered(directory, prefix, options.append)?, options.clone(), directory.clone());
        Ok(Work::network(async move {
            let mut inner = Inner::new(uri, options.compression, names.into_future().await?, options.ahead());
            inner.max_bytes = options.max_bytes.unwrap_or(u64::MAX);
            inner.auto_sharding = options.auto_sharding;
            let front = inner.front.get_mut().unwrap_or_else(PoisonError::into_inner);
            (0..options.num_shards.max(1)).for_each(|_| front.open(inner.options));
            let writer = Self(Arc::new(inner));
            let opened = writer.drained(&mut *writer.0.back.lock().await, 0).await;
            Ok(opened.map(|()| writer))
        }))
    }

    /// The file, or the directory.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.0.uri
    }

    /// Whether the writer is finished.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.front().closed
    }

    /// Whether a write has failed: nothing more can be written.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.0.failed.load(Ordering::Acquire)
    }

    /// Chunks, and beginnings and ends of files, that wait for being written.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.front().tasks.len()
    }

    /// Files that take records.
    #[must_use]
    pub fn open_files(&self) -> usize {
        self.front().slots.len()
    }

    /// Takes a record. `Some` is work that has to be run before the next record is given: the writer is ahead of its
    /// encoders.
    ///
    /// # Errors
    /// [`RecordError::Closed`]: the writer is finished, an earlier write failed, or every file has reached its limit and
    /// no other may be begun. [`StoreError::Forked`] in a forked child.
    pub fn write(&self, record: &[u8]) -> Result<Option<Work<Result<()>>>> {
        self.usable()?;
        let mut front = self.front();
        let front = &mut *front;
        let count = front.slots.len();
        let Some(slot) = front.slots.get_mut(front.turn) else { return Err(self.refused(front.closed)) };
        slot.bytes += record.len() as u64;
        let full = slot.buffer.push(record);
        let complete = slot.bytes >= self.0.max_bytes;
        let turn = front.turn;
        front.turn = if turn + 1 == count { 0 } else { turn + 1 };
        Ok(if full || complete { self.hand_over(front, turn, complete) } else { None })
    }

    #[cold]
    fn hand_over(&self, front: &mut Front, turn: usize, complete: bool) -> Option<Work<Result<()>>> {
        self.encode(front, turn);
        if complete {
            front.tasks.push_back(Task::Finish(front.slots[turn].file));
            if self.0.auto_sharding {
                front.slots[turn].bytes = 0;
                front.slots[turn].file = front.name();
            } else {
                front.slots.remove(turn);
                front.turn = if turn == front.slots.len() { 0 } else { turn };
            }
        }
        (front.tasks.len() > self.0.ahead).then(|| self.drain(self.0.ahead))
    }

    /// Ends the chunks that hold records and hands them to the store, as far as its parts are full.
    ///
    /// # Errors
    /// As [`write`](Self::write), and from the work those of the store.
    pub fn flush(&self) -> Result<Work<Result<()>>> {
        self.usable()?;
        let mut front = self.front();
        if front.closed {
            return Err(self.refused(true));
        }
        (0..front.slots.len()).for_each(|turn| self.encode(&mut front, turn));
        drop(front);
        Ok(self.guarded(|writer| async move {
            let mut back = writer.0.back.lock().await;
            writer.drained(&mut back, 0).await?;
            for file in back.files.values_mut() {
                file.flush().await?;
            }
            Ok(())
        }))
    }

    /// Writes what is left and makes the files visible.
    ///
    /// # Errors
    /// As [`flush`](Self::flush); of several files the first failure, after all others are finished.
    pub fn finish(&self) -> Result<Work<Result<()>>> {
        self.usable()?;
        let mut front = self.front();
        if front.closed {
            return Err(self.refused(true));
        }
        front.closed = true;
        (0..front.slots.len()).for_each(|turn| self.encode(&mut front, turn));
        front.slots.clear();
        drop(front);
        Ok(self.guarded(|writer| async move {
            let mut back = writer.0.back.lock().await;
            writer.drained(&mut back, 0).await?;
            let files: Vec<File> = std::mem::take(&mut back.files).into_values().collect();
            let finishing = stream::iter(files).map(File::finish).buffer_unordered(FINISHING);
            finishing.fold(Ok(()), |all: Result<()>, one| async { all.and(one) }).await
        }))
    }

    fn front(&self) -> MutexGuard<'_, Front> {
        self.0.front.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn usable(&self) -> Result<()> {
        let uri = || self.0.uri.to_string();
        if self.0.generation != fork::generation() {
            let detail = "a writer stays with the process that opened it: open another file in the child".into();
            return Err(StoreError::Forked { uri: uri(), detail }.into());
        }
        if self.has_failed() {
            let detail = "an earlier write failed, or was broken off".into();
            return Err(RecordError::Closed { uri: uri(), detail });
        }
        Ok(())
    }

    #[cold]
    fn refused(&self, closed: bool) -> RecordError {
        let detail = if closed {
            "the writer is closed".into()
        } else {
            let bytes = self.0.max_bytes;
            format!("every shard has reached the limit of {bytes} bytes, and enable_auto_sharding is off")
        };
        RecordError::Closed { uri: self.0.uri.to_string(), detail }
    }

    /// Gives the chunk of a slot to be encoded, if it holds a record.
    fn encode(&self, front: &mut Front, turn: usize) {
        let Slot { file, buffer, .. } = &mut front.slots[turn];
        if buffer.is_empty() {
            return;
        }
        let (file, records) = (*file, buffer.take());
        let options = self.0.options;
        front.tasks.push_back(if self.0.here {
            Task::Plain(file, records)
        } else {
            Task::Encoded(file, jobs::decode(move || options.encode(&records)))
        });
    }

    fn drain(&self, until: usize) -> Work<Result<()>> {
        self.guarded(move |writer| async move {
            let mut back = writer.0.back.lock().await;
            writer.drained(&mut back, until).await
        })
    }

    /// Work after which the writer has failed unless it comes to a good end: what is given up may have lost a chunk.
    fn guarded<F>(&self, work: impl FnOnce(Self) -> F + Send + 'static) -> Work<Result<()>>
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let writer = self.clone();
        Work::network(async move {
            let mut failing = Failing { writer: writer.clone(), good: false };
            let result = work(writer).await;
            failing.good = result.is_ok();
            Ok(result)
        })
    }

    /// Does the oldest tasks until at most `until` are left.
    async fn drained(&self, back: &mut Back, until: usize) -> Result<()> {
        loop {
            let task = {
                let mut front = self.front();
                if front.tasks.len() <= until {
                    return Ok(());
                }
                front.tasks.pop_front()
            };
            let Some(task) = task else { return Ok(()) };
            back.perform(task, &self.0.options).await?;
        }
    }
}

impl Inner {
    fn new(uri: Uri, compression: Compression, names: Names, ahead: usize) -> Self {
        Self {
            uri,
            options: Options { compression: compression.codec(), chunk_size: DEFAULT_CHUNK_SIZE },
            max_bytes: u64::MAX,
            auto_sharding: false,
            ahead,
            here: false,
            generation: fork::generation(),
            front: Mutex::default(),
            back: ManuallyDrop::new(tokio::sync::Mutex::new(Back { names, files: HashMap::new() })),
            failed: AtomicBool::new(false),
        }
    }
}

impl Front {
    /// The next file, which is to be begun.
    fn name(&mut self) -> u64 {
        let file = self.files;
        self.files += 1;
        self.tasks.push_back(Task::Open(file));
        file
    }

    fn open(&mut self, options: Options) {
        let file = self.name();
        self.slots.push(Slot { file, buffer: Buffer::new(options.chunk_size), bytes: 0 });
    }
}

impl Back {
    async fn perform(&mut self, task: Task, options: &Options) -> Result<()> {
        let number = match &task {
            Task::Open(file) | Task::Plain(file, _) | Task::Encoded(file, _) | Task::Finish(file) => *file,
        };
        if let Task::Open(_) = task {
            self.files.insert(number, File::new(self.names.begin().await?));
            return Ok(());
        }
        let Some(mut file) = self.files.remove(&number) else { return Ok(()) };
        match task {
            Task::Plain(_, records) => file.write(&records, options)?,
            Task::Encoded(_, chunk) => {
                let chunk = chunk.wait().await?.map_err(|error| file.wrong(error))?;
                file.place(&chunk)?;
            }
            Task::Open(_) => {}
            Task::Finish(_) => return file.finish().await,
        }
        file.send_full().await?;
        self.files.insert(number, file);
        Ok(())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.generation != fork::generation() {
            return;
        }
        let front = self.front.get_mut().unwrap_or_else(PoisonError::into_inner);
        if !front.closed && !self.failed.load(Ordering::Acquire) {
            tracing::warn!("{}: a writer was dropped before it was closed: its records are lost", self.uri);
        }
        // SAFETY: dropped once, here.
        unsafe { ManuallyDrop::drop(&mut self.back) }
    }
}

/// Marks the writer as failed unless the work comes to a good end.
struct Failing {
    writer: Writer,
    good: bool,
}

impl Drop for Failing {
    fn drop(&mut self) {
        if !self.good {
            self.writer.0.failed.store(true, Ordering::Release);
        }
    }
}

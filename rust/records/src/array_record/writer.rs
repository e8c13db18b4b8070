//! Writing one file. Compressed groups are encoded on several threads and written in order; records that are stored as they
//! are become chunks on the thread that brings them, as handing them to another one and back costs more than their hash.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use s3dlio_formats::array_record::{self, ArrayRecordError, Encoder, Grouper, Placer, WriterOptions};
use s3dlio_formats::riegeli::chunk::EncodedChunk;
use s3dlio_formats::riegeli::{Compression, Records};
use s3dlio_runtime::fork;
use s3dlio_store::{StoreError, Uri, Work, local};

use crate::error::{Place, RecordError, Result};
use crate::jobs::{self, Job};
use crate::output::Output;

/// Record bytes that one job encodes: large beside handing a job to another thread.
const JOB: usize = 512 << 10;

/// Records that one job encodes at most: tiny ones cost more than their bytes say.
const JOB_GROUPS: usize = 4096;

/// Encoded bytes that go to the store by one write: many records, and still in the processor's cache.
const WRITE: usize = 256 << 10;

type Encoded = std::result::Result<Vec<EncodedChunk>, ArrayRecordError>;

/// Writes an ArrayRecord file. Clones are the same writer; calls from several threads take turns.
///
/// The file appears under its name when [`finish`](Self::finish) has succeeded. Dropping the last clone before that gives
/// it up. What waits to be encoded or written is bounded: a writer that is ahead waits.
#[derive(Debug, Clone)]
pub struct Writer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    options: WriterOptions,
    output: Output,
    generation: u64,
    front: Mutex<Front>,
    /// Held while chunks leave, so that the first go first. Locked before `front`.
    turn: tokio::sync::Mutex<()>,
    failed: AtomicBool,
    /// Why, if that is known: every later call says the same.
    cause: OnceLock<RecordError>,
}

/// Where records arrive.
#[derive(Debug)]
struct Front {
    /// `None` once the index has been written.
    chunks: Option<Chunks>,
    /// The next bytes of the file.
    pending: Vec<u8>,
    closed: bool,
}

/// Where records become chunks.
#[derive(Debug)]
enum Chunks {
    /// On the thread that brings them.
    Here(array_record::Writer),
    /// On the decoding pool.
    Pool(Pool),
}

#[derive(Debug)]
struct Pool {
    grouper: Grouper,
    /// Full groups that no job encodes yet.
    groups: Vec<Records>,
    bytes: usize,
    running: VecDeque<Job<Encoded>>,
    placer: Placer,
}

impl Writer {
    /// Prepares to write a file; asks the store nothing yet. Where the folders of a local file forbid it, the writer has failed
    /// from the start. Call it on the calling thread: it reads environment variables.
    ///
    /// # Errors
    /// As [`Output::create`].
    pub fn create(uri: &Uri, options: WriterOptions) -> s3dlio_store::Result<Self> {
        let output = Output::create(uri)?;
        let obstacle = if uri.scheme.is_local() { local::obstacle(uri) } else { None };
        let mut pending = Vec::new();
        let chunks = if options.compression == Compression::None && !options.transpose {
            Chunks::Here(array_record::Writer::new(options.clone(), &mut pending))
        } else {
            Chunks::Pool(Pool {
                grouper: Grouper::new(&options),
                groups: Vec::new(),
                bytes: 0,
                running: VecDeque::new(),
                placer: Placer::new(options.clone(), &mut pending),
            })
        };
        Ok(Self(Arc::new(Inner {
            options,
            output,
            generation: fork::generation(),
            front: Mutex::new(Front { chunks: Some(chunks), pending, closed: false }),
            turn: tokio::sync::Mutex::default(),
            failed: AtomicBool::new(obstacle.is_some()),
            cause: obstacle.map(|error| RecordError::Store(error).into()).unwrap_or_default(),
        })))
    }

    /// The file.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        self.0.output.uri()
    }

    /// Whether the file is finished.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.front().closed
    }

    /// Whether a write has failed: nothing more can be written.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.0.failed.load(Ordering::Acquire)
    }

    /// Takes a record. `Some` is work that has to be run before the next record is given: the writer is ahead of its
    /// encoders or of the store.
    ///
    /// # Errors
    /// [`RecordError::Closed`]; the file is finished, an earlier write failed, or this is a forked child.
    pub fn write(&self, record: &[u8]) -> Result<Option<Work<Result<()>>>> {
        self.usable()?;
        let mut front = self.open()?;
        let Front { chunks, pending, .. } = &mut *front;
        match chunks {
            Some(Chunks::Here(writer)) => {
                let failing = Failing(&self.0);
                failing.end(writer.push(record, pending).map_err(|error| self.wrong(error)))?;
                if pending.len() < WRITE {
                    return Ok(None);
                }
                // In turn, lest these bytes overtake some that left `pending` earlier.
                let sent = match self.0.turn.try_lock() {
                    Ok(_turn) => self.try_send(pending)?,
                    Err(_) => false,
                };
                Ok((!sent).then(|| self.drain(0)))
            }
            Some(Chunks::Pool(pool)) => {
                if !pool.push(record) {
                    return Ok(None);
                }
                pool.encode(&self.0.options);
                let ahead = pool.running.len() > self.parallelism();
                Ok(ahead.then(|| self.drain(self.parallelism())))
            }
            None => Err(self.closed("the writer is closed")),
        }
    }

    /// Writes what is left and the index, and makes the file visible.
    ///
    /// # Errors
    /// As [`write`](Self::write), and from the work those of the store.
    pub fn finish(&self) -> Result<Work<Result<()>>> {
        if self.has_failed() {
            self.front().closed = true;
        }
        self.usable()?;
        let mut front = self.open()?;
        front.closed = true;
        if let Some(Chunks::Pool(pool)) = &mut front.chunks {
            pool.close(&self.0.options);
        }
        drop(front);
        let writer = self.clone();
        Ok(Work::network(async move {
            let _turn = writer.0.turn.lock().await;
            let failing = Failing(&writer.0);
            Ok(failing.end(writer.finished().await))
        }))
    }

    /// Gives the file up.
    ///
    /// # Errors
    /// Those of the removal of what the store has.
    pub fn abort(&self) -> Result<Work<()>> {
        self.usable()?;
        self.front().closed = true;
        let writer = self.clone();
        Ok(Work::network(async move {
            writer.0.failed.store(true, Ordering::Release);
            let _turn = writer.0.turn.lock().await;
            writer.0.output.abort()?.into_future().await
        }))
    }

    fn front(&self) -> MutexGuard<'_, Front> {
        self.0.front.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> Result<MutexGuard<'_, Front>> {
        let front = self.front();
        if front.closed { Err(self.closed("the writer is closed")) } else { Ok(front) }
    }

    fn parallelism(&self) -> usize {
        let most = s3dlio_runtime::settings::decode_threads();
        self.0.options.max_parallelism.map_or(most, |wanted| most.min(wanted as usize)).max(1)
    }

    fn usable(&self) -> Result<()> {
        let uri = || self.uri().to_string();
        if self.0.generation != fork::generation() {
            let detail = "a writer stays with the process that opened it: open another file in the child".into();
            return Err(StoreError::Forked { uri: uri(), detail }.into());
        }
        if self.has_failed() {
            let given_up = || self.closed("an earlier write failed, or was given up");
            return Err(self.0.cause.get().cloned().unwrap_or_else(given_up));
        }
        Ok(())
    }

    fn closed(&self, detail: &str) -> RecordError {
        RecordError::Closed { uri: self.uri().to_string(), detail: detail.into() }
    }

    fn wrong(&self, error: ArrayRecordError) -> RecordError {
        RecordError::format(self.uri(), Place::default(), error)
    }

    fn drain(&self, until: usize) -> Work<Result<()>> {
        let writer = self.clone();
        Work::network(async move {
            let _turn = writer.0.turn.lock().await;
            let failing = Failing(&writer.0);
            Ok(failing.end(writer.drained(until).await))
        })
    }

    /// Writes the oldest chunks until at most `until` jobs are left.
    async fn drained(&self, until: usize) -> Result<()> {
        while let Some(oldest) = self.oldest(until) {
            let encoded = oldest.wait().await?;
            encoded.and_then(|chunks| self.front().place(&chunks)).map_err(|error| self.wrong(error))?;
            self.send().await?;
        }
        self.send().await
    }

    /// The oldest job, if more than `until` run.
    fn oldest(&self, until: usize) -> Option<Job<Encoded>> {
        match &mut self.front().chunks {
            Some(Chunks::Pool(pool)) if pool.running.len() > until => pool.running.pop_front(),
            _ => None,
        }
    }

    async fn finished(&self) -> Result<()> {
        self.drained(0).await?;
        self.front().end().map_err(|error| self.wrong(error))?;
        self.send().await?;
        self.0.output.finish()?.into_future().await?;
        Ok(())
    }

    /// Hands over what waits to be written, if the store's buffers have room for it.
    fn try_send(&self, pending: &mut Vec<u8>) -> Result<bool> {
        let sent = self.0.output.try_write(pending)?;
        if sent {
            pending.clear();
        }
        Ok(sent)
    }

    /// The same, waiting for room.
    async fn send(&self) -> Result<()> {
        let pending = {
            let mut front = self.front();
            if self.try_send(&mut front.pending)? {
                return Ok(());
            }
            std::mem::take(&mut front.pending)
        };
        Ok(self.0.output.write(pending.into())?.into_future().await?)
    }
}

impl Front {
    fn place(&mut self, encoded: &[EncodedChunk]) -> std::result::Result<(), ArrayRecordError> {
        let Some(Chunks::Pool(pool)) = &mut self.chunks else { return Ok(()) };
        encoded.iter().try_for_each(|chunk| pool.placer.place(chunk, &mut self.pending))
    }

    /// Adds the index.
    fn end(&mut self) -> std::result::Result<(), ArrayRecordError> {
        match self.chunks.take() {
            Some(Chunks::Here(writer)) => writer.finish(&mut self.pending)?,
            Some(Chunks::Pool(pool)) => pool.placer.finish(&mut self.pending)?,
            None => 0,
        };
        Ok(())
    }
}

impl Pool {
    /// Takes a record; true where enough has gathered for a job.
    fn push(&mut self, record: &[u8]) -> bool {
        if self.grouper.push(record) {
            let group = self.grouper.take();
            self.bytes += group.data().len();
            self.groups.push(group);
        }
        self.bytes >= JOB || self.groups.len() >= JOB_GROUPS
    }

    /// Gives the groups that wait to a job.
    fn encode(&mut self, options: &WriterOptions) {
        self.bytes = 0;
        let groups = std::mem::take(&mut self.groups);
        if groups.is_empty() {
            return;
        }
        let encoder = Encoder::new(options);
        self.running.push_back(jobs::decode(move || groups.iter().map(|group| encoder.encode(group)).collect()));
    }

    /// Gives the last group to a job, full or not.
    fn close(&mut self, options: &WriterOptions) {
        let rest = self.grouper.take();
        if !rest.is_empty() {
            self.groups.push(rest);
        }
        self.encode(options);
    }
}

/// Marks the writer as failed unless the work comes to a good end: work that is given up may have lost a chunk.
struct Failing<'a>(&'a Inner);

impl Failing<'_> {
    fn end<T>(self, result: Result<T>) -> Result<T> {
        match &result {
            Ok(_) => std::mem::forget(self),
            Err(error) => {
                // The first one stays: later ones follow from it.
                let _ = self.0.cause.set(error.clone());
            }
        }
        result
    }
}

impl Drop for Failing<'_> {
    fn drop(&mut self) {
        self.0.failed.store(true, Ordering::Release);
    }
}

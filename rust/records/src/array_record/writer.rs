//! Writing one file: groups are encoded on several threads and written in order.

use std::collections::VecDeque;
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use s3dlio_formats::array_record::{ArrayRecordError, Encoder, Grouper, Placer, WriterOptions};
use s3dlio_formats::riegeli::Records;
use s3dlio_formats::riegeli::chunk::EncodedChunk;
use s3dlio_runtime::fork;
use s3dlio_store::{StoreError, Uri, Work};

use crate::error::{Place, RecordError, Result};
use crate::jobs::{self, Job};
use crate::output::Output;

/// Record bytes that one job encodes: large beside handing a job to another thread.
const JOB: usize = 512 << 10;

/// Records that one job encodes at most: tiny ones cost more than their bytes say.
const JOB_GROUPS: usize = 4096;

/// Encoded bytes that go to the store by one write.
const WRITE: usize = 1 << 20;

type Encoded = std::result::Result<Vec<EncodedChunk>, ArrayRecordError>;

/// Writes an ArrayRecord file. Clones are the same writer; calls from several threads take turns.
///
/// The file appears under its name when [`finish`](Self::finish) has succeeded. Dropping the last clone before that gives
/// it up. What waits to be encoded or written is bounded: a writer that is ahead waits.
#[derive(Debug, Clone)]
pub struct Writer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    uri: Uri,
    options: WriterOptions,
    generation: u64,
    front: Mutex<Front>,
    /// Locked before `front`. Not dropped in a forked child, where its tasks belong to threads that do not exist.
    back: ManuallyDrop<tokio::sync::Mutex<Back>>,
    failed: AtomicBool,
}

/// Where records arrive.
#[derive(Debug)]
struct Front {
    grouper: Grouper,
    /// Full groups that no job encodes yet.
    groups: Vec<Records>,
    bytes: usize,
    running: VecDeque<Job<Encoded>>,
    closed: bool,
}

/// Where chunks leave.
#[derive(Debug)]
struct Back {
    /// `None` once the index has been written.
    placer: Option<Placer>,
    output: Output,
    pending: Vec<u8>,
}

impl Writer {
    /// Prepares to write a file; asks the store nothing yet. Call it on the calling thread: it reads environment variables.
    ///
    /// # Errors
    /// As [`Output::create`].
    pub fn create(uri: &Uri, options: WriterOptions) -> s3dlio_store::Result<Self> {
        let output = Output::create(uri)?;
        let mut pending = Vec::with_capacity(WRITE);
        let placer = Placer::new(options.clone(), &mut pending);
        let grouper = Grouper::new(&options);
        let front = Front { grouper, groups: Vec::new(), bytes: 0, running: VecDeque::new(), closed: false };
        let back = ManuallyDrop::new(tokio::sync::Mutex::new(Back { placer: Some(placer), output, pending }));
        Ok(Self(Arc::new(Inner {
            uri: uri.clone(),
            options,
            generation: fork::generation(),
            front: Mutex::new(front),
            back,
            failed: AtomicBool::new(false),
        })))
    }

    /// The file.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.0.uri
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
    /// encoders.
    ///
    /// # Errors
    /// [`RecordError::Closed`]; the file is finished, an earlier write failed, or this is a forked child.
    pub fn write(&self, record: &[u8]) -> Result<Option<Work<Result<()>>>> {
        self.usable()?;
        let mut front = self.front();
        if front.closed {
            return Err(self.closed("the writer is closed"));
        }
        if front.grouper.push(record) {
            let group = front.grouper.take();
            front.bytes += group.data().len();
            front.groups.push(group);
        }
        if front.bytes < JOB && front.groups.len() < JOB_GROUPS {
            return Ok(None);
        }
        self.encode(&mut front);
        let ahead = front.running.len() > self.parallelism();
        drop(front);
        Ok(ahead.then(|| self.drain(self.parallelism())))
    }

    /// Writes what is left and the index, and makes the file visible.
    ///
    /// # Errors
    /// As [`write`](Self::write), and from the work those of the store.
    pub fn finish(&self) -> Result<Work<Result<()>>> {
        self.usable()?;
        let mut front = self.front();
        if front.closed {
            return Err(self.closed("the writer is closed"));
        }
        front.closed = true;
        let rest = front.grouper.take();
        if !rest.is_empty() {
            front.groups.push(rest);
        }
        self.encode(&mut front);
        drop(front);
        let writer = self.clone();
        Ok(Work::network(async move {
            let failing = Failing(&writer.0.failed);
            let mut back = writer.0.back.lock().await;
            let finished = async {
                writer.drained(&mut back, 0).await?;
                let Some(placer) = back.placer.take() else { return Err(writer.closed("the writer is closed")) };
                placer.finish(&mut back.pending).map_err(|error| writer.wrong(error))?;
                back.flush().await?;
                back.output.finish()?.into_future().await?;
                Ok(())
            };
            let finished = finished.await;
            failing.end(&finished);
            Ok(finished)
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
            writer.0.back.lock().await.output.abort()?.into_future().await
        }))
    }

    fn front(&self) -> MutexGuard<'_, Front> {
        self.0.front.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn parallelism(&self) -> usize {
        let most = s3dlio_runtime::settings::decode_threads();
        self.0.options.max_parallelism.map_or(most, |wanted| most.min(wanted as usize)).max(1)
    }

    fn usable(&self) -> Result<()> {
        let uri = || self.0.uri.to_string();
        if self.0.generation != fork::generation() {
            let detail = "a writer stays with the process that opened it: open another file in the child".into();
            return Err(StoreError::Forked { uri: uri(), detail }.into());
        }
        if self.has_failed() {
            return Err(self.closed("an earlier write failed, or was given up"));
        }
        Ok(())
    }

    fn closed(&self, detail: &str) -> RecordError {
        RecordError::Closed { uri: self.0.uri.to_string(), detail: detail.into() }
    }

    fn wrong(&self, error: ArrayRecordError) -> RecordError {
        RecordError::format(&self.0.uri, Place::default(), error)
    }

    /// Gives the groups that wait to a job.
    fn encode(&self, front: &mut Front) {
        front.bytes = 0;
        let groups = std::mem::take(&mut front.groups);
        if groups.is_empty() {
            return;
        }
        let encoder = Encoder::new(&self.0.options);
        front.running.push_back(jobs::decode(move || groups.iter().map(|group| encoder.encode(group)).collect()));
    }

    fn drain(&self, until: usize) -> Work<Result<()>> {
        let writer = self.clone();
        Work::network(async move {
            let failing = Failing(&writer.0.failed);
            let mut back = writer.0.back.lock().await;
            let drained = writer.drained(&mut back, until).await;
            failing.end(&drained);
            Ok(drained)
        })
    }

    /// Writes the oldest chunks until at most `until` jobs are left.
    async fn drained(&self, back: &mut Back, until: usize) -> Result<()> {
        loop {
            let oldest = {
                let mut front = self.front();
                if front.running.len() <= until {
                    return Ok(());
                }
                front.running.pop_front()
            };
            let Some(oldest) = oldest else { return Ok(()) };
            let chunks = oldest.wait().await?.map_err(|error| self.wrong(error))?;
            let Some(placer) = &mut back.placer else { return Ok(()) };
            for chunk in chunks {
                placer.place(&chunk, &mut back.pending).map_err(|error| self.wrong(error))?;
            }
            if back.pending.len() >= WRITE {
                back.flush().await?;
            }
        }
    }
}

impl Back {
    async fn flush(&mut self) -> Result<()> {
        let room = self.pending.len();
        let pending = std::mem::replace(&mut self.pending, Vec::with_capacity(room));
        self.output.write(pending.into())?.into_future().await?;
        Ok(())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.generation == fork::generation() {
            // SAFETY: dropped once, here.
            unsafe { ManuallyDrop::drop(&mut self.back) }
        }
    }
}

/// Marks the writer as failed unless the work comes to a good end: work that is given up may have lost a chunk.
struct Failing<'a>(&'a AtomicBool);

impl Failing<'_> {
    fn end<T>(self, result: &Result<T>) {
        if result.is_ok() {
            std::mem::forget(self);
        }
    }
}

impl Drop for Failing<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

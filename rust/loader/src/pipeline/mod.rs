//! The running pipeline of one iteration: plan, fetch, decode, assemble, hand over.
//!
//! One planning thread walks the epoch in order, takes byte permits *in that order* and starts the reads; files are
//! read in groups on the reading pool, network objects as tasks of the runtime, arrays are decoded on the decoding
//! pool. A batch is complete when its last sample arrives, on whatever thread that is. The consumer takes batches
//! in order, because their slots stand in an ordered channel.

mod fetch;
mod plan;
pub(crate) mod replace;
mod slot;
mod together;
mod waits;

pub(crate) use slot::Timeline;
pub use waits::Waits;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use s3dlio_runtime::budget::{ByteBudget, Urgency};
use s3dlio_runtime::fork;
use tokio::sync::watch;

use crate::batch::Batch;
use crate::batches::BatchPlan;
use crate::error::{LoaderError, Result};
use crate::loader::Loader;
use crate::options::LoaderOptions;
use crate::sampler::Order;
use crate::source::{RecordReader, RecordSource};
use waits::WaitCounters;

/// What the threads of one iteration share.
struct Shared {
    source: Arc<dyn RecordSource>,
    reader: Box<dyn RecordReader>,
    order: Box<dyn Order>,
    plan: BatchPlan,
    options: LoaderOptions,
    budget: ByteBudget,
    /// One unit for each network read in flight.
    reads: ByteBudget,
    cancelled: AtomicBool,
    /// The same, for tasks to wait on.
    cancel: watch::Sender<bool>,
    /// Batches that the consumer has taken, counted from the first of this worker's epoch.
    consumed: AtomicU64,
    /// What a record of unknown size is taken to need; 0 until one has come.
    estimate: AtomicU64,
    counters: Counters,
}

impl Shared {
    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    /// What a sample of `bytes` takes of the budget: while a batch is stacked both the samples and the stack exist.
    fn need(&self, bytes: u64) -> u64 {
        let copies = if self.options.stacks() { 2 } else { 1 };
        bytes.saturating_mul(copies).saturating_add(plan::OVERHEAD)
    }

    /// How urgent the bytes of the worker's `batch`-th batch are.
    fn urgency(&self, batch: u64) -> Urgency {
        if self.is_cancelled() {
            Urgency::Cancel
        } else if self.consumed.load(Ordering::Acquire) >= batch {
            // All earlier batches are gone, so the consumer waits for this one and nobody else frees memory.
            Urgency::Now
        } else {
            Urgency::Wait
        }
    }

    /// Waits for the end of the iteration.
    async fn cancelled(&self) {
        let mut cancel = self.cancel.subscribe();
        // The sender lives as long as this does.
        cancel.wait_for(|&cancelled| cancelled).await.ok();
    }

    /// Counts a bad record.
    ///
    /// # Errors
    /// Its error, where there were more than are borne with.
    fn count_bad(&self, error: &LoaderError) -> Result<()> {
        match self.refuse() {
            Some(limit) => Err(LoaderError::TooMany { limit, last: Box::new(error.clone()) }),
            None => Ok(()),
        }
    }

    /// Counts a bad record; the bound where there are more now.
    fn refuse(&self) -> Option<u64> {
        let before = self.counters.bad.fetch_add(1, Ordering::Relaxed);
        self.options.max_errors.filter(|limit| before >= *limit)
    }

    fn stop(&self) {
        self.cancelled.store(true, Ordering::Release);
        self.cancel.send_replace(true);
        self.budget.wake();
        self.reads.wake();
    }
}

#[derive(Debug, Default)]
struct Counters {
    batches: AtomicU64,
    samples: AtomicU64,
    skipped: AtomicU64,
    /// Records that were bad, of batches handed over or not.
    bad: AtomicU64,
    read_requests: AtomicU64,
    read_bytes: AtomicU64,
    wait_nanos: AtomicU64,
    waits: WaitCounters,
}

/// Figures of one iteration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Batches handed over.
    pub batches: u64,
    /// Samples handed over.
    pub samples: u64,
    /// Samples left out by `on_error="skip"`, or replaced.
    pub skipped: u64,
    /// Records read.
    pub reads: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Time the consumer waited for batches, in nanoseconds.
    pub wait_nanos: u64,
    /// The same by cause.
    pub waits: Waits,
    /// Bytes held of the memory budget now.
    pub budget_used: u64,
    /// The most bytes held at once.
    pub budget_peak: u64,
    /// The memory budget.
    pub budget_limit: u64,
}

/// What a wait for the next batch brought.
#[derive(Debug)]
pub enum Next {
    /// A batch.
    Batch(Box<Batch>),
    /// Nothing yet: look for signals and ask again.
    Pending,
    /// The epoch is over.
    Done,
}

type Slots = Receiver<Receiver<Result<Batch>>>;

struct Running {
    shared: Arc<Shared>,
    slots: Slots,
    current: Option<Receiver<Result<Batch>>>,
    waiting_since: Option<Instant>,
    failed: Option<LoaderError>,
}

/// The batches of one epoch, read ahead. Dropping it stops all reading and frees the memory.
pub struct BatchIter {
    running: Option<Running>,
    generation: u64,
}

impl BatchIter {
    pub(crate) fn start(loader: &Loader, epoch: u64, first: u64) -> Result<Self> {
        let source = Arc::clone(loader.source());
        let options = loader.options().clone();
        let shared = Arc::new(Shared {
            reader: source.reader()?,
            source,
            order: loader.sampler().order(epoch),
            plan: *loader.plan(),
            budget: ByteBudget::new(options.memory_budget),
            reads: ByteBudget::new(options.reads_in_flight()),
            cancelled: AtomicBool::new(false),
            cancel: watch::Sender::new(false),
            consumed: AtomicU64::new(first),
            estimate: AtomicU64::new(0),
            counters: Counters::default(),
            options,
        });
        let (send, slots) = bounded(shared.options.batches_ahead());
        let planner = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("s3dlio-plan".into())
            .spawn(move || plan::run(&planner, &send, first))
            .map_err(|source| LoaderError::System(format!("cannot start the planning thread: {source}")))?;
        let running = Running { shared, slots, current: None, waiting_since: None, failed: None };
        Ok(Self { running: Some(running), generation: fork::generation() })
    }

    /// Waits up to `slice` for the next batch.
    ///
    /// # Errors
    /// The first error of a record (with `on_error="raise"`), again at every further call, so that no caller takes
    /// the rest of the epoch for complete; [`LoaderError::Timeout`] when the configured wait is over;
    /// [`LoaderError::Forked`] in a child of the process that began the iteration.
    pub fn next(&mut self, slice: Duration) -> Result<Next> {
        if self.generation != fork::generation() {
            return Err(LoaderError::Forked(
                "this iterator was begun in the parent process, whose threads a forked child does not have: \
                 begin a new iteration in the child"
                    .into(),
            ));
        }
        match &mut self.running {
            Some(running) => running.next(slice),
            None => Ok(Next::Done),
        }
    }

    /// Counts a sample that whoever handles samples refuses, with the records that could not be read; the bound of bad
    /// records where there are more now.
    #[must_use]
    pub fn refuse(&self) -> Option<u64> {
        self.running.as_ref()?.shared.refuse()
    }

    /// Figures so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let Some(running) = self.running.as_ref().filter(|_| self.generation == fork::generation()) else {
            return Stats::default();
        };
        running.stats()
    }
}

impl Running {
    fn next(&mut self, slice: Duration) -> Result<Next> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        // A look at what is ready is no wait: neither the clock nor the time limit runs from it.
        let ready = self.receive(Duration::ZERO);
        if slice.is_zero() || !matches!(ready, Ok(Next::Pending)) {
            return self.settle(ready);
        }
        let began = *self.waiting_since.get_or_insert_with(Instant::now);
        let received = self.receive(slice);
        if matches!(received, Ok(Next::Pending)) {
            if let Some(limit) = self.shared.options.timeout.filter(|&limit| began.elapsed() >= limit) {
                return self.fail(LoaderError::Timeout { uri: self.awaited(), seconds: limit.as_secs_f64() });
            }
            return received;
        }
        self.settle(received)
    }

    /// Ends a wait, if there was one, and keeps an error for further calls.
    fn settle(&mut self, received: Result<Next>) -> Result<Next> {
        if matches!(received, Ok(Next::Pending)) {
            return received;
        }
        if let Some(began) = self.waiting_since.take() {
            let waited = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
            self.shared.counters.wait_nanos.fetch_add(waited, Ordering::Relaxed);
            if let Ok(Next::Batch(batch)) = &received {
                self.shared.counters.waits.add(began, &batch.times);
            }
        }
        match received {
            Err(error) => self.fail(error),
            done => done,
        }
    }

    /// The first record of the batch that the consumer waits for.
    fn awaited(&self) -> String {
        let shared = &self.shared;
        let step = shared.plan.step_of(shared.consumed.load(Ordering::Acquire));
        shared.source.name(shared.order.index(shared.plan.position(step, 0)))
    }

    fn fail(&mut self, error: LoaderError) -> Result<Next> {
        self.failed = Some(error.clone());
        self.shared.stop();
        Err(error)
    }

    fn receive(&mut self, slice: Duration) -> Result<Next> {
        let current = match self.current.take() {
            Some(current) => current,
            None => match self.slots.recv_timeout(slice) {
                Ok(slot) => slot,
                Err(RecvTimeoutError::Timeout) => return Ok(Next::Pending),
                Err(RecvTimeoutError::Disconnected) => return self.ended(),
            },
        };
        match current.recv_timeout(slice) {
            Ok(result) => result.map(|batch| self.taken(batch)),
            Err(RecvTimeoutError::Timeout) => {
                self.current = Some(current);
                Ok(Next::Pending)
            }
            Err(RecvTimeoutError::Disconnected) => {
                Err(LoaderError::System("a batch was lost: a thread of the loader panicked".into()))
            }
        }
    }

    /// The planning thread is gone; that it planned everything is checked, lest a panic there look like a short epoch.
    fn ended(&self) -> Result<Next> {
        if self.shared.consumed.load(Ordering::Acquire) >= self.shared.plan.batches() {
            return Ok(Next::Done);
        }
        Err(LoaderError::System("the epoch broke off: the planning thread panicked".into()))
    }

    fn taken(&self, mut batch: Batch) -> Next {
        let counters = &self.shared.counters;
        counters.batches.fetch_add(1, Ordering::Relaxed);
        counters.samples.fetch_add(batch.indices.len() as u64, Ordering::Relaxed);
        counters.skipped.fetch_add(batch.skipped.len() as u64, Ordering::Relaxed);
        // The consumer owns the memory from here on. It is given back first: an urgent request would otherwise come on
        // top of it.
        batch.bytes = batch.permits.drain(..).map(|permit| permit.bytes()).sum();
        self.shared.consumed.fetch_add(1, Ordering::AcqRel);
        self.shared.budget.wake();
        Next::Batch(Box::new(batch))
    }

    fn stats(&self) -> Stats {
        let counters = &self.shared.counters;
        let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            batches: value(&counters.batches),
            samples: value(&counters.samples),
            skipped: value(&counters.skipped),
            reads: value(&counters.read_requests),
            bytes: value(&counters.read_bytes),
            wait_nanos: value(&counters.wait_nanos),
            waits: counters.waits.read(),
            budget_used: self.shared.budget.used(),
            budget_peak: self.shared.budget.peak(),
            budget_limit: self.shared.budget.limit(),
        }
    }
}

impl Drop for BatchIter {
    fn drop(&mut self) {
        let Some(running) = self.running.take() else { return };
        if self.generation == fork::generation() {
            running.shared.stop();
        } else {
            // The parent's threads may have held any of its locks at the moment of the fork.
            std::mem::forget(running);
        }
    }
}

impl std::fmt::Debug for BatchIter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BatchIter").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

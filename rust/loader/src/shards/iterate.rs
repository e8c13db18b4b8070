//! One epoch of a reader of shards.
//!
//! With a shuffle the order of the shards is the permutation of their numbers by `(seed, epoch)`; reader `g` of `G` (counted
//! by rank, then worker) takes the `g`-th, `g + G`-th and so on. The records of its shards behind each other are cut into
//! windows of `buffer` records, and those of window `k` stand in the order of the permutation of their numbers by
//! `(hash(seed, epoch, g, k), epoch)`. So a state needs the place where a window begins and how many of it are given: a
//! resumed reader reads one window again, whatever was mixed.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use s3dlio_runtime::{executor, fork};

use super::{Place, Run, ShardLoader, ShardReader, ShardState};
use crate::error::{LoaderError, Result};
use crate::sampler::Permutation;
use crate::sampler::permutation::hash;

/// What a wait for the next batch brought.
#[derive(Debug)]
pub enum NextRecords {
    /// The records of a batch.
    Batch(Vec<Bytes>),
    /// Nothing yet: look for signals and ask again.
    Pending,
    /// The epoch is over.
    Done,
}

/// Where the reader is behind a record: shard and place of the window's beginning, its number, and how many of it are
/// given.
#[derive(Debug, Clone, Copy)]
struct Mark {
    shard: u64,
    place: Place,
    window: (u64, u64),
}

/// The batches of one reader's epoch. Shards read ahead of it; a run of records is fetched while the last one is used.
pub struct ShardIter {
    loader: ShardLoader,
    order: Option<Permutation>,
    /// The state behind the batches that were handed over.
    state: ShardState,
    /// The shard that is open, by its number in the order.
    shard: u64,
    /// Where its reading begins.
    from: Place,
    reader: Option<Box<dyn ShardReader>>,
    fetch: Option<Receiver<Result<Run>>>,
    /// Records that are in no window yet.
    ready: VecDeque<(Bytes, Mark)>,
    window: VecDeque<(Bytes, Mark)>,
    /// Where the next window begins; and how many of its records were given before the state was saved.
    next: Mark,
    ended: bool,
    failed: Option<LoaderError>,
    batch: Vec<Bytes>,
    reached: Mark,
    generation: u64,
}

impl ShardIter {
    pub(super) fn new(loader: ShardLoader, state: ShardState) -> Self {
        let (shards, options) = (loader.shards().len(), loader.options());
        let sharding = options.sharding;
        let first = sharding.rank * sharding.workers + sharding.worker;
        let shard = if state.records == 0 { first } else { state.shard };
        let next = Mark { shard, place: state.place, window: state.window };
        Self {
            order: loader.mixes().then(|| Permutation::new(shards, options.seed, state.epoch)),
            shard,
            from: state.place,
            reader: None,
            fetch: None,
            ready: VecDeque::new(),
            window: VecDeque::new(),
            next,
            ended: false,
            failed: None,
            batch: Vec::new(),
            reached: next,
            generation: fork::generation(),
            state,
            loader,
        }
    }

    /// Where the next batch begins.
    #[must_use]
    pub fn state(&self) -> &ShardState {
        &self.state
    }

    /// Waits up to `slice` for the next batch. Call it on the thread that owns the environment: it opens shards.
    ///
    /// # Errors
    /// Damage and what the store says, again at every further call; [`LoaderError::Forked`] in a child of the process that
    /// began the iteration.
    pub fn next(&mut self, slice: Duration) -> Result<NextRecords> {
        if self.generation != fork::generation() {
            let detail = "this iterator was begun in the parent process: begin a new iteration in the forked child";
            return Err(LoaderError::Forked(detail.into()));
        }
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        self.advance(slice).inspect_err(|error| self.failed = Some(error.clone()))
    }

    fn advance(&mut self, slice: Duration) -> Result<NextRecords> {
        let size = usize::try_from(self.loader.options().batch_size).unwrap_or(usize::MAX);
        loop {
            while self.batch.len() < size
                && let Some((record, mark)) = self.window.pop_front()
            {
                self.batch.push(record);
                self.reached = mark;
            }
            if self.batch.len() == size || (self.ended && self.ready.is_empty() && self.window.is_empty()) {
                return Ok(self.hand_over(size));
            }
            if !self.open_window(size) && !self.receive(slice)? {
                return Ok(NextRecords::Pending);
            }
        }
    }

    fn hand_over(&mut self, size: usize) -> NextRecords {
        let batch = std::mem::take(&mut self.batch);
        if batch.is_empty() || (batch.len() < size && self.loader.options().drop_last) {
            return NextRecords::Done;
        }
        let Mark { shard, place, window } = self.reached;
        self.state =
            ShardState { shard, place, window, records: self.state.records + batch.len() as u64, ..self.state.clone() };
        NextRecords::Batch(batch)
    }

    /// Makes a window of what is ready, where that is enough for one.
    fn open_window(&mut self, batch: usize) -> bool {
        let mixes = self.loader.mixes();
        let buffer = usize::try_from(self.loader.options().buffer).unwrap_or(usize::MAX);
        let wanted = if mixes { buffer } else { batch.saturating_sub(self.batch.len()).max(1) };
        let enough = self.ready.len() >= wanted || (self.ended && !self.ready.is_empty());
        // Without a shuffle there is no reason to wait for a whole window.
        if !enough && (mixes || self.ready.is_empty()) {
            return false;
        }
        let records: Vec<(Bytes, Mark)> = self.ready.drain(..wanted.min(self.ready.len())).collect();
        if mixes {
            self.mix(&records)
        } else {
            self.window.extend(records)
        }
        true
    }

    fn mix(&mut self, records: &[(Bytes, Mark)]) {
        let Some((_, last)) = records.last() else { return };
        let Mark { shard, place, window: (number, skipped) } = self.next;
        let ShardState { seed, epoch, .. } = self.state;
        let length = records.len() as u64;
        let order = Permutation::new(length, hash(&[seed, epoch, self.first(), number]), epoch);
        self.next = Mark { window: (number + 1, 0), ..*last };
        for position in skipped..length {
            let record = usize::try_from(order.index(position)).ok().and_then(|at| records.get(at));
            let mark = Mark { shard, place, window: (number, position + 1) };
            let mark = if position + 1 == length { self.next } else { mark };
            self.window.extend(record.map(|(record, _)| (record.clone(), mark)));
        }
    }

    /// The number of this reader.
    fn first(&self) -> u64 {
        let sharding = self.loader.options().sharding;
        sharding.rank * sharding.workers + sharding.worker
    }

    /// Waits for the next run of records; false when it did not come in time.
    fn receive(&mut self, slice: Duration) -> Result<bool> {
        if self.ended {
            return Ok(true);
        }
        let fetch = match self.fetch.take() {
            Some(fetch) => fetch,
            None => match self.begin()? {
                Some(fetch) => fetch,
                None => {
                    self.ended = true;
                    return Ok(true);
                }
            },
        };
        let run = match fetch.recv_timeout(slice) {
            Ok(run) => run?,
            Err(RecvTimeoutError::Timeout) => {
                self.fetch = Some(fetch);
                return Ok(false);
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err(LoaderError::System("a run of records was lost: a thread of the loader panicked".into()));
            }
        };
        let shard = self.shard;
        if run.is_empty() {
            let sharding = self.loader.options().sharding;
            self.reader = None;
            self.shard += sharding.world * sharding.workers;
            self.from = Place::default();
        }
        self.ready.extend(run.into_iter().map(|(record, place)| (record, Mark { shard, place, window: (0, 0) })));
        self.fetch = self.begin()?;
        self.ended = self.fetch.is_none();
        Ok(true)
    }

    /// Begins to fetch the next run; `None` behind the last shard.
    fn begin(&mut self) -> Result<Option<Receiver<Result<Run>>>> {
        if self.shard >= self.loader.shards().len() {
            return Ok(None);
        }
        let reader = match &mut self.reader {
            Some(reader) => reader,
            None => {
                let number = self.order.map_or(self.shard, |order| order.index(self.shard));
                self.reader.insert(self.loader.shards().open(number, self.from)?)
            }
        };
        let work = reader.next()?.into_future();
        let (done, run) = bounded(1);
        let task = async move {
            // Nobody listens any more when the iteration was dropped.
            let _ = done.send(work.await.unwrap_or_else(|error| Err(error.into())));
        };
        executor::spawn(task).map_err(|error| LoaderError::System(error.to_string()))?;
        Ok(Some(run))
    }
}

impl Drop for ShardIter {
    fn drop(&mut self) {
        if self.generation != fork::generation() {
            // What is under way belongs to threads of the parent, whose locks may be held for ever.
            std::mem::forget((self.reader.take(), self.fetch.take()));
        }
    }
}

impl std::fmt::Debug for ShardIter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ShardIter").field("state", &self.state).finish_non_exhaustive()
    }
}

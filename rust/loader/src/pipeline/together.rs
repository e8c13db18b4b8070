//! Records that are read together: the planning thread collects what lies in one place, and one read brings it.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::{Either, select};
use s3dlio_runtime::budget::{ByteBudget, Urgency};
use s3dlio_runtime::executor;

use super::Shared;
use super::fetch::{self, Read};
use super::slot::Pending;
use crate::error::{LoaderError, Result};
use crate::options::Shuffle;
use crate::source::Record;

/// Bytes, and records or blocks, that one call reads: several blocks of a megabyte, so that neighbours of these merge.
const GROUP_BYTES: u64 = 8 << 20;

/// As above, for small records.
const GROUP_UNITS: usize = 256;

/// Processes that a data set is split over, up to which each reads whole blocks: of a block that more of them share, each
/// uses so little that single chunks are less to read.
const BLOCK_SHARE: u64 = 4;

/// Calls that may be in flight at least, however many requests each is taken to make.
const CALLS: u64 = 4;

/// What one read brings at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grain {
    Record,
    Chunk,
    Block,
}

/// Records that are read at once: a block, a chunk, or one alone.
struct Unit {
    range: Range<u64>,
    state: Mutex<State>,
}

enum State {
    /// Samples that wait for their record.
    Waiting(Vec<Pending>),
    /// All records of the range.
    Ready(Vec<Result<Record>>),
}

/// A unit that may be wanted again.
struct Known {
    unit: Arc<Unit>,
    /// Records of it that have not been asked for.
    left: u64,
}

/// The planning thread's view of the units.
pub(super) struct Together {
    shared: Arc<Shared>,
    grain: Grain,
    /// By their first record.
    known: HashMap<u64, Known>,
    /// The same in the order in which they came, with their bytes. Some are in it that are not known any more.
    order: VecDeque<(u64, u64)>,
    known_bytes: u64,
    most_bytes: u64,
    waiting: Vec<Arc<Unit>>,
    waiting_bytes: u64,
    /// Samples whose record is there already, until there are enough for a job.
    ready: Vec<Read>,
}

impl Together {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        let sharding = shared.plan.sharding();
        let grain = match shared.options.shuffle {
            Shuffle::Global => Grain::Record,
            _ if sharding.world.saturating_mul(sharding.workers) > BLOCK_SHARE => Grain::Chunk,
            _ => Grain::Block,
        };
        Self {
            shared: Arc::clone(shared),
            grain,
            known: HashMap::new(),
            order: VecDeque::new(),
            known_bytes: 0,
            most_bytes: most_bytes(shared),
            waiting: Vec::new(),
            waiting_bytes: 0,
            ready: Vec::new(),
        }
    }

    fn range(&self, index: u64) -> Range<u64> {
        match (self.grain, self.shared.source.layout()) {
            (Grain::Block, Some(layout)) => layout.block(index),
            (Grain::Chunk, Some(layout)) => layout.chunk(index),
            _ => index..index + 1,
        }
    }

    /// Lets a sample wait for its record; true when enough has come together for a read.
    pub(super) fn push(&mut self, pending: Pending) -> bool {
        let index = pending.index();
        let range = self.range(index);
        if range.end - range.start == 1 {
            self.waiting_bytes += self.shared.source.bytes(index).unwrap_or(0);
            self.waiting.push(Unit::new(range, pending));
            return self.is_full();
        }
        let start = range.start;
        let Some(known) = self.known.get_mut(&start) else {
            let bytes = range.clone().map(|index| self.shared.source.bytes(index).unwrap_or(0)).sum();
            let left = range.end - start - 1;
            let unit = Unit::new(range, pending);
            self.waiting.push(Arc::clone(&unit));
            self.waiting_bytes += bytes;
            self.keep(Known { unit, left }, bytes);
            return self.is_full();
        };
        self.ready.extend(known.unit.add(pending));
        known.left -= 1;
        if known.left == 0 {
            self.known.remove(&start);
        }
        if self.ready.len() >= fetch::most_of_a_job(&self.shared) {
            self.decode_ready();
        }
        false
    }

    fn decode_ready(&mut self) {
        if !self.ready.is_empty() {
            fetch::decode(&self.shared, std::mem::take(&mut self.ready));
        }
    }

    fn keep(&mut self, known: Known, bytes: u64) {
        let start = known.unit.range.start;
        self.known.insert(start, known);
        self.order.push_back((start, bytes));
        self.known_bytes += bytes;
        while self.known_bytes > self.most_bytes && self.order.len() > 1 {
            let Some((oldest, bytes)) = self.order.pop_front() else { break };
            self.known.remove(&oldest);
            self.known_bytes -= bytes;
        }
    }

    fn is_full(&self) -> bool {
        self.waiting.len() >= GROUP_UNITS || self.waiting_bytes >= GROUP_BYTES
    }

    /// Begins to decode what is there and to read what waits; false when the iteration was stopped.
    pub(super) fn flush(&mut self) -> bool {
        self.decode_ready();
        if self.waiting.is_empty() {
            return true;
        }
        let units = std::mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        let requests = (units.len() as u64).min((self.shared.reads.limit() / CALLS).max(1));
        let shared = Arc::clone(&self.shared);
        let urgency = || if shared.is_cancelled() { Urgency::Cancel } else { Urgency::Wait };
        let reads: &ByteBudget = &shared.reads;
        let Some(turn) = reads.try_acquire(requests).or_else(|| reads.acquire(requests, urgency)) else {
            return false;
        };
        let mut cancel = shared.cancel.subscribe();
        let reading = Arc::clone(&shared);
        let task = async move {
            let _turn = turn;
            let cancelled = std::pin::pin!(cancel.wait_for(|&cancelled| cancelled));
            let read = std::pin::pin!(read(&reading, &units));
            if let Either::Left((found, _)) = select(read, cancelled).await {
                for (unit, records) in units.iter().zip(found) {
                    unit.settle(&reading, records);
                }
            }
        };
        // Without a runtime the task is dropped, and the samples' places get their errors from there.
        if let Err(error) = executor::spawn(task) {
            tracing::error!(%error, "no network runtime");
        }
        true
    }
}

/// Decoded blocks that may be kept: half of the budget beside it, and a whole window of the shuffle in any case, because
/// its records are wanted in any order.
fn most_bytes(shared: &Shared) -> u64 {
    let half = shared.options.memory_budget / 2;
    let Some(layout) = shared.source.layout() else { return half };
    let window = if shared.options.shuffle_window > 0 { shared.options.shuffle_window } else { layout.window() };
    let blocks = layout.block_bytes();
    let largest = blocks.iter().copied().max().unwrap_or(0);
    let parts = shared.source.mixture().map_or(1, <[_]>::len) as u64;
    half.max(largest.saturating_mul(window.min(blocks.len() as u64) + 1).saturating_mul(parts))
}

impl Unit {
    fn new(range: Range<u64>, pending: Pending) -> Arc<Self> {
        Arc::new(Self { range, state: Mutex::new(State::Waiting(vec![pending])) })
    }

    /// Lets a sample wait for its record, or gives it back with the record where that is there already.
    fn add(&self, pending: Pending) -> Option<Read> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *state {
            State::Waiting(waiting) => {
                waiting.push(pending);
                None
            }
            State::Ready(records) => {
                let record = self.record(records, pending.index());
                Some((pending, record))
            }
        }
    }

    fn record(&self, records: &[Result<Record>], index: u64) -> Result<Record> {
        let at = usize::try_from(index - self.range.start).unwrap_or(usize::MAX);
        records.get(at).cloned().unwrap_or_else(|| Err(LoaderError::System(format!("record {index} did not come"))))
    }

    fn settle(&self, shared: &Arc<Shared>, records: Vec<Result<Record>>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State::Waiting(waiting) = std::mem::replace(&mut *state, State::Ready(Vec::new())) else { return };
        let samples = waiting.into_iter().map(|pending| {
            let record = self.record(&records, pending.index());
            (pending, record)
        });
        let samples = samples.collect();
        *state = State::Ready(records);
        drop(state);
        fetch::decode(shared, samples);
    }
}

/// Reads units by one call, and where one of them is bad, each by itself: the others are good.
async fn read(shared: &Shared, units: &[Arc<Unit>]) -> Vec<Vec<Result<Record>>> {
    let indices: Vec<u64> = units.iter().flat_map(|unit| unit.range.clone()).collect();
    match call(shared, &indices).await {
        Ok(records) => {
            let mut records = records.into_iter();
            let length = |unit: &Arc<Unit>| usize::try_from(unit.range.end - unit.range.start).unwrap_or(usize::MAX);
            units.iter().map(|unit| records.by_ref().take(length(unit)).map(Ok).collect()).collect()
        }
        Err(error) if !error.concerns_one_record() => {
            units.iter().map(|unit| unit.range.clone().map(|_| Err(error.clone())).collect()).collect()
        }
        Err(error) if indices.len() == 1 => vec![vec![Err(error)]],
        Err(_) => {
            let mut results = Vec::with_capacity(units.len());
            for unit in units {
                results.push(alone(shared, unit.range.clone()).await);
            }
            results
        }
    }
}

/// Reads a unit, and where that fails halves of it, so that few of many records are asked for one by one.
async fn alone(shared: &Shared, range: Range<u64>) -> Vec<Result<Record>> {
    let mut results = Vec::new();
    let mut parts = vec![range];
    while let Some(part) = parts.pop() {
        let indices: Vec<u64> = part.clone().collect();
        match call(shared, &indices).await {
            Ok(records) => results.extend(records.into_iter().map(Ok)),
            Err(error) if part.end - part.start <= 1 || !error.concerns_one_record() => {
                results.extend(part.map(|_| Err(error.clone())));
            }
            Err(_) => {
                let middle = part.start + (part.end - part.start) / 2;
                parts.push(middle..part.end);
                parts.push(part.start..middle);
            }
        }
    }
    results
}

/// Reads records by one call.
pub(super) async fn call(shared: &Shared, indices: &[u64]) -> Result<Vec<Record>> {
    let work = shared.reader.read(indices)?;
    let records = work.into_future().await??;
    if records.len() == indices.len() {
        return Ok(records);
    }
    Err(LoaderError::System(format!("{} records came for {}", records.len(), indices.len())))
}

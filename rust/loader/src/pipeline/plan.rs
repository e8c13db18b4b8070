//! The planning thread: walks the epoch in order and starts reads as memory allows.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam_channel::{Receiver, Sender, TrySendError};
use s3dlio_runtime::budget::{ByteBudget, Permit, Urgency};

use super::Shared;
use super::fetch::{FileGroup, start_network};
use super::slot::{Pending, Slot};
use super::together::Together;
use crate::batch::Batch;
use crate::error::{LoaderError, Result};
use crate::source::Access;

/// Records of unknown size that may be read ahead before the first one has told how large they are: each is taken to
/// need this part of the budget. Few, because all of them may be far larger than any guess.
const FIRST_READS: u64 = 4;

/// Bookkeeping of one sample (slot, permit, slice, name of the file): counted, so that the budget also bounds
/// data sets of tiny records.
pub(super) const OVERHEAD: u64 = 256;

type Slots = Sender<Receiver<Result<Batch>>>;

/// Plans the worker's batches from the `first`-th on; returns when all are started or the consumer is gone.
pub(super) fn run(shared: &Arc<Shared>, slots: &Slots, first: u64) {
    let mut held = Held { files: FileGroup::new(shared), together: Together::new(shared) };
    for batch in first..shared.plan.batches() {
        let (slot, result) = Slot::new(shared, batch);
        if !announce(slots, result, &mut held) {
            return;
        }
        for (at, index) in slot.indices().iter().copied().enumerate() {
            // With memory to spare nothing below asks, and a failed iteration would go through the rest of the epoch.
            if shared.is_cancelled() {
                return;
            }
            let bytes = shared.source.bytes(index).unwrap_or_else(|| estimate(shared));
            let urgency = || shared.urgency(batch);
            let Some(permit) = take(&shared.budget, shared.need(bytes), &mut held, urgency) else {
                return;
            };
            let pending = Pending::new(Arc::clone(shared), Arc::clone(&slot), at, index, permit);
            if !start(shared, pending, index, &mut held) {
                return;
            }
        }
        // With the consumer at this batch, what waits for company would keep it waiting.
        if shared.urgency(batch) == Urgency::Now {
            held.flush();
        }
    }
    held.flush();
}

/// Reads that are held back until they are worth it.
struct Held {
    files: FileGroup,
    together: Together,
}

impl Held {
    fn flush(&mut self) {
        self.files.flush();
        self.together.flush();
    }
}

fn estimate(shared: &Shared) -> u64 {
    match shared.estimate.load(Ordering::Relaxed) {
        0 => shared.budget.limit() / FIRST_READS,
        known => known,
    }
}

/// Puts a batch into the ordered channel; reads that were held back start before this thread goes to sleep.
fn announce(slots: &Slots, result: Receiver<Result<Batch>>, held: &mut Held) -> bool {
    match slots.try_send(result) {
        Ok(()) => true,
        Err(TrySendError::Full(result)) => {
            held.flush();
            slots.send(result).is_ok()
        }
        Err(TrySendError::Disconnected(_)) => false,
    }
}

/// Takes units of a budget; reads that were held back start before this thread goes to sleep.
fn take(budget: &ByteBudget, units: u64, held: &mut Held, urgency: impl FnMut() -> Urgency) -> Option<Permit> {
    budget.try_acquire(units).or_else(|| {
        held.flush();
        budget.acquire(units, urgency)
    })
}

fn start(shared: &Arc<Shared>, pending: Pending, index: u64, held: &mut Held) -> bool {
    match shared.reader.access(index) {
        Err(error) => pending.fulfil(Err(LoaderError::from(error))),
        Ok(Access::File(path, mode)) => held.files.push(pending, path, mode),
        Ok(Access::Together) => return !held.together.push(pending) || held.together.flush(),
        Ok(Access::Network(read)) => {
            let urgency = || if shared.is_cancelled() { Urgency::Cancel } else { Urgency::Wait };
            let Some(turn) = take(&shared.reads, 1, held, urgency) else { return false };
            start_network(shared, pending, read, turn);
        }
    }
    true
}

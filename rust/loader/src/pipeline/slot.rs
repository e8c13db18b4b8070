//! A batch while its samples arrive.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};
use s3dlio_runtime::budget::Permit;

use super::Shared;
use super::replace;
use crate::batch::{self, Batch, BatchData, Skipped};
use crate::decode::Sample;
use crate::error::{LoaderError, Result};
use crate::options::{Collate, OnError};

struct Arrived {
    index: u64,
    sample: Result<Sample>,
    permit: Option<Permit>,
}

/// The places of one batch.
pub(super) struct Slot {
    step: u64,
    real: u64,
    indices: Vec<u64>,
    arrived: Mutex<Vec<Option<Arrived>>>,
    missing: AtomicUsize,
    /// Records that others took the place of.
    replaced: Mutex<Vec<Skipped>>,
    times: Times,
    done: Sender<Result<Batch>>,
}

/// When a batch was where, in nanoseconds since it was planned; 0 where it has not been there.
struct Times {
    planned: Instant,
    first_read: AtomicU64,
    last_read: AtomicU64,
    decoded: AtomicU64,
}

impl Times {
    fn now(&self) -> u64 {
        u64::try_from(self.planned.elapsed().as_nanos()).unwrap_or(u64::MAX).max(1)
    }
}

/// When a batch was planned, had its first record, its last one, all of them decoded, and was put together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeline {
    pub planned: Instant,
    pub first_read: u64,
    pub last_read: u64,
    pub decoded: u64,
    pub assembled: u64,
}

impl Slot {
    /// The worker's `batch`-th batch, and where its result will come out.
    pub(super) fn new(shared: &Shared, batch: u64) -> (Arc<Self>, Receiver<Result<Batch>>) {
        let step = shared.plan.step_of(batch);
        let span = shared.plan.span(step);
        let indices: Vec<u64> =
            (0..span.real + span.fill).map(|place| shared.order.index(shared.plan.position(step, place))).collect();
        let (done, result) = bounded(1);
        let slot = Self {
            step,
            real: span.real,
            arrived: Mutex::new(indices.iter().map(|_| None).collect()),
            missing: AtomicUsize::new(indices.len()),
            indices,
            replaced: Mutex::default(),
            times: Times {
                planned: Instant::now(),
                first_read: AtomicU64::new(0),
                last_read: AtomicU64::new(0),
                decoded: AtomicU64::new(0),
            },
            done,
        };
        (Arc::new(slot), result)
    }

    pub(super) fn indices(&self) -> &[u64] {
        &self.indices
    }

    fn deliver(self: &Arc<Self>, shared: &Arc<Shared>, at: usize, arrived: Arrived) {
        self.places()[at] = Some(arrived);
        if self.missing.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.times.decoded.store(self.times.now(), Ordering::Relaxed);
            let arrived = std::mem::take(&mut *self.places());
            if let Some(arrived) = self.keep_one(shared, arrived) {
                // Nobody listens any more when the iteration was dropped.
                let _ = self.done.send(self.assemble(shared, arrived));
            }
        }
    }

    fn places(&self) -> std::sync::MutexGuard<'_, Vec<Option<Arrived>>> {
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What arrived, unless all of it is left out: then another record is read for the first place, because a batch less
    /// would let the other ranks wait for it.
    fn keep_one(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        mut arrived: Vec<Option<Arrived>>,
    ) -> Option<Vec<Option<Arrived>>> {
        let left_out = |place: &Option<Arrived>| {
            place.as_ref().is_none_or(|one| matches!(&one.sample, Err(error) if error.concerns_one_record()))
        };
        if shared.options.on_error != OnError::Skip || !shared.options.keep_batches || !arrived.iter().all(left_out) {
            return Some(arrived);
        }
        let Some(Arrived { index, sample: Err(error), permit }) = arrived.first_mut().and_then(Option::take) else {
            return Some(arrived);
        };
        *self.places() = arrived;
        self.missing.store(1, Ordering::Release);
        let (shared, slot) = (Arc::clone(shared), Arc::clone(self));
        let pending = Pending { shared, slot, at: 0, index, permit, tries: 0, delivered: false };
        replace::begin(pending, error);
        None
    }

    /// Notes a record that another takes the place of.
    fn report(&self, shared: &Shared, index: u64, error: &LoaderError) {
        let skipped = Skipped { index, uri: shared.source.name(index), reason: error.to_string() };
        self.replaced.lock().unwrap_or_else(PoisonError::into_inner).push(skipped);
    }

    fn assemble(&self, shared: &Shared, arrived: Vec<Option<Arrived>>) -> Result<Batch> {
        let mut permits: Vec<Permit> = Vec::with_capacity(arrived.len());
        let (mut samples, mut indices) = (Vec::with_capacity(arrived.len()), Vec::new());
        let mut skipped = std::mem::take(&mut *self.replaced.lock().unwrap_or_else(PoisonError::into_inner));
        let mut real = self.real;
        for (place, arrived) in arrived.into_iter().enumerate() {
            let Some(Arrived { index, sample, permit }) = arrived else { continue };
            match sample {
                Ok(sample) => {
                    samples.push(sample);
                    indices.push(index);
                    permits.extend(permit);
                }
                Err(error) if shared.options.on_error == OnError::Skip && error.concerns_one_record() => {
                    shared.count_bad(&error)?;
                    real -= u64::from((place as u64) < self.real);
                    let uri = shared.source.name(index);
                    skipped.push(Skipped { index, uri, reason: error.to_string() });
                }
                Err(error) => return Err(error),
            }
        }
        let data = self.collate(shared, samples, &indices, &mut permits)?;
        let times = Timeline {
            planned: self.times.planned,
            first_read: self.times.first_read.load(Ordering::Relaxed),
            last_read: self.times.last_read.load(Ordering::Relaxed),
            decoded: self.times.decoded.load(Ordering::Relaxed),
            assembled: self.times.now(),
        };
        Ok(Batch { step: self.step, indices, real, data, skipped, bytes: 0, permits, times })
    }

    fn collate(
        &self,
        shared: &Shared,
        samples: Vec<Sample>,
        indices: &[u64],
        permits: &mut Vec<Permit>,
    ) -> Result<BatchData> {
        if shared.options.collate == Collate::List {
            return Ok(BatchData::Samples(samples));
        }
        let stacked_bytes = samples.iter().map(Sample::data_bytes).sum();
        let stacked = batch::stack(&samples, |at| shared.source.name(indices[at]))?;
        let Some(data) = stacked else { return Ok(BatchData::Samples(samples)) };
        drop(samples);
        permits.truncate(1);
        if let Some(permit) = permits.first_mut() {
            permit.resize(stacked_bytes);
        }
        Ok(data)
    }
}

/// A sample on its way; if it is dropped on the way (a panic, a stopped runtime) its place gets an error, so that
/// no consumer waits for ever.
pub(super) struct Pending {
    shared: Arc<Shared>,
    slot: Arc<Slot>,
    at: usize,
    index: u64,
    permit: Option<Permit>,
    /// Records that were tried in vain to take its place.
    tries: u64,
    delivered: bool,
}

impl Pending {
    pub(super) fn new(shared: Arc<Shared>, slot: Arc<Slot>, at: usize, index: u64, permit: Permit) -> Self {
        Self { shared, slot, at, index, permit: Some(permit), tries: 0, delivered: false }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The index of the record.
    pub(super) fn index(&self) -> u64 {
        self.index
    }

    /// The record that stood here first, and how many were tried in its place.
    pub(super) fn origin(&self) -> (u64, u64) {
        (self.slot.indices[self.at], self.tries)
    }

    /// Lets another record take the place of one that is bad.
    pub(super) fn replace(&mut self, error: &LoaderError, index: u64) {
        self.slot.report(&self.shared, self.index, error);
        self.index = index;
        self.tries += 1;
    }

    /// Notes that the record was read.
    pub(super) fn read(&self) {
        let times = &self.slot.times;
        let now = times.now();
        times.first_read.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed).ok();
        times.last_read.fetch_max(now, Ordering::Relaxed);
    }

    /// Sets the permit to the bytes that the sample really holds.
    pub(super) fn holds(&mut self, bytes: u64) {
        if let Some(permit) = &mut self.permit {
            permit.resize(bytes);
        }
    }

    /// Puts the sample, or why there is none, into its batch.
    pub(super) fn fulfil(mut self, sample: Result<Sample>) {
        // In a batch that is to keep one sample every try after the first is a replacement.
        let replaces = self.shared.options.on_error == OnError::Replace || self.tries > 0;
        match sample {
            Err(error) if replaces && error.concerns_one_record() => replace::begin(self, error),
            sample => self.put(sample),
        }
    }

    /// As [`fulfil`](Self::fulfil), where nothing may take the record's place.
    pub(super) fn fail(mut self, error: LoaderError) {
        self.put(Err(error));
    }

    fn put(&mut self, sample: Result<Sample>) {
        self.delivered = true;
        let (index, permit) = (self.index, self.permit.take());
        self.slot.deliver(&self.shared, self.at, Arrived { index, sample, permit });
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.delivered {
            let uri = self.shared.source.name(self.index);
            self.put(Err(LoaderError::System(format!("{uri}: reading it was abandoned"))));
        }
    }
}

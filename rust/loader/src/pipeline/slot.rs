//! A batch while its samples arrive.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_channel::{Receiver, Sender, bounded};
use s3dlio_runtime::budget::Permit;

use super::Shared;
use crate::batch::{self, Batch, BatchData, Skipped};
use crate::decode::Sample;
use crate::error::{LoaderError, Result};
use crate::options::{Collate, OnError};

struct Arrived {
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
    done: Sender<Result<Batch>>,
}

impl Slot {
    /// The worker's `batch`-th batch, and where its result will come out.
    pub(super) fn new(shared: &Shared, batch: u64) -> (Arc<Self>, Receiver<Result<Batch>>) {
        let step = shared.plan.step_of(batch);
        let span = shared.plan.span(step);
        let indices: Vec<u64> = (0..span.real + span.fill)
            .map(|place| shared.sampler.index(shared.epoch, shared.plan.position(step, place)))
            .collect();
        let (done, result) = bounded(1);
        let slot = Self {
            step,
            real: span.real,
            arrived: Mutex::new(indices.iter().map(|_| None).collect()),
            missing: AtomicUsize::new(indices.len()),
            indices,
            done,
        };
        (Arc::new(slot), result)
    }

    pub(super) fn indices(&self) -> &[u64] {
        &self.indices
    }

    fn deliver(&self, shared: &Shared, at: usize, arrived: Arrived) {
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner)[at] = Some(arrived);
        if self.missing.fetch_sub(1, Ordering::AcqRel) == 1 {
            let arrived = std::mem::take(&mut *self.arrived.lock().unwrap_or_else(PoisonError::into_inner));
            let batch = self.assemble(shared, arrived.into_iter().flatten().collect());
            // Nobody listens any more when the iteration was dropped.
            let _ = self.done.send(batch);
        }
    }

    fn assemble(&self, shared: &Shared, arrived: Vec<Arrived>) -> Result<Batch> {
        let mut permits: Vec<Permit> = Vec::with_capacity(arrived.len());
        let (mut samples, mut indices, mut skipped) = (Vec::with_capacity(arrived.len()), Vec::new(), Vec::new());
        let mut real = self.real;
        for (place, Arrived { sample, permit }) in arrived.into_iter().enumerate() {
            let index = self.indices[place];
            match sample {
                Ok(sample) => {
                    samples.push(sample);
                    indices.push(index);
                    permits.extend(permit);
                }
                Err(error) if shared.options.on_error == OnError::Skip && error.concerns_one_record() => {
                    real -= u64::from((place as u64) < self.real);
                    let uri = shared.source.name(index);
                    skipped.push(Skipped { index, uri, reason: error.to_string() });
                }
                Err(error) => return Err(error),
            }
        }
        let data = self.collate(shared, samples, &indices, &mut permits)?;
        Ok(Batch { step: self.step, indices, real, data, skipped, bytes: 0, permits })
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
    delivered: bool,
}

impl Pending {
    pub(super) fn new(shared: Arc<Shared>, slot: Arc<Slot>, at: usize, index: u64, permit: Permit) -> Self {
        Self { shared, slot, at, index, permit: Some(permit), delivered: false }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The index of the record.
    pub(super) fn index(&self) -> u64 {
        self.index
    }

    /// Sets the permit to the bytes that the sample really holds.
    pub(super) fn holds(&mut self, bytes: u64) {
        if let Some(permit) = &mut self.permit {
            permit.resize(bytes);
        }
    }

    /// Puts the sample, or why there is none, into its batch.
    pub(super) fn fulfil(mut self, sample: Result<Sample>) {
        self.put(sample);
    }

    fn put(&mut self, sample: Result<Sample>) {
        self.delivered = true;
        let permit = self.permit.take();
        self.slot.deliver(&self.shared, self.at, Arrived { sample, permit });
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

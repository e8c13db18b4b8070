//! The loader and its iterators.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use numpy::PyArray1;
use pyo3::prelude::*;
use s3dlio_loader::batch::Batch;
use s3dlio_loader::batches::Sharding;
use s3dlio_loader::options::OnError;
use s3dlio_loader::pipeline::{self, Next};
use s3dlio_loader::sampler::Permutation;
use s3dlio_loader::state::LoaderState;
use s3dlio_loader::{LoaderOptions, Result};

use crate::arrays;
use crate::errors::Failure;
use crate::objects::Objects;
use crate::operation::SLICE;

/// Step, record indices, real samples, data, and (index, uri, reason) of what was left out.
type PyBatch<'py> =
    (u64, Bound<'py, PyArray1<u64>>, u64, Bound<'py, PyAny>, Vec<(u64, String, String)>);

fn checked<T>(result: Result<T>) -> PyResult<T> {
    Ok(result.map_err(Failure::from)?)
}

/// A data set with options: gives iterators over epochs, states and the order.
#[pyclass(frozen, module = "s3dlio._s3dlio")]
pub struct Loader(s3dlio_loader::Loader);

#[pymethods]
impl Loader {
    #[new]
    #[pyo3(signature = (objects, *, batch_size, drop_last, last, shuffle, seed, decoder, collate, on_error,
                        memory_budget, prefetch, num_workers, timeout_seconds, shard_rank, shard_world_size,
                        worker_id, num_workers_pytorch))]
    #[allow(clippy::too_many_arguments, reason = "one keyword argument for each option")]
    fn new(
        objects: &Bound<'_, Objects>,
        batch_size: u64,
        drop_last: bool,
        last: Option<&str>,
        shuffle: &str,
        seed: u64,
        decoder: &str,
        collate: &str,
        on_error: &str,
        memory_budget: Option<u64>,
        prefetch: usize,
        num_workers: usize,
        timeout_seconds: Option<f64>,
        shard_rank: u64,
        shard_world_size: u64,
        worker_id: u64,
        num_workers_pytorch: u64,
    ) -> PyResult<Self> {
        let defaults = LoaderOptions::default();
        let options = LoaderOptions {
            batch_size,
            drop_last,
            last: checked(last.map(str::parse).transpose())?,
            shuffle: checked(shuffle.parse())?,
            seed,
            decoder: checked(decoder.parse())?,
            collate: checked(collate.parse())?,
            on_error: checked(on_error.parse())?,
            memory_budget: memory_budget.unwrap_or(defaults.memory_budget),
            prefetch,
            reads: num_workers,
            timeout: timeout_seconds.map(Duration::from_secs_f64),
            sharding: Sharding {
                rank: shard_rank,
                world: shard_world_size,
                worker: worker_id,
                workers: num_workers_pytorch,
            },
        };
        Ok(Self(checked(s3dlio_loader::Loader::new(objects.get().source(), options))?))
    }

    /// Batches of this rank in an epoch, all its workers together.
    #[getter]
    fn steps(&self) -> u64 {
        self.0.plan().steps()
    }

    /// Batches of this worker in an epoch.
    #[getter]
    fn batches(&self) -> u64 {
        self.0.plan().batches()
    }

    /// Samples of this rank in an epoch, all its workers together, repeated ones included.
    #[getter]
    fn samples(&self) -> u64 {
        let plan = self.0.plan();
        // Only the last batch can be shorter than the others.
        let full = plan.steps().saturating_sub(1);
        full * plan.batch_size() + plan.span(full).len()
    }

    /// Whether bad samples are left out.
    #[getter]
    fn skips_errors(&self) -> bool {
        self.0.options().on_error == OnError::Skip
    }

    /// Begins an epoch at a step of the rank.
    fn iterate(&self, epoch: u64, step: u64) -> PyResult<BatchIter> {
        Ok(BatchIter(Mutex::new(checked(self.0.iterate(epoch, step))?)))
    }

    /// The state after `step` batches of an epoch and `sample` samples of the next, as JSON.
    fn state(&self, epoch: u64, step: u64, sample: u64) -> String {
        self.0.state(epoch, step, sample).to_json()
    }

    /// Where a saved state goes on: (epoch, step, sample).
    fn resume(&self, state: &str) -> PyResult<(u64, u64, u64)> {
        let cursor = checked(self.0.resume(state))?;
        Ok((cursor.epoch, cursor.step, cursor.sample))
    }

    /// The record indices of a whole epoch in order, before sharding.
    fn order<'py>(&self, py: Python<'py>, epoch: u64) -> Bound<'py, PyArray1<u64>> {
        let sampler = self.0.sampler();
        let order = py.detach(|| (0..sampler.len(epoch)).map(|position| sampler.index(epoch, position)).collect());
        PyArray1::from_vec(py, order)
    }
}

/// The batches of one epoch, read ahead by the threads of the library.
#[pyclass(frozen, module = "s3dlio._s3dlio")]
pub struct BatchIter(Mutex<pipeline::BatchIter>);

impl BatchIter {
    fn poll(&self, slice: Duration) -> Result<Next> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).next(slice)
    }
}

#[pymethods]
impl BatchIter {
    /// Waits for the next batch; `None` at the end of the epoch.
    fn next<'py>(&self, py: Python<'py>) -> PyResult<Option<PyBatch<'py>>> {
        loop {
            match checked(py.detach(|| self.poll(SLICE)))? {
                Next::Batch(batch) => return convert(py, *batch).map(Some),
                Next::Done => return Ok(None),
                Next::Pending => py.check_signals()?,
            }
        }
    }

    /// Waits for the next batch and takes those that stand ready behind it, up to `limit`; empty at the end.
    fn next_many<'py>(&self, py: Python<'py>, limit: usize) -> PyResult<Vec<PyBatch<'py>>> {
        let Some(first) = self.next(py)? else { return Ok(Vec::new()) };
        let mut batches = vec![first];
        while batches.len() < limit {
            match self.poll(Duration::ZERO) {
                Ok(Next::Batch(batch)) => batches.push(convert(py, *batch)?),
                // An error comes again at the next call, when the batches before it have been used.
                _ => break,
            }
        }
        Ok(batches)
    }

    /// Figures of this iteration.
    fn stats(&self) -> BTreeMap<&'static str, u64> {
        let stats = self.0.lock().unwrap_or_else(PoisonError::into_inner).stats();
        BTreeMap::from([
            ("batches", stats.batches),
            ("samples", stats.samples),
            ("skipped", stats.skipped),
            ("reads", stats.reads),
            ("bytes", stats.bytes),
            ("wait_nanos", stats.wait_nanos),
            ("budget_used", stats.budget_used),
            ("budget_peak", stats.budget_peak),
            ("budget_limit", stats.budget_limit),
        ])
    }
}

fn convert(py: Python<'_>, batch: Batch) -> PyResult<PyBatch<'_>> {
    let skipped = batch.skipped.into_iter().map(|s| (s.index, s.uri, s.reason)).collect();
    let indices = PyArray1::from_vec(py, batch.indices);
    Ok((batch.step, indices, batch.real, arrays::from_batch(py, batch.data)?, skipped))
}

/// The permutation of 0..n that the global shuffle uses, as a uint64 array.
#[pyfunction]
fn permutation(py: Python<'_>, n: u64, seed: u64, epoch: u64) -> Bound<'_, PyArray1<u64>> {
    let order = py.detach(|| Permutation::new(n, seed, epoch).iter().collect());
    PyArray1::from_vec(py, order)
}

/// A saved state in one line of English.
#[pyfunction]
fn describe_state(state: &str) -> PyResult<String> {
    Ok(checked(LoaderState::from_json(state))?.describe())
}

/// Adds the functions to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(permutation, module)?)?;
    module.add_function(wrap_pyfunction!(describe_state, module)?)
}

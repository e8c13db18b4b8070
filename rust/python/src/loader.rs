//! The loader and its iterators.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use numpy::PyArray1;
use pyo3::prelude::*;
use s3dlio_loader::batch::Batch;
use s3dlio_loader::batches::Sharding;
use s3dlio_loader::options::OnError;
use s3dlio_loader::pipeline::{self, Next};
use s3dlio_loader::sampler::Permutation;
use s3dlio_loader::state::LoaderState;
use s3dlio_loader::{LoaderError, LoaderOptions, Result};
use s3dlio_runtime::fork;

use crate::arrays;
use crate::errors::checked;
use crate::logging;
use crate::objects::{self, Objects};
use crate::operation::{Operation, SLICE};

/// Step, record indices, real samples, data, and (index, uri, reason) of what was left out.
type PyBatch<'py> = (u64, Bound<'py, PyArray1<u64>>, u64, Bound<'py, PyAny>, Vec<(u64, String, String)>);

/// What one call may take over beyond the first batch. Batches that were taken no longer count against the memory
/// budget, so this must stay small beside it; it is only to make one crossing serve many tiny samples.
const TAKE_BYTES: u64 = 1 << 20;

/// Longest wait for a batch: a day, beyond which only typing errors lie.
const MAX_TIMEOUT_SECONDS: f64 = 86_400.0;

fn timeout(seconds: f64) -> Result<Duration> {
    if seconds > 0.0 && seconds <= MAX_TIMEOUT_SECONDS {
        return Ok(Duration::from_secs_f64(seconds));
    }
    Err(LoaderError::config("timeout_seconds", seconds.to_string(), "seconds, above 0 and up to 86400"))
}

/// A data set with options: gives iterators over epochs, states and the order.
#[pyclass(frozen, module = "s3dlio._s3dlio")]
pub struct Loader(s3dlio_loader::Loader);

#[pymethods]
impl Loader {
    #[new]
    #[pyo3(signature = (objects, *, batch_size, drop_last, last, shuffle, seed, decoder, collate, on_error,
                        memory_budget, prefetch, num_workers, timeout_seconds, shard_rank, shard_world_size,
                        worker_id, num_workers_pytorch, shuffle_window = 0, max_errors = None, keep_batches = true))]
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
        shuffle_window: u64,
        max_errors: Option<u64>,
        keep_batches: bool,
    ) -> PyResult<Self> {
        let defaults = LoaderOptions::default();
        let options = LoaderOptions {
            batch_size,
            drop_last,
            last: checked(last.map(str::parse).transpose())?,
            shuffle: checked(shuffle.parse())?,
            seed,
            shuffle_window,
            max_errors,
            keep_batches,
            decoder: checked(decoder.parse())?,
            collate: checked(collate.parse())?,
            on_error: checked(on_error.parse())?,
            memory_budget: memory_budget.unwrap_or(defaults.memory_budget),
            prefetch,
            reads: num_workers,
            timeout: checked(timeout_seconds.map(timeout).transpose())?,
            sharding: Sharding {
                rank: shard_rank,
                world: shard_world_size,
                worker: worker_id,
                workers: num_workers_pytorch,
            },
        };
        Ok(Self(checked(s3dlio_loader::Loader::new(objects.get().source(), options))?))
    }

    /// Samples in a batch.
    #[getter]
    fn batch_size(&self) -> u64 {
        self.0.plan().batch_size()
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
        self.0.options().on_error != OnError::Raise
    }

    /// Whether other samples take the place of bad ones.
    #[getter]
    fn replaces_errors(&self) -> bool {
        self.0.options().on_error == OnError::Replace
    }

    /// The record that takes the place of one whose sample was refused, when `tries` others were too, and an operation that
    /// gives its sample in a list; `None` when enough were tried.
    fn replacement(&self, index: u64, tries: u64) -> PyResult<Option<(u64, Operation)>> {
        let found = checked(self.0.replacement(index, tries))?;
        Ok(found.map(|(other, reading)| (other, objects::samples(reading))))
    }

    /// Begins an epoch at a step of the rank.
    fn iterate(&self, epoch: u64, step: u64) -> PyResult<BatchIter> {
        let running = Mutex::new(Some(checked(self.0.iterate(epoch, step))?));
        Ok(BatchIter { running, generation: fork::generation() })
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
        let order = py.detach(|| {
            let order = sampler.order(epoch);
            (0..sampler.len(epoch)).map(|position| order.index(position)).collect()
        });
        PyArray1::from_vec(py, order)
    }
}

/// The batches of one epoch, read ahead by the threads of the library.
#[pyclass(frozen, module = "s3dlio._s3dlio")]
pub struct BatchIter {
    running: Mutex<Option<pipeline::BatchIter>>,
    generation: u64,
}

impl BatchIter {
    fn running(&self) -> Result<MutexGuard<'_, Option<pipeline::BatchIter>>> {
        // Before the lock: another thread of the parent may have held it at the moment of the fork, for ever.
        if self.generation != fork::generation() {
            return Err(LoaderError::Forked(
                "this iterator was begun in the parent process: begin a new iteration in the forked child".into(),
            ));
        }
        Ok(self.running.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn wait(&self, py: Python<'_>) -> PyResult<Option<Batch>> {
        loop {
            // Before the wait, because an interruption here must not cost a batch.
            logging::deliver(py)?;
            match checked(py.detach(|| self.poll(SLICE)))? {
                Next::Batch(batch) => return Ok(Some(*batch)),
                Next::Done => return Ok(None),
                Next::Pending => py.check_signals()?,
            }
        }
    }

    fn poll(&self, slice: Duration) -> Result<Next> {
        self.running()?.as_mut().map_or(Ok(Next::Done), |running| running.next(slice))
    }
}

#[pymethods]
impl BatchIter {
    /// Waits for the next batch; `None` at the end of the epoch.
    fn next<'py>(&self, py: Python<'py>) -> PyResult<Option<PyBatch<'py>>> {
        self.wait(py)?.map(|batch| convert(py, batch)).transpose()
    }

    /// Waits for the next batch and takes those that stand ready behind it, up to `limit` batches and about 1 MiB;
    /// empty at the end.
    fn next_many<'py>(&self, py: Python<'py>, limit: usize) -> PyResult<Vec<PyBatch<'py>>> {
        let mut taken = 0;
        let mut batches = Vec::new();
        let mut ready = self.wait(py)?;
        while let Some(batch) = ready {
            taken += batch.bytes;
            batches.push(convert(py, batch)?);
            if batches.len() >= limit || taken >= TAKE_BYTES {
                break;
            }
            ready = match py.detach(|| self.poll(Duration::ZERO)) {
                Ok(Next::Batch(batch)) => Some(*batch),
                // An error comes again at the next call, when the batches before it have been used.
                _ => None,
            };
        }
        Ok(batches)
    }

    /// Counts a sample that its user refuses; the bound of bad records where there are more now.
    fn refuse(&self, py: Python<'_>) -> PyResult<Option<u64>> {
        checked(py.detach(|| self.running().map(|running| running.as_ref().and_then(pipeline::BatchIter::refuse))))
    }

    /// Ends the iteration: reading stops, and a thread that waits for a batch gets none.
    fn stop(&self, py: Python<'_>) {
        // In a forked child there is nothing to stop.
        py.detach(|| self.running().map(|mut running| running.take())).ok();
    }

    /// Figures of this iteration; zeros in a forked child and after `stop`.
    fn stats(&self, py: Python<'_>) -> BTreeMap<&'static str, u64> {
        let figures = || self.running().ok()?.as_ref().map(pipeline::BatchIter::stats);
        let stats = py.detach(figures).unwrap_or_default();
        BTreeMap::from([
            ("batches", stats.batches),
            ("samples", stats.samples),
            ("skipped", stats.skipped),
            ("reads", stats.reads),
            ("bytes", stats.bytes),
            ("wait_nanos", stats.wait_nanos),
            ("wait_budget_nanos", stats.waits.budget),
            ("wait_request_nanos", stats.waits.request),
            ("wait_bytes_nanos", stats.waits.bytes),
            ("wait_decode_nanos", stats.waits.decode),
            ("wait_assemble_nanos", stats.waits.assemble),
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
    module.add_class::<Loader>()?;
    module.add_class::<BatchIter>()?;
    module.add_function(wrap_pyfunction!(permutation, module)?)?;
    module.add_function(wrap_pyfunction!(describe_state, module)?)
}

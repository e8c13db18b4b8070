//! Readers of record files in order.

use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyList;
use s3dlio_loader::LoaderError;
use s3dlio_loader::batches::Sharding;
use s3dlio_loader::shards::{self, DiskyShards, NextRecords, RecordShards, ShardOptions, TfRecordShards};

use crate::bytes_view::BytesView;
use crate::errors::checked;
use crate::logging;
use crate::operation::SLICE;
use crate::verbs::parse;

/// Record files with options: gives iterators over epochs, and states.
#[pyclass(frozen, module = "s3dlio._s3dlio")]
pub struct ShardLoader(shards::ShardLoader);

#[pymethods]
impl ShardLoader {
    #[new]
    #[pyo3(signature = (uris, format, *, batch_size, drop_last, buffer, seed, verify, shard_rank, shard_world_size,
                        worker_id, num_workers_pytorch))]
    #[allow(clippy::too_many_arguments, reason = "one keyword argument for each option")]
    fn new(
        uris: Vec<String>,
        format: &str,
        batch_size: u64,
        drop_last: bool,
        buffer: u64,
        seed: u64,
        verify: bool,
        shard_rank: u64,
        shard_world_size: u64,
        worker_id: u64,
        num_workers_pytorch: u64,
    ) -> PyResult<Self> {
        let uris = uris.iter().map(|uri| parse(uri)).collect::<PyResult<Vec<_>>>()?;
        let shards: Arc<dyn RecordShards> = match format {
            "tfrecord" => Arc::new(TfRecordShards::new(uris, verify)),
            "disky" => Arc::new(DiskyShards::new(uris)),
            _ => {
                return checked(Err(LoaderError::config("format", format!("{format:?}"), "\"tfrecord\" or \"disky\"")));
            }
        };
        let sharding =
            Sharding { rank: shard_rank, world: shard_world_size, worker: worker_id, workers: num_workers_pytorch };
        let options = ShardOptions { batch_size, drop_last, buffer, seed, sharding };
        Ok(Self(checked(shards::ShardLoader::new(shards, options))?))
    }

    /// The state at the beginning of an epoch, as JSON.
    fn begin(&self, epoch: u64) -> String {
        self.0.begin(epoch).to_json()
    }

    /// Goes on from a state.
    fn iterate(&self, state: &str) -> PyResult<ShardIter> {
        Ok(ShardIter(Mutex::new(self.0.iterate(checked(self.0.resume(state))?))))
    }
}

/// The batches of one epoch of a reader.
#[pyclass(frozen, module = "s3dlio._s3dlio")]
pub struct ShardIter(Mutex<shards::ShardIter>);

#[pymethods]
impl ShardIter {
    /// Waits for the records of the next batch; `None` at the end of the epoch.
    fn next<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyList>>> {
        loop {
            logging::deliver(py)?;
            let next = py.detach(|| self.0.lock().unwrap_or_else(PoisonError::into_inner).next(SLICE));
            match checked(next)? {
                NextRecords::Batch(records) => {
                    let views = records.into_iter().map(|record| Bound::new(py, BytesView(record)));
                    return Ok(Some(PyList::new(py, views.collect::<PyResult<Vec<_>>>()?)?));
                }
                NextRecords::Done => return Ok(None),
                NextRecords::Pending => py.check_signals()?,
            }
        }
    }

    /// Where the next batch begins, as JSON.
    fn state(&self, py: Python<'_>) -> String {
        py.detach(|| self.0.lock().unwrap_or_else(PoisonError::into_inner).state().to_json())
    }
}

/// Adds the classes to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<ShardLoader>()?;
    module.add_class::<ShardIter>()
}

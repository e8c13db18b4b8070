//! The process: its share of the machine and its counters.

use std::collections::BTreeMap;

use pyo3::prelude::*;
use s3dlio_runtime::{settings, stats};

/// Says that `workers` processes share this machine: threads and memory budget are divided by it.
#[pyfunction]
fn set_worker_share(workers: usize) {
    settings::set_worker_share(workers);
}

/// Counters of this process: requests and bytes by verb.
#[pyfunction]
fn counters() -> BTreeMap<&'static str, u64> {
    stats::COUNTERS.iter().map(|&(counter, name)| (name, stats::value(counter))).collect()
}

/// Adds the functions to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(set_worker_share, module)?)?;
    module.add_function(wrap_pyfunction!(counters, module)?)
}

//! The process: its share of the machine and its statistics.

use std::collections::BTreeMap;

use pyo3::prelude::*;
use pyo3::types::PyDict;
use s3dlio_runtime::stats::{Figures, Latency};
use s3dlio_runtime::{executor, settings, stats};
use s3dlio_store::StoreError;

use crate::errors::Failure;

/// Says that `workers` processes share what this rank has of the machine: threads, reads in flight, memory budget.
#[pyfunction]
fn set_worker_share(workers: usize) {
    settings::set_worker_share(workers);
}

/// Network reads that a loader of this process has in flight unless it is told a number.
#[pyfunction]
fn network_reads() -> usize {
    settings::network_reads()
}

/// Has the network runtime start with this many threads; returns the number.
#[pyfunction]
fn configure_threads(threads: usize) -> PyResult<usize> {
    let configured = executor::configure(threads).map_err(|running| StoreError::Config {
        option: "n".into(),
        found: threads.to_string(),
        expected: format!(
            "{running}: the network threads of this process are running, configure them before the first operation"
        ),
    });
    Ok(configured.map_err(Failure::from)?)
}

/// Counters of this process: requests and bytes by verb, on all stores together.
#[pyfunction]
fn counters() -> BTreeMap<&'static str, u64> {
    stats::COUNTERS.iter().map(|&(counter, name)| (name, stats::value(counter))).collect()
}

/// Figures of this process by store and verb: (store, verb, figures) each.
#[pyfunction]
fn figures(py: Python<'_>) -> PyResult<Vec<(&'static str, &'static str, Bound<'_, PyDict>)>> {
    let convert = |figures: Figures| Ok((figures.store, figures.verb.name(), figures_dict(py, &figures)?));
    stats::snapshot().into_iter().map(convert).collect()
}

fn figures_dict<'py>(py: Python<'py>, figures: &Figures) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("operations", figures.latency.count)?;
    dict.set_item("errors", figures.errors)?;
    dict.set_item("bytes", figures.bytes)?;
    dict.set_item("latency", latency_dict(py, &figures.latency)?)?;
    Ok(dict)
}

fn latency_dict<'py>(py: Python<'py>, latency: &Latency) -> PyResult<Bound<'py, PyDict>> {
    let seconds = |nanos: u64| nanos as f64 / 1e9;
    let dict = PyDict::new(py);
    dict.set_item("count", latency.count)?;
    dict.set_item("sum", latency.seconds())?;
    dict.set_item("min", seconds(latency.shortest))?;
    dict.set_item("max", seconds(latency.longest))?;
    dict.set_item("p50", latency.quantile(0.5))?;
    dict.set_item("p90", latency.quantile(0.9))?;
    dict.set_item("p99", latency.quantile(0.99))?;
    let buckets: Vec<(f64, u64)> = latency.buckets.iter().map(|&(edge, count)| (seconds(edge), count)).collect();
    dict.set_item("buckets", buckets)?;
    Ok(dict)
}

/// All statistics as a Prometheus page.
#[pyfunction]
fn stats_text() -> String {
    stats::text()
}

/// Adds the functions to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(set_worker_share, module)?)?;
    module.add_function(wrap_pyfunction!(network_reads, module)?)?;
    module.add_function(wrap_pyfunction!(configure_threads, module)?)?;
    module.add_function(wrap_pyfunction!(counters, module)?)?;
    module.add_function(wrap_pyfunction!(figures, module)?)?;
    module.add_function(wrap_pyfunction!(stats_text, module)?)
}

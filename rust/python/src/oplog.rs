//! The operation log.

use pyo3::prelude::*;
use s3dlio_store::oplog::{self, summary};

use crate::errors::{Failure, internal};

/// Begins a log at a path or `file://` URI.
#[pyfunction]
fn init_op_log(py: Python<'_>, place: &str) -> PyResult<()> {
    Ok(py.detach(|| oplog::init(place)).map_err(Failure::from)?)
}

/// Whether operations are logged.
#[pyfunction]
fn is_op_log_active() -> bool {
    oplog::is_active()
}

/// Ends the log of this process; its rows are in the file then.
#[pyfunction]
fn finalize_op_log(py: Python<'_>) -> PyResult<()> {
    Ok(py.detach(oplog::finalize).map_err(Failure::from)?)
}

/// The summary of some logs together, as JSON.
#[pyfunction]
fn summarise_op_logs(py: Python<'_>, places: Vec<String>) -> PyResult<String> {
    let places: Vec<&str> = places.iter().map(String::as_str).collect();
    let summary = py.detach(|| summary::summarise_all(&places)).map_err(Failure::from)?;
    serde_json::to_string(&summary).map_err(|error| internal(&format!("the summary is no JSON: {error}")))
}

/// Adds the functions to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(init_op_log, module)?)?;
    module.add_function(wrap_pyfunction!(is_op_log_active, module)?)?;
    module.add_function(wrap_pyfunction!(finalize_op_log, module)?)?;
    module.add_function(wrap_pyfunction!(summarise_op_logs, module)?)
}

//! `check` as a list of steps, and the names of this library's environment variables.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use s3dlio_store::check::Report;
use s3dlio_store::settings;

use crate::operation::Operation;

/// Looks at everything that using a URI depends on: a list of dicts, one for each step.
#[pyfunction]
fn check(uri: &str, write: bool) -> Operation {
    Operation::new(s3dlio_store::check::check(uri, write), steps)
}

fn steps(py: Python<'_>, report: Report) -> PyResult<Py<PyAny>> {
    let all = report.steps.into_iter().map(|step| {
        let dict = PyDict::new(py);
        dict.set_item("name", step.name)?;
        dict.set_item("ok", step.ok)?;
        dict.set_item("detail", step.detail)?;
        dict.set_item("advice", step.advice)?;
        dict.set_item("seconds", step.seconds)?;
        Ok(dict)
    });
    Ok(PyList::new(py, all.collect::<PyResult<Vec<_>>>()?)?.into_any().unbind())
}

/// The names of all `S3DLIO_*` variables that are read, and those of the environment that are not.
#[pyfunction]
fn variables() -> (Vec<&'static str>, Vec<String>) {
    (settings::VARIABLES.to_vec(), settings::unknown_variables())
}

/// Adds the functions to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(check, module)?)?;
    module.add_function(wrap_pyfunction!(variables, module)?)
}

//! The command line, run by the interpreter's main thread.

use std::ffi::OsString;

use pyo3::prelude::*;

/// Runs the command line and returns its exit code; Ctrl-C ends it.
#[pyfunction]
fn run_cli(py: Python<'_>, arguments: Vec<OsString>) -> i32 {
    py.detach(|| s3dlio_cli::main(arguments, &mut || Python::attach(|py| py.check_signals().is_err())))
}

/// Adds the function to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(run_cli, module)?)
}

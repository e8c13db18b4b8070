//! Log events of the core, handed to Python by the threads that wait for it.

use std::time::{Duration, UNIX_EPOCH};

use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use s3dlio_runtime::logging;
use tracing::level_filters::LevelFilter;

/// What Python calls `levelno`, the module, the text, the thread's name, and seconds since 1970.
type PyRecord = (String, String, String, String, f64);

static SINK: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// Keeps events of a level and of more severe ones.
#[pyfunction]
fn set_log_level(level: &str) -> PyResult<()> {
    let level: LevelFilter = level.parse().map_err(|_| PyValueError::new_err(format!("unknown level {level:?}")))?;
    logging::set_level(level);
    Ok(())
}

/// Sets what is called, without arguments, at the end of a wait when events are there; only the first call counts.
#[pyfunction]
fn set_log_sink(py: Python<'_>, sink: Py<PyAny>) {
    // A second import of the package in one process would bring the same function.
    let _ = SINK.set(py, sink);
}

/// Takes the events that wait: (level, module, text, thread, seconds since 1970) each, and how many were dropped.
#[pyfunction]
fn take_log_events() -> (Vec<PyRecord>, u64) {
    let drained = logging::drain();
    let convert = |record: logging::Record| {
        let time = record.time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        (record.level.to_string(), record.target, record.message, record.thread, time)
    };
    (drained.records.into_iter().map(convert).collect(), drained.dropped)
}

unsafe extern "C-unwind" {
    fn PyObject_CallNoArgs(callable: *mut ffi::PyObject) -> *mut ffi::PyObject;
}

/// Stops a thread that Python ends while it is in the sink: a daemon thread at the end of the interpreter.
///
/// Before 3.14 Python does that by unwinding its stack, and an unwinding that reached the frames of Rust below would
/// abort the process. A thread that sleeps instead ends with the process, which is what 3.14 does with all of them.
struct Hang;

impl Drop for Hang {
    fn drop(&mut self) {
        loop {
            std::thread::sleep(Duration::from_secs(3600));
        }
    }
}

/// Hands the events that wait to Python's `logging`; one atomic load when there are none.
///
/// # Errors
/// What a handler or a signal raises meanwhile.
pub fn deliver(py: Python<'_>) -> PyResult<()> {
    let Some(sink) = SINK.get(py).filter(|_| logging::pending()) else { return Ok(()) };
    let guard = Hang;
    // SAFETY: the thread is attached, and the sink is a live object. The function is declared so that it may unwind.
    let answer = unsafe { PyObject_CallNoArgs(sink.as_ptr()) };
    std::mem::forget(guard);
    // SAFETY: the call gave a new reference, or null with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(py, answer) }.map(drop)
}

/// Adds the functions to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(set_log_level, module)?)?;
    module.add_function(wrap_pyfunction!(set_log_sink, module)?)?;
    module.add_function(wrap_pyfunction!(take_log_events, module)?)
}

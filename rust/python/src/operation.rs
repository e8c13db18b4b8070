//! One storage operation, to be waited for or awaited.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pyo3::prelude::*;
use s3dlio_runtime::executor::{self, BoxFuture, StartError};
use s3dlio_runtime::lane::Lane;
use s3dlio_store::progress;
use s3dlio_store::work::Step;
use s3dlio_store::{StoreError, Work};

use crate::buffer;
use crate::errors::{Failure, internal};
use crate::logging;

/// How long a wait may go on before signals are looked at: Ctrl-C then acts within a tenth of a second, and the
/// look itself costs nothing.
pub const SLICE: Duration = Duration::from_millis(100);

/// Makes the Python result; runs on a thread that is attached to the interpreter.
pub type Convert = Box<dyn FnOnce(Python<'_>) -> PyResult<Py<PyAny>> + Send>;

/// What an operation ends with.
pub type Outcome = Result<Convert, Failure>;

/// A storage operation that has not started; runs once.
#[pyclass(frozen, module = "s3dlio._s3dlio")]
pub struct Operation(Mutex<Option<Work<Outcome>>>);

impl Operation {
    /// An operation whose result `convert` turns into a Python object.
    pub fn new<T: Send + 'static>(
        work: Work<T>,
        convert: impl FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
    ) -> Self {
        Self::fallible(work.map(Ok), convert)
    }

    /// The same for work whose result can still be an error of another kind than the store's.
    pub fn fallible<T: Send + 'static>(
        work: Work<Result<T, Failure>>,
        convert: impl FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
    ) -> Self {
        let work =
            work.map(move |value| value.map(|value| Box::new(move |py: Python<'_>| convert(py, value)) as Convert));
        Self(Mutex::new(Some(work)))
    }

    /// The same, where that error is of a crate and becomes a [`Failure`].
    pub fn ending<T: Send + 'static, E: Into<Failure> + Send + 'static>(
        work: Work<Result<T, E>>,
        convert: impl FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
    ) -> Self {
        Self::fallible(work.map(|result| result.map_err(Into::into)), convert)
    }

    fn take(&self) -> PyResult<Work<Outcome>> {
        let work = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        work.ok_or_else(|| internal("an operation runs only once"))
    }

    /// The operation as a future for the network runtime.
    pub fn into_future(slf: &Bound<'_, Self>) -> PyResult<BoxFuture<Outcome>> {
        let future = slf.get().take()?.into_future();
        Ok(Box::pin(async move { future.await.unwrap_or_else(|error| Err(error.into())) }))
    }
}

#[pymethods]
impl Operation {
    /// Runs the operation to its end, with the interpreter released; Ctrl-C, and an error of `meanwhile`, break it off.
    #[pyo3(signature = (meanwhile = None))]
    fn wait(&self, py: Python<'_>, meanwhile: Option<&Bound<'_, PyAny>>) -> PyResult<Py<PyAny>> {
        let tell = |_: Python<'_>| meanwhile.map_or(Ok(()), |meanwhile| meanwhile.call0().map(drop));
        wait_and(py, self.take()?, tell)?.map_err(Failure::from)??(py)
    }
}

/// An operation whose work may not even begin, and can end in an error of its own crate.
pub fn operation<T: Send + 'static, E: Into<Failure> + Send + 'static>(
    work: Result<Work<Result<T, E>>, impl Into<Failure>>,
    convert: impl FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
) -> PyResult<Operation> {
    Ok(Operation::ending(work.map_err(Into::into)?, convert))
}

/// How far operations have come.
#[pyclass(frozen, module = "s3dlio._s3dlio")]
pub struct Progress(pub Arc<progress::Progress>);

#[pymethods]
impl Progress {
    #[new]
    fn new() -> Self {
        Self(Arc::default())
    }

    /// Bytes that are done.
    #[getter]
    fn bytes(&self) -> u64 {
        self.0.bytes()
    }
}

/// Runs work to its end, with the interpreter released; Ctrl-C breaks it off.
pub fn wait<T: Send>(py: Python<'_>, work: Work<T>) -> PyResult<Result<T, StoreError>> {
    wait_and(py, work, |_| Ok(()))
}

fn wait_and<T: Send>(
    py: Python<'_>,
    work: Work<T>,
    meanwhile: impl FnMut(Python<'_>) -> PyResult<()>,
) -> PyResult<Result<T, StoreError>> {
    let outcome = match work {
        Work::Here(job) => match py.detach(job) {
            Ok(Step::Done(outcome)) => Ok(outcome),
            Ok(Step::Later(rest)) => drive(py, rest, meanwhile)?,
            Err(error) => Err(error),
        },
        Work::Request(future) => {
            let mut lane = Lane::take().map_err(|error| Failure::from(StoreError::from(error)))?;
            drive_on(py, future, meanwhile, |future| lane.drive(future, SLICE))?
        }
        Work::Network(future) => drive(py, future, meanwhile)?,
    };
    // The work has let go of what its caller lent; give it back before the caller reuses it.
    buffer::release_returned(py);
    logging::deliver(py)?;
    Ok(outcome)
}

/// Drives a future to its end; between two slices signals are looked at and `meanwhile` runs, and an error of either
/// breaks the work off.
pub fn drive<T: Send>(
    py: Python<'_>,
    future: BoxFuture<T>,
    meanwhile: impl FnMut(Python<'_>) -> PyResult<()>,
) -> PyResult<T> {
    drive_on(py, future, meanwhile, |future| executor::drive(future, SLICE))
}

fn drive_on<T: Send>(
    py: Python<'_>,
    mut future: BoxFuture<T>,
    mut meanwhile: impl FnMut(Python<'_>) -> PyResult<()>,
    mut drive: impl FnMut(&mut BoxFuture<T>) -> Result<Option<T>, StartError> + Send,
) -> PyResult<T> {
    loop {
        let slice = py.detach(|| drive(&mut future));
        match slice.map_err(|error| Failure::from(StoreError::from(error)))? {
            Some(result) => return Ok(result),
            None => {
                py.check_signals()?;
                meanwhile(py)?;
            }
        }
    }
}

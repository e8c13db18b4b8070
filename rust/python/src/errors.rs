//! From Rust errors to the exception classes of `s3dlio.errors`.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use s3dlio_formats::error::FormatError;
use s3dlio_loader::LoaderError;
use s3dlio_store::StoreError;

/// An error of any crate, on its way to Python.
#[derive(Debug)]
pub enum Failure {
    /// Of the storage verbs.
    Store(StoreError),
    /// Of the loader.
    Loader(LoaderError),
    /// Of a file's content; the URI it came from.
    Format(FormatError, String),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<LoaderError> for Failure {
    fn from(error: LoaderError) -> Self {
        match error {
            LoaderError::Store(error) => Self::Store(error),
            error => Self::Loader(error),
        }
    }
}

impl From<Failure> for PyErr {
    fn from(failure: Failure) -> Self {
        Python::attach(|py| build(py, &failure).unwrap_or_else(|broken| broken))
    }
}

fn build(py: Python<'_>, failure: &Failure) -> PyResult<PyErr> {
    let (class, message, uri, record) = describe(failure);
    let fields = PyDict::new(py);
    fields.set_item("uri", uri)?;
    fields.set_item("record", record)?;
    let class = py.import("s3dlio.errors")?.getattr(class)?;
    Ok(PyErr::from_value(class.call((message,), Some(&fields))?))
}

/// Class name, message, URI and record of a failure.
fn describe(failure: &Failure) -> (&'static str, String, Option<String>, Option<u64>) {
    match failure {
        Failure::Store(error) => {
            let uri = Some(error.uri().to_owned()).filter(|uri| !uri.is_empty());
            (store_class(error), error.to_string(), uri, None)
        }
        Failure::Loader(error) => loader_class(error),
        Failure::Format(error, uri) => {
            let class = format_class(error.is_unsupported());
            (class, format!("{uri}: {error}"), Some(uri.clone()), None)
        }
    }
}

fn format_class(unsupported: bool) -> &'static str {
    if unsupported { "UnsupportedError" } else { "CorruptDataError" }
}

fn store_class(error: &StoreError) -> &'static str {
    match error {
        StoreError::InvalidUri { .. } => "InvalidUriError",
        StoreError::Config { .. } => "ConfigError",
        StoreError::NotFound { .. } => "NotFoundError",
        StoreError::AlreadyExists { .. } => "AlreadyExistsError",
        StoreError::Precondition { .. } => "PreconditionError",
        StoreError::PermissionDenied { .. } => "PermissionDeniedError",
        StoreError::Timeout { .. } => "StoreTimeoutError",
        StoreError::Unsupported { .. } => "UnsupportedError",
        StoreError::Length { .. } | StoreError::Corrupt { .. } => "CorruptDataError",
        StoreError::Forked { .. } => "ForkedProcessError",
        StoreError::Store { .. } => "StoreError",
    }
}

fn loader_class(error: &LoaderError) -> (&'static str, String, Option<String>, Option<u64>) {
    let message = error.to_string();
    match error {
        LoaderError::Store(error) => (store_class(error), message, Some(error.uri().to_owned()), None),
        LoaderError::Config { .. } => ("ConfigError", message, None, None),
        LoaderError::StateMismatch { .. } | LoaderError::StateInvalid(_) => ("StateMismatchError", message, None, None),
        LoaderError::Decode { uri, index, unsupported, .. } => {
            (format_class(*unsupported), message, Some(uri.clone()), Some(*index))
        }
        LoaderError::Shape { uri, .. } => ("CorruptDataError", message, Some(uri.clone()), None),
        LoaderError::Timeout { uri, .. } => ("StoreTimeoutError", message, Some(uri.clone()), None),
        LoaderError::Forked(_) => ("ForkedProcessError", message, None, None),
        LoaderError::System(_) => ("S3dlioError", message, None, None),
    }
}

/// A state that only a bug in this package can reach.
pub fn internal(message: &str) -> PyErr {
    PyRuntimeError::new_err(format!("s3dlio: {message}"))
}

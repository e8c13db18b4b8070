//! From Rust errors to the exception classes of `s3dlio.errors`.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use s3dlio_checkpoint::CheckpointError;
use s3dlio_formats::error::FormatError;
use s3dlio_loader::LoaderError;
use s3dlio_records::RecordError;
use s3dlio_store::StoreError;

/// An error of any crate, on its way to Python.
#[derive(Debug)]
pub enum Failure {
    /// Of the storage verbs.
    Store(StoreError),
    /// Of the loader.
    Loader(LoaderError),
    /// Of a record file.
    Record(RecordError),
    /// Of an option of a function whose documented errors are all `OSError`.
    Option(RecordError),
    /// Of a checkpoint.
    Checkpoint(CheckpointError),
    /// Of a file's content; the URI it came from.
    Format(FormatError, String),
    /// No record of an index that counts from the end: the index, of how many, and the object.
    Index(i64, u64, String),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<CheckpointError> for Failure {
    fn from(error: CheckpointError) -> Self {
        match error {
            CheckpointError::Store(error) => Self::Store(error),
            error => Self::Checkpoint(error),
        }
    }
}

impl From<LoaderError> for Failure {
    fn from(error: LoaderError) -> Self {
        match error {
            LoaderError::Store(error) => Self::Store(error),
            LoaderError::Record(error) => Self::Record(error),
            error => Self::Loader(error),
        }
    }
}

impl From<RecordError> for Failure {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::Store(error) => Self::Store(error),
            error => Self::Record(error),
        }
    }
}

/// A value, or the exception that stands for its error.
pub fn checked<T, E: Into<Failure>>(result: Result<T, E>) -> PyResult<T> {
    Ok(result.map_err(Into::into)?)
}

impl From<Failure> for PyErr {
    fn from(failure: Failure) -> Self {
        Python::attach(|py| build(py, &failure).unwrap_or_else(|broken| broken))
    }
}

fn build(py: Python<'_>, failure: &Failure) -> PyResult<PyErr> {
    let told = describe(failure);
    let fields = PyDict::new(py);
    fields.set_item("uri", told.uri.filter(|uri| !uri.is_empty()))?;
    fields.set_item("offset", told.offset)?;
    fields.set_item("record", told.record)?;
    let class = py.import("s3dlio.errors")?.getattr(told.class)?;
    Ok(PyErr::from_value(class.call((told.message,), Some(&fields))?))
}

/// What Python is told of a failure.
struct Told {
    class: &'static str,
    message: String,
    uri: Option<String>,
    offset: Option<u64>,
    record: Option<u64>,
}

impl Told {
    fn new(class: &'static str, message: String, uri: Option<String>, record: Option<u64>) -> Self {
        Self { class, message, uri, offset: None, record }
    }
}

fn describe(failure: &Failure) -> Told {
    match failure {
        Failure::Store(error) => Told::new(store_class(error), error.to_string(), Some(error.uri().to_owned()), None),
        Failure::Loader(error) => {
            let (class, message, uri, record) = loader_class(error);
            Told::new(class, message, uri, record)
        }
        Failure::Record(error) => {
            let place = error.place();
            let told = Told::new(record_class(error), error.to_string(), Some(error.uri().to_owned()), place.record);
            Told { offset: place.offset, ..told }
        }
        Failure::Checkpoint(error) => {
            Told::new(checkpoint_class(error), error.to_string(), Some(error.uri().to_owned()), None)
        }
        Failure::Option(error) => Told::new("OptionError", error.to_string(), None, None),
        Failure::Index(index, length, uri) => {
            let message = format!("{uri}: record {index} was asked for, expected one of {length}");
            Told::new("OutOfRangeError", message, Some(uri.clone()), None)
        }
        Failure::Format(error, uri) => {
            let class = format_class(error.is_unsupported());
            Told::new(class, format!("{uri}: {error}"), Some(uri.clone()), None)
        }
    }
}

fn checkpoint_class(error: &CheckpointError) -> &'static str {
    match error {
        CheckpointError::Store(error) => store_class(error),
        CheckpointError::Incomplete { .. } => "IncompleteCheckpointError",
        CheckpointError::Exists { .. } => "CheckpointExistsError",
        CheckpointError::Invalid { .. } => "CheckpointError",
    }
}

fn record_class(error: &RecordError) -> &'static str {
    match error {
        RecordError::Store(error) => store_class(error),
        RecordError::Format { source, .. } if source.is_not_found() => "MissingArrayError",
        RecordError::Format { source, .. } => format_class(source.is_unsupported()),
        RecordError::Config { .. } | RecordError::Options(_) => "ConfigError",
        RecordError::OutOfRange { .. } => "OutOfRangeError",
        RecordError::Closed { .. } => "StoreError",
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
        LoaderError::Record(error) => {
            (record_class(error), message, Some(error.uri().to_owned()), error.place().record)
        }
        LoaderError::Config { .. } => ("ConfigError", message, None, None),
        LoaderError::StateMismatch { .. } | LoaderError::StateInvalid(_) => ("StateMismatchError", message, None, None),
        LoaderError::Decode { uri, index, unsupported, .. } => {
            (format_class(*unsupported), message, Some(uri.clone()), Some(*index))
        }
        LoaderError::Shape { uri, .. } => ("CorruptDataError", message, Some(uri.clone()), None),
        LoaderError::TooMany { last, .. } | LoaderError::NoReplacement { last, .. } => {
            let (class, _, uri, record) = loader_class(last);
            (class, message, uri, record)
        }
        LoaderError::Timeout { uri, .. } => ("StoreTimeoutError", message, Some(uri.clone()), None),
        LoaderError::Forked(_) => ("ForkedProcessError", message, None, None),
        LoaderError::System(_) => ("S3dlioError", message, None, None),
    }
}

/// A state that only a bug in this package can reach.
pub fn internal(message: &str) -> PyErr {
    PyRuntimeError::new_err(format!("s3dlio: {message}"))
}

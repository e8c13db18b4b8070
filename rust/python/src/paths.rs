//! Paths and URIs as Python programs write them.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use s3dlio_store::Uri;

use crate::errors::Failure;

/// The object that a `str`, `bytes` or path-like object names: a URI, or the path of a local file.
pub fn uri(path: &Bound<'_, PyAny>) -> PyResult<Uri> {
    let text: String = if path.is_instance_of::<PyString>() {
        path.extract()?
    } else if path.is_instance_of::<PyBytes>() || path.hasattr("__fspath__")? {
        path.py().import("os")?.call_method1("fsdecode", (path,))?.extract()?
    } else {
        let found = path.get_type().name()?;
        return Err(PyTypeError::new_err(format!("path: found {found}, expected str, bytes or os.PathLike")));
    };
    let text = if text.contains("://") { text } else { format!("file://{text}") };
    Ok(Uri::parse(&text).map_err(Failure::from)?)
}

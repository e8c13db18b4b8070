//! The storage verbs: each returns an operation to wait for or to await.

use bytes::Bytes;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use s3dlio_store::compression::Codec;
use s3dlio_store::local::Create;
use s3dlio_store::ops::{self, GetOptions, Stat};
use s3dlio_store::{Scheme, Uri, settings};

use crate::buffer;
use crate::bytes_view::BytesView;
use crate::errors::{Failure, checked};
use crate::operation::Operation;

/// A parsed URI.
pub fn parse(uri: &str) -> PyResult<Uri> {
    Ok(Uri::parse(uri).map_err(Failure::from)?)
}

/// Bytes as a `BytesView`.
pub fn view(py: Python<'_>, bytes: Bytes) -> PyResult<Py<PyAny>> {
    Ok(Py::new(py, BytesView(bytes))?.into_any())
}

/// Nothing to return.
pub fn none<T>(py: Python<'_>, _: T) -> PyResult<Py<PyAny>> {
    Ok(py.None())
}

/// What is written to `uri`: the caller's own memory, lent for the time of the call.
pub fn payload(uri: &Uri, data: &Bound<'_, PyAny>) -> PyResult<Bytes> {
    let lent = buffer::lend(data)?;
    // The store in memory keeps what it is given, and the caller may change a lent buffer afterwards.
    Ok(if uri.scheme == Scheme::Memory { Bytes::copy_from_slice(&lent) } else { lent })
}

/// An object or a range of it, as a `BytesView`.
#[pyfunction]
#[pyo3(signature = (uri, offset = 0, length = None, direct_fallback = None))]
fn get(uri: &str, offset: u64, length: Option<u64>, direct_fallback: Option<bool>) -> PyResult<Operation> {
    let options = GetOptions { offset, length, ..GetOptions::default() };
    let uri = parse(uri)?;
    Ok(Operation::new(checked(settings::with_direct_fallback(direct_fallback, || ops::get(&uri, options)))?, view))
}

/// An object or a range of it, into the memory of a writable buffer; the number of bytes.
#[pyfunction]
#[pyo3(signature = (uri, buffer, offset = 0, length = None, direct_fallback = None))]
fn get_into(
    uri: &str,
    buffer: &Bound<'_, PyAny>,
    offset: u64,
    length: Option<u64>,
    direct_fallback: Option<bool>,
) -> PyResult<Operation> {
    let options = GetOptions { offset, length, ..GetOptions::default() };
    let (uri, memory) = (parse(uri)?, buffer::lend_mut(buffer)?);
    let begin = || ops::get_into(&uri, options, memory);
    let work = checked(settings::with_direct_fallback(direct_fallback, begin))?;
    Ok(Operation::new(work, |py, read| Ok(read.into_pyobject(py)?.into_any().unbind())))
}

/// A whole object, decoded by a codec of this name, as a `BytesView`.
#[pyfunction]
fn get_decompressed(uri: &str, codec: &str, direct_fallback: Option<bool>) -> PyResult<Operation> {
    let (uri, codec) = (parse(uri)?, checked(Codec::parse(codec))?);
    let begin = || ops::get_decompressed(&uri, codec);
    Ok(Operation::new(checked(settings::with_direct_fallback(direct_fallback, begin))?, view))
}

/// Writes an object, under a condition if one is given.
#[pyfunction]
#[pyo3(signature = (uri, data, create_only = false, if_match = None, direct_fallback = None))]
fn put(
    uri: &str,
    data: &Bound<'_, PyAny>,
    create_only: bool,
    if_match: Option<String>,
    direct_fallback: Option<bool>,
) -> PyResult<Operation> {
    let uri = parse(uri)?;
    let data = payload(&uri, data)?;
    let condition = match if_match {
        Some(etag) => Create::Matching(etag),
        None if create_only => Create::New,
        None => Create::Overwrite,
    };
    let begin = || ops::put(&uri, data, condition);
    Ok(Operation::new(checked(settings::with_direct_fallback(direct_fallback, begin))?, none))
}

/// Metadata of an object as a dict; `None` where the store does not tell.
#[pyfunction]
fn stat(uri: &str) -> PyResult<Operation> {
    Ok(Operation::new(checked(ops::stat(&parse(uri)?))?, |py, stat| Ok(stat_dict(py, stat)?.into_any().unbind())))
}

/// The documented dict of an object's metadata.
pub fn stat_dict(py: Python<'_>, stat: Stat) -> PyResult<Bound<'_, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("size", stat.size)?;
    dict.set_item("last_modified", stat.last_modified.to_rfc3339())?;
    dict.set_item("etag", stat.etag)?;
    dict.set_item("content_type", stat.content_type)?;
    dict.set_item("content_language", stat.content_language)?;
    dict.set_item("content_encoding", stat.content_encoding)?;
    dict.set_item("cache_control", stat.cache_control)?;
    dict.set_item("content_disposition", stat.content_disposition)?;
    dict.set_item("storage_class", stat.storage_class)?;
    dict.set_item("version_id", stat.version)?;
    for unknown in
        ["expires", "server_side_encryption", "ssekms_key_id", "sse_customer_algorithm", "replication_status"]
    {
        dict.set_item(unknown, py.None())?;
    }
    dict.set_item("metadata", stat.metadata.into_iter().collect::<std::collections::BTreeMap<_, _>>())?;
    Ok(dict)
}

/// Whether an object, or with a trailing slash anything below it, exists.
#[pyfunction]
fn exists(uri: &str) -> PyResult<Operation> {
    Ok(Operation::new(checked(ops::exists(&parse(uri)?))?, |py, found| {
        Ok(found.into_pyobject(py)?.to_owned().into_any().unbind())
    }))
}

/// Removes an object, or everything below a directory.
#[pyfunction]
fn delete(uri: &str, recursive: bool) -> PyResult<Operation> {
    Ok(Operation::new(checked(ops::delete(&parse(uri)?, recursive))?, none))
}

/// Makes a bucket, container or directory.
#[pyfunction]
fn create_bucket(uri: &str) -> PyResult<Operation> {
    Ok(Operation::new(checked(ops::create_bucket(&parse(uri)?))?, none))
}

/// Removes a bucket, container or directory.
#[pyfunction]
fn delete_bucket(uri: &str) -> PyResult<Operation> {
    Ok(Operation::new(checked(ops::delete_bucket(&parse(uri)?))?, none))
}

/// Makes a local directory.
#[pyfunction]
fn make_directory(uri: &str) -> PyResult<Operation> {
    Ok(Operation::new(ops::make_directory(&parse(uri)?), none))
}

/// The two parts of a URI: what names the store, and the key or path.
#[pyfunction]
fn split_uri(uri: &str) -> PyResult<(String, String)> {
    let uri = parse(uri)?;
    Ok((uri.root(), uri.key))
}

/// Adds the verbs to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(get, module)?)?;
    module.add_function(wrap_pyfunction!(get_decompressed, module)?)?;
    module.add_function(wrap_pyfunction!(get_into, module)?)?;
    module.add_function(wrap_pyfunction!(split_uri, module)?)?;
    module.add_function(wrap_pyfunction!(create_bucket, module)?)?;
    module.add_function(wrap_pyfunction!(delete_bucket, module)?)?;
    module.add_function(wrap_pyfunction!(make_directory, module)?)?;
    module.add_function(wrap_pyfunction!(put, module)?)?;
    module.add_function(wrap_pyfunction!(stat, module)?)?;
    module.add_function(wrap_pyfunction!(exists, module)?)?;
    module.add_function(wrap_pyfunction!(delete, module)?)
}

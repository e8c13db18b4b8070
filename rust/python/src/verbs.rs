//! The storage verbs: each returns an operation to wait for or to await.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use s3dlio_store::ops::{self, Entry, GetOptions, ListOptions, Lister, Stat};
use s3dlio_store::pattern::Pattern;
use s3dlio_store::{Result, Scheme, Uri, Work};

use crate::buffer;
use crate::bytes_view::BytesView;
use crate::errors::{Failure, internal};
use crate::operation::Operation;

fn parse(uri: &str) -> PyResult<Uri> {
    Ok(Uri::parse(uri).map_err(Failure::from)?)
}

fn begun<T>(work: Result<T>) -> PyResult<T> {
    Ok(work.map_err(Failure::from)?)
}

fn view(py: Python<'_>, bytes: Bytes) -> PyResult<Py<PyAny>> {
    Ok(Py::new(py, BytesView(bytes))?.into_any())
}

fn none<T>(py: Python<'_>, _: T) -> PyResult<Py<PyAny>> {
    Ok(py.None())
}

/// What is written to `uri`: the caller's own memory, lent for the time of the call.
fn payload(uri: &Uri, data: &Bound<'_, PyAny>) -> PyResult<Bytes> {
    let lent = buffer::lend(data)?;
    // The store in memory keeps what it is given, and the caller may change a lent buffer afterwards.
    Ok(if uri.scheme == Scheme::Memory { Bytes::copy_from_slice(&lent) } else { lent })
}

/// An object or a range of it, as a `BytesView`.
#[pyfunction]
#[pyo3(signature = (uri, offset = 0, length = None))]
fn get(uri: &str, offset: u64, length: Option<u64>) -> PyResult<Operation> {
    let options = GetOptions { offset, length, ..GetOptions::default() };
    Ok(Operation::new(begun(ops::get(&parse(uri)?, options))?, view))
}

/// Many objects: a list of `(uri, BytesView)` in input order.
#[pyfunction]
fn get_many(uris: &Bound<'_, PyList>, max_in_flight: usize) -> PyResult<Operation> {
    let texts: Vec<String> = uris.extract()?;
    let parsed = texts.iter().map(|uri| parse(uri)).collect::<PyResult<_>>()?;
    let names = uris.clone().unbind();
    let work = begun(ops::get_many(parsed, max_in_flight, GetOptions::default()))?;
    Ok(Operation::new(work, move |py, all| {
        let pairs = names.bind(py).iter().zip(all).map(|(uri, bytes)| Ok((uri, view(py, bytes)?)));
        Ok(PyList::new(py, pairs.collect::<PyResult<Vec<_>>>()?)?.into_any().unbind())
    }))
}

/// Writes an object.
#[pyfunction]
fn put(uri: &str, data: &Bound<'_, PyAny>) -> PyResult<Operation> {
    let uri = parse(uri)?;
    let data = payload(&uri, data)?;
    Ok(Operation::new(begun(ops::put(&uri, data))?, none))
}

/// Writes many objects.
#[pyfunction]
fn put_many(items: Vec<(String, Bound<'_, PyAny>)>, max_in_flight: usize) -> PyResult<Operation> {
    let items = items.into_iter().map(|(uri, data)| {
        let uri = parse(&uri)?;
        let data = payload(&uri, &data)?;
        Ok((uri, data))
    });
    Ok(Operation::new(begun(ops::put_many(items.collect::<PyResult<_>>()?, max_in_flight))?, none))
}

/// Metadata of an object as a dict; `None` where the store does not tell.
#[pyfunction]
fn stat(uri: &str) -> PyResult<Operation> {
    Ok(Operation::new(begun(ops::stat(&parse(uri)?))?, |py, stat| Ok(stat_dict(py, stat)?.into_any().unbind())))
}

fn stat_dict(py: Python<'_>, stat: Stat) -> PyResult<Bound<'_, PyDict>> {
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
    Ok(Operation::new(begun(ops::exists(&parse(uri)?))?, |py, found| {
        Ok(found.into_pyobject(py)?.to_owned().into_any().unbind())
    }))
}

/// Removes an object, or everything below a directory.
#[pyfunction]
fn delete(uri: &str, recursive: bool) -> PyResult<Operation> {
    Ok(Operation::new(begun(ops::delete(&parse(uri)?, recursive))?, none))
}

/// A listing, page by page.
#[pyclass(frozen, module = "s3dlio._s3dlio")]
pub struct Listing {
    root: String,
    rest: std::sync::Arc<Mutex<Option<Lister>>>,
}

#[pymethods]
impl Listing {
    #[new]
    #[pyo3(signature = (uri, recursive, glob = None, regex = None, either = None))]
    fn new(
        uri: &str,
        recursive: bool,
        glob: Option<&str>,
        regex: Option<&str>,
        either: Option<&str>,
    ) -> PyResult<Self> {
        let uri = parse(uri)?;
        let pattern = match (glob, regex, either) {
            (Some(glob), _, _) => Some(begun(Pattern::glob(glob))?),
            (_, Some(regex), _) => Some(begun(Pattern::regex(regex))?),
            (_, _, either) => begun(either.map(Pattern::detect).transpose())?,
        };
        let lister = begun(ops::list(&uri, ListOptions { recursive, pattern, sizes: false }))?;
        Ok(Self { root: uri.root(), rest: std::sync::Arc::new(Mutex::new(Some(lister))) })
    }

    /// The next page as a list of URIs; an empty list after the last.
    fn page(&self) -> PyResult<Operation> {
        let (rest, root) = (std::sync::Arc::clone(&self.rest), self.root.clone());
        let Some(lister) = self.take() else {
            return Ok(Operation::new(Work::here(|| Ok(())), |py, ()| Ok(PyList::empty(py).into_any().unbind())));
        };
        Ok(Operation::new(lister.page(), move |py, page| {
            let Some((entries, next)) = page else { return Ok(PyList::empty(py).into_any().unbind()) };
            *rest.lock().unwrap_or_else(PoisonError::into_inner) = Some(next);
            uris(py, &root, &entries)
        }))
    }

    /// All that is left, in ascending order, as one list of URIs.
    fn all(&self) -> PyResult<Operation> {
        let lister = self.take().ok_or_else(|| internal("the listing has been taken"))?;
        let root = self.root.clone();
        let sorted = lister.all().map(|mut entries| {
            entries.sort_unstable_by(|a, b| a.key.cmp(&b.key));
            entries
        });
        Ok(Operation::new(sorted, move |py, entries| uris(py, &root, &entries)))
    }
}

impl Listing {
    fn take(&self) -> Option<Lister> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

fn uris(py: Python<'_>, root: &str, entries: &[Entry]) -> PyResult<Py<PyAny>> {
    let mut text = String::from(root);
    let names = entries.iter().map(|entry| {
        text.truncate(root.len());
        text.push_str(&entry.key);
        pyo3::types::PyString::new(py, &text)
    });
    Ok(PyList::new(py, names.collect::<Vec<_>>())?.into_any().unbind())
}

/// Adds the verbs to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(get, module)?)?;
    module.add_function(wrap_pyfunction!(get_many, module)?)?;
    module.add_function(wrap_pyfunction!(put, module)?)?;
    module.add_function(wrap_pyfunction!(put_many, module)?)?;
    module.add_function(wrap_pyfunction!(stat, module)?)?;
    module.add_function(wrap_pyfunction!(exists, module)?)?;
    module.add_function(wrap_pyfunction!(delete, module)?)
}

//! Listings.

use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyList;
use s3dlio_store::Work;
use s3dlio_store::ops::{self, Entry, ListOptions, Lister};
use s3dlio_store::pattern::Pattern;

use crate::errors::{checked, internal};
use crate::operation::Operation;
use crate::verbs::parse;

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
            (Some(glob), _, _) => Some(checked(Pattern::glob(glob))?),
            (_, Some(regex), _) => Some(checked(Pattern::regex(regex))?),
            (_, _, either) => checked(either.map(Pattern::detect).transpose())?,
        };
        let lister = checked(ops::list(&uri, ListOptions { recursive, pattern, sizes: false }))?;
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

//! The verbs about many objects.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use s3dlio_cli::Generated;
use s3dlio_formats::generate::{Content, Kind};
use s3dlio_store::ops::{self, GetOptions};
use s3dlio_store::{StoreError, naming, settings};

use crate::errors::{Failure, checked};
use crate::operation::Operation;
use crate::verbs::{none, parse, payload, stat_dict, view};

/// Many objects: a list of `(uri, BytesView)` in input order.
#[pyfunction]
fn get_many(uris: &Bound<'_, PyList>, max_in_flight: usize, direct_fallback: Option<bool>) -> PyResult<Operation> {
    let texts: Vec<String> = uris.extract()?;
    let parsed = texts.iter().map(|uri| parse(uri)).collect::<PyResult<_>>()?;
    let names = uris.clone().unbind();
    let begin = || ops::get_many(parsed, max_in_flight, GetOptions::default());
    let work = checked(settings::with_direct_fallback(direct_fallback, begin))?;
    Ok(Operation::new(work, move |py, all| {
        let pairs = names.bind(py).iter().zip(all).map(|(uri, bytes)| Ok((uri, view(py, bytes)?)));
        Ok(PyList::new(py, pairs.collect::<PyResult<Vec<_>>>()?)?.into_any().unbind())
    }))
}

/// Writes many objects.
#[pyfunction]
fn put_many(
    items: Vec<(String, Bound<'_, PyAny>)>,
    max_in_flight: usize,
    direct_fallback: Option<bool>,
) -> PyResult<Operation> {
    let items = items.into_iter().map(|(uri, data)| {
        let uri = parse(&uri)?;
        let data = payload(&uri, &data)?;
        Ok((uri, data))
    });
    let items = items.collect::<PyResult<_>>()?;
    let begin = || ops::put_many(items, max_in_flight);
    Ok(Operation::new(checked(settings::with_direct_fallback(direct_fallback, begin))?, none))
}

/// Metadata of many objects: a list of dicts in input order.
#[pyfunction]
fn stat_many(uris: Vec<String>, max_in_flight: usize) -> PyResult<Operation> {
    let parsed = uris.iter().map(|uri| parse(uri)).collect::<PyResult<_>>()?;
    Ok(Operation::new(checked(ops::stat_many(parsed, max_in_flight))?, |py, all| {
        let dicts = all.into_iter().map(|stat| stat_dict(py, stat)).collect::<PyResult<Vec<Bound<'_, PyDict>>>>()?;
        Ok(PyList::new(py, dicts)?.into_any().unbind())
    }))
}

/// Removes named objects.
#[pyfunction]
fn delete_many(uris: Vec<String>) -> PyResult<Operation> {
    let parsed = uris.iter().map(|uri| parse(uri)).collect::<PyResult<_>>()?;
    Ok(Operation::new(checked(ops::delete_many(parsed))?, none))
}

/// What generated objects contain; `kind` is checked.
pub fn content(kind: &str, size: u64, dedup: u64, compress: u64, seed: u64) -> PyResult<Content> {
    let kind = Kind::parse(kind).ok_or_else(|| {
        Failure::from(StoreError::Config {
            option: "object_type".into(),
            found: format!("{kind:?}"),
            expected: "zeros, random, raw, binary, npz or tfrecord".into(),
        })
    })?;
    Ok(Content { kind, size, dedup, compress, seed })
}

/// Writes generated objects.
#[pyfunction]
#[pyo3(signature = (prefix, num, template, size, kind, dedup, compress, seed, max_in_flight, chunk_size))]
#[expect(clippy::too_many_arguments, reason = "the documented options of one call")]
fn put_generated(
    prefix: &str,
    num: u64,
    template: Option<&str>,
    size: u64,
    kind: &str,
    dedup: u64,
    compress: u64,
    seed: u64,
    max_in_flight: usize,
    chunk_size: Option<usize>,
) -> PyResult<Operation> {
    let content = content(kind, size, dedup, compress, seed)?;
    parse(prefix)?;
    let uris = (0..num).map(|number| parse(&naming::expand(prefix, template, number, num))).collect::<PyResult<_>>()?;
    let produce = Arc::new(Generated { content, chunk: chunk_size });
    Ok(Operation::new(checked(ops::put_produced(uris, max_in_flight, produce))?, none))
}

/// Names of objects that are written in bulk.
#[pyfunction]
fn object_names(prefix: &str, template: Option<&str>, numbers: Vec<u64>, total: u64) -> Vec<String> {
    numbers.into_iter().map(|number| naming::expand(prefix, template, number, total)).collect()
}

/// Adds the verbs to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(get_many, module)?)?;
    module.add_function(wrap_pyfunction!(put_many, module)?)?;
    module.add_function(wrap_pyfunction!(stat_many, module)?)?;
    module.add_function(wrap_pyfunction!(delete_many, module)?)?;
    module.add_function(wrap_pyfunction!(put_generated, module)?)?;
    module.add_function(wrap_pyfunction!(object_names, module)?)
}

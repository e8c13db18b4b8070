//! `tf.train.Example` messages, to and from Python values.

use std::collections::BTreeMap;

use bytes::Bytes;
use numpy::{PyArray1, PyReadonlyArray1};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};
use s3dlio_formats::FormatError;
use s3dlio_formats::tfrecord::TfRecordError;
use s3dlio_formats::tfrecord::example::{self, Kind, Values, Want};
use s3dlio_records::RecordError;
use s3dlio_records::error::Place;

use crate::buffer;
use crate::bytes_view::BytesView;
use crate::errors::Failure;

/// What a record is called that came without its file.
const NAME: &str = "the records";

fn failed(record: usize, error: TfRecordError) -> PyErr {
    let place = Place { offset: None, record: Some(record as u64) };
    Failure::from(RecordError::Format { uri: NAME.into(), place, source: FormatError::from(error) }).into()
}

/// The values of a feature: an array, or a list of `BytesView`.
fn from_values<'py>(py: Python<'py>, values: Values) -> PyResult<Bound<'py, PyAny>> {
    Ok(match values {
        Values::Float(values) => PyArray1::from_vec(py, values).into_any(),
        Values::Int64(values) => PyArray1::from_vec(py, values).into_any(),
        Values::Bytes(values) => {
            let views = values.into_iter().map(|value| Bound::new(py, BytesView(value)));
            PyList::new(py, views.collect::<PyResult<Vec<_>>>()?)?.into_any()
        }
    })
}

fn to_values(kind: &str, values: &Bound<'_, PyAny>) -> PyResult<Values> {
    Ok(match Kind::parse(kind) {
        Some(Kind::Float) => Values::Float(values.extract::<PyReadonlyArray1<'_, f32>>()?.as_array().to_vec()),
        Some(Kind::Int64) => Values::Int64(values.extract::<PyReadonlyArray1<'_, i64>>()?.as_array().to_vec()),
        Some(Kind::Bytes) => {
            let items = values.try_iter()?.map(|item| Ok(Bytes::copy_from_slice(&buffer::lend(&item?)?)));
            Values::Bytes(items.collect::<PyResult<_>>()?)
        }
        None => return Err(PyTypeError::new_err(format!("expected bytes, float32 or int64, found {kind}"))),
    })
}

/// The memory of a record: shared of a `BytesView`, copied of any other buffer, because values may point into it.
fn shared(record: &Bound<'_, PyAny>) -> PyResult<Bytes> {
    match record.cast::<BytesView>() {
        Ok(view) => Ok(view.get().0.clone()),
        Err(_) => Ok(Bytes::copy_from_slice(&buffer::lend(record)?)),
    }
}

/// Name, kind, number of values, default.
type Wanted<'py> = (String, String, Option<u64>, Option<Bound<'py, PyAny>>);

fn wanted(features: Vec<Wanted<'_>>) -> PyResult<BTreeMap<String, Want>> {
    let want = |(name, kind, length, default): Wanted<'_>| {
        let default = default.map(|default| to_values(&kind, &default)).transpose()?;
        let kind = Kind::parse(&kind).ok_or_else(|| PyTypeError::new_err(format!("no kind of values: {kind}")))?;
        Ok((name, Want { kind, length, default }))
    };
    features.into_iter().map(want).collect()
}

/// The features of many examples: a dict of (values, row splits).
#[pyfunction]
fn parse_examples<'py>(
    py: Python<'py>,
    records: Vec<Bound<'py, PyAny>>,
    features: Option<Vec<Wanted<'py>>>,
) -> PyResult<Bound<'py, PyDict>> {
    let records = records.iter().map(shared).collect::<PyResult<Vec<_>>>()?;
    let features = features.map(wanted).transpose()?;
    let columns = py.detach(|| example::columns(&records, features.as_ref()));
    let dict = PyDict::new(py);
    for (name, column) in columns.map_err(|(record, error)| failed(record, error))? {
        dict.set_item(name, (from_values(py, column.values)?, PyArray1::from_vec(py, column.splits)))?;
    }
    Ok(dict)
}

/// An example of these features: name, kind, values.
#[pyfunction]
fn serialize_example<'py>(
    py: Python<'py>,
    features: Vec<(String, String, Bound<'py, PyAny>)>,
) -> PyResult<Bound<'py, PyBytes>> {
    let values = features.into_iter().map(|(name, kind, values)| Ok((name, to_values(&kind, &values)?)));
    let features = values.collect::<PyResult<BTreeMap<_, _>>>()?;
    Ok(PyBytes::new(py, &py.detach(|| example::serialize(features))))
}

/// Adds the functions to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(parse_examples, module)?)?;
    module.add_function(wrap_pyfunction!(serialize_example, module)?)
}

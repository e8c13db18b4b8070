//! Arrays: from decoded fields to NumPy, without a copy.

use bytes::Bytes;
use numpy::PyArray1;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};
use s3dlio_formats::npy::Array;
use s3dlio_loader::batch::{BatchData, Column, Stack};
use s3dlio_loader::decode::{Field, Sample};

use crate::bytes_view::BytesView;

/// NumPy's dtype for a description as it stands in an NPY header; kept, because every batch asks again.
fn dtype<'py>(py: Python<'py>, descr: &str) -> PyResult<Bound<'py, PyAny>> {
    static KNOWN: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
    let known = KNOWN.get_or_init(py, || PyDict::new(py).unbind()).bind(py);
    if let Some(dtype) = known.get_item(descr)? {
        return Ok(dtype);
    }
    let dtype = if descr.starts_with('[') {
        let fields = py.import("ast")?.call_method1("literal_eval", (descr,))?;
        py.import("numpy.lib.format")?.call_method1("descr_to_dtype", (fields,))?
    } else {
        py.import("numpy")?.call_method1("dtype", (descr,))?
    };
    known.set_item(descr, &dtype)?;
    Ok(dtype)
}

fn ndarray<'py>(
    py: Python<'py>,
    descr: &str,
    shape: &[u64],
    buffer: Bound<'py, PyAny>,
    order: &str,
) -> PyResult<Bound<'py, PyAny>> {
    static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let class = CLASS.get_or_try_init(py, || Ok::<_, PyErr>(py.import("numpy")?.getattr("ndarray")?.unbind()))?;
    let shape = PyTuple::new(py, shape)?;
    class.bind(py).call1((shape, dtype(py, descr)?, buffer, 0, py.None(), order))
}

/// A read-only array over the record's own memory.
pub fn from_array<'py>(py: Python<'py>, array: Array) -> PyResult<Bound<'py, PyAny>> {
    let order = if array.fortran_order { "F" } else { "C" };
    let view = Bound::new(py, BytesView(array.data))?.into_any();
    ndarray(py, &array.descr, &array.shape, view, order)
}

/// A writable array that owns the stack's buffer.
fn from_stack(py: Python<'_>, stack: Stack) -> PyResult<Bound<'_, PyAny>> {
    let owner = PyArray1::from_vec(py, stack.data).into_any();
    ndarray(py, &stack.descr, &stack.shape, owner, "C")
}

/// A dict of arrays by name.
pub fn from_fields(py: Python<'_>, fields: Vec<(String, Array)>) -> PyResult<Bound<'_, PyDict>> {
    let dict = PyDict::new(py);
    for (name, array) in fields {
        dict.set_item(name, from_array(py, array)?)?;
    }
    Ok(dict)
}

/// An array of Python objects.
fn from_objects<'py>(py: Python<'py>, objects: Bound<'py, PyList>, shape: &[u64]) -> PyResult<Bound<'py, PyAny>> {
    // One by one: NumPy would take bytes of equal length for the rows of a table.
    let flat = py.import("numpy")?.call_method1("fromiter", (&objects, dtype(py, "|O")?, objects.len()))?;
    flat.call_method1("reshape", (PyTuple::new(py, shape)?,))
}

/// An array of `bytes`.
fn from_strings<'py>(py: Python<'py>, values: &[Bytes], shape: &[u64]) -> PyResult<Bound<'py, PyAny>> {
    let objects = PyList::new(py, values.iter().map(|value| PyBytes::new(py, value)))?;
    from_objects(py, objects, shape)
}

/// A text; the core has looked that it is UTF-8.
fn from_text<'py>(py: Python<'py>, text: &[u8]) -> PyResult<Bound<'py, PyString>> {
    PyString::from_bytes(py, text)
}

/// The values of a feature: an array, or `bytes` where they are one.
fn from_field(py: Python<'_>, field: Field) -> PyResult<Bound<'_, PyAny>> {
    match field {
        Field::Array(array) => from_array(py, array),
        Field::Bytes(values, shape) => match values.as_slice() {
            [value] if shape.is_empty() => Ok(PyBytes::new(py, value).into_any()),
            values => from_strings(py, values, &shape),
        },
    }
}

fn from_column(py: Python<'_>, column: Column) -> PyResult<Bound<'_, PyAny>> {
    match column {
        Column::Stack(stack) => from_stack(py, stack),
        Column::Bytes(values, shape) => from_strings(py, &values, &shape),
        Column::Rows(rows) => {
            let rows = rows.into_iter().map(|row| from_field(py, row)).collect::<PyResult<Vec<_>>>()?;
            Ok(PyList::new(py, rows)?.into_any())
        }
    }
}

/// A sample: a `BytesView`, an array, a dict of arrays, or a text.
pub fn from_sample(py: Python<'_>, sample: Sample) -> PyResult<Bound<'_, PyAny>> {
    match sample {
        Sample::Bytes(bytes) => Ok(Bound::new(py, BytesView(bytes))?.into_any()),
        Sample::Array(array) => from_array(py, array),
        Sample::Fields(fields) => Ok(from_fields(py, fields)?.into_any()),
        Sample::Text(text) => Ok(from_text(py, &text)?.into_any()),
        Sample::Example(wanted, fields) => {
            let dict = PyDict::new(py);
            for (name, field) in wanted.names().zip(fields) {
                dict.set_item(name, from_field(py, field)?)?;
            }
            Ok(dict.into_any())
        }
    }
}

/// A batch: a list of samples, an array (of texts as well), or a dict of arrays.
pub fn from_batch(py: Python<'_>, data: BatchData) -> PyResult<Bound<'_, PyAny>> {
    match data {
        BatchData::Samples(samples) => {
            let samples = samples.into_iter().map(|sample| from_sample(py, sample)).collect::<PyResult<Vec<_>>>()?;
            Ok(PyList::new(py, samples)?.into_any())
        }
        BatchData::Stack(stack) => from_stack(py, stack),
        BatchData::Fields(fields) => {
            let dict = PyDict::new(py);
            for (name, stack) in fields {
                dict.set_item(name, from_stack(py, stack)?)?;
            }
            Ok(dict.into_any())
        }
        BatchData::Columns(columns) => {
            let dict = PyDict::new(py);
            for (name, column) in columns {
                dict.set_item(name, from_column(py, column)?)?;
            }
            Ok(dict.into_any())
        }
        BatchData::Texts(texts) => {
            let objects = texts.iter().map(|text| from_text(py, text)).collect::<PyResult<Vec<_>>>()?;
            from_objects(py, PyList::new(py, objects)?, &[texts.len() as u64])
        }
    }
}

//! Arrays: from decoded fields to NumPy, without a copy.

use numpy::PyArray1;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyTuple};
use s3dlio_formats::npy::Array;
use s3dlio_loader::batch::{BatchData, Stack};
use s3dlio_loader::decode::Sample;

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

/// A sample: a `BytesView`, an array, or a dict of arrays.
pub fn from_sample(py: Python<'_>, sample: Sample) -> PyResult<Bound<'_, PyAny>> {
    match sample {
        Sample::Bytes(bytes) => Ok(Bound::new(py, BytesView(bytes))?.into_any()),
        Sample::Array(array) => from_array(py, array),
        Sample::Fields(fields) => Ok(from_fields(py, fields)?.into_any()),
    }
}

/// A batch: a list of samples, an array, or a dict of arrays.
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
    }
}

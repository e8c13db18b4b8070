//! NPZ archives and NPY files.

use bytes::Bytes;
use pyo3::prelude::*;
use pyo3::types::PyList;
use s3dlio_formats::generate;
use s3dlio_formats::npy::Array;
use s3dlio_formats::npz::Limits;
use s3dlio_records::npz::{self, Archive};

use crate::arrays::{from_array, from_fields};
use crate::buffer;
use crate::errors::Failure;
use crate::operation::{Operation, operation};
use crate::verbs::{none, parse, view};

/// The arrays of an archive, or some of them: a dict.
#[pyfunction]
fn read_npz(uri: &str, names: Option<Vec<String>>) -> PyResult<Operation> {
    let uri = parse(uri)?;
    let work = match names {
        Some(names) => npz::read_selected(&uri, names, Limits::default()),
        None => npz::read(&uri, Limits::default()),
    };
    operation(work, |py, arrays| Ok(from_fields(py, arrays)?.into_any().unbind()))
}

/// The arrays of many archives: a list of dicts.
#[pyfunction]
fn read_npz_many(uris: Vec<String>, names: Option<Vec<String>>, max_in_flight: usize) -> PyResult<Operation> {
    let uris = uris.iter().map(|uri| parse(uri)).collect::<PyResult<_>>()?;
    operation(npz::read_many(uris, names, max_in_flight, Limits::default()), |py, all| {
        let dicts = all.into_iter().map(|arrays| from_fields(py, arrays)).collect::<PyResult<Vec<_>>>()?;
        Ok(PyList::new(py, dicts)?.into_any().unbind())
    })
}

/// The array of an NPY file.
#[pyfunction]
fn read_npy(uri: &str) -> PyResult<Operation> {
    operation(npz::read_npy(&parse(uri)?), |py, array| Ok(from_array(py, array)?.unbind()))
}

/// An array to be written: description of its dtype, whether the first axis varies fastest, shape, and items.
type Given<'py> = (String, bool, Vec<u64>, Bound<'py, PyAny>);

/// The array, whose memory is lent until it is written.
fn lent((descr, fortran_order, shape, items): Given<'_>) -> PyResult<Array> {
    let data: Bytes = buffer::lend(&items)?;
    Ok(Array { descr, item_size: 0, shape, fortran_order, data })
}

/// Writes an archive.
#[pyfunction]
fn write_npz(uri: &str, arrays: Vec<(String, Given<'_>)>, level: Option<u32>) -> PyResult<Operation> {
    let arrays = arrays.into_iter().map(|(name, given)| Ok((name, lent(given)?))).collect::<PyResult<_>>()?;
    operation(npz::write(&parse(uri)?, arrays, level), none)
}

/// Writes an NPY file.
#[pyfunction]
fn write_npy(uri: &str, array: Given<'_>) -> PyResult<Operation> {
    let work = npz::write_npy(&parse(uri)?, &lent(array)?).map_err(Failure::from)?;
    Ok(Operation::new(work, none))
}

/// An open archive; `s3dlio.npz` wraps it.
#[pyclass(frozen, module = "s3dlio._s3dlio")]
pub struct NpzArchive(Archive);

#[pymethods]
impl NpzArchive {
    /// Reads the directory of an archive; an operation that gives an `NpzArchive`.
    #[staticmethod]
    fn open(uri: &str) -> PyResult<Operation> {
        let work = Archive::open(&parse(uri)?, Limits::default());
        operation(work, |py, archive| Ok(Py::new(py, Self(archive))?.into_any()))
    }

    /// Names of the arrays, in the order of the archive.
    fn names(&self) -> Vec<String> {
        self.0.directory().arrays().map(|member| member.array_name().to_owned()).collect()
    }

    /// Reads arrays by their names; an operation that gives a list.
    fn read(&self, names: Vec<String>) -> PyResult<Operation> {
        operation(self.0.read(names), |py, arrays| {
            let arrays = arrays.into_iter().map(|array| from_array(py, array)).collect::<PyResult<Vec<_>>>()?;
            Ok(PyList::new(py, arrays)?.into_any().unbind())
        })
    }
}

/// The bytes of an archive with random samples `x` and zero labels `y`.
#[pyfunction]
fn generate_npz(py: Python<'_>, descr: &str, shape: Vec<u64>, labels: u64, seed: u64) -> PyResult<Py<PyAny>> {
    let made = py.detach(|| generate::samples(descr, &shape, labels, seed));
    view(py, made.map_err(|error| Failure::Format(error, "generated archive".into()))?.into())
}

/// Adds the functions and the class to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<NpzArchive>()?;
    module.add_function(wrap_pyfunction!(read_npz, module)?)?;
    module.add_function(wrap_pyfunction!(read_npz_many, module)?)?;
    module.add_function(wrap_pyfunction!(read_npy, module)?)?;
    module.add_function(wrap_pyfunction!(write_npz, module)?)?;
    module.add_function(wrap_pyfunction!(write_npy, module)?)?;
    module.add_function(wrap_pyfunction!(generate_npz, module)?)
}

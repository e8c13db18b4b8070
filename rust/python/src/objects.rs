//! `Objects`: the objects of a data set, kept compactly in Rust.

use std::sync::Arc;

use bytes::Bytes;
use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyTuple};
use s3dlio_loader::LoaderError;
use s3dlio_loader::decode::{Decoder, Sample};
use s3dlio_loader::source::{ObjectSource, ObjectTable, RecordSource, Selection};
use s3dlio_store::ops::GetOptions;

use crate::arrays;
use crate::buffer;
use crate::errors::Failure;
use crate::operation::Operation;

/// The objects of a data set in order: their names and, where a listing told them, their sizes.
///
/// Immutable; pickles by value, so that every process sees the very same data set.
#[pyclass(frozen, module = "s3dlio._s3dlio", sequence)]
pub struct Objects {
    source: Arc<ObjectSource>,
    part_size: u64,
    max_parts: usize,
}

impl Objects {
    fn build(table: ObjectTable, part_size: u64, max_parts: usize) -> PyResult<Self> {
        let get = GetOptions { part_size, max_parts, ..GetOptions::default() };
        let source = Arc::new(ObjectSource::new(table, get).map_err(Failure::from)?);
        Ok(Self { source, part_size, max_parts })
    }

    fn discover(selection: Selection, part_size: u64, max_parts: usize) -> PyResult<Operation> {
        let work = ObjectSource::discover(selection).map_err(Failure::from)?;
        Ok(Operation::new(
            work,
            move |py, table| Ok(Py::new(py, Self::build(table, part_size, max_parts)?)?.into_any()),
        ))
    }

    /// The records, for a loader.
    pub fn source(&self) -> Arc<dyn RecordSource> {
        self.source.clone()
    }
}

#[pymethods]
impl Objects {
    /// Finds the objects below a prefix; an operation that gives `Objects`.
    #[staticmethod]
    fn below(uri: String, pattern: Option<String>, part_size: u64, max_parts: usize) -> PyResult<Operation> {
        Self::discover(Selection::Prefix { uri, pattern }, part_size, max_parts)
    }

    /// Takes the objects from a list of URIs; an operation that gives `Objects`.
    #[staticmethod]
    fn of(uris: Vec<String>, part_size: u64, max_parts: usize) -> PyResult<Operation> {
        Self::discover(Selection::Uris(uris), part_size, max_parts)
    }

    /// Rebuilds what `__reduce__` packed.
    #[staticmethod]
    fn unpack(packed: &Bound<'_, PyAny>, part_size: u64, max_parts: usize) -> PyResult<Self> {
        let table = ObjectTable::unpack(&buffer::lend(packed)?).map_err(Failure::from)?;
        Self::build(table, part_size, max_parts)
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        let (py, this) = (slf.py(), slf.get());
        let packed = PyBytes::new(py, &py.detach(|| this.source.table().pack()));
        (slf.get_type().getattr("unpack")?, (packed, this.part_size, this.max_parts)).into_pyobject(py)
    }

    fn __len__(&self) -> usize {
        self.source.table().len()
    }

    /// The URI of an object.
    fn uri(&self, index: usize) -> PyResult<String> {
        if index >= self.source.table().len() {
            return Err(PyIndexError::new_err(format!(
                "index {index} is out of range: the data set has {} objects",
                self.source.table().len()
            )));
        }
        Ok(self.source.name(index as u64))
    }

    /// Bytes of an object; `None` where they are not known.
    fn size(&self, index: usize) -> Option<u64> {
        self.source.table().size(index)
    }

    /// A digest of names, order and known sizes.
    #[getter]
    fn fingerprint(&self) -> &str {
        self.source.fingerprint()
    }

    /// Bytes of memory that the names and sizes take.
    #[getter]
    fn nbytes(&self) -> usize {
        self.source.table().memory()
    }

    /// Reads and decodes records at these indices; an operation that gives a list of samples in their order.
    fn read(&self, indices: Vec<u64>, max_in_flight: usize, decoder: &str) -> PyResult<Operation> {
        let decoder: Decoder = decoder.parse().map_err(Failure::from)?;
        let work = self.source.read(&indices, max_in_flight).map_err(Failure::from)?;
        let source = Arc::clone(&self.source);
        let decoded = work.map(move |records| decode(&source, decoder, &indices, records));
        Ok(Operation::fallible(decoded, |py, samples| {
            let samples = samples.into_iter().map(|sample| arrays::from_sample(py, sample));
            Ok(PyList::new(py, samples.collect::<PyResult<Vec<_>>>()?)?.into_any().unbind())
        }))
    }
}

fn decode(
    source: &ObjectSource,
    decoder: Decoder,
    indices: &[u64],
    records: Vec<Bytes>,
) -> Result<Vec<Sample>, Failure> {
    let one = |(&index, record): (&u64, Bytes)| {
        decoder.decode(record).map_err(|error| LoaderError::decode(source.name(index), index, &error).into())
    };
    indices.iter().zip(records).map(one).collect()
}

//! `Objects`: the records of a data set, kept compactly in Rust.

use std::sync::{Arc, Mutex, PoisonError};

use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyTuple};
use s3dlio_formats::tfrecord::index::Index;
use s3dlio_loader::decode::Decoder;
use s3dlio_loader::source::{
    self, ArrayRecordSource, ConcatSource, MemorySource, Named, Names, NpzSource, ObjectSource, ObjectTable,
    ParquetSource, Part, RecordSource, RowGroups, Selection, Template, TfRecordSource, View,
};
use s3dlio_records::parquet::Decode;
use s3dlio_records::tfrecord::IndexFrom;
use s3dlio_store::Work;
use s3dlio_store::ops::GetOptions;

use crate::arrays;
use crate::buffer;
use crate::errors::{Failure, checked};
use crate::operation::{self, Operation};
use crate::parquet::{Wanted, columns};
use crate::verbs::parse;

/// The records of a data set in order: whole objects, with their names and known sizes, or those of record files.
///
/// Immutable; pickles by value, so that every process sees the very same data set.
#[pyclass(frozen, module = "s3dlio._s3dlio", sequence)]
pub struct Objects {
    source: Arc<dyn RecordSource>,
    made: Made,
}

/// What to make it from in another process.
enum Made {
    /// Whole objects: the part size and the number of parts.
    Names(Arc<ObjectSource>, u64, usize),
    /// What the source packs itself.
    Packed,
    /// Other data sets, behind each other or mixed by weight.
    Concat(Vec<Py<Objects>>, Option<Vec<u64>>),
    /// A range of another.
    Range(Py<Objects>, u64, u64),
    /// Some of another.
    List(Py<Objects>, Vec<u64>),
    /// Another several times.
    Repeat(Py<Objects>, u64),
}

impl Objects {
    fn build(names: Names, part_size: u64, max_parts: usize) -> s3dlio_loader::Result<Self> {
        let get = GetOptions { part_size, max_parts, ..GetOptions::default() };
        let source = Arc::new(ObjectSource::new(names, get)?);
        Ok(Self { source: source.clone(), made: Made::Names(source, part_size, max_parts) })
    }

    fn finding(
        work: s3dlio_loader::Result<Work<ObjectTable>>,
        part_size: u64,
        max_parts: usize,
    ) -> PyResult<Operation> {
        // Off the calling thread, because the fingerprint goes over all names.
        let build = move |table: ObjectTable| Self::build(table.into(), part_size, max_parts).map_err(Failure::from);
        let work = checked(work)?.map(build);
        Ok(Operation::fallible(work, |py, objects| Ok(Py::new(py, objects)?.into_any())))
    }

    fn opening<S: RecordSource + 'static>(
        work: s3dlio_loader::Result<Work<s3dlio_loader::Result<S>>>,
    ) -> PyResult<Operation> {
        let work = checked(work)?.map(|source| source.map_err(Failure::from));
        Ok(Operation::fallible(work, |py, source| {
            Ok(Py::new(py, Self { source: Arc::new(source), made: Made::Packed })?.into_any())
        }))
    }

    /// The records, for a loader.
    pub fn source(&self) -> Arc<dyn RecordSource> {
        self.source.clone()
    }
}

#[pymethods]
impl Objects {
    /// Finds the objects below a prefix, by the index at `index` where one is named; an operation that gives `Objects`.
    #[staticmethod]
    #[pyo3(signature = (uri, pattern, part_size, max_parts, index = None))]
    fn below(
        uri: String,
        pattern: Option<String>,
        part_size: u64,
        max_parts: usize,
        index: Option<String>,
    ) -> PyResult<Operation> {
        Self::finding(source::discover(Selection::Prefix { uri, pattern, index }), part_size, max_parts)
    }

    /// Takes the objects that a manifest names; an operation that gives `Objects`.
    #[staticmethod]
    fn manifest(uri: String, part_size: u64, max_parts: usize) -> PyResult<Operation> {
        Self::finding(source::discover(Selection::Manifest(uri)), part_size, max_parts)
    }

    /// Counts the names of objects up.
    #[staticmethod]
    #[pyo3(signature = (template, start, count, size, part_size, max_parts))]
    fn template(
        template: &str,
        start: u64,
        count: u64,
        size: Option<u64>,
        part_size: u64,
        max_parts: usize,
    ) -> PyResult<Self> {
        let template = checked(Template::parse(template, start, count, size))?;
        checked(Self::build(template.into(), part_size, max_parts))
    }

    /// Takes these bytes, which must not change.
    #[staticmethod]
    fn of_bytes(items: Vec<Bound<'_, PyAny>>) -> PyResult<Self> {
        let records = items.iter().map(buffer::lend).collect::<PyResult<_>>()?;
        Ok(Self { source: Arc::new(checked(MemorySource::new(records))?), made: Made::Packed })
    }

    /// Opens ArrayRecord files: (URI, first record, the record behind the last) each; an operation that gives `Objects`.
    #[staticmethod]
    fn array_records(parts: Vec<(String, u64, Option<u64>)>) -> PyResult<Operation> {
        let part = |(uri, start, end): (String, u64, Option<u64>)| Ok(Part { uri: parse(&uri)?, start, end });
        Self::opening(ArrayRecordSource::open(parts.into_iter().map(part).collect::<PyResult<_>>()?))
    }

    /// Opens TFRecord files, each with what a `TfRecordFiles` packs as its index; an operation that gives `Objects`.
    #[staticmethod]
    fn tfrecords(files: Vec<(String, Vec<u8>)>, verify: bool) -> PyResult<Operation> {
        let bad = || s3dlio_records::RecordError::config("index", "bytes", "what a TfRecordFiles has packed");
        let file = |(uri, packed): (String, Vec<u8>)| {
            let index = checked(Index::unpack(&packed).ok_or_else(bad))?;
            Ok((parse(&uri)?, IndexFrom::Index(Arc::new(index))))
        };
        Self::opening(TfRecordSource::open(files.into_iter().map(file).collect::<PyResult<_>>()?, verify))
    }

    /// Opens NPZ archives for their arrays (all where no names are given); an operation that gives `Objects`.
    #[staticmethod]
    fn npz_members(uris: Vec<String>, names: Vec<String>) -> PyResult<Operation> {
        let uris = uris.iter().map(|uri| parse(uri)).collect::<PyResult<Vec<_>>>()?;
        Self::opening(NpzSource::open(&uris, names))
    }

    /// Opens Parquet files for their row groups (of some columns; all, if `None`); an operation that gives `Objects`.
    #[staticmethod]
    #[pyo3(signature = (uris, wanted, footer_cap, decode))]
    fn parquet(uris: Vec<String>, wanted: Option<Vec<Wanted>>, footer_cap: u64, decode: &str) -> PyResult<Operation> {
        let uris = uris.iter().map(|uri| parse(uri)).collect::<PyResult<Vec<_>>>()?;
        let decode = checked(Decode::parse(decode))?;
        Self::opening(ParquetSource::open(&uris, RowGroups { columns: columns(wanted), decode, footer_cap }))
    }

    /// Several data sets behind each other or, with weights, mixed by these.
    #[staticmethod]
    #[pyo3(signature = (parts, weights = None))]
    fn concat(parts: Vec<Py<Self>>, weights: Option<Vec<u64>>) -> PyResult<Self> {
        let sources = parts.iter().map(|part| part.get().source()).collect();
        let source = checked(match &weights {
            None => ConcatSource::new(sources),
            Some(weights) => ConcatSource::mix(sources, weights),
        })?;
        Ok(Self { source: Arc::new(source), made: Made::Concat(parts, weights) })
    }

    /// The records of a range.
    #[staticmethod]
    fn range(of: Py<Self>, start: u64, end: u64) -> PyResult<Self> {
        let source = checked(View::range(of.get().source(), start..end))?;
        Ok(Self { source: Arc::new(source), made: Made::Range(of, start, end) })
    }

    /// The records of some indices, in their order.
    #[staticmethod]
    fn select(of: Py<Self>, indices: Vec<u64>) -> PyResult<Self> {
        let source = checked(View::list(of.get().source(), &indices))?;
        Ok(Self { source: Arc::new(source), made: Made::List(of, indices) })
    }

    /// All records several times.
    #[staticmethod]
    fn repeat(of: Py<Self>, times: u64) -> PyResult<Self> {
        let source = checked(View::repeat(of.get().source(), times))?;
        Ok(Self { source: Arc::new(source), made: Made::Repeat(of, times) })
    }

    /// Rebuilds what `__reduce__` packed.
    #[staticmethod]
    fn unpack(packed: &Bound<'_, PyAny>, part_size: u64, max_parts: usize) -> PyResult<Self> {
        let names = checked(Names::unpack(&buffer::lend(packed)?))?;
        checked(Self::build(names, part_size, max_parts))
    }

    /// Rebuilds record files that `__reduce__` packed.
    #[staticmethod]
    fn unpack_records(py: Python<'_>, packed: &Bound<'_, PyAny>) -> PyResult<Self> {
        let work = checked(source::unpack(&buffer::lend(packed)?))?;
        let source = checked(checked(operation::wait(py, work)?)?)?;
        Ok(Self { source, made: Made::Packed })
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        let (py, this, class) = (slf.py(), slf.get(), slf.get_type());
        match &this.made {
            Made::Names(source, part_size, max_parts) => {
                let packed = PyBytes::new(py, &py.detach(|| source.names().pack()));
                (class.getattr("unpack")?, (packed, part_size, max_parts)).into_pyobject(py)
            }
            Made::Packed => {
                let packed = PyBytes::new(py, &py.detach(|| this.source.pack()).unwrap_or_default());
                (class.getattr("unpack_records")?, (packed,)).into_pyobject(py)
            }
            Made::Concat(parts, weights) => (class.getattr("concat")?, (parts, weights)).into_pyobject(py),
            Made::Range(of, start, end) => (class.getattr("range")?, (of, start, end)).into_pyobject(py),
            Made::List(of, indices) => (class.getattr("select")?, (of, indices)).into_pyobject(py),
            Made::Repeat(of, times) => (class.getattr("repeat")?, (of, times)).into_pyobject(py),
        }
    }

    fn __len__(&self) -> PyResult<usize> {
        Ok(usize::try_from(self.source.len())?)
    }

    /// The URI of a record: that of its object, or of its file with its place there.
    fn uri(&self, index: u64) -> PyResult<String> {
        if index >= self.source.len() {
            return Err(PyIndexError::new_err(format!(
                "index {index} is out of range: the data set has {} objects",
                self.source.len()
            )));
        }
        Ok(self.source.name(index))
    }

    /// Bytes of a record; `None` where they are not known.
    fn size(&self, index: u64) -> Option<u64> {
        if index < self.source.len() { self.source.bytes(index) } else { None }
    }

    /// A digest of names, order and known sizes.
    #[getter]
    fn fingerprint(&self) -> &str {
        self.source.fingerprint()
    }

    /// Whether the records are whole objects.
    #[getter]
    fn whole(&self) -> bool {
        self.source.layout().is_none()
    }

    /// The decoder that the records need; `None` where any will do.
    #[getter]
    fn decoder(&self) -> Option<String> {
        self.source.decoder().map(|decoder| decoder.to_string())
    }

    /// Bytes of memory that the names and sizes of whole objects take; 0 for other data sets.
    #[getter]
    fn nbytes(&self) -> usize {
        match &self.made {
            Made::Names(source, ..) => source.names().memory(),
            _ => 0,
        }
    }

    /// Reads and decodes records at these indices; an operation that gives a list of samples in their order.
    fn read(&self, indices: Vec<u64>, max_in_flight: usize, decoder: &str) -> PyResult<Operation> {
        let decoder: Decoder = checked(decoder.parse())?;
        Ok(samples(checked(source::read(&self.source, indices, max_in_flight, decoder))?))
    }
}

/// An operation that gives a list of samples.
pub fn samples(reading: s3dlio_loader::Samples) -> Operation {
    let samples = reading.map(|samples| samples.map_err(Failure::from));
    Operation::fallible(samples, |py, samples| {
        let samples = samples.into_iter().map(|sample| arrays::from_sample(py, sample));
        Ok(PyList::new(py, samples.collect::<PyResult<Vec<_>>>()?)?.into_any().unbind())
    })
}

/// Objects that are named one by one; takes any number of them without keeping their strings.
#[pyclass(frozen, module = "s3dlio._s3dlio")]
pub struct UriList(Mutex<Named>);

#[pymethods]
impl UriList {
    #[new]
    fn new() -> Self {
        Self(Mutex::default())
    }

    /// Adds some.
    fn extend(&self, uris: Vec<String>) -> PyResult<()> {
        let mut named = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        uris.iter().try_for_each(|uri| checked(named.push(uri)))
    }

    /// Takes them; an operation that gives `Objects`. The list is empty afterwards.
    fn finish(&self, part_size: u64, max_parts: usize) -> PyResult<Operation> {
        let named = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        Objects::finding(named.finish(), part_size, max_parts)
    }
}

/// Adds the classes to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Objects>()?;
    module.add_class::<UriList>()
}

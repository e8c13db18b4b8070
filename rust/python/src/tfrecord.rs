//! TFRecord files: streams, records by number, indexes, writers.

use std::sync::Arc;

use bytes::Bytes;
use numpy::PyArray1;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use s3dlio_formats::tfrecord::compression::Compression;
use s3dlio_formats::tfrecord::index::{Index, Verify};
use s3dlio_records::RecordError;
use s3dlio_records::tfrecord::{
    self, IndexFrom, Indexed, Made, PrefixOptions, Stream, StreamOptions, Writer, WriterOptions,
};
use s3dlio_store::Uri;
use s3dlio_store::pattern::Pattern;

use crate::buffer;
use crate::bytes_view::BytesView;
use crate::errors::checked;
use crate::operation::{Operation, operation};
use crate::verbs::{none, parse};

fn number(py: Python<'_>, number: u64) -> PyResult<Py<PyAny>> {
    Ok(number.into_pyobject(py)?.into_any().unbind())
}

/// A list of `BytesView`.
fn records(py: Python<'_>, records: Vec<Bytes>) -> PyResult<Py<PyAny>> {
    let views = records.into_iter().map(|record| Bound::new(py, BytesView(record)));
    Ok(PyList::new(py, views.collect::<PyResult<Vec<_>>>()?)?.into_any().unbind())
}

/// Offsets and sizes, as two arrays.
fn places(py: Python<'_>, index: Index) -> PyResult<Py<PyAny>> {
    let (offsets, sizes): (Vec<_>, Vec<_>) = py.detach(|| index.iter().map(|entry| (entry.offset, entry.size)).unzip());
    let arrays = (PyArray1::from_vec(py, offsets), PyArray1::from_vec(py, sizes));
    Ok(arrays.into_pyobject(py)?.into_any().unbind())
}

fn verify(all: Option<bool>) -> Verify {
    match all {
        None => Verify::Auto,
        Some(true) => Verify::Always,
        Some(false) => Verify::Never,
    }
}

fn compression(name: &str) -> PyResult<Compression> {
    let unknown = || RecordError::config("compression", format!("{name:?}"), "none, gzip or zlib");
    checked(Compression::parse(name).ok_or_else(unknown))
}

/// Writes the index of a file; an operation that gives the number of records.
#[pyfunction]
fn create_tfrecord_index(file: &str, index: &str, verify_all: Option<bool>) -> PyResult<Operation> {
    operation(tfrecord::create_index(&parse(file)?, &parse(index)?, verify(verify_all)), number)
}

/// Writes the indexes of all files below a prefix; an operation that gives (file, index, records) of each.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "the options of one call")]
fn create_tfrecord_indexes(
    prefix: &str,
    output: Option<&str>,
    pattern: Option<&str>,
    rank: u64,
    world: u64,
    resume: bool,
    max_in_flight: usize,
    verify_all: Option<bool>,
) -> PyResult<Operation> {
    let options = PrefixOptions {
        output: output.map(parse).transpose()?,
        pattern: checked(pattern.map(Pattern::detect).transpose())?,
        shard: (rank, world),
        resume,
        in_flight: max_in_flight,
        verify: verify(verify_all),
    };
    operation(tfrecord::create_indexes(&parse(prefix)?, options), |py, all| {
        let made = all.into_iter().map(|Made { file, index, records }| (file.to_string(), index.to_string(), records));
        Ok(PyList::new(py, made)?.into_any().unbind())
    })
}

/// The places of the records of a file or an index; an operation that gives two arrays.
#[pyfunction]
fn tfrecord_entries(uri: &str, verify_all: Option<bool>) -> PyResult<Operation> {
    operation(tfrecord::entries(&parse(uri)?, verify(verify_all)), places)
}

/// The entries of an index; an operation that gives two arrays.
#[pyfunction]
fn read_tfrecord_index(uri: &str) -> PyResult<Operation> {
    operation(tfrecord::read_index(&parse(uri)?), places)
}

/// Checks the name of a compression.
#[pyfunction]
fn check_tfrecord_compression(name: &str) -> PyResult<()> {
    compression(name).map(|_| ())
}

/// The places of the records of a file in memory, as two arrays.
#[pyfunction]
fn tfrecord_entries_of(py: Python<'_>, data: &Bound<'_, PyAny>, verify_all: Option<bool>) -> PyResult<Py<PyAny>> {
    let data = buffer::lend(data)?;
    let index = py.detach(|| tfrecord::entries_of("the TFRecord data", &data, verify(verify_all)));
    places(py, checked(index)?)
}

/// The index of a file in memory, as the bytes of its text.
#[pyfunction]
fn tfrecord_index_text<'py>(
    py: Python<'py>,
    data: &Bound<'py, PyAny>,
    verify_all: Option<bool>,
) -> PyResult<Bound<'py, PyBytes>> {
    let data = buffer::lend(data)?;
    let text = py.detach(|| tfrecord::index_text("the TFRecord data", &data, verify(verify_all)));
    Ok(PyBytes::new(py, &checked(text)?))
}

/// The records of a file in order.
#[pyclass(frozen, module = "s3dlio._s3dlio")]
pub struct TfRecordStream(Stream);

#[pymethods]
impl TfRecordStream {
    /// Opens a file; an operation that gives the stream. Without a compression the file's first bytes tell.
    #[staticmethod]
    #[pyo3(name = "open")]
    fn start(uri: &str, packed: Option<&str>, verify: bool) -> PyResult<Operation> {
        let options =
            StreamOptions { compression: packed.map(compression).transpose()?, verify, ..StreamOptions::default() };
        let work = checked(Stream::open(&parse(uri)?, options))?;
        Ok(Operation::new(work, |py, stream| Ok(Py::new(py, Self(stream))?.into_any())))
    }

    /// The next records; an operation that gives a list, which is empty at the end.
    fn batch(&self) -> PyResult<Operation> {
        operation(self.0.batch(), records)
    }
}

/// The records of files by their number.
#[pyclass(frozen, module = "s3dlio._s3dlio")]
pub struct TfRecordFiles(Indexed);

/// Where the index of a file comes from: a URI, what `pack` gave, nothing (`False`: from the headers), or whatever is
/// there.
#[derive(FromPyObject)]
enum Source {
    Uri(String),
    Use(bool),
    Packed(Vec<u8>),
}

impl Source {
    fn index(self) -> PyResult<IndexFrom> {
        Ok(match self {
            Self::Uri(uri) => IndexFrom::Uri(parse(&uri)?),
            Self::Use(true) => IndexFrom::Beside,
            Self::Use(false) => IndexFrom::Headers,
            Self::Packed(packed) => {
                let bad = || RecordError::config("index", "bytes", "what a data source of this package has packed");
                IndexFrom::Index(Arc::new(checked(Index::unpack(&packed).ok_or_else(bad))?))
            }
        })
    }
}

#[pymethods]
impl TfRecordFiles {
    /// Opens files, each with its index; an operation that gives them.
    #[staticmethod]
    #[pyo3(name = "open")]
    fn start(files: Vec<(String, Source)>, verify: bool) -> PyResult<Operation> {
        let file = |(uri, source): (String, Source)| Ok((parse(&uri)?, source.index()?));
        let files = files.into_iter().map(file).collect::<PyResult<Vec<(Uri, IndexFrom)>>>()?;
        operation(Indexed::open(files, verify), |py, files| Ok(Py::new(py, Self(files))?.into_any()))
    }

    fn __len__(&self) -> PyResult<usize> {
        Ok(usize::try_from(self.0.len())?)
    }

    /// The file that holds a record, and the record's offset and size in it; `None` behind the last.
    fn place(&self, number: u64) -> Option<(String, u64, u64)> {
        self.0.place(number).map(|(uri, entry)| (uri.to_string(), entry.offset, entry.size))
    }

    /// The files, each with its number of records and its index, packed.
    fn pack<'py>(&self, py: Python<'py>) -> Vec<(String, u64, Bound<'py, PyBytes>)> {
        let pack = |(uri, index): (&Uri, &Arc<Index>)| {
            (uri.to_string(), index.len(), PyBytes::new(py, &py.detach(|| index.pack())))
        };
        self.0.files().map(pack).collect()
    }

    /// These records, in their order; an operation that gives a list.
    fn read(&self, numbers: Vec<u64>) -> PyResult<Operation> {
        operation(self.0.read(&numbers), records)
    }
}

/// A file that is being written.
#[pyclass(frozen, module = "s3dlio._s3dlio")]
pub struct TfRecordWriter(Writer);

#[pymethods]
impl TfRecordWriter {
    #[new]
    fn new(uri: &str, packing: &str, level: Option<u32>, index: Option<&str>) -> PyResult<Self> {
        let index = index.map(parse).transpose()?;
        let options = WriterOptions { compression: compression(packing)?, level, index };
        Ok(Self(checked(Writer::create(&parse(uri)?, &options))?))
    }

    /// Records taken so far.
    #[getter]
    fn records(&self) -> u64 {
        self.0.records()
    }

    /// Bytes of the file so far, before compression.
    #[getter]
    fn bytes(&self) -> u64 {
        self.0.bytes()
    }

    /// Whether the file is finished, given up or failed.
    #[getter]
    fn closed(&self) -> bool {
        self.0.is_closed()
    }

    /// Takes a record; an operation that is due before the next one, if any is.
    fn append(&self, record: &Bound<'_, PyAny>) -> PyResult<Option<Operation>> {
        let due = match record.cast::<PyBytes>() {
            Ok(bytes) => checked(self.0.append(bytes.as_bytes()))?,
            Err(_) => {
                let lent = buffer::lend(record)?;
                checked(self.0.append(&lent))?
            }
        };
        if due { operation(self.0.pass_on(), none).map(Some) } else { Ok(None) }
    }

    /// Waits until the store has all full parts.
    fn flush(&self) -> PyResult<Operation> {
        operation(self.0.flush(), none)
    }

    /// Makes the file visible, and then its index; an operation that gives the number of records.
    fn finish(&self) -> PyResult<Operation> {
        operation(self.0.finish(), number)
    }

    /// Gives file and index up.
    fn abort(&self) -> PyResult<Operation> {
        operation(self.0.abort(), none)
    }
}

/// Adds the classes and functions to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<TfRecordStream>()?;
    module.add_class::<TfRecordFiles>()?;
    module.add_class::<TfRecordWriter>()?;
    module.add_function(wrap_pyfunction!(create_tfrecord_index, module)?)?;
    module.add_function(wrap_pyfunction!(create_tfrecord_indexes, module)?)?;
    module.add_function(wrap_pyfunction!(tfrecord_entries, module)?)?;
    module.add_function(wrap_pyfunction!(read_tfrecord_index, module)?)?;
    module.add_function(wrap_pyfunction!(check_tfrecord_compression, module)?)?;
    module.add_function(wrap_pyfunction!(tfrecord_entries_of, module)?)?;
    module.add_function(wrap_pyfunction!(tfrecord_index_text, module)?)
}

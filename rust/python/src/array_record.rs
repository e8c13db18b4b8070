//! ArrayRecord files: the classes behind `s3dlio.array_record`.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PySequence, PyString, PyTuple};
use s3dlio_formats::array_record::{OptionError, ReaderOptions, WriterOptions};
use s3dlio_records::RecordError;
use s3dlio_records::array_record::{File, Files, Next, Part, Reader, Writer};
use s3dlio_store::{Uri, Work};

use crate::buffer;
use crate::errors::{Failure, checked};
use crate::operation;
use crate::paths;

fn options<T>(parsed: Result<T, OptionError>) -> PyResult<T> {
    Ok(parsed.map_err(RecordError::from).map_err(Failure::from)?)
}

fn wait<T: Send + 'static>(py: Python<'_>, work: Work<Result<T, RecordError>>) -> PyResult<T> {
    checked(checked(operation::wait(py, work)?)?)
}

fn list<'py>(py: Python<'py>, records: &[Bytes]) -> PyResult<Bound<'py, PyList>> {
    PyList::new(py, records.iter().map(|record| PyBytes::new(py, record)))
}

/// The next record, waiting for it without the interpreter's lock; `None` at the end.
fn next<'py>(py: Python<'py>, reader: &Reader) -> PyResult<Option<Bound<'py, PyBytes>>> {
    loop {
        match reader.next_with(|record| PyBytes::new(py, record)) {
            Next::Record(record) => return Ok(Some(record)),
            Next::End => return Ok(None),
            Next::Wait => wait(py, checked(reader.fill())?)?,
        }
    }
}

/// The integers of a list, tuple, range, array or the like.
fn integers(keys: &Bound<'_, PyAny>) -> PyResult<Vec<i64>> {
    if keys.is_instance_of::<PyString>() || keys.is_instance_of::<PyBytes>() || keys.cast::<PySequence>().is_err() {
        let array = keys.hasattr("__array__")? && keys.len().is_ok();
        if !array {
            let found = keys.get_type().name()?;
            return Err(PyTypeError::new_err(format!("indices: found {found}, expected a sequence of integers")));
        }
    }
    let mut indices = Vec::with_capacity(keys.len()?);
    for key in keys.try_iter()? {
        let key = key?;
        let index = key.extract().map_err(|_| {
            PyTypeError::new_err(format!("indices: found {key}, expected an integer from -2**63 to 2**63 - 1"))
        })?;
        indices.push(index);
    }
    Ok(indices)
}

/// Writes one ArrayRecord file.
#[pyclass(frozen, module = "s3dlio.array_record.array_record_module")]
pub struct ArrayRecordWriter(Writer);

#[pymethods]
impl ArrayRecordWriter {
    #[new]
    #[pyo3(signature = (path, options = "", **_kwargs))]
    fn new(path: &Bound<'_, PyAny>, options: &str, _kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let options = self::options(options.parse::<WriterOptions>())?;
        Ok(Self(checked(Writer::create(&paths::uri(path)?, options))?))
    }

    /// Takes a record.
    #[pyo3(signature = (record, /))]
    fn write(&self, py: Python<'_>, record: &Bound<'_, PyAny>) -> PyResult<()> {
        let work = match record.cast::<PyBytes>() {
            Ok(bytes) => checked(self.0.write(bytes.as_bytes()))?,
            Err(_) => {
                let record = buffer::lend(record)?;
                let work = checked(self.0.write(&record));
                drop(record);
                buffer::release_returned(py);
                work?
            }
        };
        work.map_or(Ok(()), |work| wait(py, work))
    }

    /// Writes the index and makes the file visible.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        if self.0.is_closed() && !self.0.has_failed() {
            return Ok(());
        }
        wait(py, checked(self.0.finish())?)
    }

    /// Whether records can be written.
    fn ok(&self) -> bool {
        self.is_open() && !self.0.has_failed()
    }

    /// Whether the writer has not been closed.
    fn is_open(&self) -> bool {
        !self.0.is_closed()
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (kind, error, traceback, /))]
    fn __exit__(
        &self,
        py: Python<'_>,
        kind: &Bound<'_, PyAny>,
        error: &Bound<'_, PyAny>,
        traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let _ = (error, traceback);
        if kind.is_none() {
            return self.close(py);
        }
        if self.ok() {
            checked(operation::wait(py, checked(self.0.abort())?)?)?;
        }
        Ok(())
    }
}

/// What a reader stands on.
enum State {
    Open(Reader),
    /// It could not be opened.
    Failed(RecordError),
    Closed(Option<String>),
}

/// Reads one ArrayRecord file.
#[pyclass(frozen, module = "s3dlio.array_record.array_record_module")]
pub struct ArrayRecordReader {
    state: Mutex<State>,
    spec: (Uri, String),
}

impl ArrayRecordReader {
    fn reader(&self) -> PyResult<Reader> {
        match &*self.state.lock().unwrap_or_else(PoisonError::into_inner) {
            State::Open(reader) => Ok(reader.clone()),
            State::Failed(error) => checked(Err(error.clone())),
            State::Closed(_) => {
                let detail = "the reader is closed".into();
                checked(Err(RecordError::Closed { uri: self.spec.0.to_string(), detail }))
            }
        }
    }

    /// What the file says, nothing where there is none.
    fn ask<T: Default>(&self, of: impl FnOnce(&Reader) -> T) -> T {
        match &*self.state.lock().unwrap_or_else(PoisonError::into_inner) {
            State::Open(reader) => of(reader),
            State::Failed(_) | State::Closed(_) => T::default(),
        }
    }

    fn out_of_range(&self, index: u64, length: u64) -> PyErr {
        Failure::from(RecordError::OutOfRange { uri: self.spec.0.to_string(), index, length }).into()
    }

    fn several<'py>(&self, py: Python<'py>, indices: Vec<u64>) -> PyResult<Bound<'py, PyList>> {
        let reader = self.reader()?;
        list(py, &wait(py, checked(reader.file().get_many(indices))?)?)
    }

    /// Records that follow one another, each made as soon as it is there.
    fn through<'py>(&self, py: Python<'py>, records: Range<u64>) -> PyResult<Bound<'py, PyList>> {
        let reader = Reader::over(self.reader()?.file().clone(), records);
        let list = PyList::empty(py);
        while let Some(record) = next(py, &reader)? {
            list.append(record)?;
        }
        Ok(list)
    }

    /// The numbers of records `begin` to `end`, which count from the end where they are negative.
    fn range(&self, begin: i64, end: i64) -> PyResult<Range<u64>> {
        let length = self.reader()?.file().len();
        let place = |at: i64| if at < 0 { length.checked_sub(at.unsigned_abs()) } else { Some(at.unsigned_abs()) };
        match (place(begin), place(end)) {
            (Some(first), Some(last)) if first < last && last <= length => Ok(first..last),
            _ => Err(self.out_of_range(place(end).unwrap_or(length).saturating_sub(1), length)),
        }
    }
}

#[pymethods]
impl ArrayRecordReader {
    #[new]
    #[pyo3(signature = (path, options = "", **_kwargs))]
    fn new(
        py: Python<'_>,
        path: &Bound<'_, PyAny>,
        options: &str,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let spec = (paths::uri(path)?, options.to_owned());
        let options = self::options(options.parse::<ReaderOptions>())?;
        let opened = match File::open(&spec.0, options) {
            Ok(opening) => operation::wait(py, opening)?.map_err(RecordError::from).and_then(|opened| opened),
            Err(error) => Err(error.into()),
        };
        let state = opened.map_or_else(State::Failed, |file| State::Open(Reader::new(file)));
        Ok(Self { state: Mutex::new(state), spec })
    }

    /// Whether the file could be opened and has not been closed.
    fn ok(&self) -> bool {
        self.ask(|_| true)
    }

    /// Whether the reader has not been closed.
    fn is_open(&self) -> bool {
        !matches!(&*self.state.lock().unwrap_or_else(PoisonError::into_inner), State::Closed(_))
    }

    /// Closes the file.
    fn close(&self) -> PyResult<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let text = match &*state {
            State::Open(reader) => reader.file().writer_options().map(str::to_owned),
            State::Failed(_) => None,
            State::Closed(text) => text.clone(),
        };
        match std::mem::replace(&mut *state, State::Closed(text)) {
            State::Failed(error) => checked(Err(error)),
            State::Open(_) | State::Closed(_) => Ok(()),
        }
    }

    /// Number of records.
    fn num_records(&self) -> u64 {
        self.ask(|reader| reader.file().len())
    }

    /// Number of the record that is read next.
    fn record_index(&self) -> u64 {
        self.ask(Reader::position)
    }

    /// The options that the file was written with.
    fn writer_options_string(&self) -> Option<String> {
        match &*self.state.lock().unwrap_or_else(PoisonError::into_inner) {
            State::Open(reader) => reader.file().writer_options().map(str::to_owned),
            State::Failed(_) => None,
            State::Closed(text) => text.clone(),
        }
    }

    /// Goes on with another record.
    fn seek(&self, index: &Bound<'_, PyAny>) -> PyResult<()> {
        let wrong = |_| PyTypeError::new_err(format!("index: found {index}, expected an integer of 64 bits"));
        let index: i64 = index.extract().map_err(wrong)?;
        // Like the reference, which takes the number for an unsigned one: a negative index leads to the end.
        self.reader()?.seek(u64::try_from(index).unwrap_or(u64::MAX));
        Ok(())
    }

    /// The next record, the records of several indices, or those of a range.
    #[pyo3(signature = (*indices))]
    fn read<'py>(&self, py: Python<'py>, indices: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
        match indices.len() {
            0 => match next(py, &self.reader()?)? {
                Some(record) => Ok(record.into_any()),
                None => {
                    let length = self.num_records();
                    Err(self.out_of_range(length, length))
                }
            },
            1 => {
                let indices = integers(&indices.get_item(0)?)?;
                let unsigned = |index: i64| {
                    let wrong = || PyTypeError::new_err(format!("indices: found {index}, expected at least 0"));
                    u64::try_from(index).map_err(|_| wrong())
                };
                let indices = indices.into_iter().map(unsigned).collect::<PyResult<Vec<_>>>()?;
                Ok(self.several(py, indices)?.into_any())
            }
            2 => {
                let (begin, end): (i64, i64) = indices.extract()?;
                Ok(self.through(py, self.range(begin, end)?)?.into_any())
            }
            more => Err(PyTypeError::new_err(format!(
                "read() takes nothing, a sequence of indices, or the two ends of a range: found {more} arguments"
            ))),
        }
    }

    /// The next record, or `None` at the end.
    fn read_record<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        next(py, &self.reader()?)
    }

    /// All records.
    fn read_all<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let length = self.reader()?.file().len();
        self.through(py, 0..length)
    }

    fn __len__(&self) -> usize {
        usize::try_from(self.num_records()).unwrap_or(usize::MAX)
    }

    /// True, also for a file without records: programs ask whether there is a reader.
    fn __bool__(&self) -> bool {
        true
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        next(py, &self.reader()?)
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (kind, error, traceback, /))]
    fn __exit__(
        &self,
        kind: &Bound<'_, PyAny>,
        error: &Bound<'_, PyAny>,
        traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let _ = (kind, error, traceback);
        self.close()
    }

    /// A pickle names the file, and the record that is read next.
    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let reader = slf.get();
        let position = reader.reader()?.position();
        let (uri, options) = &reader.spec;
        Ok((slf.get_type(), (uri.to_string(), options), position).into_pyobject(slf.py())?.into_any())
    }

    fn __setstate__(&self, position: u64) -> PyResult<()> {
        self.reader()?.seek(position);
        Ok(())
    }
}

/// The records of several files; `s3dlio.array_record.ArrayRecordDataSource` wraps it.
#[pyclass(frozen, module = "s3dlio._s3dlio")]
pub struct ArrayRecordFiles(Files);

impl ArrayRecordFiles {
    /// A number that may count from the end.
    fn place(&self, index: i64) -> PyResult<u64> {
        let length = self.0.len();
        let place = if index < 0 { length.checked_sub(index.unsigned_abs()) } else { Some(index.unsigned_abs()) };
        match place.filter(|&place| place < length) {
            Some(place) => Ok(place),
            None => {
                let uri = self.0.parts().next().map_or_else(String::new, |part| part.uri.to_string());
                Err(Failure::Index(index, length, uri).into())
            }
        }
    }
}

#[pymethods]
impl ArrayRecordFiles {
    #[new]
    fn new(py: Python<'_>, parts: Vec<(String, u64, Option<u64>)>, options: &str) -> PyResult<Self> {
        let options = self::options(options.parse::<ReaderOptions>())?;
        let part = |(name, start, end): (String, u64, Option<u64>)| {
            Ok(Part { uri: paths::uri(&PyString::new(py, &name).into_any())?, start, end })
        };
        let parts = parts.into_iter().map(part).collect::<PyResult<Vec<_>>>()?;
        Ok(Self(wait(py, checked(Files::open(parts, options))?)?))
    }

    fn __len__(&self) -> usize {
        usize::try_from(self.0.len()).unwrap_or(usize::MAX)
    }

    /// One record.
    fn get<'py>(&self, py: Python<'py>, index: i64) -> PyResult<Bound<'py, PyBytes>> {
        let record = wait(py, checked(self.0.get(self.place(index)?))?)?;
        Ok(PyBytes::new(py, &record))
    }

    /// Several records, in the order of their indices.
    fn get_many<'py>(&self, py: Python<'py>, keys: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyList>> {
        let indices = integers(keys)?.into_iter().map(|key| self.place(key)).collect::<PyResult<Vec<_>>>()?;
        list(py, &wait(py, checked(self.0.get_many(&indices))?)?)
    }

    /// Closes the files.
    fn close(&self) {
        self.0.close();
    }

    /// Whether the file of each part is open.
    fn opened(&self) -> Vec<bool> {
        self.0.open_parts()
    }

    /// File, first record and the record behind the last, of each part.
    fn spans(&self) -> Vec<(String, u64, u64)> {
        self.0.parts().map(|part| (part.uri.to_string(), part.start, part.end.unwrap_or(part.start))).collect()
    }
}

/// Adds the classes to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<ArrayRecordWriter>()?;
    module.add_class::<ArrayRecordReader>()?;
    module.add_class::<ArrayRecordFiles>()
}

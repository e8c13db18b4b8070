//! Disky files: the classes behind `s3dlio.disky`.

use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use s3dlio_formats::riegeli::Records;
use s3dlio_records::RecordError;
use s3dlio_records::disky::{
    self, Compression, Next, OnDamage, Place, Reader, ReaderOptions, ShardOptions, ShardedReader, Snapshot, Writer,
    shards,
};
use s3dlio_store::{Uri, Work};

use crate::buffer;
use crate::bytes_view::BytesView;
use crate::errors::Failure;
use crate::operation;
use crate::paths;

/// What the options of Disky's own functions raise is an `OSError` too.
fn begun<T, E: Into<RecordError>>(result: Result<T, E>) -> PyResult<T> {
    Ok(result.map_err(|error| match error.into() {
        error @ RecordError::Config { .. } => Failure::Option(error),
        error => Failure::from(error),
    })?)
}

fn wait<T: Send + 'static>(py: Python<'_>, work: Work<Result<T, RecordError>>) -> PyResult<T> {
    begun(begun(operation::wait(py, work)?)?)
}

/// A path: text, or anything that its text names.
fn uri(path: &Bound<'_, PyAny>) -> PyResult<Uri> {
    // Paths of stores that are no files have no file name to ask for.
    if path.hasattr("joinpath")? && !path.hasattr("__fspath__")? {
        paths::uri(path.str()?.as_any())
    } else {
        paths::uri(path)
    }
}

fn uris(paths: &Bound<'_, PyAny>) -> PyResult<Vec<Uri>> {
    paths.try_iter()?.map(|path| uri(&path?)).collect()
}

/// What a reader does at damage.
#[pyclass(eq, hash, frozen, from_py_object, module = "s3dlio.disky")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::upper_case_acronyms, reason = "names of the published interface")]
pub enum CorruptionStrategy {
    /// Raise.
    ERROR,
    /// Go on behind it.
    RECOVER,
}

#[pymethods]
impl CorruptionStrategy {
    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        let py = slf.py();
        let name = match *slf.get() {
            Self::ERROR => "ERROR",
            Self::RECOVER => "RECOVER",
        };
        (py.import("builtins")?.getattr("getattr")?, (py.get_type::<Self>(), name)).into_pyobject(py)
    }
}

fn on_damage(strategy: Option<CorruptionStrategy>) -> OnDamage {
    match strategy {
        None | Some(CorruptionStrategy::ERROR) => OnDamage::Stop,
        Some(CorruptionStrategy::RECOVER) => OnDamage::Skip,
    }
}

fn strategy(on_damage: OnDamage) -> CorruptionStrategy {
    match on_damage {
        OnDamage::Stop => CorruptionStrategy::ERROR,
        OnDamage::Skip => CorruptionStrategy::RECOVER,
    }
}

/// A record: read-only bytes that share the memory of their chunk.
#[pyclass(frozen, extends = BytesView, module = "s3dlio.disky", name = "Bytes")]
pub struct Record;

impl Record {
    fn make(py: Python<'_>, bytes: bytes::Bytes) -> PyResult<Bound<'_, Self>> {
        Bound::new(py, PyClassInitializer::from(BytesView(bytes)).add_subclass(Self))
    }
}

#[pymethods]
impl Record {
    #[new]
    #[pyo3(signature = (data = None))]
    fn new(data: Option<&Bound<'_, PyAny>>) -> PyResult<PyClassInitializer<Self>> {
        Ok(PyClassInitializer::from(BytesView::new(data)?).add_subclass(Self))
    }

    fn __getitem__<'py>(slf: &Bound<'py, Self>, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let found = slf.as_super().get().__getitem__(slf.py(), key)?;
        match found.cast::<BytesView>() {
            Ok(part) => Ok(Self::make(slf.py(), part.get().0.clone())?.into_any()),
            Err(_) => Ok(found),
        }
    }

    fn __repr__(slf: &Bound<'_, Self>) -> String {
        let text: String =
            slf.as_super().get().0.iter().flat_map(|&byte| std::ascii::escape_default(byte)).map(char::from).collect();
        // The quotes are double ones, so that single ones need no backslash.
        format!("Bytes(b\"{}\")", text.replace("\\'", "'"))
    }
}

fn record<'py>(py: Python<'py>, records: &Records, number: usize) -> PyResult<Bound<'py, Record>> {
    Record::make(py, records.get(number).unwrap_or_default())
}

fn write(py: Python<'_>, writer: &Writer, data: &Bound<'_, PyAny>) -> PyResult<()> {
    let work = match data.cast::<PyBytes>() {
        Ok(bytes) => begun(writer.write(bytes.as_bytes()))?,
        Err(_) => {
            let record = buffer::lend(data)?;
            let work = begun(writer.write(&record));
            drop(record);
            buffer::release_returned(py);
            work?
        }
    };
    work.map_or(Ok(()), |work| wait(py, work))
}

fn close(py: Python<'_>, writer: &Writer) -> PyResult<()> {
    if writer.is_closed() && !writer.has_failed() {
        return Ok(());
    }
    wait(py, begun(writer.finish())?)
}

/// Ends a `with` block: what was written stays, also where the block ended in an exception.
fn leave(py: Python<'_>, writer: &Writer, kind: &Bound<'_, PyAny>) -> PyResult<()> {
    // The exception on its way tells more than that nothing can be written after it.
    if !kind.is_none() && writer.has_failed() { Ok(()) } else { close(py, writer) }
}

/// Writes one Disky file.
#[pyclass(frozen, module = "s3dlio.disky")]
pub struct RecordWriter(Writer);

#[pymethods]
impl RecordWriter {
    #[new]
    #[pyo3(signature = (path, compression = None))]
    fn new(path: &Bound<'_, PyAny>, compression: Option<&str>) -> PyResult<Self> {
        Ok(Self(Writer::create(&uri(path)?, begun(Compression::parse(compression))?)))
    }

    /// Takes a record.
    fn write_record(&self, py: Python<'_>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        write(py, &self.0, data)
    }

    /// Ends the chunk.
    fn flush(&self, py: Python<'_>) -> PyResult<()> {
        wait(py, begun(self.0.flush())?)
    }

    /// Makes the file visible.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        close(py, &self.0)
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
    ) -> PyResult<bool> {
        let _ = (error, traceback);
        leave(py, &self.0, kind).map(|()| false)
    }
}

/// Writes the shards of a directory in turn.
#[pyclass(frozen, module = "s3dlio.disky")]
pub struct MultiThreadedWriter(Writer);

#[pymethods]
impl MultiThreadedWriter {
    /// Opens the first shards.
    #[staticmethod]
    #[pyo3(signature = (
        dir_path, prefix = "shard", num_shards = 2, worker_threads = None, max_bytes_per_writer = Some(10 << 30),
        task_queue_capacity = 2000, enable_auto_sharding = true, append = true, compression = None,
    ))]
    #[expect(clippy::too_many_arguments, reason = "the published interface")]
    fn new_with_shards(
        py: Python<'_>,
        dir_path: &Bound<'_, PyAny>,
        prefix: &str,
        num_shards: usize,
        worker_threads: Option<usize>,
        max_bytes_per_writer: Option<u64>,
        task_queue_capacity: usize,
        enable_auto_sharding: bool,
        append: bool,
        compression: Option<&str>,
    ) -> PyResult<Self> {
        let options = ShardOptions {
            num_shards,
            worker_threads,
            max_bytes: max_bytes_per_writer,
            queue: task_queue_capacity,
            auto_sharding: enable_auto_sharding,
            append,
            compression: begun(Compression::parse(compression))?,
        };
        Ok(Self(wait(py, begun(Writer::create_shards(&uri(dir_path)?, prefix, &options))?)?))
    }

    /// Takes a record.
    fn write_record(&self, py: Python<'_>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        write(py, &self.0, data)
    }

    /// Ends the chunks.
    fn flush(&self, py: Python<'_>) -> PyResult<()> {
        wait(py, begun(self.0.flush())?)
    }

    /// Makes the shards visible.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        close(py, &self.0)
    }

    /// Chunks that wait for being written.
    fn pending_tasks(&self) -> usize {
        self.0.pending()
    }

    /// Shards that take records.
    fn available_writers(&self) -> usize {
        self.0.open_files()
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
    ) -> PyResult<bool> {
        let _ = (error, traceback);
        leave(py, &self.0, kind).map(|()| false)
    }
}

/// Reads one Disky file.
#[pyclass(frozen, module = "s3dlio.disky")]
pub struct RecordReader {
    reader: Reader,
    strategy: CorruptionStrategy,
}

impl RecordReader {
    fn open(py: Python<'_>, uri: &Uri, place: Place, strategy: CorruptionStrategy) -> PyResult<Self> {
        let opening = begun(Reader::open(uri, place, on_damage(Some(strategy))))?;
        let reader = begun(operation::wait(py, opening)?)?;
        Ok(Self { reader, strategy })
    }
}

#[pymethods]
impl RecordReader {
    #[new]
    #[pyo3(signature = (path, corruption_strategy = None))]
    fn new(py: Python<'_>, path: &Bound<'_, PyAny>, corruption_strategy: Option<CorruptionStrategy>) -> PyResult<Self> {
        Self::open(py, &uri(path)?, Place::default(), strategy(on_damage(corruption_strategy)))
    }

    /// Counts the records of a file.
    #[staticmethod]
    #[pyo3(signature = (path, corruption_strategy = None))]
    fn count_records(
        py: Python<'_>,
        path: &Bound<'_, PyAny>,
        corruption_strategy: Option<CorruptionStrategy>,
    ) -> PyResult<u64> {
        wait(py, begun(disky::count(&uri(path)?, on_damage(corruption_strategy)))?)
    }

    /// The next record, or `None` at the end.
    fn next_record<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, Record>>> {
        loop {
            match self.reader.next_with(|records, number| record(py, records, number)) {
                Next::Record(record) => return record.map(Some),
                Next::End => return Ok(None),
                Next::Wait if !wait(py, begun(self.reader.fill())?)? => return Ok(None),
                Next::Wait => {}
            }
        }
    }

    /// Does nothing, as in Pisky.
    #[expect(clippy::unused_self, reason = "the published interface")]
    fn close(&self) {}

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, Record>>> {
        self.next_record(py)
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (kind, error, traceback, /))]
    fn __exit__(&self, kind: &Bound<'_, PyAny>, error: &Bound<'_, PyAny>, traceback: &Bound<'_, PyAny>) -> bool {
        let _ = (kind, error, traceback);
        self.close();
        false
    }

    /// A pickle names the file, and where the next record is.
    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        let (py, this) = (slf.py(), slf.get());
        let Place { chunk, index } = begun(this.reader.place())?;
        let arguments = (this.reader.uri().to_string(), this.strategy, (chunk, index));
        (slf.get_type().getattr("_resume")?, arguments).into_pyobject(py)
    }

    #[staticmethod]
    fn _resume(py: Python<'_>, uri: &str, strategy: CorruptionStrategy, place: (u64, u64)) -> PyResult<Self> {
        Self::open(py, &begun(Uri::parse(uri))?, Place { chunk: place.0, index: place.1 }, strategy)
    }
}

fn reader_options(
    num_shards: usize,
    worker_threads: usize,
    queue_size_mb: u64,
    corruption_strategy: Option<CorruptionStrategy>,
) -> ReaderOptions {
    let queue_bytes = queue_size_mb.saturating_mul(1 << 20);
    ReaderOptions { num_shards, worker_threads, queue_bytes, on_damage: on_damage(corruption_strategy) }
}

/// The shards of a directory, at least one.
fn found(py: Python<'_>, dir_path: &Bound<'_, PyAny>, prefix: &str) -> PyResult<Vec<Uri>> {
    let directory = uri(dir_path)?;
    let found = begun(operation::wait(py, begun(shards::list(&directory, prefix))?)?)?;
    if found.is_empty() {
        return begun(Err(shards::none(&directory, prefix)));
    }
    Ok(found)
}

/// Files, strategy and options, place.
type State = (Vec<String>, (usize, usize, u64, CorruptionStrategy, bool), Vec<(usize, u64, u64)>, Vec<usize>);

/// Reads shards in turn.
#[pyclass(frozen, module = "s3dlio.disky")]
pub struct MultiThreadedReader {
    reader: Mutex<Option<ShardedReader>>,
    options: ReaderOptions,
    random: bool,
}

impl MultiThreadedReader {
    fn open(py: Python<'_>, uris: Vec<Uri>, options: ReaderOptions, random: bool) -> PyResult<Self> {
        let reader = wait(py, begun(ShardedReader::open(uris, options, random))?)?;
        Ok(Self { reader: Mutex::new(Some(reader)), options, random })
    }

    fn reader(&self) -> PyResult<ShardedReader> {
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let closed = || RecordError::Closed { uri: String::new(), detail: "the reader is closed".into() };
        begun(reader.ok_or_else(closed))
    }

    fn queued(&self) -> (u64, u64) {
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        reader.as_ref().map_or((0, 0), ShardedReader::queued)
    }
}

#[pymethods]
impl MultiThreadedReader {
    /// Reads the files `{prefix}_*` of a directory.
    #[staticmethod]
    #[pyo3(signature = (
        dir_path, prefix = "shard", num_shards = 2, worker_threads = 1, queue_size_mb = 10240, corruption_strategy = None,
    ))]
    fn new_with_shards(
        py: Python<'_>,
        dir_path: &Bound<'_, PyAny>,
        prefix: &str,
        num_shards: usize,
        worker_threads: usize,
        queue_size_mb: u64,
        corruption_strategy: Option<CorruptionStrategy>,
    ) -> PyResult<Self> {
        let options = reader_options(num_shards, worker_threads, queue_size_mb, corruption_strategy);
        Self::open(py, found(py, dir_path, prefix)?, options, false)
    }

    /// Reads files in the given order.
    #[staticmethod]
    #[pyo3(signature = (
        shard_paths, num_shards = 2, worker_threads = 1, queue_size_mb = 10240, corruption_strategy = None,
    ))]
    fn new_with_shard_paths(
        py: Python<'_>,
        shard_paths: &Bound<'_, PyAny>,
        num_shards: usize,
        worker_threads: usize,
        queue_size_mb: u64,
        corruption_strategy: Option<CorruptionStrategy>,
    ) -> PyResult<Self> {
        let options = reader_options(num_shards, worker_threads, queue_size_mb, corruption_strategy);
        Self::open(py, uris(shard_paths)?, options, false)
    }

    /// Reads files in random order, again and again.
    #[staticmethod]
    #[pyo3(signature = (
        shard_paths, num_shards = 2, worker_threads = 1, queue_size_mb = 10240, corruption_strategy = None,
    ))]
    fn new_with_random_shard_paths(
        py: Python<'_>,
        shard_paths: &Bound<'_, PyAny>,
        num_shards: usize,
        worker_threads: usize,
        queue_size_mb: u64,
        corruption_strategy: Option<CorruptionStrategy>,
    ) -> PyResult<Self> {
        let options = reader_options(num_shards, worker_threads, queue_size_mb, corruption_strategy);
        Self::open(py, uris(shard_paths)?, options, true)
    }

    /// Counts the records of the files `{prefix}_*` of a directory.
    #[staticmethod]
    #[pyo3(signature = (
        dir_path, prefix = "shard", num_shards = 2, worker_threads = 1, queue_size_mb = 10240, corruption_strategy = None,
    ))]
    fn count_records_with_shards(
        py: Python<'_>,
        dir_path: &Bound<'_, PyAny>,
        prefix: &str,
        num_shards: usize,
        worker_threads: usize,
        queue_size_mb: u64,
        corruption_strategy: Option<CorruptionStrategy>,
    ) -> PyResult<u64> {
        let options = reader_options(num_shards, worker_threads, queue_size_mb, corruption_strategy);
        wait(py, begun(disky::count_shards(found(py, dir_path, prefix)?, options))?)
    }

    /// Counts the records of files.
    #[staticmethod]
    #[pyo3(signature = (
        shard_paths, num_shards = 2, worker_threads = 1, queue_size_mb = 10240, corruption_strategy = None,
    ))]
    fn count_records_with_shard_paths(
        py: Python<'_>,
        shard_paths: &Bound<'_, PyAny>,
        num_shards: usize,
        worker_threads: usize,
        queue_size_mb: u64,
        corruption_strategy: Option<CorruptionStrategy>,
    ) -> PyResult<u64> {
        let options = reader_options(num_shards, worker_threads, queue_size_mb, corruption_strategy);
        wait(py, begun(disky::count_shards(uris(shard_paths)?, options))?)
    }

    /// The next record, or `None` at the end.
    fn next_record<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, Record>>> {
        let reader = self.reader()?;
        loop {
            match reader.next_with(|records, number| record(py, records, number)) {
                Next::Record(record) => return record.map(Some),
                Next::End => return Ok(None),
                Next::Wait if !wait(py, begun(reader.fill())?)? => return Ok(None),
                Next::Wait => {}
            }
        }
    }

    /// Gives up what is decoded ahead.
    fn close(&self) {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Records that are decoded ahead.
    fn queued_records(&self) -> u64 {
        self.queued().0
    }

    /// Bytes of what is decoded ahead.
    fn queued_bytes(&self) -> u64 {
        self.queued().1
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, Record>>> {
        self.next_record(py)
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (kind, error, traceback, /))]
    fn __exit__(&self, kind: &Bound<'_, PyAny>, error: &Bound<'_, PyAny>, traceback: &Bound<'_, PyAny>) -> bool {
        let _ = (kind, error, traceback);
        self.close();
        false
    }

    /// A pickle names the files, and where the next record of each is.
    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        let (py, this) = (slf.py(), slf.get());
        let reader = this.reader()?;
        let Snapshot { open, rest } = begun(reader.snapshot())?;
        let ReaderOptions { num_shards, worker_threads, queue_bytes, on_damage } = this.options;
        let state: State = (
            reader.uris().iter().map(ToString::to_string).collect(),
            (num_shards, worker_threads, queue_bytes, strategy(on_damage), this.random),
            open.into_iter().map(|(number, place)| (number, place.chunk, place.index)).collect(),
            rest,
        );
        (slf.get_type().getattr("_resume")?, state).into_pyobject(py)
    }

    #[staticmethod]
    fn _resume(
        py: Python<'_>,
        uris: Vec<String>,
        options: (usize, usize, u64, CorruptionStrategy, bool),
        open: Vec<(usize, u64, u64)>,
        rest: Vec<usize>,
    ) -> PyResult<Self> {
        let uris = uris.iter().map(|uri| begun(Uri::parse(uri))).collect::<PyResult<Vec<_>>>()?;
        let (num_shards, worker_threads, queue_bytes, strategy, random) = options;
        let options = ReaderOptions { num_shards, worker_threads, queue_bytes, on_damage: on_damage(Some(strategy)) };
        let open = open.into_iter().map(|(number, chunk, index)| (number, Place { chunk, index })).collect();
        let reader = wait(py, begun(ShardedReader::resume(uris, options, random, Snapshot { open, rest }))?)?;
        Ok(Self { reader: Mutex::new(Some(reader)), options, random })
    }
}

/// Adds the classes to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<CorruptionStrategy>()?;
    module.add_class::<Record>()?;
    module.add_class::<RecordWriter>()?;
    module.add_class::<RecordReader>()?;
    module.add_class::<MultiThreadedWriter>()?;
    module.add_class::<MultiThreadedReader>()
}

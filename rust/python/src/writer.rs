//! Streaming writers.

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use s3dlio_store::Uri;
use s3dlio_store::compression::Compression;
use s3dlio_store::writer::{Encode, Writer as Core, WriterOptions, WriterStats};

use crate::buffer;
use crate::errors::checked;
use crate::operation::Operation;
use crate::verbs::none;

/// An object that is being written; `s3dlio.writer` wraps it.
#[pyclass(frozen, module = "s3dlio._s3dlio")]
pub struct Writer(Core);

/// Bytes that are copied faster (2 us) than the interpreter is released and taken again.
const SMALL: usize = 16 << 10;

/// Where the encoder runs: a caller that blocks has a thread to spare, one that awaits has not.
fn place(awaits: bool) -> Encode {
    if awaits { Encode::Pool } else { Encode::Here }
}

type Figures = (u64, u64, String, u64, Option<String>);

fn figures(py: Python<'_>, stats: WriterStats) -> PyResult<Py<PyAny>> {
    let figures: Figures = (stats.bytes_written, stats.compressed_bytes, stats.checksum, stats.parts, stats.etag);
    Ok(figures.into_pyobject(py)?.into_any().unbind())
}

#[pymethods]
impl Writer {
    #[new]
    #[pyo3(signature = (
        uri, *, compression = "none", compression_level = None, chunk_size = None, buffer_size = None,
        part_size = None, max_in_flight = None, content_type = None, keep_parts = false,
    ))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments")]
    fn new(
        uri: &str,
        compression: &str,
        compression_level: Option<i32>,
        chunk_size: Option<u64>,
        buffer_size: Option<u64>,
        part_size: Option<u64>,
        max_in_flight: Option<usize>,
        content_type: Option<String>,
        keep_parts: bool,
    ) -> PyResult<Self> {
        let compression = checked(Compression::parse(compression, compression_level))?;
        let options =
            WriterOptions { compression, chunk_size, buffer_size, part_size, max_in_flight, content_type, keep_parts };
        Ok(Self(checked(Uri::parse(uri).and_then(|uri| Core::open(&uri, &options)))?))
    }

    /// The object with the extension of its compression.
    #[getter]
    fn uri(&self) -> String {
        self.0.uri().to_string()
    }

    /// Whether the writer is finished, aborted or failed.
    #[getter]
    fn closed(&self) -> bool {
        self.0.is_closed()
    }

    /// Bytes taken so far.
    #[getter]
    fn bytes_written(&self) -> u64 {
        self.0.bytes_written()
    }

    /// Bytes put out by the encoder so far.
    #[getter]
    fn compressed_bytes(&self) -> u64 {
        self.0.compressed_bytes()
    }

    /// The checksum of the bytes taken so far.
    #[getter]
    fn checksum(&self) -> String {
        self.0.checksum()
    }

    /// Takes a few bytes at once if they only have to be copied; their number, or `None`.
    fn write_small(&self, data: &Bound<'_, PyAny>) -> PyResult<Option<u64>> {
        match data.cast::<PyBytes>() {
            Ok(bytes) if bytes.as_bytes().len() <= SMALL => checked(self.0.try_write(bytes.as_bytes())),
            _ => Ok(None),
        }
    }

    /// Takes the next bytes; their number.
    #[pyo3(signature = (data, *, awaits))]
    fn write(&self, data: &Bound<'_, PyAny>, awaits: bool) -> PyResult<Operation> {
        let lent = buffer::lend(data)?;
        // Nobody can change the content of `bytes`; that of other buffers is the caller's again after the call.
        let work = if data.is_exact_instance_of::<PyBytes>() {
            self.0.write_kept(lent, place(awaits))
        } else {
            self.0.write(lent, place(awaits))
        };
        Ok(Operation::new(checked(work)?, |py, taken| Ok(taken.into_pyobject(py)?.into_any().unbind())))
    }

    /// Waits for the parts on their way.
    fn flush(&self) -> PyResult<Operation> {
        Ok(Operation::new(checked(self.0.flush())?, none))
    }

    /// Makes the object visible; (bytes, compressed bytes, checksum, parts, entity tag).
    #[pyo3(signature = (*, awaits))]
    fn finish(&self, awaits: bool) -> PyResult<Operation> {
        Ok(Operation::new(checked(self.0.finish(place(awaits)))?, figures))
    }

    /// Gives the object up.
    fn abort(&self) -> PyResult<Operation> {
        Ok(Operation::new(checked(self.0.abort())?, none))
    }
}

/// Checks the name and level of a compression.
#[pyfunction]
fn check_compression(method: &str, level: Option<i32>) -> PyResult<()> {
    checked(Compression::parse(method, level)).map(|_| ())
}

/// Adds the class and the function to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Writer>()?;
    module.add_function(wrap_pyfunction!(check_compression, module)?)
}

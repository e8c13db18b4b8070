//! Content for benchmarks.

use bytes::Bytes;
use pyo3::prelude::*;
use s3dlio_formats::generate::{Content, Kind};
use s3dlio_records::generate;

use crate::buffer;
use crate::bulk;
use crate::errors::Failure;
use crate::verbs::view;

/// One whole object of a kind.
#[pyfunction(name = "generate")]
fn object(py: Python<'_>, kind: &str, size: u64, dedup: u64, compress: u64, seed: u64) -> PyResult<Py<PyAny>> {
    let content = bulk::content(kind, size, dedup, compress, seed)?;
    let object = py.detach(|| content.object(0)).map_err(|error| Failure::Format(error, kind.to_owned()))?;
    view(py, Bytes::from(object))
}

/// Random bytes, made on several threads (0: one for each core).
#[pyfunction]
fn generate_parallel(
    py: Python<'_>,
    size: usize,
    dedup: u64,
    compress: u64,
    seed: u64,
    threads: usize,
) -> PyResult<Py<PyAny>> {
    let content = Content { kind: Kind::Random, size: size as u64, dedup, compress, seed };
    let bytes = py.detach(|| {
        let mut out = vec![0; size];
        generate::fill(&content, 0, 0, &mut out, threads);
        Bytes::from(out)
    });
    view(py, bytes)
}

/// What comes from byte `offset` on of an object of `size` random bytes, over the memory of a buffer; the number of bytes.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "the state of a generator")]
fn generate_into(
    py: Python<'_>,
    buffer: &Bound<'_, PyAny>,
    size: u64,
    offset: u64,
    dedup: u64,
    compress: u64,
    seed: u64,
    threads: usize,
) -> PyResult<usize> {
    let content = Content { kind: Kind::Random, size, dedup, compress, seed };
    let mut region = buffer::lend_mut(buffer)?;
    let length = region.len().min(usize::try_from(size.saturating_sub(offset)).unwrap_or(usize::MAX));
    py.detach(|| generate::fill(&content, 0, offset, &mut region.memory()[..length], threads));
    Ok(length)
}

/// Adds the functions to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(object, module)?)?;
    module.add_function(wrap_pyfunction!(generate_parallel, module)?)?;
    module.add_function(wrap_pyfunction!(generate_into, module)?)
}

//! Bytes that Python lends, to read or to fill: any contiguous buffer, without a copy.

use std::sync::OnceLock;

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, unbounded};
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use s3dlio_store::region::{Memory, Region};

type Returned = (Sender<PyBuffer<u8>>, Receiver<PyBuffer<u8>>);

/// Buffers whose last user was a thread of the runtime. Giving one back needs the interpreter, which those threads
/// never attach to, so the next call from Python does it.
fn returned() -> &'static Returned {
    static RETURNED: OnceLock<Returned> = OnceLock::new();
    RETURNED.get_or_init(unbounded)
}

/// Releases buffers that the runtime has finished with.
pub fn release_returned(_py: Python<'_>) {
    returned().1.try_iter().for_each(drop);
}

struct Lent(Option<PyBuffer<u8>>);

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        let Some(buffer) = self.0.as_ref() else { return &[] };
        if buffer.len_bytes() == 0 {
            return &[];
        }
        // SAFETY: the exporter keeps a contiguous buffer of `len_bytes` alive and in place until the PyBuffer is
        // released. That nobody writes to it meanwhile is the caller's side of the contract of `put`.
        unsafe { std::slice::from_raw_parts(buffer.buf_ptr().cast::<u8>(), buffer.len_bytes()) }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(buffer) = self.0.take() {
            // The receiver lives as long as the process.
            let _ = returned().0.send(buffer);
        }
    }
}

/// The memory of a bytes-like object, of any item type, as bytes.
///
/// # Errors
/// `TypeError` for anything without a buffer and for buffers that are not C-contiguous.
pub fn lend(object: &Bound<'_, PyAny>) -> PyResult<Bytes> {
    Ok(Bytes::from_owner(borrow(object)?))
}

/// The memory of a writable bytes-like object, to be filled.
///
/// # Errors
/// `TypeError` as [`lend`], and for memory that can only be read.
pub fn lend_mut(object: &Bound<'_, PyAny>) -> PyResult<Region> {
    let lent = borrow(object)?;
    if lent.0.as_ref().is_none_or(|buffer| buffer.readonly() && buffer.len_bytes() > 0) {
        let kind = object.get_type();
        return Err(PyTypeError::new_err(format!("expected a writable buffer, found a read-only {kind}")));
    }
    Ok(Region::new(Writable(lent)))
}

/// A buffer that can be written to.
struct Writable(Lent);

// SAFETY: the exporter keeps an initialised, writable, contiguous buffer of `len_bytes` in place until the PyBuffer is
// released, which needs this value to be dropped. That nobody else uses the memory meanwhile is the caller's side of the
// contract of every call that fills memory.
unsafe impl Memory for Writable {
    fn pointer(&self) -> *mut u8 {
        self.0.0.as_ref().map_or(std::ptr::dangling_mut(), |buffer| buffer.buf_ptr().cast())
    }

    fn length(&self) -> usize {
        self.0.0.as_ref().map_or(0, |buffer| buffer.len_bytes())
    }
}

fn borrow(object: &Bound<'_, PyAny>) -> PyResult<Lent> {
    release_returned(object.py());
    if object.is_instance_of::<PyString>() {
        return Err(PyTypeError::new_err("expected bytes or a buffer, found str: encode it first"));
    }
    let kind = || object.get_type().to_string();
    // A cast to bytes accepts every item type and refuses what is not contiguous.
    let view = object
        .py()
        .import("builtins")?
        .getattr("memoryview")?
        .call1((object,))
        .map_err(|_| PyTypeError::new_err(format!("expected bytes or a contiguous buffer, found {}", kind())))?;
    if !view.getattr("c_contiguous")?.extract::<bool>()? {
        return Err(PyTypeError::new_err(format!("expected a contiguous buffer, found a strided {}", kind())));
    }
    let flat = if view.getattr("nbytes")?.extract::<usize>()? == 0 {
        // A cast refuses shapes with a zero in them.
        PyBytes::new(object.py(), b"").into_any()
    } else {
        view.call_method1("cast", ("B",))?
    };
    Ok(Lent(Some(PyBuffer::get(&flat)?)))
}

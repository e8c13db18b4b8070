//! `BytesView`: the bytes of an object, readable like `bytes` and shared without a copy.

use std::ffi::c_int;

use bytes::Bytes;
use pyo3::basic::CompareOp;
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyIndexError, PyOverflowError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PySlice, PyTuple};

use crate::buffer;

/// Read-only bytes in memory that Rust owns.
///
/// It equals, hashes, compares, indexes and searches like `bytes` and offers the buffer protocol; slices with step 1
/// and `memoryview` share its memory.
#[pyclass(frozen, subclass, module = "s3dlio", name = "BytesView")]
pub struct BytesView(pub Bytes);

/// Methods that `bytes` has and that make no sense of their own here: they run on a copy.
macro_rules! like_bytes {
    ($($method:ident),+ $(,)?) => {
        #[pymethods]
        impl BytesView {
            $(
                #[pyo3(signature = (*args, **kwargs))]
                fn $method<'py>(
                    &self,
                    py: Python<'py>,
                    args: &Bound<'py, PyTuple>,
                    kwargs: Option<&Bound<'py, PyDict>>,
                ) -> PyResult<Bound<'py, PyAny>> {
                    self.copy(py).call_method(stringify!($method), args, kwargs)
                }
            )+
        }
    };
}

impl BytesView {
    fn copy<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0)
    }

    fn item(&self, index: isize) -> PyResult<u8> {
        let length = self.0.len().cast_signed();
        let at = if index < 0 { index + length } else { index };
        usize::try_from(at)
            .ok()
            .and_then(|at| self.0.get(at).copied())
            .ok_or_else(|| PyIndexError::new_err("BytesView index out of range"))
    }
}

/// Runs `with` on the bytes of any bytes-like object; `None` if it is not one.
fn as_slice<T>(other: &Bound<'_, PyAny>, with: impl FnOnce(&[u8]) -> T) -> Option<T> {
    if let Ok(view) = other.cast::<BytesView>() {
        return Some(with(&view.get().0));
    }
    if let Ok(bytes) = other.cast::<PyBytes>() {
        return Some(with(bytes.as_bytes()));
    }
    let buffer = PyBuffer::<u8>::get(other).ok()?;
    buffer.to_vec(other.py()).ok().map(|copy| with(&copy))
}

#[pymethods]
impl BytesView {
    #[new]
    #[pyo3(signature = (data = None))]
    pub(crate) fn new(data: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        // Copied, so that a later change of the buffer cannot change the view.
        data.map_or_else(|| Ok(Self(Bytes::new())), |data| Ok(Self(Bytes::copy_from_slice(&buffer::lend(data)?))))
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn __getitem__<'py>(&self, py: Python<'py>, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let Ok(slice) = key.cast::<PySlice>() else {
            let index = key.extract::<isize>().map_err(|error| {
                if error.is_instance_of::<PyOverflowError>(py) {
                    return PyIndexError::new_err("BytesView index out of range");
                }
                PyTypeError::new_err(format!("BytesView indices must be integers or slices, not {}", key.get_type()))
            })?;
            return Ok(self.item(index)?.into_pyobject(py)?.into_any());
        };
        let range = slice.indices(self.0.len().cast_signed())?;
        let start = range.start.max(0).cast_unsigned();
        let part = if range.step == 1 {
            self.0.slice(start..start + range.slicelength)
        } else {
            let at = |i: usize| range.start + range.step * i.cast_signed();
            (0..range.slicelength).map(|i| self.0[at(i).cast_unsigned()]).collect()
        };
        Ok(Bound::new(py, Self(part))?.into_any())
    }

    fn __contains__(&self, item: &Bound<'_, PyAny>) -> PyResult<bool> {
        self.copy(item.py()).contains(item)
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.copy(py).call_method0("__iter__")
    }

    fn __reversed__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        py.import("builtins")?.getattr("reversed")?.call1((self.copy(py),))
    }

    fn __add__<'py>(&self, py: Python<'py>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.copy(py).add(other)
    }

    fn __radd__<'py>(&self, py: Python<'py>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        other.add(self.copy(py))
    }

    fn __mul__<'py>(&self, py: Python<'py>, count: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.copy(py).mul(count)
    }

    fn __rmul__<'py>(&self, py: Python<'py>, count: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.copy(py).mul(count)
    }

    fn __mod__<'py>(&self, py: Python<'py>, values: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.copy(py).rem(values)
    }

    fn __richcmp__(&self, py: Python<'_>, other: &Bound<'_, PyAny>, op: CompareOp) -> PyResult<Py<PyAny>> {
        let compared = as_slice(other, |other| op.matches((*self.0).cmp(other)));
        Ok(match compared {
            Some(result) => result.into_pyobject(py)?.to_owned().into_any().unbind(),
            None => py.NotImplemented(),
        })
    }

    fn __hash__(&self, py: Python<'_>) -> PyResult<isize> {
        // The interpreter's keyed hash of a memory range is not in the stable ABI, so equal bytes are hashed.
        self.copy(py).hash()
    }

    fn __bytes__<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        self.copy(py)
    }

    fn __str__(&self, py: Python<'_>) -> PyResult<String> {
        self.copy(py).repr()?.extract()
    }

    fn __repr__(&self) -> String {
        format!("BytesView({} bytes)", self.0.len())
    }

    /// The bytes as a `memoryview`, without a copy.
    fn memoryview<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("builtins")?.getattr("memoryview")?.call1((slf,))
    }

    /// A copy as `bytes`.
    fn to_bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        self.copy(py)
    }

    /// A copy as `bytes`; the name that `memoryview` uses.
    fn tobytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        self.copy(py)
    }

    fn __copy__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __deepcopy__(slf: Py<Self>, _memo: &Bound<'_, PyAny>) -> Py<Self> {
        slf
    }

    fn __reduce_ex__<'py>(slf: &Bound<'py, Self>, protocol: i32) -> PyResult<Bound<'py, PyTuple>> {
        let py = slf.py();
        // From protocol 5 on the bytes can travel beside the pickle, uncopied.
        let data = if protocol >= 5 {
            py.import("pickle")?.getattr("PickleBuffer")?.call1((slf,))?
        } else {
            slf.get().copy(py).into_any()
        };
        (slf.get_type(), (data,)).into_pyobject(py)
    }

    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let bytes = &slf.get().0;
        // SAFETY: the interpreter passes a valid `view`; the memory belongs to `slf`, which the view keeps alive,
        // and is never changed or moved.
        let status = unsafe {
            ffi::PyBuffer_FillInfo(
                view,
                slf.as_ptr(),
                bytes.as_ptr().cast_mut().cast(),
                bytes.len().cast_signed(),
                1,
                flags,
            )
        };
        if status == -1 { Err(PyErr::fetch(slf.py())) } else { Ok(()) }
    }
}

like_bytes!(
    capitalize,
    center,
    count,
    decode,
    endswith,
    expandtabs,
    find,
    hex,
    index,
    isalnum,
    isalpha,
    isascii,
    isdigit,
    islower,
    isspace,
    istitle,
    isupper,
    join,
    ljust,
    lower,
    lstrip,
    partition,
    removeprefix,
    removesuffix,
    replace,
    rfind,
    rindex,
    rjust,
    rpartition,
    rsplit,
    rstrip,
    split,
    splitlines,
    startswith,
    strip,
    swapcase,
    title,
    translate,
    upper,
    zfill,
);

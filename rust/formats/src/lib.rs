//! Array formats as pure functions over bytes.
//!
//! Nothing here opens a file, waits, or keeps state between calls: a codec is given the bytes of an object and
//! returns slices of them wherever the format allows. The same code therefore serves local files, remote objects,
//! and property tests.
//!
//! - [`array_record`]: records with an index.
//! - [`npy`]: one array, as written by `numpy.save`.
//! - [`npz`]: a ZIP archive of such arrays, as written by `numpy.savez` and `numpy.savez_compressed`.
//! - [`disky`]: records in chunks, read from front to back.
//! - [`riegeli`]: the container under ArrayRecord and Disky files.
//! - [`varint`]: the numbers of variable length in it.
//! - [`tfrecord`]: records with checksums, as TensorFlow writes them, their index, and the examples in them.
//! - [`generate`]: content for benchmarks.
//! - [`error`]: the one error type, with a variant for each way in which a file can be wrong.
//!
//! Input is taken to be hostile: every length is checked against the bytes at hand before it is used, and no
//! input, however damaged, makes these functions panic.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod array_record;
pub mod disky;
pub mod error;
pub mod generate;
pub mod image;
pub mod npy;
pub mod npz;
pub mod riegeli;
pub mod tfrecord;
pub mod varint;

pub use error::{FormatError, Result};
pub use npy::Array;
pub use npz::{Limits, Npz};

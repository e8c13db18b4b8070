//! ArrayRecord files over any store.
//!
//! [`File`] is one file open for reading, [`Files`] several as one sequence, [`Reader`] reads one from front to back ahead
//! of its caller, [`Writer`] writes one. Chunks that hold several records are kept decoded for the next reader of
//! them, within a bound for the whole process.

mod batch;
mod cache;
mod file;
mod files;
mod reader;
mod writer;

pub use file::File;
pub(crate) use file::read_index;
pub use files::{Files, Part};
pub use reader::{Next, Reader};
pub use writer::Writer;

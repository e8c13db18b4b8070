//! Row groups of Parquet files over any store: as they are stored, or as Arrow.
//!
//! The `parquet` crate reads footers and decodes pages; this module fetches the bytes for it. [`File`] is one version of a
//! file with its footer known, [`open_many`] opens several, and [`footers`] keeps the footers of a process for calls that name
//! a file each time. [`generate`] makes files for benchmarks.
//!
//! A Parquet file ends with its footer, the length of that and four letters; a row group is a range of rows, of which each
//! column has a chunk of its own (<https://parquet.apache.org/docs/file-format/>).

mod chunks;
mod file;
mod footer;
pub mod footers;
pub mod generate;

pub use file::{Column, Decode, File, open_many};
pub use footer::{FOOTER_CAP, Footer};

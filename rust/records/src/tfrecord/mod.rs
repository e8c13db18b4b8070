//! TFRecord files: read in order or through an index, indexed, and written.
//!
//! - [`Stream`]: the records of a file in order, also of a compressed one;
//! - [`Indexed`]: the records of files by their number;
//! - [`create_index`], [`create_indexes`]: the index that DALI reads, from any store to any store;
//! - [`Writer`]: a file, compressed or not, and its index with it.

mod create;
mod entries;
pub(crate) mod headers;
mod indexed;
pub mod pace;
mod prefix;
mod stream;
mod writer;

pub use create::create_index;
pub use entries::{entries, entries_of, index_text, read_index};
pub use indexed::{IndexFrom, Indexed};
pub use prefix::{Made, PrefixOptions, create_indexes};
pub use stream::{Position, Stream, StreamOptions};
pub use writer::{Writer, WriterOptions};

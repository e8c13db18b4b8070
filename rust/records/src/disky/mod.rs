//! Disky files over any store: records in chunks, read from front to back, in one file or in the shards of a directory.
//!
//! [`Reader`] reads one file, [`ShardedReader`] several in turn; both decode chunks ahead of their caller on other threads.
//! [`Writer`] writes one file or a directory of [`shards`]. Whole chunks pass between threads, never single records.

mod file;
mod options;
mod reader;
mod sharded;
pub mod shards;
mod source;
mod stream;
mod writer;

pub use options::{Compression, ReaderOptions, ShardOptions};
pub use reader::{Reader, count};
pub use s3dlio_formats::riegeli::OnDamage;
pub use sharded::{ShardedReader, Snapshot, count_shards};
pub use stream::Place;
pub use writer::Writer;

pub use crate::array_record::Next;

//! Disky record files: records in chunks of about a mebibyte, read from front to back.
//!
//! Such a file has no index and no end: it is a signature and chunks up to its last byte. Files that Riegeli wrote are
//! read too, with every compression; what differs is told apart chunk by chunk.
//!
//! - [`Writer`] turns records into the bytes of a file, [`Buffer`] and [`Options::encode`] do so on several threads.
//! - [`Reader`] says which bytes it needs and returns the records of one chunk at a time.
//! - [`AppendCheck`] looks whether a file ends where a chunk ends, before more is written behind it.

mod append;
mod reader;
mod writer;

pub use append::{AppendCheck, Tail};
pub use reader::{Next, Reader};
pub use writer::{Buffer, DEFAULT_CHUNK_SIZE, DEFAULT_LEVEL, Options, Writer};

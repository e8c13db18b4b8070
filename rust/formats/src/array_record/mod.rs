//! ArrayRecord files: records in groups, and an index that finds any of them at once.
//!
//! Such a file is a Riegeli file: one chunk for each group of records, then a chunk with the index (the footer), and a
//! last block that tells where the footer is (the postscript). All groups but the last are of one size.
//!
//! - [`WriterOptions`] and [`ReaderOptions`] read the option strings.
//! - [`Opener`] says which bytes it needs to make the [`Index`] of a file, and the index says where a record's chunk lies
//!   and decodes it.
//! - [`Writer`] turns records into the bytes of a file. Its parts serve writers with several threads: [`Grouper`]
//!   collects groups, [`Encoder`] makes chunks of them anywhere, and [`Placer`] puts those into the file in order.
//! - [`Scan`] finds the records of a file whose index is lost, [`Salvage`] returns all that is whole of a damaged one, and
//!   [`Verify`] looks at every byte that carries meaning.

mod error;
mod index;
mod messages;
mod open;
mod options;
mod place;
mod salvage;
mod scan;
mod size;
mod verify;
mod writer;

pub use error::{ArrayRecordError, OptionError};
pub use index::{ChunkEntry, Index};
pub use open::{Opened, Opener};
pub use options::{DEFAULT_GROUP_SIZE, IndexStorage, ReaderOptions, WriterOptions};
pub use place::Placer;
pub use salvage::{Salvage, Salvaged};
pub use scan::{Scan, Scanned};
pub use verify::{Checked, Summary, Verify};
pub use writer::{Encoder, FIRST_GROUP_BYTES, Grouper, Writer};

/// Result of reading or writing at this level.
pub type Result<T, E = ArrayRecordError> = std::result::Result<T, E>;

/// Bytes from the begin of the postscript to the end of the file.
pub const TAIL: u64 = crate::riegeli::BLOCK;

/// The shortest file: one block with the signature and an empty index, and the last block.
pub const SHORTEST: u64 = 2 * TAIL;

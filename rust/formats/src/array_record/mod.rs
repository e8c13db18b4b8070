//! ArrayRecord: a Riegeli file whose last two chunks are an index of the others and a pointer to it.
//!
//! A reader looks at the last 64 KiB first ([`Tail`]), then at the [`Index`], and finds every record from there. A writer
//! collects records in groups ([`Grouper`]), encodes each group by itself, and puts the chunks one behind the other
//! ([`Placer`]). [`WriterOptions`] and [`ReaderOptions`] are read from the texts that users give.

mod error;
mod index;
mod messages;
mod options;
mod writer;

pub use error::{ArrayRecordError, OptionError};
pub use index::{Index, Location, TAIL, Tail};
pub use options::{ReaderOptions, WriterOptions};
pub use writer::{ADAPTIVE_BYTES, DEFAULT_GROUP_SIZE, Grouper, Placer, encode};

/// Result of this module.
pub type Result<T, E = ArrayRecordError> = std::result::Result<T, E>;

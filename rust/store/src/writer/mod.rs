//! Streaming writers: an object that is made piece by piece, of any size, in bounded memory.
//!
//! ```text
//! write(bytes) ─► checksum ─► encoder (or none) ─► part being filled ─► parts in flight ─► store
//!                                                       └── one of at most `held` buffers ──┘
//! ```
//!
//! A writer holds a fixed number of parts, copied into its own buffers or left where they are: one is filled while the
//! others are on their way. When all are on their way the next [`Writer::write`] waits; that is the back-pressure. The
//! object appears under its name when [`Writer::finish`] has succeeded, whole, and in no other case.

mod handle;
mod options;
mod stream;
mod upload;

pub use handle::{Encode, Writer, WriterStats};
pub use options::{Sizes, WriterOptions};

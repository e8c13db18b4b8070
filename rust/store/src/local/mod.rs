//! Local files: the fast reader, atomic writes and directory walks, and all of it as an object store.
//!
//! All functions block; callers run them on the calling thread or on the reading pool.

mod arena;
mod copy;
mod direct;
mod obstacle;
mod read;
mod remove;
mod sink;
mod store;
mod temporary;
mod together;
mod upload;
mod walk;
mod write;

pub use arena::Arena;
pub use copy::copy;
pub use obstacle::obstacle;
pub use read::{Reader, read, read_into, read_onto};
pub use remove::{make_directory, remove, remove_directory, remove_tree};
pub use store::LocalStore;
pub use temporary::Create;
pub use walk::{Found, directory, is_temporary, walk};
pub(crate) use write::write_pieces;
pub use write::{write, write_atomic};

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

use crate::buffer::HUGE;
use crate::error::{Result, StoreError};

/// From this size on a file is read into memory of the pool: smaller memory is recycled by the allocator.
const POOLED: usize = HUGE;

/// How files are read and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Through the page cache.
    Buffered,
    /// Past the page cache (`O_DIRECT`).
    Direct {
        /// Buffered where the file system refuses `O_DIRECT`, instead of [`StoreError::Unsupported`].
        fallback: bool,
    },
}

impl Mode {
    /// The URI of a path that is used in this mode.
    fn uri(self, path: &str) -> String {
        match self {
            Self::Buffered => format!("file://{path}"),
            Self::Direct { .. } => format!("direct://{path}"),
        }
    }
}

/// Metadata of a file or directory; symbolic links are followed.
///
/// # Errors
/// [`StoreError::NotFound`], [`StoreError::PermissionDenied`], [`StoreError::Store`].
pub fn metadata(path: &str) -> Result<Metadata> {
    std::fs::metadata(path).map_err(|source| StoreError::io(format!("file://{path}"), &source))
}

/// An entity tag for a file: inode, modification time in ns and size, so that a rewrite changes it.
#[must_use]
pub fn etag(meta: &Metadata) -> String {
    format!("{:x}-{:x}-{:x}", meta.ino(), meta.mtime() * 1_000_000_000 + meta.mtime_nsec(), meta.size())
}

//! Local files: the fast reader, atomic writes and directory walks.
//!
//! All functions block; callers run them on the calling thread or on the reading pool.

mod read;
mod walk;
mod write;

pub use read::{read, read_onto};
pub use walk::{Found, directory, is_temporary, walk};
pub use write::{Create, remove, remove_tree, write, write_atomic};

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

use crate::error::{Result, StoreError};

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
    fn check(self, path: &str) -> Result<()> {
        match self {
            Self::Buffered => Ok(()),
            Self::Direct { .. } => Err(StoreError::Unsupported { uri: format!("direct://{path}"), detail: "".into() }),
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

//! NPZ archives and NPY files over any store.
//!
//! [`read`] fetches a whole archive, which is one request for all but large ones; [`read_selected`] fetches the end of the
//! archive and then the members asked for, and [`Archive`] keeps the first of these for further reads. Arrays that are
//! stored as they are share the memory of what was fetched; the others are inflated on several threads.

mod archive;
mod decode;
mod read;
mod write;

pub use archive::Archive;
pub use read::{read, read_many, read_npy, read_selected};
pub use write::{write, write_npy};

use s3dlio_formats::{Array, FormatError};
use s3dlio_store::Uri;

use crate::error::{Place, RecordError};

/// Arrays with their names, in the order of the archive or of the names asked for.
pub type Arrays = Vec<(String, Array)>;

/// What is wrong with the content of an object.
fn wrong(uri: &Uri, error: FormatError) -> RecordError {
    RecordError::format(uri, Place::default(), error)
}

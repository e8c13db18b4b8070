//! s3dlio for trainers that are written in Rust with [`tch`].
//!
//! [`mod@batches`] hands out what a [`Loader`](s3dlio_loader::Loader) reads as tensors, with the order, sharding and exact
//! resume that the loader has in every language. [`checkpoint`] saves tensors and texts (the loader's state) in the
//! files of [`s3dlio_checkpoint`], which Python reads as dicts of tensors, and reads those of Python. [`kinds`] says
//! which types of elements there are on both sides.
//!
//! The crate needs the one libtorch that [`tch`] is made for. It is no part of the Python package.

pub mod batches;
pub mod checkpoint;
pub mod error;
pub mod kinds;

pub use batches::{Batch, Batches, Data, batches};
pub use error::{Result, TrainError};

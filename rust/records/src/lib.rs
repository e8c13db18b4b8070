//! Record files and archives over any store.
//!
//! The codecs of `s3dlio-formats` say which bytes they need and what these mean; this crate fetches and writes them:
//! [`input`] reads ranges of one version of an object and [`ahead`] the windows of it that are likely to be wanted next,
//! [`output`] writes an object that appears whole or not at all. There is one module for each format on top of these, and
//! above them what is alike for all: [`kind`] tells which format a file has, [`inspect`](mod@inspect) what is in it,
//! [`verify`](mod@verify) whether it is sound; [`salvage`] reads what is whole of a damaged one, and
//! [`convert`](mod@convert) turns one format into another.

pub mod ahead;
pub mod array_record;
pub mod coalesce;
pub mod convert;
pub mod disky;
pub mod error;
pub mod generate;
pub mod input;
pub mod inspect;
mod jobs;
pub mod kind;
pub mod npz;
pub mod output;
pub mod parquet;
pub mod salvage;
pub mod tfrecord;
pub mod verify;
mod walk;

pub use error::{RecordError, Result};
pub use input::Input;
pub use kind::Kind;
pub use output::Output;
pub use s3dlio_store::progress::Progress;

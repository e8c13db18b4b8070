//! Record files and archives over any store.
//!
//! The codecs of `s3dlio-formats` say which bytes they need and what these mean; this crate fetches and writes them:
//! [`input`] reads ranges of one version of an object and [`ahead`] the windows of it that are likely to be wanted next,
//! [`output`] writes an object that appears whole or not at all. There is one module for each format on top of these.

pub mod ahead;
pub mod array_record;
mod coalesce;
mod decoding;
pub mod disky;
pub mod error;
pub mod input;
pub mod npz;
pub mod output;
mod parallel;
mod task;
pub mod tfrecord;

pub use error::{RecordError, Result};
pub use input::Input;
pub use output::Output;

//! Record files in stores. One binary, as linking takes longer than most of the tests.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

#[path = "../common/mod.rs"]
mod common;

mod coalesce;
mod input;
mod integrity;
mod npz;
mod output;
mod parquet;
mod tfrecord_index;
mod tfrecord_indexed;
mod tfrecord_pace;
mod tfrecord_stream;
mod tfrecord_writer;

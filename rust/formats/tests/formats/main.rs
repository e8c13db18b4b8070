//! Formats. One binary, as linking takes longer than most of the tests.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../fixtures/mod.rs"]
mod fixtures;
#[path = "../common/array_record.rs"]
mod golden;
#[path = "../common/proto.rs"]
mod proto;
#[path = "../common/zip.rs"]
mod zip_writer;

mod array_record;
mod corpus;
mod disky;
mod image;
mod npy;
mod npy_encode;
mod npz;
mod npz_directory;
mod npz_encode;
mod salvage;
mod tfrecord;
mod tfrecord_example;
mod transpose;

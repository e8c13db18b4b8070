//! Stores and verbs. One binary, as linking takes longer than most of the tests.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

#[path = "../common/mod.rs"]
mod common;

mod compression;
mod conformance;
mod direct;
mod local;
mod local_create;
mod local_faults;
mod local_store;
mod network;
mod oplog;
mod region;
mod transfer;
mod uri;
mod verbs;
mod writer;
mod writer_options;

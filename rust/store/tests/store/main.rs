//! Stores and verbs. One binary, as building one takes longer than most of the tests. Those that set the environment of
//! their process, each in its own way, are apart.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

#[path = "../../../runtime/tests/common/child.rs"]
mod child;
#[path = "../common/mod.rs"]
mod common;

mod compression;
mod conformance;
mod direct;
mod local;
mod local_create;
mod local_faults;
mod local_store;
mod region;
mod uri;
mod verbs;
mod writer_options;

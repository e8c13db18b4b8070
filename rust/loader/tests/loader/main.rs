//! The loader. One binary, as linking takes longer than most of the tests.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

#[path = "../../../runtime/tests/common/child.rs"]
mod child;
#[path = "../common/mod.rs"]
mod common;

mod batches;
mod decoders;
mod discovery;
mod equal;
mod exactly_once;
mod failures;
mod options;
mod orders;
mod pipeline;
mod records;
mod sampler;
mod shards;
mod source;
mod stacking;
mod state;
mod template;

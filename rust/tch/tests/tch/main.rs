//! Batches and checkpoints as tensors, with the libtorch and the Python of the environment.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

mod batches;
mod checkpoint;
#[path = "../../examples/train.rs"]
mod train;
mod training;

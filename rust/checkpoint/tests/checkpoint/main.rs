//! Checkpoints. One binary, as linking takes longer than most of the tests.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

mod boxes;
mod formats;
mod steps;

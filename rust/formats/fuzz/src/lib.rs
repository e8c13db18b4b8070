//! Fuzz targets for every parser of `s3dlio-formats`.
//!
//! `make fuzz` runs them; `tests/formats/corpus.rs` of that crate replays what they have found so far.

pub mod targets;

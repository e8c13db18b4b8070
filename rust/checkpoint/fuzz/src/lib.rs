//! Fuzz targets for every parser of `s3dlio-checkpoint`.
//!
//! `make fuzz` runs them; `tests/corpus.rs` of that crate replays what they have found so far. The parsers are compiled
//! from their sources, without the stores that the crate links: those would take minutes, and their code would drown
//! that of the parsers.

#![allow(dead_code, reason = "what the rest of the crate uses of the parsers")]

#[path = "../../src/container.rs"]
pub mod container;
#[path = "../../src/dtype.rs"]
pub mod dtype;
#[path = "../../src/format.rs"]
pub mod format;
#[path = "../../src/header.rs"]
pub mod header;
#[path = "../../src/layout.rs"]
pub mod layout;
#[path = "../../src/manifest.rs"]
pub mod manifest;
#[path = "../../src/meta.rs"]
pub mod meta;
#[path = "../../src/tree.rs"]
pub mod tree;

pub mod targets;

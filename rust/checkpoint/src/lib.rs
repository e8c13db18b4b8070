//! Checkpoints of s3dlio over any store: verified, committed atomically, loaded under any sharding, without pickle.
//!
//! [`header`], [`container`], [`tree`], [`manifest`] and [`layout`] are pure functions over bytes and names. On top of
//! them [`save`] writes a shard, [`commit`] makes the shards of all ranks a checkpoint, [`open`] finds one and reads any
//! part of it, and [`gc`] removes what is not wanted any more. [`contents`] tells what is in one, for [`diff`] and [`export`].

pub mod base;
pub mod boxes;
pub mod commit;
pub mod container;
pub mod contents;
mod dcp;
pub mod diff;
pub mod dtype;
pub mod error;
pub mod export;
pub mod find;
pub mod format;
pub mod gc;
pub mod header;
pub mod layout;
pub mod manifest;
pub mod meta;
pub mod older;
pub mod open;
mod read;
pub mod retention;
pub mod save;
pub mod seed;
pub mod shard;
mod task;
pub mod tree;
pub mod verify;
pub mod view;

pub use error::{CheckpointError, Result};
pub use format::FormatError;

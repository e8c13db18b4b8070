//! Checkpoints of s3dlio over any store: verified, committed atomically, loaded under any sharding, without pickle.
//!
//! [`header`], [`container`], [`tree`], [`manifest`] and [`layout`] are pure functions over bytes and names. On top of
//! them [`save`] writes a shard, [`commit`] makes the shards of all ranks a checkpoint, [`open`] finds one and reads any
//! part of it, and [`gc`] removes what is not wanted any more.

pub mod base;
pub mod boxes;
pub mod commit;
pub mod container;
pub mod dtype;
pub mod error;
pub mod gc;
pub mod header;
pub mod layout;
pub mod manifest;
pub mod memory;
pub mod meta;
pub mod open;
mod read;
pub mod save;
pub mod seed;
pub mod shard;
mod task;
pub mod tree;
pub mod verify;

pub use error::{CheckpointError, FormatError, Result};

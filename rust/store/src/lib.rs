//! Object storage for s3dlio: one set of verbs over every URI scheme.
//!
//! [`uri`] parses, [`registry`] turns a URI into a store (kept per process), [`ops`] holds the verbs. Network stores
//! are `object_store` clients; local files are read and written by [`local`], on the calling thread or on the
//! reading pool, because a hop through a runtime costs more than a small read.

pub mod bucket;
mod buffer;
mod cache;
pub mod check;
pub mod compression;
mod credentials;
pub mod error;
mod layers;
pub mod local;
pub mod naming;
pub mod observe;
pub mod oplog;
pub mod ops;
pub mod pattern;
pub mod progress;
pub mod region;
pub mod registry;
mod sending;
pub mod settings;
pub mod size_cache;
pub mod transfer;
mod transport;
mod upload;
pub mod uri;
pub mod work;
pub mod writer;

pub use error::{Result, StoreError};
pub use uri::{Scheme, Uri};
pub use work::Work;

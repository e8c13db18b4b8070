//! The loader: records in, ready batches out, in an order that is a pure function of seed, epoch and position.
//!
//! [`source`] says what the records are ([`shards`] where they come in order only), [`sampler`] in which order, [`batches`] which rank and worker gets which,
//! [`pipeline`] reads ahead, decodes and assembles, and [`state`] is the cursor that a resumed run starts from.

pub mod batch;
pub mod batches;
pub mod decode;
pub mod error;
mod loader;
pub mod options;
pub mod pipeline;
pub mod sampler;
pub mod shards;
pub mod source;
pub mod state;

pub use error::{LoaderError, Result};
pub use loader::{Loader, Samples};
pub use options::LoaderOptions;

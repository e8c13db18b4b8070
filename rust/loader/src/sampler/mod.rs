//! Samplers: the order of an epoch as a pure function of (seed, epoch, position).
//!
//! A sampler holds no generator state, so that any thread, worker or rank can ask for any position at any time, and so
//! that resuming needs a position only.

mod block;
mod global;
mod mixture;
pub mod permutation;
mod sequential;

use std::fmt::Debug;

pub use block::Block;
pub use global::Global;
pub use mixture::Mixture;
pub use permutation::Permutation;
pub use sequential::Sequential;

/// The order of the samples of each epoch.
pub trait Sampler: Send + Sync + Debug {
    /// The number of positions of `epoch`.
    fn len(&self, epoch: u64) -> u64;

    /// The order of `epoch`: what is the same for all its positions is worked out once.
    fn order(&self, epoch: u64) -> Box<dyn Order>;

    /// The index in the data set of the sample at `position` of `epoch`.
    ///
    /// `position` must be below `len(epoch)`. A position at or past the end counts on from the beginning
    /// (`position % len`), and an empty epoch gives 0. Where many positions of one epoch are wanted, ask its
    /// [`order`](Sampler::order).
    fn index(&self, epoch: u64, position: u64) -> u64 {
        self.order(epoch).index(position)
    }
}

/// The order of one epoch.
pub trait Order: Send + Sync + Debug {
    /// As [`Sampler::index`].
    fn index(&self, position: u64) -> u64;
}

//! The global shuffle: every epoch its own permutation of the whole data set.

use super::{Order, Permutation, Sampler};

/// Every epoch runs over all of `0..n` in the order of [`Permutation`]`(n, seed, epoch)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Global {
    /// The number of samples of the data set.
    pub n: u64,
    /// The seed of the shuffle; every value is as good as any other.
    pub seed: u64,
}

impl Global {
    /// The permutation of `epoch`.
    #[must_use]
    pub fn permutation(&self, epoch: u64) -> Permutation {
        Permutation::new(self.n, self.seed, epoch)
    }
}

impl Sampler for Global {
    fn len(&self, _epoch: u64) -> u64 {
        self.n
    }

    fn order(&self, epoch: u64) -> Box<dyn Order> {
        Box::new(self.permutation(epoch))
    }
}

impl Order for Permutation {
    fn index(&self, position: u64) -> u64 {
        Self::index(self, position)
    }
}

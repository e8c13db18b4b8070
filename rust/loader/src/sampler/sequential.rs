//! The order of the data set itself.

use super::{Order, Sampler};

/// Every epoch runs over `0..n` in ascending order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sequential {
    /// The number of samples of the data set.
    pub n: u64,
}

impl Sampler for Sequential {
    fn len(&self, _epoch: u64) -> u64 {
        self.n
    }

    fn order(&self, _epoch: u64) -> Box<dyn Order> {
        Box::new(*self)
    }
}

impl Order for Sequential {
    fn index(&self, position: u64) -> u64 {
        position.checked_rem(self.n).unwrap_or(0)
    }
}

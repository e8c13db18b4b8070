//! Shards with options, from which any epoch can be iterated.

use std::sync::Arc;

use super::{RecordShards, ShardIter, ShardState};
use crate::batches::Sharding;
use crate::error::{LoaderError, Result};

/// Largest batch and buffer: past any use, and small enough to be counted.
const MOST: u64 = 1 << 24;

/// Options of a reader of shards.
#[derive(Debug, Clone, Copy)]
pub struct ShardOptions {
    /// Records in a batch, 1 to 16,777,216.
    pub batch_size: u64,
    /// Whether a short batch at the end is dropped.
    pub drop_last: bool,
    /// Records that are mixed, 0 to 16,777,216; 0 and 1 leave them and the shards in their order.
    pub buffer: u64,
    /// Seed of the order of shards and records.
    pub seed: u64,
    /// This process's part: every shard goes to one worker of one rank.
    pub sharding: Sharding,
}

/// A number of shards with options; cheap to iterate again and again.
#[derive(Debug, Clone)]
pub struct ShardLoader {
    shards: Arc<dyn RecordShards>,
    options: ShardOptions,
}

impl ShardLoader {
    /// Checks the options.
    ///
    /// # Errors
    /// [`LoaderError::Config`] naming the option that is out of range: fewer shards than there are readers too.
    pub fn new(shards: Arc<dyn RecordShards>, options: ShardOptions) -> Result<Self> {
        let ShardOptions { batch_size, buffer, sharding, .. } = options;
        sharding.validate()?;
        if batch_size == 0 || batch_size > MOST {
            let expected = format!("an integer from 1 to {MOST}");
            return Err(LoaderError::config("batch_size", batch_size.to_string(), expected));
        }
        if buffer > MOST {
            return Err(LoaderError::config("buffer", buffer.to_string(), format!("an integer from 0 to {MOST}")));
        }
        let readers = sharding.world.saturating_mul(sharding.workers);
        if shards.len() < readers {
            let found = format!("{} ranks with {} workers each", sharding.world, sharding.workers);
            let expected = format!("at most {} readers in all, as there are so many files", shards.len());
            return Err(LoaderError::config("shard_world_size", found, expected));
        }
        Ok(Self { shards, options })
    }

    /// The shards.
    #[must_use]
    pub fn shards(&self) -> &Arc<dyn RecordShards> {
        &self.shards
    }

    /// The options.
    #[must_use]
    pub fn options(&self) -> &ShardOptions {
        &self.options
    }

    /// Whether records and shards are mixed.
    pub(super) fn mixes(&self) -> bool {
        self.options.buffer > 1
    }

    /// The state at the beginning of an epoch.
    #[must_use]
    pub fn begin(&self, epoch: u64) -> ShardState {
        let ShardOptions { buffer, seed, sharding, .. } = self.options;
        let Sharding { rank, world, worker, workers } = sharding;
        let fingerprint = self.shards.fingerprint();
        ShardState::begin(epoch, seed, buffer, self.shards.len(), fingerprint, [rank, world, worker, workers])
    }

    /// Reads a saved state.
    ///
    /// # Errors
    /// [`LoaderError::StateInvalid`] for a text that is no state, [`LoaderError::StateMismatch`] saying what differs.
    pub fn resume(&self, json: &str) -> Result<ShardState> {
        let state = ShardState::from_json(json)?;
        state.check(&self.begin(0))?;
        Ok(state)
    }

    /// Goes on from a state. Call it, and what it returns, on the thread that owns the environment.
    #[must_use]
    pub fn iterate(&self, from: ShardState) -> ShardIter {
        ShardIter::new(self.clone(), from)
    }
}

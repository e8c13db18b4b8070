//! A loader: a source and options, from which any epoch can be iterated from any step.

use std::sync::Arc;

use crate::batches::BatchPlan;
use crate::error::Result;
use crate::options::{LoaderOptions, Shuffle};
use crate::pipeline::BatchIter;
use crate::sampler::{Global, Sampler, Sequential};
use crate::source::RecordSource;
use crate::state::{Cursor, LoaderState};

/// A source with options; cheap to iterate again and again.
#[derive(Debug, Clone)]
pub struct Loader {
    source: Arc<dyn RecordSource>,
    options: LoaderOptions,
    plan: BatchPlan,
}

impl Loader {
    /// Checks the options and plans the epoch.
    ///
    /// # Errors
    /// [`LoaderError::Config`](crate::LoaderError::Config) naming the option that is out of range.
    pub fn new(source: Arc<dyn RecordSource>, options: LoaderOptions) -> Result<Self> {
        options.validate()?;
        let plan = BatchPlan::new(source.len(), options.batch_size, options.last(), options.sharding)?;
        Ok(Self { source, options, plan })
    }

    /// The records.
    #[must_use]
    pub fn source(&self) -> &Arc<dyn RecordSource> {
        &self.source
    }

    /// The options.
    #[must_use]
    pub fn options(&self) -> &LoaderOptions {
        &self.options
    }

    /// Which positions each batch holds.
    #[must_use]
    pub fn plan(&self) -> &BatchPlan {
        &self.plan
    }

    /// The order of an epoch.
    #[must_use]
    pub fn sampler(&self) -> Box<dyn Sampler> {
        match self.options.shuffle {
            Shuffle::None => Box::new(Sequential { n: self.source.len() }),
            Shuffle::Global => Box::new(Global { n: self.source.len(), seed: self.options.seed }),
        }
    }

    /// Iterates an epoch from a step of this rank on; a worker of several begins at its first batch from there.
    ///
    /// Call it on the thread that owns the environment: it opens the stores.
    ///
    /// # Errors
    /// Settings of the store that cannot work, or a system that grants no thread.
    pub fn iterate(&self, epoch: u64, step: u64) -> Result<BatchIter> {
        BatchIter::start(self, epoch, self.plan.first_batch_at_or_after(step))
    }

    /// The state after `step` batches of an epoch and `sample` samples of the next.
    #[must_use]
    pub fn state(&self, epoch: u64, step: u64, sample: u64) -> LoaderState {
        let shuffle = self.options.shuffle.to_string();
        let begin = LoaderState::begin(&self.plan, &shuffle, self.options.seed, self.source.fingerprint());
        LoaderState { epoch, batch: step, sample, ..begin }
    }

    /// Where to go on from a saved state.
    ///
    /// # Errors
    /// [`LoaderError::StateInvalid`](crate::LoaderError::StateInvalid) for a text that is no state,
    /// [`LoaderError::StateMismatch`](crate::LoaderError::StateMismatch) saying what differs.
    pub fn resume(&self, json: &str) -> Result<Cursor> {
        LoaderState::from_json(json)?.resume(&self.state(0, 0, 0), &self.plan)
    }
}

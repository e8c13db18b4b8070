//! A loader: a source and options, from which any epoch can be iterated from any step.

use std::ops::Range;
use std::sync::Arc;

use s3dlio_store::Work;

use crate::batches::BatchPlan;
use crate::decode::Sample;
use crate::error::{LoaderError, Result};
use crate::options::{LoaderOptions, Shuffle};
use crate::pipeline::{BatchIter, replace};
use crate::sampler::{Block, Global, Mixture, Sampler, Sequential};
use crate::source::{self, RecordSource};
use crate::state::{Cursor, LoaderState};

/// Samples that are being read and decoded: the outer error is the store's, the inner one that of a record.
pub type Samples = Work<Result<Vec<Sample>>>;

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
        let options = settled(source.as_ref(), options)?;
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
        let n = self.source.len();
        let Some(parts) = self.source.mixture() else { return self.sampler_of(0..n) };
        let mut start = 0;
        let sampler = |&(length, weight): &(u64, u64)| {
            let range = start..start + length;
            start = range.end;
            (self.sampler_of(range), weight)
        };
        Box::new(Mixture::new(parts.iter().map(sampler).collect()))
    }

    /// The order of a range of the records, numbered from 0.
    fn sampler_of(&self, range: Range<u64>) -> Box<dyn Sampler> {
        let (n, seed) = (range.end - range.start, self.options.seed);
        match (self.options.shuffle, self.source.layout()) {
            (Shuffle::None, _) => Box::new(Sequential { n }),
            (Shuffle::Block | Shuffle::Auto, Some(layout)) => {
                let part = (n < layout.len()).then(|| layout.slice(&range));
                let layout = part.as_ref().unwrap_or(layout);
                let window = match self.options.shuffle_window {
                    0 => layout.window(),
                    window => window,
                };
                Box::new(Block::new(layout.block_ends(), window, seed))
            }
            _ => Box::new(Global { n, seed }),
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

    /// The record that takes the place of one that whoever handles samples refuses, when `tries` others were refused too,
    /// and the work that reads it; `None` when enough were tried.
    ///
    /// # Errors
    /// As [`source::read`].
    pub fn replacement(&self, index: u64, tries: u64) -> Result<Option<(u64, Samples)>> {
        let Some(other) = replace::choice(self.source.len(), index, tries) else { return Ok(None) };
        Ok(Some((other, source::read(&self.source, vec![other], 1, self.options.decoder.clone())?)))
    }

    /// The state after `step` batches of an epoch and `sample` samples of the next.
    #[must_use]
    pub fn state(&self, epoch: u64, step: u64, sample: u64) -> LoaderState {
        let shuffle = match self.options.shuffle_window {
            window if window > 0 && self.options.shuffle == Shuffle::Block => format!("block/{window}"),
            _ => self.options.shuffle.to_string(),
        };
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

/// The options with what they leave to the source.
fn settled(source: &dyn RecordSource, options: LoaderOptions) -> Result<LoaderOptions> {
    let shuffle = match options.shuffle {
        Shuffle::Auto | Shuffle::Block if source.layout().is_none() => Shuffle::Global,
        Shuffle::Auto => Shuffle::Block,
        chosen => chosen,
    };
    match source.decoder() {
        Some(decoder) if decoder != options.decoder => {
            let expected = format!("\"{decoder}\", which alone these records have");
            Err(LoaderError::config("decoder", format!("\"{}\"", options.decoder), expected))
        }
        _ => Ok(LoaderOptions { shuffle, ..options }),
    }
}

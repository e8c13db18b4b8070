//! Options of a loader, with their ranges.

use std::str::FromStr;
use std::time::Duration;

use s3dlio_runtime::settings;

use crate::batches::{Last, Sharding};
use crate::decode::Decoder;
use crate::error::{LoaderError, Result};

/// Largest batch: past any training batch, and small enough that sizes of batches cannot overflow.
const MAX_BATCH: u64 = 1 << 24;

/// Most batches ahead, and their number when only the memory budget is to bound them: with smaller samples than a
/// kilobyte the budget alone would let the bookkeeping of batches outgrow the data.
const MAX_PREFETCH: usize = 1024;

/// Most reads in flight: what one process may have open files for under the usual limit of 1,024, halved.
const MAX_READS: usize = 512;

/// Most blocks of a shuffle window: 64 GiB of blocks of the usual megabyte.
const MAX_WINDOW: u64 = 1 << 16;

/// Least memory budget: one part of a large object.
const MIN_BUDGET: u64 = 1 << 20;

/// In which order records come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Shuffle {
    /// As the data set has them.
    #[default]
    None,
    /// A permutation of the whole epoch.
    Global,
    /// A permutation of the blocks of the source, and of the records within a window of blocks.
    Block,
    /// `Block` where records lie together in files, else `Global`.
    Auto,
}

/// What becomes of the arrays of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Collate {
    /// One array with the batch in front; unequal shapes are an error.
    #[default]
    Stack,
    /// The samples one by one.
    List,
}

/// What becomes of a record that cannot be read or decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnError {
    /// The iteration ends with the error.
    #[default]
    Raise,
    /// The sample is left out, counted and reported; its batch is shorter.
    Skip,
    /// Another record takes its place, always the same one; it is counted and reported.
    Replace,
}

/// Options of a loader.
#[derive(Debug, Clone)]
pub struct LoaderOptions {
    /// Samples in a batch, 1 to 16,777,216.
    pub batch_size: u64,
    /// Whether an uneven tail is dropped; says the default of `last`.
    pub drop_last: bool,
    /// What becomes of an uneven tail.
    pub last: Option<Last>,
    /// Order of the records.
    pub shuffle: Shuffle,
    /// Seed of the order.
    pub seed: u64,
    /// Blocks that a `Block` shuffle mixes, 0 to 65,536; 0 leaves it to the source.
    pub shuffle_window: u64,
    /// How records are decoded.
    pub decoder: Decoder,
    /// What becomes of arrays.
    pub collate: Collate,
    /// What becomes of bad records.
    pub on_error: OnError,
    /// Bad records of one iteration beyond which the next is an error all the same; `None` is without a bound.
    pub max_errors: Option<u64>,
    /// Whether a batch without a good sample gets another in place of its first: with `OnError::Skip` it would be empty,
    /// and other ranks would wait for it. Where samples are handed out one by one, that does no harm.
    pub keep_batches: bool,
    /// Bytes that fetched and decoded samples may take until the consumer has them; at least 1 MiB.
    pub memory_budget: u64,
    /// Batches ready or in work ahead of the consumer, 1 to 1,024; 0 leaves it to the memory budget.
    pub prefetch: usize,
    /// Network reads in flight, 1 to 512; 0 means 64, or this process's share of the machine's 512.
    pub reads: usize,
    /// Longest wait for a batch; `None` waits as long as the store's own time limits allow.
    pub timeout: Option<Duration>,
    /// This process's part of the data set.
    pub sharding: Sharding,
}

impl Default for LoaderOptions {
    fn default() -> Self {
        Self {
            batch_size: 1,
            drop_last: false,
            last: None,
            shuffle: Shuffle::None,
            seed: 0,
            shuffle_window: 0,
            decoder: Decoder::Bytes,
            collate: Collate::Stack,
            on_error: OnError::Raise,
            max_errors: None,
            keep_batches: true,
            memory_budget: settings::memory_budget(),
            prefetch: 0,
            reads: 0,
            timeout: None,
            sharding: Sharding { rank: 0, world: 1, worker: 0, workers: 1 },
        }
    }
}

impl LoaderOptions {
    /// Checks every range.
    ///
    /// # Errors
    /// [`LoaderError::Config`] naming the option, or the environment variable of the shared resources, what was found and
    /// what was expected.
    pub fn validate(&self) -> Result<()> {
        settings::check().map_err(|bad| LoaderError::config(bad.name, bad.found, "an integer of at least 1"))?;
        within("batch_size", self.batch_size, 1, MAX_BATCH)?;
        within("memory_budget", self.memory_budget, MIN_BUDGET, 1 << 46)?;
        within("prefetch", self.prefetch as u64, 0, MAX_PREFETCH as u64)?;
        within("shuffle_window", self.shuffle_window, 0, MAX_WINDOW)?;
        within("num_workers", self.reads as u64, 0, MAX_READS as u64)?;
        if self.timeout.is_some_and(|timeout| timeout.is_zero()) {
            return Err(LoaderError::config("timeout_seconds", "0", "a time above 0, or none"));
        }
        if self.drop_last && self.last.is_some_and(|last| last != Last::Drop) {
            return Err(LoaderError::config(
                "last",
                format!("{} together with drop_last=True", self.last()),
                "last=\"drop\", or drop_last=False",
            ));
        }
        Ok(())
    }

    /// The rule for uneven tails that holds.
    #[must_use]
    pub fn last(&self) -> Last {
        self.last.unwrap_or_else(|| Last::default_for(self.drop_last, self.sharding.world))
    }

    /// Whether the arrays of a batch are copied into one buffer.
    pub(crate) fn stacks(&self) -> bool {
        self.decoder != Decoder::Bytes && self.collate == Collate::Stack
    }

    pub(crate) fn batches_ahead(&self) -> usize {
        if self.prefetch == 0 { MAX_PREFETCH } else { self.prefetch }
    }

    pub(crate) fn reads_in_flight(&self) -> u64 {
        if self.reads == 0 { settings::network_reads() as u64 } else { self.reads as u64 }
    }
}

fn within(option: &'static str, found: u64, least: u64, most: u64) -> Result<()> {
    if (least..=most).contains(&found) {
        return Ok(());
    }
    Err(LoaderError::config(option, found.to_string(), format!("an integer from {least} to {most}")))
}

/// Reads an option that is one of a few words.
macro_rules! words {
    ($type:ident, $option:literal, $($word:literal => $value:ident),+) => {
        impl FromStr for $type {
            type Err = LoaderError;

            fn from_str(text: &str) -> Result<Self> {
                match text {
                    $($word => Ok(Self::$value),)+
                    _ => Err(LoaderError::config($option, format!("{text:?}"), [$(concat!("\"", $word, "\"")),+].join(" or "))),
                }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(match self { $(Self::$value => $word),+ })
            }
        }
    };
}

words!(Shuffle, "shuffle", "none" => None, "global" => Global, "block" => Block, "auto" => Auto);
words!(Collate, "collate", "stack" => Stack, "list" => List);
words!(OnError, "on_error", "raise" => Raise, "skip" => Skip, "replace" => Replace);

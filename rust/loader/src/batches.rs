//! Which positions of an epoch each batch of each rank and worker holds.
//!
//! The batches of an epoch are numbered globally: batch `g` holds the positions `g * B .. (g + 1) * B` of the sampler's
//! sequence. Rank `r` of `W` takes `g = r, r + W, ..`; the number of a batch within its rank's own sequence is a *step*, so
//! that step `s` is batch `s * W + r`. Worker `w` of `N` takes the steps `w, w + N, ..`, which is the order in which a
//! DataLoader interleaves its workers again. The `W * B` positions of one step over all ranks are the *global batch*: they
//! depend on that product only, not on how it is split.

use std::fmt;
use std::str::FromStr;

use crate::error::{LoaderError, Result};

/// What happens where the positions of an epoch do not fill the last step of every rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Last {
    /// The rest is left out: `floor(n / (W * B))` full steps for every rank.
    Drop,
    /// The last position is repeated: `ceil(n / (W * B))` full steps for every rank.
    Pad,
    /// The epoch goes on from its first position (`p % n`): `ceil(n / (W * B))` full steps for every rank.
    Wrap,
    /// Nothing is added or left out: the `ceil(n / B)` batches are dealt out, the last one may be short, and the number of
    /// steps of two ranks may differ by one.
    Uneven,
}

impl Last {
    /// The rule where none is asked for: `Drop` for `drop_last`, else `Uneven` for a single rank and `Wrap` for several.
    #[must_use]
    pub fn default_for(drop_last: bool, world: u64) -> Self {
        match (drop_last, world) {
            (true, _) => Self::Drop,
            (false, 0 | 1) => Self::Uneven,
            (false, _) => Self::Wrap,
        }
    }

    /// The rule's name, as users spell it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Pad => "pad",
            Self::Wrap => "wrap",
            Self::Uneven => "uneven",
        }
    }
}

impl fmt::Display for Last {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Last {
    type Err = LoaderError;

    /// Reads "drop", "pad", "wrap" or "uneven".
    ///
    /// # Errors
    /// [`LoaderError::Config`] naming `last` for anything else.
    fn from_str(text: &str) -> Result<Self> {
        [Self::Drop, Self::Pad, Self::Wrap, Self::Uneven]
            .into_iter()
            .find(|last| last.name() == text)
            .ok_or_else(|| config("last", format!("{text:?}"), "\"drop\", \"pad\", \"wrap\" or \"uneven\""))
    }
}

/// Which part of the batches is ours: one rank of a training job, and one DataLoader worker of that rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sharding {
    /// The rank, `0 <= rank < world` (option `shard_rank`).
    pub rank: u64,
    /// The number of ranks, at least 1 (option `shard_world_size`).
    pub world: u64,
    /// The DataLoader worker within the rank, `0 <= worker < workers` (option `worker_id`).
    pub worker: u64,
    /// The number of DataLoader workers of the rank, at least 1 (option `num_workers_pytorch`).
    pub workers: u64,
}

impl Sharding {
    /// The only worker of the only rank.
    pub const WHOLE: Self = Self { rank: 0, world: 1, worker: 0, workers: 1 };

    /// Checks the ranges of all four numbers.
    ///
    /// # Errors
    /// [`LoaderError::Config`] naming the option that is out of range.
    pub fn validate(&self) -> Result<()> {
        at_least_one("shard_world_size", self.world)?;
        below("shard_rank", self.rank, "shard_world_size", self.world)?;
        at_least_one("num_workers_pytorch", self.workers)?;
        below("worker_id", self.worker, "num_workers_pytorch", self.workers)
    }
}

impl Default for Sharding {
    fn default() -> Self {
        Self::WHOLE
    }
}

/// The positions of one batch: `real` of them counted up from `start`, then `fill` that [`Last`] adds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The position of the batch's first slot, before padding or wrapping: `start >= n` where the batch is all fill.
    pub start: u64,
    /// The number of positions of the epoch itself, `start .. start + real`.
    pub real: u64,
    /// The number of slots after those that repeat positions; see [`BatchPlan::position`].
    pub fill: u64,
}

impl Span {
    /// The number of samples of the batch.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.real + self.fill
    }

    /// Whether the batch holds nothing, which is so for steps past the end only.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The batches of an epoch for one worker of one rank: arithmetic only, the same for every epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchPlan {
    n: u64,
    batch_size: u64,
    last: Last,
    sharding: Sharding,
}

impl BatchPlan {
    /// The plan for `n` samples an epoch in batches of `batch_size`.
    ///
    /// # Errors
    /// [`LoaderError::Config`] naming the option that is out of range. `n` and `batch_size * shard_world_size` must be
    /// below 2^63, so that every position of the plan is a `u64`.
    pub fn new(n: u64, batch_size: u64, last: Last, sharding: Sharding) -> Result<Self> {
        const LIMIT: u64 = 1 << 63;
        at_least_one("batch_size", batch_size)?;
        sharding.validate()?;
        if batch_size.checked_mul(sharding.world).is_none_or(|global| global >= LIMIT) {
            let found = format!("{batch_size} on {} ranks", sharding.world);
            return Err(config("batch_size", found, "batch_size * shard_world_size below 2^63"));
        }
        if n >= LIMIT {
            return Err(config("n", n.to_string(), "a number of samples below 2^63"));
        }
        Ok(Self { n, batch_size, last, sharding })
    }

    /// The number of samples of the data set, which is the number of positions of an epoch.
    #[must_use]
    pub fn n(&self) -> u64 {
        self.n
    }

    /// The number of samples of a full batch.
    #[must_use]
    pub fn batch_size(&self) -> u64 {
        self.batch_size
    }

    /// The rule for the end of the epoch.
    #[must_use]
    pub fn last(&self) -> Last {
        self.last
    }

    /// The rank and worker.
    #[must_use]
    pub fn sharding(&self) -> Sharding {
        self.sharding
    }

    /// The number of samples of one step over all ranks.
    #[must_use]
    pub fn global_batch(&self) -> u64 {
        self.batch_size * self.sharding.world
    }

    /// The steps of an epoch for the rank that has most of them. Other ranks have fewer only under [`Last::Uneven`].
    #[must_use]
    pub fn rounds(&self) -> u64 {
        match self.last {
            Last::Drop => self.n / self.global_batch(),
            Last::Pad | Last::Wrap | Last::Uneven => self.n.div_ceil(self.global_batch()),
        }
    }

    /// The steps of an epoch for this rank, over all its workers.
    #[must_use]
    pub fn steps(&self) -> u64 {
        let Sharding { rank, world, .. } = self.sharding;
        match self.last {
            Last::Drop | Last::Pad | Last::Wrap => self.rounds(),
            Last::Uneven => self.n.div_ceil(self.batch_size).saturating_sub(rank).div_ceil(world),
        }
    }

    /// The batches of an epoch for this worker.
    #[must_use]
    pub fn batches(&self) -> u64 {
        self.first_batch_at_or_after(self.steps())
    }

    /// The step of this worker's batch number `k`.
    #[must_use]
    pub fn step_of(&self, k: u64) -> u64 {
        k.saturating_mul(self.sharding.workers).saturating_add(self.sharding.worker)
    }

    /// The number of this worker's first batch whose step is `step` or a later one, which is also the number of its batches
    /// before `step`. Past the end of the epoch the count goes on: compare with [`BatchPlan::batches`].
    #[must_use]
    pub fn first_batch_at_or_after(&self, step: u64) -> u64 {
        step.saturating_sub(self.sharding.worker).div_ceil(self.sharding.workers)
    }

    /// The positions of this rank's batch at `step`; empty for steps past the end.
    #[must_use]
    pub fn span(&self, step: u64) -> Span {
        let start = self.unbounded(step, 0);
        if step >= self.steps() {
            return Span { start: saturate(start), real: 0, fill: 0 };
        }
        let start = saturate(start);
        let real = self.n.saturating_sub(start).min(self.batch_size);
        let fill = match self.last {
            Last::Pad | Last::Wrap => self.batch_size - real,
            Last::Drop | Last::Uneven => 0,
        };
        Span { start, real, fill }
    }

    /// The position of the epoch, `0 <= position < n`, that `slot` of this rank's batch at `step` holds.
    ///
    /// `step` must be below [`BatchPlan::steps`] and `slot` below the length of its span. Beyond that the answer is `p % n`
    /// under [`Last::Wrap`], else `n - 1`, and 0 for an empty data set.
    #[must_use]
    pub fn position(&self, step: u64, slot: u64) -> u64 {
        let position = self.unbounded(step, slot);
        let n = u128::from(self.n);
        saturate(match self.last {
            _ if position < n => position,
            Last::Wrap => position.checked_rem(n).unwrap_or(0),
            Last::Drop | Last::Pad | Last::Uneven => n.saturating_sub(1),
        })
    }

    /// The number of positions of the epoch that all ranks together have consumed after `step` steps each.
    #[must_use]
    pub fn samples_before(&self, step: u64) -> u64 {
        step.saturating_mul(self.global_batch()).min(self.n)
    }

    /// The position of a slot as if the epoch had no end. `step * world + rank` stays below 2^127, which leaves room for the
    /// batch size in any step that exists.
    fn unbounded(&self, step: u64, slot: u64) -> u128 {
        let Sharding { rank, world, .. } = self.sharding;
        let batch = u128::from(step) * u128::from(world) + u128::from(rank);
        batch.saturating_mul(u128::from(self.batch_size)).saturating_add(u128::from(slot))
    }
}

fn saturate(value: u128) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

fn config(option: &'static str, found: String, expected: &str) -> LoaderError {
    LoaderError::Config { option, found, expected: expected.to_owned() }
}

fn at_least_one(option: &'static str, found: u64) -> Result<()> {
    match found {
        0 => Err(config(option, found.to_string(), "an integer of at least 1")),
        _ => Ok(()),
    }
}

fn below(option: &'static str, found: u64, limit_option: &str, limit: u64) -> Result<()> {
    if found < limit {
        return Ok(());
    }
    let expected = format!("an integer below `{limit_option}` ({limit})");
    Err(config(option, found.to_string(), &expected))
}

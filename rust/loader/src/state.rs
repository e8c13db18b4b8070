//! The state of a loader: a small versioned JSON cursor, and how it carries over to another layout.
//!
//! Since the order is a pure function of (seed, epoch, position), a state needs no generator and no list of indices. The
//! ranks of a job run in lockstep, so that their states agree in all but `rank`, and any of them resumes any rank.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::batches::{BatchPlan, Last, Sharding};
use crate::error::{LoaderError, Result};

/// The version of the state's layout that this crate writes, and the only one it reads.
pub const VERSION: u32 = 1;

/// What a loader saves: which order and layout it has, and how far it is. The fields are the JSON's keys, in its order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoaderState {
    /// The version of this layout, [`VERSION`].
    pub v: u32,
    /// The epoch.
    pub epoch: u64,
    /// The steps of the epoch that this rank has consumed. In the state of one DataLoader worker: all steps of that worker
    /// below this one are consumed, the other workers' may be or not.
    pub batch: u64,
    /// The samples consumed of the next batch, below `batch_size`; left out of the JSON when 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub sample: u64,
    /// The seed of the shuffle.
    pub seed: u64,
    /// The shuffle: "none" or "global".
    pub shuffle: String,
    /// The number of samples of the data set.
    pub n: u64,
    /// The fingerprint of the data set, in hexadecimal digits.
    pub fp: String,
    /// The number of samples of a full batch.
    pub batch_size: u64,
    /// The rule for the end of the epoch; see [`Last`].
    pub last: String,
    /// The rank that saved the state.
    pub rank: u64,
    /// The number of ranks.
    pub world: u64,
    /// The DataLoader worker that saved the state, where it was one of several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<u64>,
    /// The number of DataLoader workers; given exactly where `worker` is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workers: Option<u64>,
}

/// Where a loader goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The epoch.
    pub epoch: u64,
    /// The first step of the rank that may still be due, at most [`BatchPlan::steps`]. A DataLoader worker goes on with its
    /// batch number [`BatchPlan::first_batch_at_or_after`] this step.
    pub step: u64,
    /// The samples to leave out of the first batch; 0 but for states saved inside a batch.
    pub sample: u64,
}

impl LoaderState {
    /// The state of a loader at the beginning of epoch 0.
    ///
    /// `fp` is the fingerprint of the data set; up to 128 characters keep the JSON below 1 KiB.
    #[must_use]
    pub fn begin(plan: &BatchPlan, shuffle: &str, seed: u64, fp: &str) -> Self {
        let Sharding { rank, world, worker, workers } = plan.sharding();
        Self {
            v: VERSION,
            epoch: 0,
            batch: 0,
            sample: 0,
            seed,
            shuffle: shuffle.to_owned(),
            n: plan.n(),
            fp: fp.to_owned(),
            batch_size: plan.batch_size(),
            last: plan.last().to_string(),
            rank,
            world,
            worker: (workers > 1).then_some(worker),
            workers: (workers > 1).then_some(workers),
        }
    }

    /// The state as one line of JSON; equal states give equal text.
    #[must_use]
    pub fn to_json(&self) -> String {
        match serde_json::to_string(self) {
            Ok(json) => json,
            Err(error) => unreachable!("integers and strings always have a JSON form: {error}"),
        }
    }

    /// Reads what [`LoaderState::to_json`] wrote.
    ///
    /// # Errors
    /// [`LoaderError::StateInvalid`] for text that is not such JSON, another version, missing or unknown fields, wrong
    /// types, and numbers that contradict each other.
    pub fn from_json(text: &str) -> Result<Self> {
        check_version(text)?;
        let state: Self = serde_json::from_str(text)
            .map_err(|error| invalid(format!("{error}; expected the fields that a loader saves, each once")))?;
        state.check()?;
        Ok(state)
    }

    /// Where a loader goes on from this state.
    ///
    /// `current` is the state that the loader would save, of which the fingerprint, shuffle and seed count; `plan` is the
    /// loader's plan, which gives all numbers. The data set and the order must be those of the state. The rank may be any,
    /// and so may `last`: it says what becomes of the tail, which the loader's own rule decides (its default differs
    /// between one rank and several). The number of ranks and the batch size may change where
    ///
    /// * the consumed positions, `batch * world * batch_size` of the state, are a multiple of the new global batch, or the
    ///   epoch is over, which it is in the new layout too then; and
    /// * the state was not saved inside a batch (`sample > 0`): that needs the same ranks, workers and batch size; and
    /// * the state is not that of one DataLoader worker of several: that needs the same worker number and count, and the
    ///   same global batch.
    ///
    /// # Errors
    /// [`LoaderError::StateMismatch`] saying what differs, [`LoaderError::StateInvalid`] for a state that contradicts
    /// itself.
    pub fn resume(&self, current: &Self, plan: &BatchPlan) -> Result<Cursor> {
        let saved = self.check()?;
        self.check_order(current, plan)?;
        self.check_layout(&saved, plan)?;
        let step = self.translate(&saved, plan)?;
        let epoch = self.epoch;
        if self.sample == 0 {
            return Ok(Cursor { epoch, step, sample: 0 });
        }
        let next = plan.step_of(plan.first_batch_at_or_after(step));
        // Under `uneven` the batch of another rank can be longer than ours, or be one that we do not have.
        Ok(match plan.span(next).len() {
            0 => Cursor { epoch, step: plan.steps(), sample: 0 },
            len if self.sample >= len => Cursor { epoch, step: next + 1, sample: 0 },
            _ => Cursor { epoch, step: next, sample: self.sample },
        })
    }

    /// The state in one line for people.
    #[must_use]
    pub fn describe(&self) -> String {
        let Self { epoch, batch, batch_size, rank, world, n, shuffle, seed, last, .. } = self;
        let sample = match self.sample {
            0 => String::new(),
            sample => format!(" and {sample} samples"),
        };
        let worker = match self.worker_of() {
            Some((worker, workers)) => format!(", worker {worker} of {workers}"),
            None => String::new(),
        };
        let fp: String = self.fp.chars().take(12).collect();
        format!(
            "epoch {epoch} after {batch} batches{sample} of {batch_size}, rank {rank} of {world}{worker}, {n} samples, \
             shuffle {shuffle}, seed {seed}, last {last}, data set {fp}"
        )
    }

    /// Checks the state against itself; returns the plan it was saved under.
    fn check(&self) -> Result<BatchPlan> {
        if self.v != VERSION {
            return Err(wrong_version(self.v));
        }
        let (worker, workers) = match (self.worker, self.workers) {
            (None, None) => (0, 1),
            (Some(worker), Some(workers)) => (worker, workers),
            _ => {
                return Err(invalid("found one of `worker` and `workers`, expected both or neither"));
            }
        };
        let sharding = Sharding { rank: self.rank, world: self.world, worker, workers };
        let plan = self
            .last
            .parse()
            .and_then(|last: Last| BatchPlan::new(self.n, self.batch_size, last, sharding))
            .map_err(|error| invalid(error.to_string()))?;
        // A worker counts on by its number of workers, and so may stop past the end by less than that.
        let rounds = plan.rounds();
        if self.batch >= rounds.saturating_add(workers) {
            let batch = self.batch;
            return Err(invalid(format!("found batch {batch}, expected at most the {rounds} of an epoch")));
        }
        if self.sample >= self.batch_size {
            let (sample, size) = (self.sample, self.batch_size);
            return Err(invalid(format!("found sample {sample}, expected less than the batch size {size}")));
        }
        if self.sample > 0 && self.batch >= rounds {
            let sample = self.sample;
            return Err(invalid(format!("found sample {sample} at the end of the epoch, expected 0")));
        }
        Ok(plan)
    }

    fn check_order(&self, current: &Self, plan: &BatchPlan) -> Result<()> {
        same("number of samples", &self.n, &plan.n())?;
        same("data set (fingerprint)", &self.fp, &current.fp)?;
        same("shuffle", &self.shuffle, &current.shuffle)?;
        same("seed", &self.seed, &current.seed)
    }

    fn check_layout(&self, saved: &BatchPlan, plan: &BatchPlan) -> Result<()> {
        let now = plan.sharding();
        let ours = (now.workers > 1).then_some((now.worker, now.workers));
        if self.worker_of().is_some() {
            let what = "DataLoader worker (the state of one worker resumes only that worker)";
            same(what, &worker_text(self.worker_of()), &worker_text(ours))?;
            let what = "global batch (the state of one worker keeps batch_size * world size)";
            same(what, &saved.global_batch(), &plan.global_batch())?;
        }
        if self.sample > 0 {
            let why = "a state saved inside a batch resumes only in the same layout";
            same(&format!("world size ({why})"), &self.world, &now.world)?;
            same(&format!("batch size ({why})"), &self.batch_size, &plan.batch_size())?;
            same(&format!("DataLoader worker ({why})"), &worker_text(self.worker_of()), &worker_text(ours))?;
        }
        Ok(())
    }

    /// The state's step in the numbering of `plan`.
    fn translate(&self, saved: &BatchPlan, plan: &BatchPlan) -> Result<u64> {
        if self.batch >= saved.rounds() {
            return Ok(plan.steps());
        }
        let consumed = self.batch * saved.global_batch();
        let global = plan.global_batch();
        if consumed.is_multiple_of(global) {
            return Ok(consumed / global);
        }
        let also = match gcd(consumed, global) {
            1 => String::new(),
            divisor => format!(" or {divisor}"),
        };
        let what = format!(
            "global batch (batch_size * world size): {consumed} samples of the epoch are consumed, so that it must be a \
             divisor of {consumed}, for example {}{also}",
            saved.global_batch()
        );
        mismatch(&what, product(saved), product(plan))
    }

    /// The worker and the number of workers, where there are several.
    fn worker_of(&self) -> Option<(u64, u64)> {
        self.worker.zip(self.workers).filter(|&(_, workers)| workers > 1)
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// Looks at the version alone first: a state of another version has other fields, and deserves a better message than theirs.
fn check_version(text: &str) -> Result<()> {
    let value: Value = serde_json::from_str(text)
        .map_err(|error| invalid(format!("found text that is not JSON ({error}), expected a JSON object")))?;
    let Value::Object(fields) = value else {
        return Err(invalid("found JSON that is not an object, expected an object"));
    };
    match fields.get("v") {
        None => Err(invalid(format!("missing field `v`, expected version {VERSION}"))),
        Some(v) if v.as_u64() == Some(u64::from(VERSION)) => Ok(()),
        Some(v) => Err(wrong_version(v)),
    }
}

fn wrong_version(found: impl std::fmt::Display) -> LoaderError {
    invalid(format!("found version {found}, expected version {VERSION}, the only one that this release reads"))
}

fn invalid(message: impl Into<String>) -> LoaderError {
    LoaderError::StateInvalid(message.into())
}

fn mismatch<T>(what: &str, saved: String, current: String) -> Result<T> {
    Err(LoaderError::StateMismatch { what: what.to_owned(), saved, current })
}

fn same<T: PartialEq + ToString>(what: &str, saved: &T, current: &T) -> Result<()> {
    if saved == current {
        return Ok(());
    }
    mismatch(what, saved.to_string(), current.to_string())
}

fn worker_text(worker: Option<(u64, u64)>) -> String {
    match worker {
        Some((worker, workers)) => format!("{worker} of {workers}"),
        None => "none".to_owned(),
    }
}

fn product(plan: &BatchPlan) -> String {
    format!("{} * {} = {}", plan.batch_size(), plan.sharding().world, plan.global_batch())
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

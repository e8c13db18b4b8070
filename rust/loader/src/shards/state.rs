//! Where a reader of shards is.

use serde::{Deserialize, Serialize};

use super::Place;
use crate::error::{LoaderError, Result};

/// The version of the state's layout that this crate writes, and the only one it reads.
const VERSION: u32 = 1;

/// What a reader of shards saves. The fields are the JSON's keys, in its order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardState {
    /// The version of this layout.
    pub shards: u32,
    /// The epoch.
    pub epoch: u64,
    /// Records given in the epoch.
    pub records: u64,
    /// Where the window of the shuffle begins: the number of the shard in the reader's own order ...
    pub shard: u64,
    /// ... and the place in it.
    pub place: Place,
    /// The number of the window, and the records of it that are given.
    pub window: (u64, u64),
    /// The seed of the shuffle.
    pub seed: u64,
    /// Records that are mixed; 0 without a shuffle.
    pub buffer: u64,
    /// The number of shards.
    pub n: u64,
    /// The fingerprint of the data set.
    pub fp: String,
    /// Rank, number of ranks, worker, number of workers.
    pub reader: [u64; 4],
}

impl ShardState {
    /// The state at the beginning of an epoch.
    pub(super) fn begin(epoch: u64, seed: u64, buffer: u64, n: u64, fp: &str, reader: [u64; 4]) -> Self {
        let (place, fp) = (Place::default(), fp.to_owned());
        Self { shards: VERSION, epoch, records: 0, shard: 0, place, window: (0, 0), seed, buffer, n, fp, reader }
    }

    /// The state as one line of JSON, below 1 KiB.
    #[must_use]
    pub fn to_json(&self) -> String {
        match serde_json::to_string(self) {
            Ok(json) => json,
            Err(error) => unreachable!("integers and strings always have a JSON form: {error}"),
        }
    }

    /// Reads what [`ShardState::to_json`] wrote.
    ///
    /// # Errors
    /// [`LoaderError::StateInvalid`] for anything else.
    pub fn from_json(text: &str) -> Result<Self> {
        let invalid =
            |found: String| LoaderError::StateInvalid(format!("{found}; expected the state of a shard reader"));
        let state: Self = serde_json::from_str(text).map_err(|error| invalid(error.to_string()))?;
        if state.shards != VERSION {
            return Err(invalid(format!("found version {}", state.shards)));
        }
        Ok(state)
    }

    /// Makes sure that the state belongs to the reader that would begin with `begin`.
    ///
    /// # Errors
    /// [`LoaderError::StateMismatch`] saying what differs.
    pub(super) fn check(&self, begin: &Self) -> Result<()> {
        same("number of shards", &self.n, &begin.n)?;
        same("data set (fingerprint)", &self.fp, &begin.fp)?;
        same("shuffle buffer", &self.buffer, &begin.buffer)?;
        same("seed", &self.seed, &begin.seed)?;
        let text =
            |[rank, world, worker, workers]: [u64; 4]| format!("rank {rank} of {world}, worker {worker} of {workers}");
        same(
            "reader (shards are dealt out whole, so that each goes on itself)",
            &text(self.reader),
            &text(begin.reader),
        )
    }
}

fn same<T: PartialEq + ToString>(what: &str, saved: &T, current: &T) -> Result<()> {
    if saved == current {
        return Ok(());
    }
    let (saved, current) = (saved.to_string(), current.to_string());
    Err(LoaderError::StateMismatch { what: what.to_owned(), saved, current })
}

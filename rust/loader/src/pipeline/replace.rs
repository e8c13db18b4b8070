//! Another record in the place of a bad one.
//!
//! The place of record `i` goes to the first good one of the records `permutation(n, hash(i, REPLACE), 0)`, without `i`
//! itself: the same one on every rank, at every world size and number of workers, and far from `i`, because damage mostly
//! takes neighbours with it.

use s3dlio_runtime::executor;

use super::fetch;
use super::slot::Pending;
use super::together;
use crate::error::LoaderError;
use crate::sampler::Permutation;
use crate::sampler::permutation::hash;
use crate::source::{Access, Record, direct};

/// Records that are tried for one place: where so many are bad, there is nothing to go on with.
const TRIES: u64 = 32;

/// Keeps the choice apart from the orders of epochs: the letters of "replace" as a number.
const REPLACE: u64 = 0x0072_6570_6c61_6365;

/// The record of `n` that takes the place of record `origin` when `tries` others were tried in vain; `None` when it is
/// enough.
pub(crate) fn choice(n: u64, origin: u64, tries: u64) -> Option<u64> {
    if tries >= TRIES || n < 2 {
        return None;
    }
    let choices = Permutation::new(n, hash(&[origin, REPLACE]), 0);
    let itself = (0..=tries).any(|position| choices.index(position) == origin);
    Some(choices.index(tries + u64::from(itself)))
}

/// Reads another record for a place; the samples of a batch that gives none fail with `error`.
pub(super) fn begin(mut pending: Pending, error: LoaderError) {
    if let Err(error) = pending.shared().count_bad(&error) {
        return pending.fail(error);
    }
    let (origin, tries) = pending.origin();
    let Some(other) = choice(pending.shared().source.len(), origin, tries) else {
        return pending.fail(LoaderError::NoReplacement { tries, last: Box::new(error) });
    };
    pending.replace(&error, other);
    let task = async move {
        let (shared, index) = (pending.shared().clone(), pending.index());
        let record = tokio::select! {
            record = one(&shared, index) => record,
            () = shared.cancelled() => return,
        };
        fetch::decode(&shared, vec![(pending, record)]);
    };
    // Without a runtime the task is dropped, and the sample's place gets its error from there.
    if let Err(error) = executor::spawn(task) {
        tracing::error!(%error, "no network runtime");
    }
}

async fn one(shared: &super::Shared, index: u64) -> Result<Record, LoaderError> {
    match shared.reader.access(index)? {
        Access::Network(read) => Ok(Record::Bytes(read.await?)),
        Access::File(path, mode) => Ok(Record::Bytes(direct::file(path, mode).into_future().await?)),
        Access::Together => {
            let missing = || LoaderError::System(format!("record {index} did not come"));
            together::call(shared, &[index]).await?.pop().ok_or_else(missing)
        }
    }
}

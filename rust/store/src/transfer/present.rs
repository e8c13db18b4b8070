//! What is already at the destination.

use std::collections::HashMap;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};

use super::options::{Existing, Options, Progress};
use super::place::Place;
use super::plan::Job;
use crate::error::{Result, StoreError};
use crate::ops::{self, ListOptions, Lister};

/// Up to so many objects are asked for one by one. A page of a listing tells a thousand, but a destination may hold
/// many objects that are none of ours.
const ONE_BY_ONE: usize = 16;

/// File systems take the time from the kernel's last tick, which at a hundred ticks a second is so far back; a copy made
/// at once may therefore look older than its source.
const TICK: TimeDelta = TimeDelta::milliseconds(10);

struct There {
    size: u64,
    modified: Option<DateTime<Utc>>,
}

/// The listing that tells what is there, where the options ask for it; opened on the calling thread.
pub(super) fn listing(dest: &Place, options: &Options) -> Result<Option<Lister>> {
    if !options.resume && options.existing == Existing::Replace {
        return Ok(None);
    }
    ops::list(&dest.uri, ListOptions { recursive: true, pattern: None, sizes: true }).map(Some)
}

/// Takes out of the plan what is to be left alone; refuses what must not be replaced.
pub(super) async fn compare(
    jobs: Vec<Job>,
    dest: &Place,
    options: &Options,
    listing: Option<Lister>,
    progress: &Progress,
) -> Result<Vec<Job>> {
    let Some(listing) = listing else { return Ok(jobs) };
    // In a listing the `*` of a name would select other names.
    let there = if jobs.len() <= ONE_BY_ONE || dest.uri.key.contains('*') {
        ask(&jobs, dest).await?
    } else {
        search(&jobs, listing).await?
    };
    let mut left = Vec::with_capacity(jobs.len());
    for job in jobs {
        match there.get(&job.target) {
            Some(there) if options.resume && same(&job, there) => progress.left_alone(job.size),
            Some(_) if options.existing == Existing::Refuse => {
                let detail = "and was not to be replaced; nothing was written".into();
                return Err(StoreError::AlreadyExists { uri: dest.name(&job.target), detail });
            }
            _ => left.push(job),
        }
    }
    Ok(left)
}

fn same(job: &Job, there: &There) -> bool {
    let (Some(ours), Some(theirs)) = (job.modified, there.modified) else { return false };
    let ours = if theirs.timestamp_subsec_nanos() == 0 { ours.trunc_subsecs(0) } else { ours };
    job.size == there.size && theirs + TICK >= ours
}

async fn ask(jobs: &[Job], dest: &Place) -> Result<HashMap<String, There>> {
    let mut there = HashMap::new();
    for job in jobs {
        match dest.head(&job.target).await {
            Ok(head) => {
                there.insert(job.target.clone(), There { size: head.size, modified: Some(head.modified) });
            }
            Err(StoreError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(there)
}

async fn search(jobs: &[Job], listing: Lister) -> Result<HashMap<String, There>> {
    let wanted: std::collections::HashSet<&str> = jobs.iter().map(|job| job.target.as_str()).collect();
    let (mut there, mut rest) = (HashMap::new(), Some(listing));
    while let Some(lister) = rest.take() {
        let Some((page, next)) = lister.page().into_future().await? else { break };
        for entry in page {
            if let (Some(size), true) = (entry.size, wanted.contains(entry.key.as_str())) {
                there.insert(entry.key, There { size, modified: entry.last_modified });
            }
        }
        rest = Some(next);
    }
    Ok(there)
}

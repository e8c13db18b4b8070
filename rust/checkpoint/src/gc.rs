//! Removing steps and attempts that nobody wants any more.
//!
//! The commit goes first, so that no reader finds a step half removed; then the manifest, then the data. Only keys that
//! this crate makes are touched. Ages are differences of times that the store gave, never of this machine's clock.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use s3dlio_store::ops::{self, Entry};
use s3dlio_store::registry::Backend;
use s3dlio_store::{Uri, Work, local};

use crate::base::{Base, entries};
use crate::commit::SMALL;
use crate::error::Result;
use crate::layout::{self, Attempt};
use crate::manifest::{self, Commit, Manifest};
use crate::open::listed;
use crate::task;

/// Removals and reads in flight.
const IN_FLIGHT: usize = 16;

/// What was removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removed {
    /// Steps that were committed.
    pub steps: Vec<u64>,
    /// Attempts whose objects were removed.
    pub attempts: Vec<Attempt>,
    /// Objects, commits included.
    pub objects: usize,
    /// Bytes of the objects of the attempts.
    pub bytes: u64,
}

/// Removes these committed steps, and the objects of attempts that no
/// step refers to once they are older than `grace`, measured against the newest object. The newest attempt stays: it may
/// still be on its way. With `dry_run` nothing is removed, and the result tells what would be.
///
/// # Errors
/// At once: a URI or settings that cannot work. From the work: those of the store; a damaged commit, before anything is
/// removed.
pub fn collect(
    uri: &Uri,
    unwanted_steps: BTreeSet<u64>,
    grace: Duration,
    dry_run: bool,
) -> Result<Work<Result<Removed>>> {
    let base = Base::open(uri)?;
    let (commits, data) = (base.list("steps/", false)?, base.list("data/", true)?);
    Ok(task::work(async move {
        // The data first: an attempt that is committed after this listing is not in it, or is seen to be committed.
        let data = entries(data).await?;
        let steps = listed(&base, &entries(commits).await?);
        let (kept, doomed): (Vec<u64>, Vec<u64>) = steps.into_iter().partition(|step| !unwanted_steps.contains(step));
        let alive = attempts(&base, kept).await?;
        let dead = attempts(&base, doomed.clone()).await?;
        let mut removed = Removed { steps: doomed.clone(), objects: doomed.len(), ..Removed::default() };
        let unwanted = unwanted(&base, &data, &alive, &dead, grace);
        for (attempt, Objects { keys, bytes, .. }) in &unwanted {
            removed.objects += keys.len();
            removed.bytes += bytes;
            removed.attempts.push(attempt.clone());
        }
        if dry_run {
            return Ok(removed);
        }
        remove(&base, doomed.into_iter().map(layout::commit).collect()).await?;
        for (attempt, Objects { keys, .. }) in unwanted {
            let (first, rest): (Vec<String>, Vec<String>) =
                keys.into_iter().partition(|key| *key == attempt.manifest());
            remove(&base, first).await?;
            remove(&base, rest).await?;
        }
        let gone: BTreeSet<Attempt> = removed.attempts.iter().cloned().collect();
        if matches!(base.backend(), Backend::Local(_)) {
            let newest = data.iter().filter_map(|entry| entry.last_modified).max();
            let before = newest.and_then(|newest| newest.checked_sub_signed(TimeDelta::from_std(grace).ok()?));
            task::local(move || {
                sweep(&base, &alive, &gone, before);
                Ok(())
            })
            .await?;
        }
        Ok(removed)
    }))
}

/// The attempts that these steps are committed by.
async fn attempts(base: &Base, steps: Vec<u64>) -> Result<BTreeSet<Attempt>> {
    let read = ops::each(steps, IN_FLIGHT, |step| {
        let base = base.clone();
        async move {
            let key = layout::commit(step);
            let Some((text, _)) = base.find(&key, SMALL).await? else { return Ok(Vec::new()) };
            let commit = Commit::parse(&text).map_err(|error| error.at(base.at(&key)))?;
            let attempt = Attempt::new(step, &commit.attempt).map_err(|error| error.at(base.at(&key)))?;
            let mut found = vec![attempt.clone()];
            // Shards may have been saved in attempts of their own; without its manifest the step has none to lose.
            if let Some((content, _)) = base.find(&attempt.manifest(), manifest::MOST).await? {
                let manifest: Manifest = manifest::decode(&content).map_err(|error| error.at(base.at(&key)))?;
                found.extend(manifest.shards.iter().filter_map(|shard| layout::attempt_of(&shard.key)));
            }
            Ok::<_, crate::CheckpointError>(found)
        }
    });
    let read: Vec<Vec<Attempt>> = read.await?;
    Ok(read.into_iter().flatten().collect())
}

/// The objects of an attempt.
#[derive(Default)]
struct Objects {
    newest: Option<DateTime<Utc>>,
    keys: Vec<String>,
    bytes: u64,
}

fn unwanted(
    base: &Base,
    data: &[Entry],
    alive: &BTreeSet<Attempt>,
    dead: &BTreeSet<Attempt>,
    grace: Duration,
) -> Vec<(Attempt, Objects)> {
    let mut found: BTreeMap<Attempt, Objects> = BTreeMap::new();
    for entry in data {
        let Some(key) = base.relative(entry) else { continue };
        let Some(attempt) = layout::attempt_of(key) else { continue };
        let Objects { newest, keys, bytes } = found.entry(attempt).or_default();
        *newest = (*newest).max(entry.last_modified);
        keys.push(key.to_owned());
        *bytes += entry.size.unwrap_or(0);
    }
    let now = found.values().filter_map(|objects| objects.newest).max();
    // Where two are as new, the one that is committed counts as the newer: the other was given up.
    let newest = found
        .iter()
        .max_by_key(|(attempt, objects)| (objects.newest, alive.contains(*attempt)))
        .map(|(a, _)| a.clone());
    let old = |at: Option<DateTime<Utc>>| match (now, at) {
        (Some(now), Some(at)) => (now - at).to_std().is_ok_and(|age| age >= grace),
        _ => false,
    };
    found
        .into_iter()
        .filter(|(attempt, objects)| {
            let given_up = Some(attempt) != newest.as_ref() && old(objects.newest);
            !alive.contains(attempt) && (dead.contains(attempt) || given_up)
        })
        .collect()
}

async fn remove(base: &Base, keys: Vec<String>) -> Result<()> {
    ops::each(keys, IN_FLIGHT, |key| {
        let base = base.clone();
        async move { base.remove(&key).await }
    })
    .await
    .map(|_| ())
}

/// Removes what a killed process leaves on a file system and no listing shows: files under construction, and the
/// directories of attempts that are gone. What cannot be removed stays for the next time.
fn sweep(base: &Base, alive: &BTreeSet<Attempt>, gone: &BTreeSet<Attempt>, before: Option<DateTime<Utc>>) {
    let data = PathBuf::from(base.at("data").key);
    let short = |path: &PathBuf| path.file_name().is_some_and(|name| name.len() == 2);
    let spread: Vec<PathBuf> = directories(data.clone()).filter(short).collect();
    for folder in std::iter::once(data).chain(spread).flat_map(directories) {
        let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some(attempt) = layout::attempt_named(name).filter(|attempt| !alive.contains(attempt)) else { continue };
        let at = std::fs::metadata(&folder).and_then(|found| found.modified()).ok().map(DateTime::<Utc>::from);
        let old = before.zip(at).is_some_and(|(before, at)| at <= before);
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        let entries: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        let temporary =
            |path: &PathBuf| path.file_name().and_then(|name| name.to_str()).is_some_and(local::is_temporary);
        // An attempt that still has objects is in progress, or too young to be taken for given up.
        if (old || gone.contains(&attempt)) && entries.iter().all(temporary) {
            let removed = entries.iter().try_for_each(std::fs::remove_file).and_then(|()| std::fs::remove_dir(&folder));
            if let Err(error) = removed {
                tracing::debug!(%attempt, %error, "what an attempt has left could not be removed");
            }
        }
    }
}

fn directories(folder: PathBuf) -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir())
}

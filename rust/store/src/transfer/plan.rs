//! What is copied to which name; everything that can be refused is refused here, before anything is written.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::options::{Depth, Options, Source};
use super::patterns::Local;
use super::place::Place;
use crate::error::{Result, StoreError};
use crate::ops::{self, ListOptions, Lister};
use crate::pattern;
use crate::work::on_pool;
use crate::{Scheme, Uri, local};

/// One object of a source.
#[derive(Debug)]
pub(super) struct Found {
    pub key: String,
    /// Where it belongs below a destination.
    pub relative: String,
    pub size: u64,
    pub modified: Option<DateTime<Utc>>,
}

/// One object to copy.
#[derive(Debug)]
pub(super) struct Job {
    pub from: Arc<Place>,
    pub key: String,
    pub target: String,
    pub size: u64,
    pub modified: Option<DateTime<Utc>>,
}

/// A source whose store is open.
pub(super) enum Origin {
    Uri(Arc<Place>, Lister),
    Local(Arc<Place>, Local),
}

/// The error for a directory where only objects are copied.
pub(super) fn is_directory(uri: String) -> StoreError {
    StoreError::Unsupported { uri, detail: "is a directory: copy it recursively".into() }
}

impl Origin {
    /// Opens a source; call it on the thread that asks for the transfer.
    pub fn open(source: &Source, depth: Depth) -> Result<Self> {
        let uri = match source {
            Source::Uri(uri) => uri,
            Source::Local(text) => {
                let root = Uri { scheme: Scheme::File, authority: None, bucket: String::new(), key: "/".into() };
                return Ok(Self::Local(Arc::new(Place::open(&root)?), Local::new(text)?));
            }
        };
        let place = Place::open(uri)?;
        // A pattern says itself how deep it goes: `*` one level, `**` all.
        let recursive = depth == Depth::All && pattern::split_glob(&place.uri.key).is_none();
        let lister = ops::list(&place.uri, ListOptions { recursive, pattern: None, sizes: true })?;
        Ok(Self::Uri(Arc::new(place), lister))
    }

    /// The objects of this source, and whether it names just one object.
    async fn find(self, depth: Depth) -> Result<(Arc<Place>, Vec<Found>, bool)> {
        match self {
            Self::Local(place, local) => {
                let (found, single) = on_pool(move || local.find(depth)).await?;
                Ok((place, found, single))
            }
            Self::Uri(place, lister) => {
                if let Some(object) = object(&place).await? {
                    return Ok((place, vec![object], true));
                }
                let found = below(&place, lister, depth).await?;
                Ok((place, found, false))
            }
        }
    }
}

/// The object of this very name, before anything is read as a directory or pattern.
async fn object(place: &Place) -> Result<Option<Found>> {
    if place.uri.is_directory() {
        return Ok(None);
    }
    let key = &place.uri.key;
    match place.head(key).await {
        Ok(head) => Ok(Some(Found {
            key: key.clone(),
            relative: key.rsplit('/').next().unwrap_or(key).to_owned(),
            size: head.size,
            modified: Some(head.modified),
        })),
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(StoreError::Unsupported { .. }) if place.is_local() => Ok(None),
        Err(error) => Err(error),
    }
}

async fn below(place: &Place, lister: Lister, depth: Depth) -> Result<Vec<Found>> {
    let key = &place.uri.key;
    let (base, glob) = match pattern::split_glob(key) {
        Some((base, _)) => (base.to_owned(), true),
        None if place.uri.is_directory() => (key.clone(), false),
        None => (format!("{key}/"), false),
    };
    let (mut found, mut rest, mut any) = (Vec::new(), Some(lister), false);
    while let Some(lister) = rest.take() {
        let Some((page, next)) = lister.page().into_future().await? else { break };
        any = true;
        if depth == Depth::Object && !glob {
            return Err(is_directory(place.uri.to_string()));
        }
        // Directories have no size.
        found.extend(page.into_iter().filter_map(|entry| {
            let relative = entry.key.strip_prefix(&base).unwrap_or(&entry.key).to_owned();
            Some(Found { relative, size: entry.size?, modified: entry.last_modified, key: entry.key })
        }));
        rest = Some(next);
    }
    if !any && (glob || !directory_exists(place)) {
        let detail = if glob { "nothing matches" } else { "no such object, and nothing below it" };
        return Err(StoreError::NotFound { uri: place.uri.to_string(), detail: detail.into() });
    }
    if depth == Depth::Object && !any && !glob {
        return Err(is_directory(place.uri.to_string()));
    }
    Ok(found)
}

/// A local directory exists also when it is empty.
fn directory_exists(place: &Place) -> bool {
    place.is_local() && local::metadata(&place.uri.key).is_ok_and(|meta| meta.is_dir())
}

/// Finds everything that is to be copied to `dest`.
pub(super) async fn plan(origins: Vec<Origin>, dest: &Place, options: &Options) -> Result<Vec<Job>> {
    let only = origins.len() == 1;
    let mut jobs = Vec::new();
    for origin in origins {
        let (place, mut found, single) = origin.find(options.depth).await?;
        if let Some(pattern) = options.pattern.as_ref().filter(|_| !found.is_empty()) {
            found.retain(|found| pattern.matches(&found.relative));
            if found.is_empty() {
                let detail = "nothing in it matches the pattern".into();
                return Err(StoreError::NotFound { uri: place.uri.to_string(), detail });
            }
        }
        let exact = only && single && !options.into_directory && !dest.uri.is_directory() && !directory_exists(dest);
        for Found { key, relative, size, modified } in found {
            let target = if exact { dest.uri.key.clone() } else { target(dest, &place, &key, &relative)? };
            jobs.push(Job { from: Arc::clone(&place), key, target, size, modified });
        }
    }
    if dest.is_local() {
        jobs = without_markers(jobs);
    }
    check(&jobs, dest)?;
    Ok(jobs)
}

/// The name at the destination of what belongs at `relative` below it.
fn target(dest: &Place, from: &Place, key: &str, relative: &str) -> Result<String> {
    if relative.split('/').any(|segment| matches!(segment, "" | "." | "..")) || relative.contains('\0') {
        return Err(StoreError::InvalidUri {
            uri: from.name(key),
            reason: format!("as {relative:?} it would not stay below the destination {}", dest.uri),
        });
    }
    let base = &dest.uri.key;
    let slash = if base.is_empty() || base.ends_with('/') { "" } else { "/" };
    Ok(format!("{base}{slash}{relative}"))
}

/// Some tools mark a directory by an empty object of its name. Beside objects below that name, such a marker is no file
/// that a file system could hold.
fn without_markers(jobs: Vec<Job>) -> Vec<Job> {
    let mut folders = HashSet::new();
    for job in &jobs {
        folders.extend(ancestors(&job.target).map(str::to_owned));
    }
    let marker = |job: &Job| job.size == 0 && !job.from.is_local() && folders.contains(&job.target);
    jobs.into_iter().filter(|job| !marker(job)).collect()
}

fn ancestors(target: &str) -> impl Iterator<Item = &str> {
    target.match_indices('/').map(|(at, _)| &target[..at])
}

fn check(jobs: &[Job], dest: &Place) -> Result<()> {
    let refuse = |target: &str, reason: String| Err(StoreError::InvalidUri { uri: dest.name(target), reason });
    let mut targets: HashMap<&str, &Job> = HashMap::with_capacity(jobs.len());
    for job in jobs {
        if !dest.is_local() {
            dest.path(&job.target)?;
        }
        if let Some(other) = targets.insert(&job.target, job) {
            let (one, two) = (other.from.name(&other.key), job.from.name(&job.key));
            return refuse(&job.target, format!("both {one} and {two} would be written there; nothing was written"));
        }
        let same_store = job.from.is_local() && dest.is_local() || job.from.uri.root() == dest.uri.root();
        if same_store && job.key == job.target {
            return refuse(&job.target, "source and destination are the same object".into());
        }
    }
    if dest.is_local() {
        for job in jobs {
            if let Some(file) = ancestors(&job.target).find_map(|folder| targets.get(folder)) {
                let reason = format!("{} would be a file and also the directory of this one", dest.name(&file.target));
                return refuse(&job.target, reason);
            }
        }
    }
    Ok(())
}

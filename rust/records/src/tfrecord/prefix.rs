//! The indexes of all files below a prefix.

use s3dlio_formats::tfrecord::index::Verify;
use s3dlio_store::ops::{self, Entry, ListOptions};
use s3dlio_store::pattern::Pattern;
use s3dlio_store::registry::{self, Backend};
use s3dlio_store::{StoreError, Uri, Work};

use super::create;
use crate::error::{RecordError, Result};
use crate::input::Input;
use crate::jobs;
use crate::output::Output;

/// What is indexed, and where the indexes go.
#[derive(Debug, Clone)]
pub struct PrefixOptions {
    /// A directory for the indexes, which keep the layout of the files; beside each file if `None`.
    pub output: Option<Uri>,
    /// Selects files by their key below the prefix; all but `*.idx` if `None`.
    pub pattern: Option<Pattern>,
    /// Only every so-many-th file, beginning with this one: the part of one process of several.
    pub shard: (u64, u64),
    /// Leaves files alone whose index is there already and is no older than they are.
    pub resume: bool,
    /// Files that are indexed at a time.
    pub in_flight: usize,
    /// Which checksums are compared.
    pub verify: Verify,
}

impl Default for PrefixOptions {
    fn default() -> Self {
        Self { output: None, pattern: None, shard: (0, 1), resume: false, in_flight: 16, verify: Verify::Auto }
    }
}

/// An index that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The file.
    pub file: Uri,
    /// Its index: the name of the file and `.idx`.
    pub index: Uri,
    /// Records; `None` for an index that was there.
    pub records: Option<u64>,
}

/// One file to be done.
struct Job {
    file: Uri,
    size: u64,
    etag: Option<String>,
    index: Uri,
    there: bool,
}

/// Indexes the TFRecord files below `prefix`, several at a time, and returns what was made, in the order of the names.
///
/// The first failure ends the call; indexes that were written stay, each of them complete.
///
/// # Errors
/// At once: URIs, options or settings that cannot work. From the work: as [`create_index`](super::create_index), and
/// [`StoreError::NotFound`] where nothing matches.
pub fn create_indexes(prefix: &Uri, options: PrefixOptions) -> Result<Work<Result<Vec<Made>>>> {
    let (rank, world) = options.shard;
    if rank >= world {
        return Err(RecordError::config("shard", format!("{rank} of {world}"), "a rank below the number of processes"));
    }
    if options.in_flight == 0 {
        return Err(RecordError::config("max_in_flight", "0", "at least 1"));
    }
    let prefix = absolute(prefix)?;
    let output = options.output.as_ref().map(absolute).transpose()?;
    let places = (registry::open(&prefix)?, registry::open(output.as_ref().unwrap_or(&prefix))?);
    let list = ListOptions { recursive: true, pattern: None, sizes: true };
    let listing = ops::list(&prefix, list.clone())?.all();
    let indexes = match &output {
        Some(output) if options.resume => Some(ops::list(output, list)?.all()),
        _ => None,
    };
    Ok(jobs::work(async move {
        let files = listing.into_future().await?;
        let indexes = match indexes {
            Some(listing) => listing.into_future().await?,
            None => Vec::new(),
        };
        let jobs = plan(&prefix, output.as_ref(), files, indexes, &options)?;
        ops::each(jobs, options.in_flight, |job| one(job, places.clone(), options.verify)).await
    }))
}

/// The working directory may change before the work runs.
fn absolute(uri: &Uri) -> s3dlio_store::Result<Uri> {
    if !uri.scheme.is_local() {
        return Ok(uri.clone());
    }
    let path = std::path::absolute(&uri.key).map_err(|source| StoreError::io(uri.to_string(), &source))?;
    let key = path.to_str().ok_or_else(|| StoreError::InvalidUri {
        uri: uri.to_string(),
        reason: "the working directory has no UTF-8 name".into(),
    })?;
    Ok(uri.with_key(key))
}

fn plan(
    prefix: &Uri,
    output: Option<&Uri>,
    files: Vec<Entry>,
    indexes: Vec<Entry>,
    options: &PrefixOptions,
) -> s3dlio_store::Result<Vec<Job>> {
    let made = if output.is_some() { indexes } else { files.clone() };
    let written = |key: &str| made.iter().find(|entry| entry.key == key).and_then(|entry| entry.last_modified);
    let base = directory(&prefix.key);
    let selected = files.into_iter().filter(|file| {
        let name = file.key.strip_prefix(&base).unwrap_or(&file.key);
        match &options.pattern {
            _ if file.key.ends_with('/') || name.ends_with(".idx") => false,
            Some(pattern) => pattern.matches(name),
            None => true,
        }
    });
    let (rank, world) = options.shard;
    let mut none = true;
    let mut jobs = Vec::new();
    for (number, file) in selected.enumerate() {
        none = false;
        if number as u64 % world != rank {
            continue;
        }
        let index = match output {
            Some(output) => {
                let name = file.key.strip_prefix(&base).or_else(|| file.key.rsplit('/').next()).unwrap_or(&file.key);
                output.with_key(format!("{}{name}.idx", directory(&output.key)))
            }
            None => prefix.with_key(format!("{}.idx", file.key)),
        };
        let there = options.resume && written(&index.key).is_some_and(|at| file.last_modified.is_some_and(|t| t <= at));
        let size = file.size.unwrap_or(0);
        jobs.push(Job { file: prefix.with_key(file.key), size, etag: file.etag, index, there });
    }
    if none {
        let detail = "no TFRecord file is there, or none matches".into();
        return Err(StoreError::NotFound { uri: prefix.to_string(), detail });
    }
    Ok(jobs)
}

fn directory(key: &str) -> String {
    if key.is_empty() || key.ends_with('/') { key.to_owned() } else { format!("{key}/") }
}

async fn one(job: Job, (from, to): (Backend, Backend), verify: Verify) -> Result<Made> {
    let Job { file, size, etag, index, there } = job;
    if there {
        return Ok(Made { file, index, records: None });
    }
    let name = file.clone();
    let input = match &from {
        Backend::Local(_) => jobs::read(move || Input::listed(file, from, size, etag)).await??,
        Backend::Object(_) => Input::listed(file, from, size, etag)?,
    };
    let output = Output::create_in(to, &index)?;
    let records = create::write(input, &output, verify).await?;
    Ok(Made { file: name, index, records: Some(records) })
}

//! The names of the files in a directory of shards.

use std::collections::HashSet;

use bytes::Bytes;
use s3dlio_formats::riegeli::chunk;
use s3dlio_store::local::Create;
use s3dlio_store::ops::{self, ListOptions};
use s3dlio_store::{Result, StoreError, Uri, Work};

use crate::output::Output;

/// The files `{prefix}_*` of a directory, in the order of their names as text: `shard_10` comes before `shard_2`.
///
/// The prefix may hold slashes: what is before the last one is a directory below.
///
/// # Errors
/// A URI or settings that cannot work; from the work those of a listing.
pub fn list(directory: &Uri, prefix: &str) -> Result<Work<Vec<Uri>>> {
    let stem = stem(directory, prefix);
    let folder = stem.rfind('/').map_or("", |slash| &stem[..=slash]).to_owned();
    let base = directory.clone();
    let listing = ops::list(&directory.with_key(folder), ListOptions::default())?;
    Ok(listing.all().map(move |entries| {
        let names = entries.into_iter().map(|entry| entry.key);
        let mut names: Vec<String> = names.filter(|name| name.starts_with(&stem) && !name.ends_with('/')).collect();
        names.sort_unstable();
        names.into_iter().map(|name| base.with_key(name)).collect()
    }))
}

/// The error where there is not one.
#[must_use]
pub fn none(directory: &Uri, prefix: &str) -> StoreError {
    let pattern = directory.with_key(format!("{}*", stem(directory, prefix)));
    StoreError::NotFound { uri: pattern.to_string(), detail: "no shard, expected at least one".into() }
}

/// What all names of a prefix begin with.
fn stem(directory: &Uri, prefix: &str) -> String {
    let slash = if directory.is_directory() { "" } else { "/" };
    format!("{}{slash}{prefix}_", directory.key)
}

/// The names of new files.
#[derive(Debug)]
pub(super) enum Names {
    /// One file.
    One(Uri),
    /// Files with numbers.
    Numbered { directory: Uri, stem: String, next: u64, taken: Option<HashSet<u64>> },
}

impl Names {
    /// The numbers that are free, lowest first; with `append` those of files that are there are not.
    pub(super) fn numbered(directory: &Uri, prefix: &str, append: bool) -> Result<Work<Self>> {
        let stem = stem(directory, prefix);
        let base = directory.clone();
        let names = move |taken| Self::Numbered { directory: base, stem, next: 0, taken };
        if !append {
            return Ok(Work::here(move || Ok(names(None))));
        }
        let length = self::stem(directory, prefix).len();
        Ok(list(directory, prefix)?.map(move |files| {
            let numbers = files.iter().filter_map(|file| file.key[length..].parse().ok());
            names(Some(numbers.collect()))
        }))
    }

    /// Begins the next file. Where files that are there must stay, its name is taken at once, by a file without records:
    /// whoever appends to the same directory at the same time then takes another.
    pub(super) async fn begin(&mut self) -> Result<Output> {
        let (directory, stem, next, taken) = match self {
            Self::One(uri) => return Output::create(uri),
            Self::Numbered { directory, stem, next, taken } => (directory, stem, next, taken),
        };
        loop {
            let number = *next;
            *next += 1;
            let uri = directory.with_key(format!("{stem}{number}"));
            let Some(taken) = taken else { return Output::create(&uri) };
            if taken.contains(&number) {
                continue;
            }
            let mut empty = Vec::new();
            chunk::write_signature(&mut empty);
            match ops::put(&uri, Bytes::from(empty), Create::New)?.into_future().await {
                Ok(_) => return Output::create(&uri),
                Err(StoreError::AlreadyExists { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

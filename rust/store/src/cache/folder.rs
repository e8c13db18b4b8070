//! The folder of a cache: names of entries, and the removal of those that were not used for longest.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use highway::{HighwayHash, HighwayHasher, Key};
use rustix::fs::{FlockOperation, flock};

use super::entry::{Draft, Entry, Head};
use crate::settings::ReadCache;

/// Everything lies below a folder of this name, so that nothing else in the user's folder is ever looked at.
const NAME: &str = "s3dlio-read-cache";

/// Drafts that are older were left by a process that was killed: no request takes as long.
const ABANDONED: Duration = Duration::from_secs(3600);

/// A part of the bound: after writing as much a process counts the folder, and removes down to the bound less twice this.
const STEP: u64 = 20;

/// A cache in a folder that other processes may use too.
#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
    bytes: u64,
    /// Bytes written since the folder was counted last.
    written: AtomicU64,
}

impl Folder {
    pub(super) fn new(settings: &ReadCache) -> Self {
        // What is there already is counted after the first entry.
        Self { root: settings.folder.join(NAME), bytes: settings.bytes, written: AtomicU64::new(settings.bytes) }
    }

    /// Bytes of an entry at most: a larger one would push out too much at once.
    pub(super) fn most(&self) -> u64 {
        self.bytes / 8
    }

    fn path(&self, key: &str) -> PathBuf {
        let [a, b] = HighwayHasher::new(Key::default()).hash128(key.as_bytes());
        let name = format!("{a:016x}{b:016x}");
        self.root.join(&name[..2]).join(&name[2..])
    }

    /// The entry of this key, if there is one.
    pub(super) fn find(&self, key: &str) -> Option<Entry> {
        Entry::open(File::open(self.path(key)).ok()?, key)
    }

    /// Removes the entry of this key, which is damaged.
    pub(super) fn forget(&self, key: &str) {
        let _ = fs::remove_file(self.path(key));
    }

    /// Begins an entry.
    pub(super) fn begin(&self, head: &Head) -> io::Result<Draft> {
        let drafts = self.root.join("drafts");
        fs::create_dir_all(&drafts)?;
        Draft::begin(tempfile::Builder::new().prefix("").tempfile_in(drafts)?, head)
    }

    /// Puts an entry in its place; tells whether the folder is to be counted.
    pub(super) fn keep(&self, draft: Draft, head: &Head) -> io::Result<bool> {
        let file = draft.end()?;
        let length = file.as_file().metadata()?.len();
        let path = self.path(&head.key);
        fs::create_dir_all(path.parent().unwrap_or(&self.root))?;
        file.persist(path)?;
        Ok(self.written.fetch_add(length, Ordering::Relaxed) + length >= self.bytes / STEP)
    }

    /// Removes what was not used for longest, while there is too much; one process at a time.
    pub(super) fn trim(&self) -> io::Result<()> {
        self.written.store(0, Ordering::Relaxed);
        let lock = File::options().create(true).truncate(false).write(true).open(self.root.join("lock"))?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Ok(());
        }
        let mut found = Vec::new();
        for folder in fs::read_dir(&self.root)? {
            let folder = folder?.path();
            if hexadecimal(&folder, 2) {
                entries(&folder, &mut found)?;
            }
        }
        self.remove_abandoned()?;
        let mut total: u64 = found.iter().map(|(_, length, _)| length).sum();
        if total <= self.bytes - self.bytes / STEP {
            return Ok(());
        }
        found.sort_unstable();
        for (_, length, path) in found {
            if total <= self.bytes - 2 * (self.bytes / STEP) {
                break;
            }
            // Another process may have removed it, or written it anew, meanwhile.
            let _ = fs::remove_file(path);
            total -= length;
        }
        Ok(())
    }

    fn remove_abandoned(&self) -> io::Result<()> {
        for draft in fs::read_dir(self.root.join("drafts"))? {
            let draft = draft?;
            if draft.metadata()?.modified()?.elapsed().is_ok_and(|age| age > ABANDONED) {
                fs::remove_file(draft.path())?;
            }
        }
        Ok(())
    }
}

/// Whether the name is made of so many hexadecimal digits.
fn hexadecimal(path: &Path, digits: usize) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.len() == digits && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Adds the entries of a folder: when each was used last, its length and its path.
fn entries(folder: &Path, found: &mut Vec<(SystemTime, u64, PathBuf)>) -> io::Result<()> {
    for file in fs::read_dir(folder)? {
        let file = file?;
        // Gone since the folder was read.
        let Ok(meta) = file.metadata() else { continue };
        if meta.is_file() && hexadecimal(&file.path(), 30) {
            found.push((meta.modified()?, meta.len(), file.path()));
        }
    }
    Ok(())
}

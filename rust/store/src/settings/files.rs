//! Files that settings come from: looked at often, so looked at cheaply.

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use s3dlio_runtime::fork::ForkLocal;

/// How old the last look at a file may be. Home directories lie on network file systems, where a `stat` before every
/// small read would cost more than the read; a second is soon enough for a credential that was rotated.
const FRESH: Duration = Duration::from_secs(1);

/// A file in the state in which it was last seen: part of a client's key, so a changed file means a new client.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Watched {
    /// Where the file is.
    pub(crate) path: PathBuf,
    /// Time of change, size and inode; `None` where there is no file.
    state: Option<(i64, i64, u64, u64)>,
}

type Seen = RwLock<HashMap<PathBuf, (Instant, Watched)>>;

static SEEN: ForkLocal<Seen> = ForkLocal::new();

impl Watched {
    /// The file at `path` as of now, or as of up to a second ago.
    pub(crate) fn look(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let seen = SEEN.get_or_init(Seen::default);
        if let Some((at, known)) = seen.read().unwrap_or_else(PoisonError::into_inner).get(&path)
            && at.elapsed() < FRESH
        {
            return known.clone();
        }
        Self::look_again(path)
    }

    /// The file at `path` as of now, whatever was seen before.
    pub(crate) fn look_again(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let now = Self::examine(&path);
        let seen = SEEN.get_or_init(Seen::default);
        seen.write().unwrap_or_else(PoisonError::into_inner).insert(path, (Instant::now(), now.clone()));
        now
    }

    fn examine(path: &Path) -> Self {
        let state = std::fs::metadata(path)
            .ok()
            .filter(std::fs::Metadata::is_file)
            .map(|meta| (meta.mtime(), meta.mtime_nsec(), meta.size(), meta.ino()));
        Self { path: path.to_owned(), state }
    }

    /// The text of the file, read once for each state of it.
    pub(crate) fn read(&self) -> io::Result<Arc<str>> {
        static TEXTS: ForkLocal<RwLock<HashMap<Watched, Arc<str>>>> = ForkLocal::new();
        let texts = TEXTS.get_or_init(RwLock::default);
        if let Some(text) = texts.read().unwrap_or_else(PoisonError::into_inner).get(self) {
            return Ok(Arc::clone(text));
        }
        let text: Arc<str> = std::fs::read_to_string(&self.path)?.into();
        let mut texts = texts.write().unwrap_or_else(PoisonError::into_inner);
        // Only the last state of a file is of use, and there are few files.
        texts.retain(|known, _| known.path != self.path);
        texts.insert(self.clone(), Arc::clone(&text));
        Ok(text)
    }

    /// Whether there is a file.
    pub(crate) fn exists(&self) -> bool {
        self.state.is_some()
    }
}

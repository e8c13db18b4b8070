//! Files under construction, and how they get their final name.

use std::fs::{File, FileTimes, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::FlockOperation;
use rustix::io::Errno;
use s3dlio_runtime::fork;
use tempfile::TempPath;

use super::walk::TEMPORARY;
use super::{Mode, etag};
use crate::error::{Result, StoreError};

/// Longest wait for other conditional writers of a directory; each of them holds it for one comparison and one rename.
const LOCK_WAIT: Duration = Duration::from_secs(10);

/// What a write does about a file that is there already.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Create {
    /// Replaces it.
    #[default]
    Overwrite,
    /// Fails with [`StoreError::AlreadyExists`]; of several writers at the same moment exactly one succeeds.
    New,
    /// Replaces it only if this is its entity tag (`*` for any), else fails with [`StoreError::Precondition`].
    ///
    /// The directory is locked (`flock`) while the tag is compared and the name is given, which orders all conditional
    /// writers of this library, in all processes. A write without a condition, or by another program, at that very
    /// moment can still be lost. [`StoreError::Unsupported`] where a directory cannot be locked (NFS).
    Matching(String),
}

/// The directory that a path is in.
pub(super) fn parent(path: &str) -> &Path {
    Path::new(path).parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// The name of a file under construction; the file is removed when this is dropped before [`Temporary::commit`].
#[derive(Debug)]
pub(super) struct Temporary {
    name: Option<TempPath>,
    generation: u64,
}

impl Temporary {
    /// An empty file in the directory of `path`, which is made if need be.
    pub(super) fn beside(path: &str, mode: Mode) -> Result<(Self, File)> {
        if path.ends_with('/') || path.is_empty() {
            return Err(StoreError::InvalidUri { uri: mode.uri(path), reason: "names a directory".into() });
        }
        let failed = |source: io::Error| StoreError::io(mode.uri(path), &source);
        let directory = parent(path);
        let make = || {
            tempfile::Builder::new()
                .prefix(TEMPORARY)
                // Asked for with the usual mode, so that the umask decides; temporary files are otherwise private.
                .permissions(Permissions::from_mode(0o666))
                .tempfile_in(directory)
        };
        let made = match make() {
            Err(source) if source.kind() == ErrorKind::NotFound => {
                std::fs::create_dir_all(directory).map_err(failed)?;
                make()
            }
            made => made,
        };
        let (file, name) = made.map_err(failed)?.into_parts();
        Ok((Self { name: Some(name), generation: fork::generation() }, file))
    }

    /// Gives the file, which is complete and on the disk, the name `path`, and returns its entity tag.
    ///
    /// # Errors
    /// As [`Create`] says; the name is then as it was before and the file is gone.
    pub(super) fn commit(mut self, file: &File, path: &str, mode: Mode, create: &Create) -> Result<String> {
        let failed = |source: io::Error| StoreError::io(mode.uri(path), &source);
        let Some(name) = self.name.take() else {
            return Err(StoreError::Store { uri: mode.uri(path), detail: "was written already".into() });
        };
        // The clock of the file system ticks a few hundred times a second and inodes are used again, so two versions
        // could carry one tag. A file system without settable times is none the worse.
        let _ = file.set_times(FileTimes::new().set_modified(SystemTime::now()));
        let tag = etag(&file.metadata().map_err(failed)?);
        match create {
            Create::Overwrite => name.persist(path).map_err(|source| failed(source.error))?,
            Create::New => name.persist_noclobber(path).map_err(|source| failed(source.error))?,
            Create::Matching(wanted) => {
                let _locked = Lock::of(path, mode)?;
                matches(path, mode, wanted)?;
                name.persist(path).map_err(|source| failed(source.error))?;
            }
        }
        Ok(tag)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(name) = self.name.take().filter(|_| self.generation != fork::generation()) {
            // A forked child drops its copy of a writer; the file is still its parent's. Keeping only forgets the name.
            let _ = name.keep();
        }
    }
}

/// Whether a write that `create` rules out can be refused before its bytes are written.
pub(super) fn allowed(path: &str, mode: Mode, create: &Create) -> Result<()> {
    match create {
        Create::Overwrite => Ok(()),
        Create::New if std::fs::symlink_metadata(path).is_ok() => {
            Err(StoreError::AlreadyExists { uri: mode.uri(path), detail: "and was not to be replaced".into() })
        }
        Create::New => Ok(()),
        Create::Matching(wanted) => matches(path, mode, wanted),
    }
}

fn matches(path: &str, mode: Mode, wanted: &str) -> Result<()> {
    let failed = |detail| Err(StoreError::Precondition { uri: mode.uri(path), detail });
    match std::fs::metadata(path) {
        Ok(meta) => {
            let found = etag(&meta);
            let same = wanted == "*" || wanted.trim_matches('"') == found;
            if same { Ok(()) } else { failed(format!("entity tag is {found}, expected {wanted}")) }
        }
        Err(source) if matches!(source.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            failed(format!("there is no such file, expected the entity tag {wanted}"))
        }
        Err(source) => Err(StoreError::io(mode.uri(path), &source)),
    }
}

/// An exclusive lock on the directory of a file; it leaves no file behind.
struct Lock(File);

impl Lock {
    fn of(path: &str, mode: Mode) -> Result<Self> {
        let directory = File::open(parent(path)).map_err(|source| StoreError::io(mode.uri(path), &source))?;
        let began = Instant::now();
        loop {
            match rustix::fs::flock(&directory, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Self(directory)),
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) if began.elapsed() < LOCK_WAIT => std::thread::sleep(Duration::from_millis(1)),
                Err(Errno::WOULDBLOCK) => {
                    let detail = "waited for the lock on its directory, which another program holds".into();
                    return Err(StoreError::Timeout { uri: mode.uri(path), detail });
                }
                Err(source) => {
                    let detail = format!("a conditional write needs to lock the directory: {source}");
                    return Err(StoreError::Unsupported { uri: mode.uri(path), detail });
                }
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing is not enough: a child that was forked meanwhile has the same open file.
        let _ = rustix::fs::flock(&self.0, FlockOperation::Unlock);
    }
}

//! The operation log: one line for each operation, in a file.
//!
//! Threads put rows into a bounded queue and one thread of its own writes them, so an operation waits only when the
//! disk is slower than the storage, and then no row is lost. A forked child writes a file of its own, which it opens
//! at its first operation. [`row`] says what the lines hold, [`summary`] reads them.

mod place;
pub mod row;
mod session;
pub mod summary;

pub use row::{HEADER, Row};

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::sync::{PoisonError, RwLock, RwLockWriteGuard};

use s3dlio_runtime::fork::{self, ForkLocal};

use crate::error::{Result, StoreError};
use crate::settings;
use session::Session;

/// What a forked child needs to open its own file.
struct Config {
    path: PathBuf,
    client: String,
    generation: u64,
}

static ACTIVE: AtomicBool = AtomicBool::new(false);

/// Not behind a lock, which another thread of the parent could hold at the moment of a fork. A replaced value is leaked,
/// because a thread may be reading it; that is some hundred bytes for each log of a process.
static CONFIG: AtomicPtr<Config> = AtomicPtr::new(std::ptr::null_mut());

static SESSION: ForkLocal<RwLock<Option<Session>>> = ForkLocal::new();

fn lock() -> RwLockWriteGuard<'static, Option<Session>> {
    SESSION.get_or_init(RwLock::default).write().unwrap_or_else(PoisonError::into_inner)
}

/// Begins a log at `place`, a path or a `file://` URI; a file that is there is replaced. `S3DLIO_CLIENT_ID` fills the
/// column `client_id`, which is otherwise empty.
///
/// Operations that begin from now on are logged, those of forked children too: each child writes to `place` with its
/// process number before the extension.
///
/// # Errors
/// [`StoreError::Config`] while another log is active; [`StoreError::Unsupported`] for URIs of other schemes;
/// [`StoreError::NotFound`], [`StoreError::PermissionDenied`], [`StoreError::Store`] when the file cannot be made.
pub fn init(place: &str) -> Result<()> {
    let path = place::path(place)?;
    let client = settings::var("S3DLIO_CLIENT_ID").unwrap_or_default();
    let mut session = lock();
    // A forked child may begin a log of its own in place of the one that it was born with.
    let own = config().filter(|config| is_active() && config.generation == fork::generation());
    if let Some(other) = own {
        let expected = format!("one log at a time: finalize the one at {} first", other.path.display());
        return Err(settings::config("op_log", place, &expected));
    }
    *session = Some(Session::create(&path, &client)?);
    let config = Box::new(Config { path, client, generation: fork::generation() });
    CONFIG.store(Box::into_raw(config), Ordering::Release);
    ACTIVE.store(true, Ordering::Relaxed);
    Ok(())
}

/// Whether operations are logged.
#[inline]
#[must_use]
pub fn is_active() -> bool {
    ACTIVE.load(Ordering::Relaxed)
}

/// Ends the log of this process: waits until every row is in the file. Does nothing without a log.
///
/// Operations that are running are not logged any more.
///
/// # Errors
/// [`StoreError::Store`] when the file could not be written; it names the number of rows that are not in it.
pub fn finalize() -> Result<()> {
    let session = {
        let mut session = lock();
        ACTIVE.store(false, Ordering::Relaxed);
        session.take()
    };
    session.map_or(Ok(()), Session::close)
}

/// Adds a row to the log, if there is one; waits while the queue is full.
pub fn push(row: Row) {
    if !is_active() {
        return;
    }
    // Held while the row is sent, so that `finalize` finds all rows in the queue that were begun to be sent.
    let session = SESSION.get_or_init(RwLock::default).read().unwrap_or_else(PoisonError::into_inner);
    match &*session {
        Some(session) => session.send(row),
        None => {
            drop(session);
            push_first(row);
        }
    }
}

/// Opens this child's file, if there is none yet, and adds its first row.
fn push_first(row: Row) {
    let mut session = lock();
    // The log of the process that began it is never opened here: if there is none, it has been finalized.
    let inherited = config().filter(|config| is_active() && config.generation != fork::generation());
    if let (None, Some(config)) = (&*session, inherited) {
        match Session::create_for_child(&config.path, &config.client) {
            Ok(own) => *session = Some(own),
            Err(error) => {
                ACTIVE.store(false, Ordering::Relaxed);
                tracing::error!(%error, "no operation log in this forked process");
            }
        }
    }
    if let Some(session) = &*session {
        session.send(row);
    }
}

fn config() -> Option<&'static Config> {
    // SAFETY: the pointer is null or came from `Box::into_raw`, and what it points to is never freed.
    unsafe { CONFIG.load(Ordering::Acquire).as_ref() }
}

/// A number that tells the threads of this process apart: the column `thread`.
#[must_use]
pub fn thread_number() -> u64 {
    thread_local! {
        static NUMBER: u64 = {
            let mut hasher = DefaultHasher::new();
            std::thread::current().id().hash(&mut hasher);
            hasher.finish()
        };
    }
    // A thread that is ending has lost its number.
    NUMBER.try_with(|&number| number).unwrap_or_default()
}

fn failed(path: &std::path::Path, source: &std::io::Error) -> StoreError {
    StoreError::io(format!("file://{}", path.display()), source)
}

//! Reading one file from front to back, ahead of its caller.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use s3dlio_formats::riegeli::{OnDamage, Records};
use s3dlio_runtime::fork;
use s3dlio_store::{StoreError, Uri, Work};
use tokio::sync::Mutex;

use super::source::Limits;
use super::stream::{Place, Stream};
use crate::array_record::Next;
use crate::error::Result;
use crate::input::{Input, work};

/// Bytes that one file is read ahead.
const AHEAD: u64 = 16 << 20;

/// Reads the records of a file one after another. Clones are the same reader.
///
/// A batch of chunks is read and decoded on another thread while the one before is handed out. In a forked child it goes
/// on from where it was.
#[derive(Debug, Clone)]
pub struct Reader(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    uri: Uri,
    generation: AtomicU64,
    stream: Mutex<Stream>,
}

impl Reader {
    /// Opens a file, which costs one request of a network store, and begins at `place`: the beginning of the file, or what
    /// [`place`](Self::place) said for the same file. Nothing of the file is looked at yet.
    ///
    /// # Errors
    /// As [`Input::open`].
    pub fn open(uri: &Uri, place: Place, on_damage: OnDamage) -> s3dlio_store::Result<Work<Self>> {
        Ok(Input::open(uri)?.map(move |input| {
            let uri = input.uri().clone();
            let stream = Stream::new(input, place, on_damage, Limits::of(AHEAD), None);
            Self(Arc::new(Inner { uri, generation: AtomicU64::new(fork::generation()), stream: Mutex::new(stream) }))
        }))
    }

    /// The file.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.0.uri
    }

    /// Where the next record is.
    ///
    /// # Errors
    /// [`StoreError::Store`] while another thread waits for a record; [`StoreError::Forked`] as [`fill`](Self::fill).
    pub fn place(&self) -> s3dlio_store::Result<Place> {
        self.revive()?;
        match self.0.stream.try_lock() {
            Ok(stream) => Ok(stream.place()),
            Err(_) => Err(busy(&self.0.uri)),
        }
    }

    /// Passes the next record, as its chunk and its number there, to `take`, if it is at hand, and moves on.
    pub fn next_with<T>(&self, take: impl FnOnce(&Records, usize) -> T) -> Next<T> {
        // Another thread is at it: wait for one's turn elsewhere.
        let Ok(mut stream) = self.0.stream.try_lock() else { return Next::Wait };
        let Some((records, number)) = stream.next() else { return Next::Wait };
        let taken = take(records, number);
        stream.advance();
        Next::Record(taken)
    }

    /// Waits until the next record is at hand; false at the end of the file.
    ///
    /// # Errors
    /// At once: [`StoreError::Forked`] in a child whose parent was reading on another thread at the moment of the fork.
    /// From the work: damage, after all records before it, and what else the store says. Reading again fails again, or
    /// goes on where the failure was of the store.
    pub fn fill(&self) -> s3dlio_store::Result<Work<Result<bool>>> {
        self.revive()?;
        if let Ok(stream) = self.0.stream.try_lock() {
            stream.input().connect()?;
        }
        let reader = self.clone();
        let local = self.0.uri.scheme.is_local();
        Ok(work(local, async move { Ok(reader.0.stream.lock().await.fill().await) }))
    }

    fn revive(&self) -> s3dlio_store::Result<()> {
        let generation = fork::generation();
        if self.0.generation.load(Ordering::Acquire) != generation {
            let mut stream = self.0.stream.try_lock().map_err(|_| inherited(&self.0.uri))?;
            stream.revive(None);
            self.0.generation.store(generation, Ordering::Release);
        }
        Ok(())
    }
}

pub(super) fn inherited(uri: &Uri) -> StoreError {
    let detail =
        "another thread of the parent was reading at the moment of the fork: open it again in the child".into();
    StoreError::Forked { uri: uri.to_string(), detail }
}

pub(super) fn busy(uri: &Uri) -> StoreError {
    StoreError::Store { uri: uri.to_string(), detail: "another thread is waiting for a record".into() }
}

/// Counts the records of a file, all of which are checked.
///
/// # Errors
/// As [`Reader::open`] and [`Reader::fill`].
pub fn count(uri: &Uri, on_damage: OnDamage) -> s3dlio_store::Result<Work<Result<u64>>> {
    let opening = Input::open(uri)?;
    Ok(Work::network(async move {
        let input = opening.into_future().await?;
        Ok(count_all(&mut Stream::new(input, Place::default(), on_damage, Limits::of(AHEAD), None)).await)
    }))
}

/// Counts the records that a stream has left.
pub(super) async fn count_all(stream: &mut Stream) -> Result<u64> {
    let mut total = 0;
    while stream.fill().await? {
        total += stream.skip_chunk();
    }
    Ok(total)
}

//! Reading and decoding: groups of local files on the reading pool, network objects on the runtime.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures::future::{Either, select};
use s3dlio_runtime::budget::Permit;
use s3dlio_runtime::executor::{self, BoxFuture};
use s3dlio_runtime::pool;
use s3dlio_runtime::stats::{self, Counter};
use s3dlio_store::local::{self, Mode};
use s3dlio_store::observe::{self, Span, Verb};
use s3dlio_store::{Scheme, StoreError, Uri};

use super::Shared;
use super::slot::Pending;
use crate::decode::{Decoder, Sample};
use crate::error::LoaderError;
use crate::source::Record;

/// A group of files is read in one job of up to this many bytes (16 reads of 64 KiB, about 0.3 ms) ...
const GROUP_BYTES: u64 = 1 << 20;

/// ... and files, so that the threads of the pool share even a small batch of tiny ones.
const GROUP_FILES: usize = 32;

/// Samples in one job of the decoding pool: to inflate one or to decode an image takes long enough that small jobs
/// spread better ...
const DECODE_JOB: usize = 4;

/// ... but what is only looked at and not changed is done with sooner than a thread of the pool wakes up.
const LOOK_JOB: usize = 64;

/// A sample and its record, or why there is none.
pub(super) type Read = (Pending, Result<Record, LoaderError>);

/// Local files that will be read together.
pub(super) struct FileGroup {
    shared: Arc<Shared>,
    files: Vec<(Pending, String, Mode)>,
    bytes: u64,
}

impl FileGroup {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared), files: Vec::new(), bytes: 0 }
    }

    pub(super) fn push(&mut self, pending: Pending, path: String, mode: Mode) {
        // A file of unknown size gets a job of its own: its buffer cannot be part of a common one.
        self.bytes += self.shared.source.bytes(pending.index()).unwrap_or(GROUP_BYTES);
        self.files.push((pending, path, mode));
        if self.files.len() >= GROUP_FILES || self.bytes >= GROUP_BYTES {
            self.flush();
        }
    }

    /// Hands the group to the reading pool.
    pub(super) fn flush(&mut self) {
        if self.files.is_empty() {
            return;
        }
        let files = std::mem::take(&mut self.files);
        self.bytes = 0;
        pool::io().run(move || {
            // Dropping the samples of a stopped iteration frees their permits.
            let Some(shared) = files.first().map(|(pending, ..)| Arc::clone(pending.shared())) else { return };
            if shared.is_cancelled() {
                return;
            }
            let read = read_group(files);
            if only_looks(&shared) {
                // Another thread would only have to be woken for it.
                decode_here(&shared, account_all(&shared, read));
            } else {
                decode(&shared, read);
            }
        });
    }
}

/// Reads files of known size into one allocation; each record is a slice of it.
fn read_group(files: Vec<(Pending, String, Mode)>) -> Vec<Read> {
    let known = |pending: &Pending| pending.shared().source.bytes(pending.index());
    let total: u64 = files.iter().filter_map(|(pending, ..)| known(pending)).sum();
    let mut arena = Vec::with_capacity(usize::try_from(total).unwrap_or(0));
    let mut read = Vec::with_capacity(files.len());
    for (pending, path, mode) in files {
        let start = arena.len();
        let uri = local_uri(path, mode);
        let span = observe::begin(Verb::Get, &uri);
        let outcome = match known(&pending) {
            Some(_) if mode == Mode::Buffered => {
                local::read_onto(&uri.key, &mut arena).map(|length| Place::Arena(start..start + length))
            }
            _ => local::read(&uri.key, 0, None, mode).map(Place::Own),
        };
        count(span, &outcome);
        if outcome.is_err() {
            arena.truncate(start);
        }
        read.push((pending, outcome));
    }
    let arena = Bytes::from(arena);
    let bytes = |place| match place {
        Place::Arena(range) => arena.slice(range),
        Place::Own(bytes) => bytes,
    };
    let record = |place: Result<Place, StoreError>| place.map(|place| Record::Bytes(bytes(place)));
    read.into_iter().map(|(pending, place)| (pending, record(place).map_err(LoaderError::from))).collect()
}

enum Place {
    Arena(std::ops::Range<usize>),
    Own(Bytes),
}

impl Place {
    fn len(&self) -> usize {
        match self {
            Self::Arena(range) => range.len(),
            Self::Own(bytes) => bytes.len(),
        }
    }
}

fn local_uri(path: String, mode: Mode) -> Uri {
    let scheme = if mode == Mode::Buffered { Scheme::File } else { Scheme::Direct };
    Uri { scheme, authority: None, bucket: String::new(), key: path }
}

fn count(span: Span, outcome: &Result<Place, StoreError>) {
    let bytes = outcome.as_ref().map_or(0, Place::len) as u64;
    stats::add(Counter::GetRequests, 1);
    stats::add(Counter::GetBytes, bytes);
    span.end(bytes, outcome);
}

/// Starts a network read; it ends at once when the iteration stops.
pub(super) fn start_network(
    shared: &Arc<Shared>,
    pending: Pending,
    read: BoxFuture<Result<Bytes, StoreError>>,
    turn: Permit,
) {
    let mut cancel = shared.cancel.subscribe();
    let task = async move {
        let _turn = turn;
        let cancelled = std::pin::pin!(cancel.wait_for(|&cancelled| cancelled));
        if let Either::Left((result, _)) = select(read, cancelled).await {
            let shared = Arc::clone(pending.shared());
            decode(&shared, vec![(pending, result.map(Record::Bytes).map_err(LoaderError::from))]);
        }
    };
    // Without a runtime the task is dropped, and the sample's place gets its error from there.
    if let Err(error) = executor::spawn(task) {
        tracing::error!(%error, "no network runtime");
    }
}

/// Decodes what was read: plain bytes at once, arrays on the decoding pool.
pub(super) fn decode(shared: &Arc<Shared>, read: Vec<Read>) {
    let read = account_all(shared, read);
    if shared.options.decoder == Decoder::Bytes {
        decode_here(shared, read);
        return;
    }
    let most = most_of_a_job(shared);
    let mut read = read.into_iter().peekable();
    while read.peek().is_some() {
        let job: Vec<Read> = read.by_ref().take(most).collect();
        let shared = Arc::clone(shared);
        pool::decode().run(move || {
            if !shared.is_cancelled() {
                decode_here(&shared, job);
            }
        });
    }
}

/// Samples that are decoded in one job.
pub(super) fn most_of_a_job(shared: &Shared) -> usize {
    if only_looks(shared) { LOOK_JOB } else { DECODE_JOB }
}

/// Whether decoding a record makes nothing new of its bytes.
fn only_looks(shared: &Shared) -> bool {
    matches!(shared.options.decoder, Decoder::Bytes | Decoder::Npy | Decoder::Text)
}

fn decode_here(shared: &Shared, read: Vec<Read>) {
    read.into_iter().for_each(|(pending, record)| decode_one(shared, pending, record));
}

fn account_all(shared: &Shared, read: Vec<Read>) -> Vec<Read> {
    read.into_iter().map(|read| account(shared, read)).collect()
}

fn account(shared: &Shared, (mut pending, record): Read) -> Read {
    shared.counters.read_requests.fetch_add(1, Ordering::Relaxed);
    pending.read();
    if let Ok(record) = &record {
        let length = record.bytes();
        shared.counters.read_bytes.fetch_add(length, Ordering::Relaxed);
        pending.holds(shared.need(length));
        if shared.source.bytes(pending.index()).is_none() {
            // Follows a larger record at once and forgets an outlier within some dozens of smaller ones.
            let known = shared.estimate.load(Ordering::Relaxed);
            shared.estimate.store(length.max(known - known / 16).max(1), Ordering::Relaxed);
        }
    }
    (pending, record)
}

fn decode_one(shared: &Shared, mut pending: Pending, record: Result<Record, LoaderError>) {
    let sample = match record {
        Err(error) => Err(error),
        Ok(Record::Array(array)) => Ok(Sample::Array(array)),
        Ok(Record::Bytes(bytes)) => {
            let length = bytes.len() as u64;
            let decoded = shared.options.decoder.decode(bytes);
            decoded
                .inspect(|sample| pending.holds(shared.need(length.max(sample.data_bytes()))))
                .map_err(|source| LoaderError::decode(shared.source.name(pending.index()), pending.index(), &source))
        }
    };
    pending.fulfil(sample);
}

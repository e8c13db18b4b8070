//! What this process asked of its stores: totals, and figures by store and verb.
//!
//! Plain atomics, always on: they cost some ten nanoseconds beside requests of microseconds.

mod exposition;
mod histogram;

pub use exposition::text;
pub use histogram::{Histogram, Latency};

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Counter {
    /// Requests that read an object or a range of one.
    GetRequests,
    /// Bytes received by reads.
    GetBytes,
    /// Requests that wrote an object or a part of one.
    PutRequests,
    /// Bytes sent by writes.
    PutBytes,
    /// Listing pages or directories read.
    ListRequests,
    /// Requests for metadata alone.
    HeadRequests,
    /// Requests that removed objects.
    DeleteRequests,
    /// Requests that failed in a way that is tried again: no connection, a broken one, 408, 429 and 5xx.
    Retries,
    /// Reads that the cache answered.
    CacheHits,
    /// Bytes of these.
    CacheBytes,
}

/// Counters and the names they are reported under.
pub const COUNTERS: [(Counter, &str); 10] = [
    (Counter::GetRequests, "get_requests"),
    (Counter::GetBytes, "get_bytes"),
    (Counter::PutRequests, "put_requests"),
    (Counter::PutBytes, "put_bytes"),
    (Counter::ListRequests, "list_requests"),
    (Counter::HeadRequests, "head_requests"),
    (Counter::DeleteRequests, "delete_requests"),
    (Counter::Retries, "retries"),
    (Counter::CacheHits, "cache_hits"),
    (Counter::CacheBytes, "cache_bytes"),
];

/// Operations as they are counted and logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(usize)]
pub enum Verb {
    /// A whole object was read.
    Get,
    /// A range of an object was read.
    GetRange,
    /// An object was written.
    Put,
    /// Objects were listed.
    List,
    /// Metadata of an object was asked for.
    Head,
    /// An object was removed.
    Delete,
    /// Several named objects were removed.
    DeleteBatch,
    /// Everything below a prefix was removed.
    DeletePrefix,
    /// An object was copied inside its store.
    Copy,
    /// A bucket, container or directory was made.
    CreateContainer,
    /// A bucket, container or directory was removed.
    DeleteContainer,
}

impl Verb {
    /// Every verb with the name it has in the statistics.
    pub const ALL: [(Self, &str); 11] = [
        (Self::Get, "get"),
        (Self::GetRange, "get_range"),
        (Self::Put, "put"),
        (Self::List, "list"),
        (Self::Head, "head"),
        (Self::Delete, "delete"),
        (Self::DeleteBatch, "delete_batch"),
        (Self::DeletePrefix, "delete_prefix"),
        (Self::Copy, "copy"),
        (Self::CreateContainer, "create_container"),
        (Self::DeleteContainer, "delete_container"),
    ];

    /// The name in the statistics; the operation log writes it in capitals.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

/// The stores that operations are counted for, by the scheme of their URIs.
pub const STORES: [&str; 6] = ["file", "direct", "memory", "s3", "gs", "az"];

struct Cell {
    errors: AtomicU64,
    bytes: AtomicU64,
    latency: Histogram,
}

type Row = [Cell; Verb::ALL.len()];

static CELLS: [Row; STORES.len()] = [const {
    [const { Cell { errors: AtomicU64::new(0), bytes: AtomicU64::new(0), latency: Histogram::new() } }; Verb::ALL.len()]
}; STORES.len()];

/// Records the end of an operation on a store of the scheme `store`; one that [`STORES`] does not name is not counted.
pub fn record(store: &str, verb: Verb, took: Duration, bytes: u64, failed: bool) {
    let Some(row) = STORES.iter().position(|&name| name == store) else { return };
    let cell = &CELLS[row][verb as usize];
    cell.latency.add(took);
    cell.bytes.fetch_add(bytes, Ordering::Relaxed);
    if failed {
        cell.errors.fetch_add(1, Ordering::Relaxed);
    }
}

/// One verb on one kind of store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figures {
    /// The scheme.
    pub store: &'static str,
    /// The verb.
    pub verb: Verb,
    /// Operations that failed; they are among those of `latency`.
    pub errors: u64,
    /// Bytes moved.
    pub bytes: u64,
    /// How many operations there were, and how long they took.
    pub latency: Latency,
}

/// Figures of every store and verb that was used since the process started (a forked child goes on from its
/// parent's).
#[must_use]
pub fn snapshot() -> Vec<Figures> {
    let rows = STORES.into_iter().zip(&CELLS);
    let cells =
        rows.flat_map(|(store, row)| Verb::ALL.into_iter().zip(row).map(move |((verb, _), cell)| (store, verb, cell)));
    let figures = cells.map(|(store, verb, cell)| Figures {
        store,
        verb,
        errors: cell.errors.load(Ordering::Relaxed),
        bytes: cell.bytes.load(Ordering::Relaxed),
        latency: cell.latency.latency(),
    });
    figures.filter(|figures| figures.latency.count > 0).collect()
}

static VALUES: [AtomicU64; COUNTERS.len()] = [const { AtomicU64::new(0) }; COUNTERS.len()];

/// Adds to a counter.
pub fn add(counter: Counter, by: u64) {
    VALUES[counter as usize].fetch_add(by, Ordering::Relaxed);
}

/// The value of a counter since the process started (a forked child goes on from its parent's value).
#[must_use]
pub fn value(counter: Counter) -> u64 {
    VALUES[counter as usize].load(Ordering::Relaxed)
}

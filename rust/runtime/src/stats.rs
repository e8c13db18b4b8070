//! Counters of what this process asked of its stores.
//!
//! Plain atomics, always on: an increment costs a few nanoseconds beside requests of microseconds.

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
}

/// Counters and the names they are reported under.
pub const COUNTERS: [(Counter, &str); 8] = [
    (Counter::GetRequests, "get_requests"),
    (Counter::GetBytes, "get_bytes"),
    (Counter::PutRequests, "put_requests"),
    (Counter::PutBytes, "put_bytes"),
    (Counter::ListRequests, "list_requests"),
    (Counter::HeadRequests, "head_requests"),
    (Counter::DeleteRequests, "delete_requests"),
    (Counter::Retries, "retries"),
];

/// Operations as they are counted and logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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

/// Records the end of an operation on a store of the scheme `store`.
pub fn record(_store: &'static str, _verb: Verb, _took: Duration, _bytes: u64, _failed: bool) {}

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

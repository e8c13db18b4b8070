//! How far long work has come, for whoever draws it.

use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes that are done, of how many, and records found in them.
#[derive(Debug, Default)]
pub struct Progress {
    bytes: AtomicU64,
    total: AtomicU64,
    records: AtomicU64,
}

impl Progress {
    /// Bytes that are done.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Bytes that there are; 0 where that is not known yet.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// Records found so far.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
    }

    /// Begins work on so many bytes.
    pub fn of(&self, total: u64) {
        self.total.store(total, Ordering::Relaxed);
        self.bytes.store(0, Ordering::Relaxed);
    }

    /// Some more bytes are done; on any thread.
    pub fn add(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// So many bytes are done.
    pub fn at(&self, bytes: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    /// Some more records are found; on any thread.
    pub fn found(&self, records: u64) {
        self.records.fetch_add(records, Ordering::Relaxed);
    }
}

//! Decoded chunks, kept for the next record that somebody asks of them.

use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use s3dlio_formats::riegeli::Records;
use s3dlio_runtime::fork::ForkLocal;
use s3dlio_runtime::settings;

/// The share of the memory budget that decoded chunks may take: the rest is for what is on its way.
const SHARE: u64 = 8;

/// Chunks that the cache expects: it grows beyond.
const EXPECTED: usize = 1024;

/// What a chunk takes beside its bytes: one number a record, and the cache's own entry.
const ENTRY: u64 = 128;

/// File and number of the chunk.
type Key = (u64, usize);

#[derive(Clone)]
struct Bytes;

impl Weighter<Key, Records> for Bytes {
    fn weight(&self, _: &Key, records: &Records) -> u64 {
        ENTRY + records.data().len() as u64 + 8 * records.len() as u64
    }
}

/// One cache a process: files share it, so that many open files together keep no more than one would. A forked child has
/// its own, because another thread may hold a lock of the parent's at the moment of the fork.
static CACHE: ForkLocal<Cache<Key, Records, Bytes>> = ForkLocal::new();

static NEXT: AtomicU64 = AtomicU64::new(0);

fn cache() -> &'static Cache<Key, Records, Bytes> {
    CACHE.get_or_init(|| Cache::with_weighter(EXPECTED, capacity(), Bytes))
}

fn capacity() -> u64 {
    settings::memory_budget() / SHARE
}

/// A number that no other open file of this process has.
pub(super) fn file_number() -> u64 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A chunk that was kept.
pub(super) fn get(file: u64, chunk: usize) -> Option<Records> {
    cache().get(&(file, chunk))
}

/// Keeps a chunk, unless it is so large that it would push out most others.
pub(super) fn put(file: u64, chunk: usize, records: &Records) {
    // A single record is found as quickly in the file, whose pages the system keeps.
    if records.len() > 1 && (records.data().len() as u64) < capacity() / 2 {
        cache().insert((file, chunk), records.clone());
    }
}

//! Settings of the network stores, from the environment.
//!
//! They are read at each call and are part of the key under which a client is kept, so a change takes effect at
//! once and two settings never share connections.

mod network;
mod s3;

pub use network::Network;
pub use s3::S3;

use std::cell::Cell;
use std::time::Duration;

use crate::error::StoreError;

/// Whether `direct://` reads and writes through the page cache where a file system refuses `O_DIRECT`, instead of
/// raising; `S3DLIO_DIRECT_FALLBACK`, false.
#[must_use]
pub fn direct_fallback() -> bool {
    FALLBACK.get().unwrap_or_else(|| flag("S3DLIO_DIRECT_FALLBACK"))
}

thread_local! {
    static FALLBACK: Cell<Option<bool>> = const { Cell::new(None) };
}

/// Begins operations under an explicit [`direct_fallback`] in place of the environment's: settings are read on the thread
/// that begins an operation, so the choice holds for what `begin` starts and for nothing else.
pub fn with_direct_fallback<T>(fallback: Option<bool>, begin: impl FnOnce() -> T) -> T {
    let before = FALLBACK.replace(fallback);
    let begun = begin();
    FALLBACK.set(before);
    begun
}

/// How long sizes of network objects are remembered (`S3DLIO_SIZE_CACHE_TTL_SECS`, 60 s) and of how many objects
/// (`S3DLIO_SIZE_CACHE_MAX_ENTRIES`, 100,000: some 20 MB).
#[must_use]
pub fn size_cache_limits() -> (Duration, usize) {
    let number = |name: &str| var(name).and_then(|text| text.trim().parse::<u64>().ok());
    let ttl = Duration::from_secs(number("S3DLIO_SIZE_CACHE_TTL_SECS").unwrap_or(60));
    let entries = number("S3DLIO_SIZE_CACHE_MAX_ENTRIES").unwrap_or(100_000);
    (ttl, usize::try_from(entries).unwrap_or(usize::MAX))
}

/// The Azure account that the environment names: URIs may then leave it out.
#[must_use]
pub fn azure_account() -> Option<String> {
    var("AZURE_STORAGE_ACCOUNT").or_else(|| var("AZURE_BLOB_ACCOUNT"))
}

pub(crate) fn var(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

pub(crate) fn flag(name: &str) -> bool {
    var(name).is_some_and(|value| matches!(value.to_ascii_lowercase().as_str(), "1" | "true" | "yes" | "on"))
}

pub(crate) fn config(option: &str, found: &str, expected: &str) -> StoreError {
    StoreError::Config { option: option.into(), found: format!("{found:?}"), expected: expected.into() }
}

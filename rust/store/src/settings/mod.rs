//! Settings of the network stores, from the environment.
//!
//! They are read at each call and are part of the key under which a client is kept, so a change takes effect at
//! once and two settings never share connections.

mod network;
mod s3;

pub use network::Network;
pub use s3::S3;

use crate::error::StoreError;

/// Whether `direct://` reads and writes through the page cache where a file system refuses `O_DIRECT`, instead of
/// raising; `S3DLIO_DIRECT_FALLBACK`, false.
#[must_use]
pub fn direct_fallback() -> bool {
    flag("S3DLIO_DIRECT_FALLBACK")
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

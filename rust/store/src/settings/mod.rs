//! Settings of the network stores, from the environment and the files that it names.
//!
//! They are read at each call and are part of the key under which a client is kept, so a change takes effect at
//! once and two settings never share connections.

mod azure;
mod cache;
mod connection_string;
mod environment;
mod files;
mod gcs;
mod known;
mod network;
mod profile;
mod s3;

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStore;

pub use azure::Azure;
pub(crate) use azure::AzureLogin;
pub(crate) use cache::ReadCache;
pub(crate) use environment::fingerprint;
pub(crate) use files::Watched;
pub use gcs::Gcs;
pub(crate) use gcs::{GcsLogin, KeyFile};
pub use known::{VARIABLES, unknown_variables};
pub use network::Network;
pub(crate) use profile::ProfileFiles;
pub use s3::S3;
pub(crate) use s3::{AwsKeys, AwsLogin, AwsRole};

use crate::credentials::Connection;
use crate::error::{Result, StoreError};
use crate::uri::{Scheme, Uri};

/// The settings of a network store: the key under which its client is kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[allow(clippy::large_enum_variant, reason = "one lives for the length of a call, or as the key of a client")]
pub(crate) enum Settings {
    /// Amazon S3 and its like.
    S3(Box<S3>),
    /// Google Cloud Storage.
    Gcs(Box<Gcs>),
    /// Azure Blob Storage.
    Azure(Box<Azure>),
}

impl Settings {
    /// The settings that hold for `uri` at this moment.
    pub(crate) fn resolve(uri: &Uri) -> Result<Self> {
        size_cache_limits()?;
        match uri.scheme {
            Scheme::S3 => S3::resolve(uri).map(Box::new).map(Self::S3),
            Scheme::Gcs => Gcs::resolve(uri).map(Box::new).map(Self::Gcs),
            Scheme::Azure => Azure::resolve(uri).map(Box::new).map(Self::Azure),
            Scheme::File | Scheme::Direct | Scheme::Memory => {
                Err(StoreError::Unsupported { uri: uri.to_string(), detail: "is no network store".into() })
            }
        }
    }

    /// Builds the client.
    pub(crate) fn build(&self) -> Result<Arc<dyn ObjectStore>> {
        match self {
            Self::S3(settings) => settings.build(),
            Self::Gcs(settings) => settings.build(),
            Self::Azure(settings) => settings.build(),
        }
    }

    /// The URL of the bucket.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::S3(settings) => settings.url(),
            Self::Gcs(settings) => settings.url(),
            Self::Azure(settings) => settings.url(),
        }
    }

    /// The connection to the bucket for requests that the client has no verb for.
    pub(crate) fn connect(&self) -> Result<Arc<dyn Connection>> {
        Ok(match self {
            Self::S3(settings) => Arc::new(settings.remote()?),
            Self::Gcs(settings) => Arc::new(settings.remote()?),
            Self::Azure(settings) => Arc::new(settings.remote()?),
        })
    }

    /// The settings of the network.
    pub(crate) fn network(&self) -> &Network {
        match self {
            Self::S3(settings) => settings.network(),
            Self::Gcs(settings) => settings.network(),
            Self::Azure(settings) => settings.network(),
        }
    }
}

/// Whether `direct://` reads and writes through the page cache where a file system refuses `O_DIRECT`, instead of
/// raising; `S3DLIO_DIRECT_FALLBACK`, false.
///
/// # Errors
/// [`StoreError::Config`] for a variable that says neither yes nor no.
pub fn direct_fallback() -> Result<bool> {
    FALLBACK.get().map_or_else(|| flag("S3DLIO_DIRECT_FALLBACK"), Ok)
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

/// Whether an object is looked at after it was put: length and entity tag; `S3DLIO_PUT_VERIFY`, false.
///
/// # Errors
/// [`StoreError::Config`] for a variable that says neither yes nor no.
pub fn put_verify() -> Result<bool> {
    flag("S3DLIO_PUT_VERIFY")
}

/// The same for objects that are written in parts: those of writers, and large ones that are put;
/// `S3DLIO_MPU_PUT_VERIFY`, false.
///
/// # Errors
/// As [`put_verify`].
pub fn multipart_verify() -> Result<bool> {
    flag("S3DLIO_MPU_PUT_VERIFY")
}

/// How long sizes of network objects are remembered (`S3DLIO_SIZE_CACHE_TTL_SECS`, 60 s) and of how many objects
/// (`S3DLIO_SIZE_CACHE_MAX_ENTRIES`, 100,000: some 20 MB).
///
/// # Errors
/// [`StoreError::Config`] for a variable that is no whole number.
pub fn size_cache_limits() -> Result<(Duration, usize)> {
    let number = |name: &str, default: u64| match var(name) {
        None => Ok(default),
        Some(text) => text.trim().parse().map_err(|_| config(name, &text, "a whole number, 0 for none")),
    };
    let ttl = Duration::from_secs(number("S3DLIO_SIZE_CACHE_TTL_SECS", 60)?);
    let entries = number("S3DLIO_SIZE_CACHE_MAX_ENTRIES", 100_000)?;
    Ok((ttl, usize::try_from(entries).unwrap_or(usize::MAX)))
}

/// The Azure account that the environment names: URIs may then leave it out.
#[must_use]
pub fn azure_account() -> Option<String> {
    azure::account_of_environment()
}

/// A text that no log or error may show.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Secret(pub(crate) String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

pub(crate) fn var(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The first of several names that is set, and its value: the more special name stands first.
pub(crate) fn first_of(names: &[&'static str]) -> Option<(&'static str, String)> {
    names.iter().find_map(|&name| var(name).map(|value| (name, value)))
}

/// A variable that says yes or no; unset means no.
pub(crate) fn flag(name: &str) -> Result<bool> {
    let Some(value) = var(name) else { return Ok(false) };
    match value.trim().to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => Err(config(name, &value, "1, true, yes, on, or 0, false, no, off")),
    }
}

pub(crate) fn config(option: &str, found: &str, expected: &str) -> StoreError {
    StoreError::Config { option: option.into(), found: format!("{found:?}"), expected: expected.into() }
}

/// An endpoint as the clients want it: `http` or `https`, a host, no slash at the end.
pub(crate) fn endpoint(option: &str, text: &str) -> Result<url::Url> {
    let bad = || config(option, text, "http://host:port or https://host:port");
    let url = url::Url::parse(text).map_err(|_| bad())?;
    if url.host_str().is_none() || !["http", "https"].contains(&url.scheme()) || url.query().is_some() {
        return Err(bad());
    }
    Ok(url)
}

/// The home directory, where the tools of the clouds keep their files.
pub(crate) fn home() -> Option<std::path::PathBuf> {
    var("HOME").map(Into::into)
}

//! Credentials that expire, kept until shortly before they do.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use object_store::client::CredentialProvider;

use super::Made;

/// Credentials are fetched anew when they have less than this left: a request of the longest usual time limit, with
/// its retries, still ends in time.
const MARGIN: TimeDelta = TimeDelta::minutes(5);

/// A credential and when it expires; `None` for never.
pub(super) type Fetched<T> = (T, Option<DateTime<Utc>>);

/// A source that gives a new credential each time.
#[async_trait]
pub(super) trait Source: fmt::Debug + Send + Sync + 'static {
    /// What it gives.
    type Credential: fmt::Debug + Send + Sync + 'static;

    /// Gets a new one.
    async fn fetch(&self) -> object_store::Result<Fetched<Self::Credential>>;
}

/// Keeps what a source gave.
pub(super) struct Cached<S: Source> {
    source: S,
    kept: tokio::sync::Mutex<Option<Arc<S::Credential>>>,
    expiry: Arc<Mutex<Option<DateTime<Utc>>>>,
}

impl<S: Source> Cached<S> {
    /// A provider on top of `source`.
    pub(super) fn made(source: S) -> Made<S::Credential> {
        let expiry = Arc::default();
        let cached = Self { source, kept: tokio::sync::Mutex::default(), expiry: Arc::clone(&expiry) };
        Made { provider: Arc::new(cached), expiry }
    }
}

impl<S: Source> fmt::Debug for Cached<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cached").field(&self.source).finish()
    }
}

#[async_trait]
impl<S: Source> CredentialProvider for Cached<S> {
    type Credential = S::Credential;

    async fn get_credential(&self) -> object_store::Result<Arc<S::Credential>> {
        // Whoever holds the lock fetches; the others find its result.
        let mut kept = self.kept.lock().await;
        let left = self.expiry.lock().unwrap_or_else(PoisonError::into_inner).map(|expiry| expiry - Utc::now());
        if let Some(known) = kept.as_ref().filter(|_| left.is_none_or(|left| left > MARGIN)) {
            return Ok(Arc::clone(known));
        }
        // What is about to expire still works, should there be no new one.
        let old = kept.clone().filter(|_| left.is_some_and(|left| left > TimeDelta::zero()));
        match (self.source.fetch().await, old) {
            (Ok((credential, expiry)), _) => {
                *self.expiry.lock().unwrap_or_else(PoisonError::into_inner) = expiry;
                Ok(Arc::clone(kept.insert(Arc::new(credential))))
            }
            (Err(_), Some(old)) => Ok(old),
            (Err(error), None) => Err(error),
        }
    }
}

//! `stat` and `exists`: metadata without the body.

use chrono::{DateTime, Utc};
use futures::StreamExt;
use object_store::{Attribute, GetOptions, ObjectStore};
use s3dlio_runtime::stats::{self, Counter};

use crate::error::{Result, StoreError};
use crate::observe::{self, Verb};
use crate::registry::{self, Backend};
use crate::work::Work;
use crate::{Uri, local};

/// Metadata of one object; what a store does not tell is `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    /// Bytes.
    pub size: u64,
    /// Time of the last change.
    pub last_modified: DateTime<Utc>,
    /// Entity tag.
    pub etag: Option<String>,
    /// Version, where the store keeps versions.
    pub version: Option<String>,
    /// MIME type.
    pub content_type: Option<String>,
    /// Natural language of the content.
    pub content_language: Option<String>,
    /// Encoding such as `gzip`.
    pub content_encoding: Option<String>,
    /// Caching rule.
    pub cache_control: Option<String>,
    /// Presentation rule.
    pub content_disposition: Option<String>,
    /// Storage class.
    pub storage_class: Option<String>,
    /// User metadata, key and value.
    pub metadata: Vec<(String, String)>,
}

/// Metadata of an object.
///
/// # Errors
/// At once: a URI or settings that cannot work. From the work: [`StoreError::NotFound`], [`StoreError::Unsupported`]
/// for a directory, and what else [`StoreError`] lists.
pub fn stat(uri: &Uri) -> Result<Work<Stat>> {
    let backend = registry::open(uri)?;
    let uri = uri.clone();
    Ok(match backend {
        Backend::Local(_) => Work::here(move || stat_file(&uri)),
        Backend::Object(store) => Work::request(async move { head(&*store, &uri).await }),
    })
}

pub(super) fn stat_file(uri: &Uri) -> Result<Stat> {
    let span = observe::begin(Verb::Head, uri);
    let result = file_metadata(uri);
    span.end(0, &result);
    result
}

fn file_metadata(uri: &Uri) -> Result<Stat> {
    stats::add(Counter::HeadRequests, 1);
    let meta = std::fs::metadata(&uri.key).map_err(|source| StoreError::io(uri.to_string(), &source))?;
    if meta.is_dir() {
        return Err(StoreError::Unsupported { uri: uri.to_string(), detail: "is a directory, not an object".into() });
    }
    Ok(Stat {
        size: meta.len(),
        last_modified: meta.modified().map(DateTime::from).unwrap_or_default(),
        etag: Some(local::etag(&meta)),
        version: None,
        content_type: None,
        content_language: None,
        content_encoding: None,
        cache_control: None,
        content_disposition: None,
        storage_class: Some("STANDARD".into()),
        metadata: Vec::new(),
    })
}

pub(super) async fn head(store: &dyn ObjectStore, uri: &Uri) -> Result<Stat> {
    let span = observe::begin(Verb::Head, uri);
    let result = object_metadata(store, uri).await;
    span.end(0, &result);
    result
}

async fn object_metadata(store: &dyn ObjectStore, uri: &Uri) -> Result<Stat> {
    if uri.is_directory() {
        return Err(StoreError::Unsupported { uri: uri.to_string(), detail: "is a directory, not an object".into() });
    }
    stats::add(Counter::HeadRequests, 1);
    let options = GetOptions { head: true, ..Default::default() };
    let answer = store
        .get_opts(&uri.object_path()?, options)
        .await
        .map_err(|source| StoreError::object(uri.to_string(), source))?;
    let text = |wanted: Attribute| answer.attributes.get(&wanted).map(|value| value.as_ref().to_owned());
    Ok(Stat {
        size: answer.meta.size,
        last_modified: answer.meta.last_modified,
        etag: answer.meta.e_tag.clone(),
        version: answer.meta.version.clone(),
        content_type: text(Attribute::ContentType),
        content_language: text(Attribute::ContentLanguage),
        content_encoding: text(Attribute::ContentEncoding),
        cache_control: text(Attribute::CacheControl),
        content_disposition: text(Attribute::ContentDisposition),
        storage_class: text(Attribute::StorageClass),
        metadata: answer
            .attributes
            .iter()
            .filter_map(|(key, value)| match key {
                Attribute::Metadata(name) => Some((name.to_string(), value.as_ref().to_owned())),
                _ => None,
            })
            .collect(),
    })
}

/// Whether an object exists; with a trailing slash, whether anything exists below it.
///
/// # Errors
/// Only "not found" counts as an answer; missing rights or an unreachable store are errors.
pub fn exists(uri: &Uri) -> Result<Work<bool>> {
    let backend = registry::open(uri)?;
    let uri = uri.clone();
    Ok(match backend {
        Backend::Local(_) => Work::here(move || {
            let span = observe::begin(Verb::Head, &uri);
            let result = std::fs::metadata(&uri.key).map(|_| ());
            let result = result.map_err(|source| StoreError::io(uri.to_string(), &source));
            span.end(0, &result);
            found(result)
        }),
        Backend::Object(store) if uri.is_directory() => Work::network(async move {
            stats::add(Counter::ListRequests, 1);
            let span = observe::begin(Verb::List, &uri);
            let prefix = uri.object_path()?;
            let first = store.list((!prefix.is_root()).then_some(&prefix)).next().await;
            let first = first.transpose().map_err(|source| StoreError::object(uri.to_string(), source));
            span.end(0, &first);
            match first {
                Ok(first) => Ok(first.is_some()),
                Err(error) => found(Err(error)),
            }
        }),
        Backend::Object(store) => Work::request(async move { found(head(&*store, &uri).await.map(|_| ())) }),
    })
}

fn found(result: Result<()>) -> Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(StoreError::NotFound { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

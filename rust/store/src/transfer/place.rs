//! One side of a transfer: a store, opened on the calling thread, and single reads and writes in it.

use std::ops::Range;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, CopyOptions, GetOptions, GetRange, GetResult, ObjectStore, PutOptions, PutPayload,
};
use s3dlio_runtime::stats::{self, Counter};

use crate::error::{Result, StoreError};
use crate::observe::{self, Verb};
use crate::registry::{self, Backend};
use crate::work::on_pool;
use crate::{Uri, local};

/// A store and a URI in it.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub uri: Uri,
    pub backend: Backend,
    pub store: Arc<dyn ObjectStore>,
}

/// What is known about an object before its body is read.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub size: u64,
    pub modified: DateTime<Utc>,
    pub etag: Option<String>,
    pub attributes: Attributes,
}

impl Place {
    /// Opens the store of `uri`; a path is made absolute, so that a later change of the working directory does not
    /// redirect what runs.
    pub fn open(uri: &Uri) -> Result<Self> {
        let mut uri = uri.clone();
        if uri.scheme.is_local() {
            let path = std::path::absolute(&uri.key).map_err(|source| StoreError::io(uri.to_string(), &source))?;
            let text = path.to_str().ok_or_else(|| StoreError::InvalidUri {
                uri: uri.to_string(),
                reason: "the working directory has no UTF-8 name".into(),
            })?;
            uri = uri.with_key(text);
        }
        let backend = registry::open(&uri)?;
        let store = match &backend {
            Backend::Object(store) => Arc::clone(store),
            Backend::Local(_) => registry::object_store(&uri)?.0,
        };
        Ok(Self { uri, backend, store })
    }

    pub fn is_local(&self) -> bool {
        matches!(self.backend, Backend::Local(_))
    }

    /// Whether the store can copy from `other` to itself: only inside one bucket, which is what one client serves.
    pub fn shares_bucket(&self, other: &Self) -> bool {
        !self.is_local() && self.uri.root() == other.uri.root() && Arc::ptr_eq(&self.store, &other.store)
    }

    pub fn name(&self, key: &str) -> String {
        self.uri.with_key(key).to_string()
    }

    pub fn path(&self, key: &str) -> Result<Path> {
        if !self.is_local() {
            return self.uri.with_key(key).object_path();
        }
        let invalid = |source: object_store::path::Error| StoreError::InvalidUri {
            uri: self.name(key),
            reason: source.to_string(),
        };
        Path::from_absolute_path(key).map_err(invalid)
    }

    fn failed(&self, key: &str) -> impl Fn(object_store::Error) -> StoreError {
        let name = self.name(key);
        move |source| StoreError::object(name.clone(), source)
    }

    /// Size, time and entity tag.
    pub async fn head(&self, key: &str) -> Result<Head> {
        stats::add(Counter::HeadRequests, 1);
        let span = observe::begin(Verb::Head, &self.uri.with_key(key));
        let head = match &self.backend {
            Backend::Local(_) => {
                let (name, path) = (self.name(key), key.to_owned());
                on_pool(move || file_head(&name, &path)).await
            }
            Backend::Object(store) => {
                let options = GetOptions { head: true, ..GetOptions::default() };
                let path = self.path(key)?;
                store.get_opts(&path, options).await.map(into_head).map_err(self.failed(key))
            }
        };
        span.end(0, &head);
        head
    }

    /// A whole object, with what a copy of it should keep.
    pub async fn whole(&self, key: &str) -> Result<(PutPayload, Attributes)> {
        let mut span = observe::begin(Verb::Get, &self.uri.with_key(key));
        let read = match &self.backend {
            Backend::Local(mode) => {
                let (path, mode) = (key.to_owned(), *mode);
                let bytes = on_pool(move || local::read(&path, 0, None, mode)).await;
                bytes.map(|bytes| (PutPayload::from_bytes(bytes), Attributes::new()))
            }
            Backend::Object(_) => match self.request(key, GetOptions::default()).await {
                Err(error) => Err(error),
                Ok(answer) => {
                    span.first_byte();
                    let (attributes, size) = (kept(&answer.attributes), answer.meta.size);
                    self.body(key, answer, size).await.map(|body| (body, attributes))
                }
            },
        };
        count(span, read, |(body, _)| body.content_length())
    }

    /// A range of an object, if it is still the version of `etag`.
    pub async fn range(&self, key: &str, range: Range<u64>, etag: Option<String>) -> Result<PutPayload> {
        let mut span = observe::begin(Verb::GetRange, &self.uri.with_key(key));
        let want = range.end - range.start;
        let read = match &self.backend {
            Backend::Local(mode) => {
                let (path, mode, name) = (key.to_owned(), *mode, self.name(key));
                on_pool(move || {
                    let bytes = local::read(&path, range.start, Some(want), mode)?;
                    let found = bytes.len() as u64;
                    let short = || StoreError::Length { uri: name, found, expected: want };
                    if found == want { Ok(PutPayload::from_bytes(bytes)) } else { Err(short()) }
                })
                .await
            }
            Backend::Object(_) => {
                // A weak tag never matches in a condition.
                let if_match = etag.filter(|tag| !tag.starts_with("W/"));
                let range = Some(GetRange::Bounded(range));
                let options = GetOptions { range, if_match, ..GetOptions::default() };
                match self.request(key, options).await {
                    Err(error) => Err(error),
                    Ok(answer) => {
                        span.first_byte();
                        self.body(key, answer, want).await
                    }
                }
            }
        };
        count(span, read, PutPayload::content_length)
    }

    async fn request(&self, key: &str, options: GetOptions) -> Result<GetResult> {
        self.store.get_opts(&self.path(key)?, options).await.map_err(self.failed(key))
    }

    /// The chunks as they come off the wire: putting them together would copy every byte once more.
    async fn body(&self, key: &str, answer: GetResult, want: u64) -> Result<PutPayload> {
        let chunks: Vec<bytes::Bytes> = answer.into_stream().try_collect().await.map_err(self.failed(key))?;
        let body: PutPayload = chunks.into_iter().collect();
        let found = body.content_length() as u64;
        if found == want {
            return Ok(body);
        }
        Err(StoreError::Length { uri: self.name(key), found, expected: want })
    }

    /// Writes a whole object.
    pub async fn put(&self, key: &str, body: PutPayload, attributes: Attributes) -> Result<()> {
        let span = observe::begin(Verb::Put, &self.uri.with_key(key));
        let length = body.content_length() as u64;
        let written = match &self.backend {
            Backend::Local(mode) => {
                let (path, mode) = (key.to_owned(), *mode);
                on_pool(move || local::write_atomic(&path, &bytes::Bytes::from(body), mode)).await
            }
            Backend::Object(store) => {
                let options = PutOptions { attributes, ..PutOptions::default() };
                let path = self.path(key)?;
                store.put_opts(&path, body, options).await.map(|_| ()).map_err(self.failed(key))
            }
        };
        if written.is_ok() {
            stats::add(Counter::PutRequests, 1);
            stats::add(Counter::PutBytes, length);
        }
        span.end(length, &written);
        written
    }

    /// Lets the store copy; `None` where it cannot.
    pub async fn copy(&self, from: &str, to: &str, size: u64) -> Option<Result<()>> {
        let span = observe::begin(Verb::Copy, &self.uri.with_key(to));
        let copied = match (self.path(from), self.path(to)) {
            (Ok(from), Ok(to)) => self.store.copy_opts(&from, &to, CopyOptions::new()).await,
            (Err(error), _) | (_, Err(error)) => return Some(Err(error)),
        };
        use object_store::Error::{NotImplemented, NotSupported};
        if matches!(copied, Err(NotImplemented { .. } | NotSupported { .. })) {
            return None;
        }
        // What can be missing is the source.
        let copied = copied.map_err(self.failed(from));
        stats::add(Counter::PutRequests, 1);
        span.end(size, &copied);
        Some(copied)
    }
}

fn count<T>(span: observe::Span, read: Result<T>, length: impl Fn(&T) -> usize) -> Result<T> {
    let bytes = read.as_ref().map_or(0, |read| length(read) as u64);
    stats::add(Counter::GetRequests, 1);
    stats::add(Counter::GetBytes, bytes);
    span.end(bytes, &read);
    read
}

fn file_head(name: &str, path: &str) -> Result<Head> {
    let meta = local::metadata(path)?;
    if meta.is_dir() {
        return Err(StoreError::Unsupported { uri: name.to_owned(), detail: "is a directory, not an object".into() });
    }
    Ok(Head {
        size: meta.len(),
        modified: meta.modified().map(DateTime::from).unwrap_or_default(),
        etag: Some(local::etag(&meta)),
        attributes: Attributes::new(),
    })
}

fn into_head(answer: GetResult) -> Head {
    Head {
        size: answer.meta.size,
        modified: answer.meta.last_modified,
        attributes: kept(&answer.attributes),
        etag: answer.meta.e_tag,
    }
}

/// What describes the content travels with it; a storage class is a matter of the bucket it was read from.
fn kept(attributes: &Attributes) -> Attributes {
    let describes = |name: &Attribute| {
        matches!(
            name,
            Attribute::ContentType
                | Attribute::ContentEncoding
                | Attribute::ContentLanguage
                | Attribute::ContentDisposition
                | Attribute::CacheControl
                | Attribute::Metadata(_)
        )
    };
    let kept = attributes.iter().filter(|(name, _)| describes(name));
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}

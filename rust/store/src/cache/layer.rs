//! A store that keeps what it reads.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    Attribute, CopyOptions, Error, GetOptions, GetRange, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use s3dlio_runtime::pool;
use s3dlio_runtime::stats::{self, Counter};

use super::entry::{Draft, Entry, Head};
use super::folder::Folder;
use crate::settings::ReadCache;
use crate::work::on_pool;

/// A network store with a cache before it.
#[derive(Debug)]
pub(crate) struct Cached {
    inner: Arc<dyn ObjectStore>,
    /// The URL of the bucket: entries of another server are others.
    place: String,
    folder: Arc<Folder>,
}

impl Cached {
    pub(crate) fn new(inner: Arc<dyn ObjectStore>, place: String, settings: &ReadCache) -> Self {
        Self { inner, place, folder: Arc::new(Folder::new(settings)) }
    }

    /// The name of an entry; `None` for requests that are none of a reader's, and for ends of objects.
    fn key(&self, location: &Path, options: &GetOptions) -> Option<String> {
        let plain = options.if_none_match.is_none()
            && options.if_modified_since.is_none()
            && options.if_unmodified_since.is_none()
            && options.version.is_none()
            && !options.head;
        let range = match &options.range {
            None => String::new(),
            Some(GetRange::Bounded(Range { start, end })) => format!(" {start}-{end}"),
            Some(GetRange::Offset(_) | GetRange::Suffix(_)) => return None,
        };
        plain.then(|| format!("{}/{location}{range}", self.place))
    }

    /// What an entry says, as the server's answer would; `None` where it is damaged.
    async fn serve(&self, entry: Entry, location: &Path) -> Option<GetResult> {
        let folder = Arc::clone(&self.folder);
        let read = move || {
            let bytes = entry.read();
            if bytes.is_none() {
                folder.forget(&entry.head.key);
            }
            Ok((entry.head, bytes))
        };
        let (head, bytes) = on_pool(read).await.ok()?;
        let bytes = bytes?;
        stats::add(Counter::CacheHits, 1);
        stats::add(Counter::CacheBytes, bytes.len() as u64);
        let meta = ObjectMeta {
            location: location.clone(),
            last_modified: head.modified,
            size: head.size,
            e_tag: Some(head.etag),
            version: None,
        };
        let (attributes, extensions) = Default::default();
        let payload = GetResultPayload::Stream(stream::iter([Ok(bytes)]).boxed());
        Some(GetResult { payload, meta, range: head.range, attributes, extensions })
    }

    /// Has the body written to the cache as the caller reads it.
    fn keep(&self, mut answer: GetResult, key: String) -> GetResult {
        // A weak tag does not say that the bytes are the same.
        let etag = answer.meta.e_tag.clone().filter(|tag| !tag.starts_with("W/"));
        let length = answer.range.end.saturating_sub(answer.range.start);
        let encoded = answer.attributes.get(&Attribute::ContentEncoding).is_some();
        let (Some(etag), false, true) = (etag, encoded, length <= self.folder.most()) else { return answer };
        let GetResultPayload::Stream(body) = answer.payload else { return answer };
        let head = Head {
            key,
            etag,
            size: answer.meta.size,
            modified: answer.meta.last_modified,
            range: answer.range.clone(),
        };
        // A full disk, say, is no reason not to read.
        let draft = self.folder.begin(&head).ok();
        let keeping = Keeping { body, folder: Arc::clone(&self.folder), head, draft, left: length };
        answer.payload = GetResultPayload::Stream(keeping.into_stream());
        answer
    }
}

/// A body on its way to a reader and into the cache.
struct Keeping {
    body: BoxStream<'static, Result<Bytes>>,
    folder: Arc<Folder>,
    head: Head,
    draft: Option<Draft>,
    left: u64,
}

impl Keeping {
    fn take(&mut self, piece: &Bytes) {
        self.left = self.left.saturating_sub(piece.len() as u64);
        let Some(mut draft) = self.draft.take() else { return };
        if draft.append(piece).is_err() {
            return;
        }
        if self.left > 0 {
            self.draft = Some(draft);
            return;
        }
        // Now, and not when the stream ends: readers that have the last byte do not ask for more.
        if let Ok(true) = self.folder.keep(draft, &self.head) {
            let folder = Arc::clone(&self.folder);
            pool::io().run(move || {
                let _ = folder.trim();
            });
        }
    }

    fn into_stream(self) -> BoxStream<'static, Result<Bytes>> {
        let next = |mut keeping: Self| async move {
            let Some(piece) = keeping.body.try_next().await? else { return Ok(None) };
            keeping.take(&piece);
            Ok(Some((piece, keeping)))
        };
        stream::try_unfold(self, next).boxed()
    }
}

impl fmt::Display for Cached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for Cached {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let Some(key) = self.key(location, &options) else { return self.inner.get_opts(location, options).await };
        let (folder, name) = (Arc::clone(&self.folder), key.clone());
        let known = on_pool(move || Ok(folder.find(&name))).await.ok().flatten();
        match (known, options.if_match.as_deref()) {
            (Some(entry), Some(wanted)) if wanted == entry.head.etag => {
                if let Some(answer) = self.serve(entry, location).await {
                    return Ok(answer);
                }
            }
            (Some(entry), None) => {
                let asked = GetOptions { if_none_match: Some(entry.head.etag.clone()), ..options.clone() };
                match self.inner.get_opts(location, asked).await {
                    Err(Error::NotModified { .. }) => {
                        if let Some(answer) = self.serve(entry, location).await {
                            return Ok(answer);
                        }
                    }
                    answer => return answer.map(|answer| self.keep(answer, key)),
                }
            }
            _ => {}
        }
        self.inner.get_opts(location, options).await.map(|answer| self.keep(answer, key))
    }

    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

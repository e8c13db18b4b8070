//! The writer as its callers hold it.

use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use s3dlio_runtime::{executor, fork};
use tokio::sync::Mutex;

use super::options::WriterOptions;
use super::stream::{Figures, Stream};
use super::upload::Upload;
use crate::compression::Encoder;
use crate::error::{Result, StoreError};
use crate::observe::{self, Verb};
use crate::registry::{self, Backend};
use crate::uri::Uri;
use crate::work::Work;
use crate::{ops, settings};

/// Which thread compresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encode {
    /// The one that drives the work: right for a caller that blocks.
    Here,
    /// The reading pool: right for work that the network runtime drives, whose threads must not compute for long.
    Pool,
}

/// What a finished writer has written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriterStats {
    /// Bytes taken from the caller.
    pub bytes_written: u64,
    /// Bytes of the object; the same number without compression.
    pub compressed_bytes: u64,
    /// `crc32c:` and eight hexadecimal digits, of the bytes as the caller gave them.
    pub checksum: String,
    /// Requests that carried the body: 1 for an object that fits into one part.
    pub parts: u64,
    /// The entity tag of the new object, where the store tells.
    pub etag: Option<String>,
}

/// Writes one object piece by piece; see the module.
///
/// Clones are the same writer; calls from several threads take turns. Dropping the last one before
/// [`Writer::finish`] gives the object up.
#[derive(Clone)]
pub struct Writer(Arc<Inner>);

struct Inner {
    uri: Uri,
    generation: u64,
    keep_parts: bool,
    /// Where the finished object is looked at, if the environment asks for it.
    verify: Option<Backend>,
    figures: Arc<Figures>,
    /// Not dropped in a forked child, where its tasks belong to threads that do not exist.
    stream: ManuallyDrop<Mutex<Stream>>,
}

impl Writer {
    /// Prepares to write the object `uri`; asks the store nothing yet.
    ///
    /// Call it on the thread that asks for the operation: it reads environment variables.
    ///
    /// # Errors
    /// [`StoreError::InvalidUri`] for a directory, [`StoreError::Config`] for options or settings that cannot work,
    /// [`StoreError::Unsupported`] for a media type of a local file.
    pub fn open(uri: &Uri, options: &WriterOptions) -> Result<Self> {
        Self::check(uri, options)?;
        let backend = registry::open(uri)?;
        let verify = settings::multipart_verify()?.then(|| backend.clone());
        Self::begin(backend, uri, options, verify)
    }

    /// As [`Writer::open`], in a store that was opened for this URI or another one of its bucket; on any thread.
    ///
    /// # Errors
    /// As [`Writer::open`].
    pub fn open_in(backend: Backend, uri: &Uri, options: &WriterOptions) -> Result<Self> {
        Self::check(uri, options)?;
        Self::begin(backend, uri, options, None)
    }

    fn begin(backend: Backend, uri: &Uri, options: &WriterOptions, verify: Option<Backend>) -> Result<Self> {
        let mut uri = uri.clone();
        let extension = options.compression.extension();
        if !uri.key.ends_with(extension) {
            uri.key.push_str(extension);
        }
        let sizes = options.sizes(uri.scheme)?;
        let encoder = Encoder::new(options.compression).map_err(|source| StoreError::io(uri.to_string(), &source))?;
        let (store, path) = registry::object_store_in(backend, &uri)?;
        let figures = Arc::new(Figures::default());
        let span = observe::begin(Verb::Put, &uri);
        let upload = Upload::new(store, uri.clone(), path, sizes, options.content_type.clone());
        let stream = Stream::new(uri.clone(), encoder, upload, Arc::clone(&figures), span);
        let stream = ManuallyDrop::new(Mutex::new(stream));
        let (generation, keep_parts) = (fork::generation(), options.keep_parts);
        let inner = Inner { uri, generation, keep_parts, verify, figures, stream };
        Ok(Self(Arc::new(inner)))
    }

    /// What can be refused without the store.
    fn check(uri: &Uri, options: &WriterOptions) -> Result<()> {
        let invalid = |reason: &str| StoreError::InvalidUri { uri: uri.to_string(), reason: reason.into() };
        if uri.is_directory() {
            return Err(invalid("names a directory, not an object"));
        }
        if uri.scheme.is_local() && options.content_type.is_some() {
            let detail = "files have no content type: leave content_type out".into();
            return Err(StoreError::Unsupported { uri: uri.to_string(), detail });
        }
        options.sizes(uri.scheme).map(|_| ())
    }

    /// The object, with the extension of its compression.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.0.uri
    }

    /// Takes the next bytes; the result is their number. Waits while every buffer is on its way to the store.
    ///
    /// # Errors
    /// What [`StoreError`] lists, of this part or an earlier one; the writer is then of no more use.
    /// [`StoreError::Forked`] in a child of the process that opened the writer.
    pub fn write(&self, data: Bytes, encode: Encode) -> Result<Work<u64>> {
        let inner = self.own()?;
        Ok(Work::network(async move { inner.stream.lock().await.write(data, encode).await }))
    }

    /// As [`Writer::write`], without a copy where there is much: `data` must stay as it is until the object is finished
    /// or given up. What is less than a part of a longer piece is copied, so that it does not keep all of the piece.
    ///
    /// # Errors
    /// As [`Writer::write`].
    pub fn write_kept(&self, data: Bytes, encode: Encode) -> Result<Work<u64>> {
        let inner = self.own()?;
        Ok(Work::network(async move {
            let mut stream = inner.stream.lock().await;
            if stream.keeps(data.len()) { stream.keep(data).await } else { stream.write(data, encode).await }
        }))
    }

    /// Takes the next bytes at once if they only have to be copied; `None` leaves it to [`Writer::write`].
    ///
    /// A program that writes records of a few bytes then pays for the copy and not for the waiting.
    ///
    /// # Errors
    /// [`StoreError::Forked`] in a child of the process that opened the writer.
    pub fn try_write(&self, data: &[u8]) -> Result<Option<u64>> {
        let inner = self.own()?;
        let taken = inner.stream.try_lock().is_ok_and(|mut stream| stream.try_write(data));
        Ok(taken.then_some(data.len() as u64))
    }

    /// Waits until the store has confirmed all full parts; the rest, less than a part, stays here.
    ///
    /// # Errors
    /// As [`Writer::write`].
    pub fn flush(&self) -> Result<Work<()>> {
        let inner = self.own()?;
        Ok(Work::network(async move { inner.stream.lock().await.flush().await }))
    }

    /// Sends the rest and makes the object visible.
    ///
    /// # Errors
    /// As [`Writer::write`]; [`StoreError::Length`] if the store has confirmed other parts than were sent. The object
    /// is then as it was before.
    pub fn finish(&self, encode: Encode) -> Result<Work<WriterStats>> {
        let inner = self.own()?;
        Ok(Work::network(async move {
            let stats = inner.stream.lock().await.finish(encode).await?;
            if let Some(backend) = &inner.verify {
                ops::compare(backend, &inner.uri, Some(stats.compressed_bytes), stats.etag.as_deref()).await?;
            }
            Ok(stats)
        }))
    }

    /// Gives the object up and removes its parts; nothing to do for a writer that failed or was aborted.
    ///
    /// # Errors
    /// [`StoreError::Unsupported`] for a finished writer; those of the removal, after which the parts are left to the
    /// store's own rules.
    pub fn abort(&self) -> Result<Work<()>> {
        let inner = self.own()?;
        Ok(Work::network(async move { inner.stream.lock().await.abort().await }))
    }

    /// Bytes taken so far.
    #[must_use]
    pub fn bytes_written(&self) -> u64 {
        self.0.figures.taken.load(Ordering::Relaxed)
    }

    /// Bytes that the encoder has put out so far; some wait inside it until the writer is finished.
    #[must_use]
    pub fn compressed_bytes(&self) -> u64 {
        self.0.figures.encoded.load(Ordering::Relaxed)
    }

    /// The checksum of the bytes taken so far; see [`WriterStats::checksum`].
    #[must_use]
    pub fn checksum(&self) -> String {
        self.0.figures.checksum()
    }

    /// Whether the writer is finished, aborted or failed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.figures.closed.load(Ordering::Acquire)
    }

    fn own(&self) -> Result<Arc<Inner>> {
        if self.0.generation != fork::generation() {
            return Err(StoreError::Forked {
                uri: self.0.uri.to_string(),
                detail: "this writer was opened in the parent of this process: open one in the forked child".into(),
            });
        }
        Ok(Arc::clone(&self.0))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.generation != fork::generation() {
            return;
        }
        // SAFETY: the field is not used again: this is the only place that takes it, and `self` is being dropped.
        let mut stream = unsafe { ManuallyDrop::take(&mut self.stream) }.into_inner();
        if stream.needs_abort() && !self.keep_parts {
            // Without a runtime there is nobody to tell the store.
            let _ = executor::spawn(async move { stream.abort().await });
        }
    }
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("uri", &self.0.uri.to_string()).finish_non_exhaustive()
    }
}

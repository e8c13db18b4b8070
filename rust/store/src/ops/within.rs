//! Verbs for protocols of several steps: on a store that was opened before, so that only the first step, on the calling
//! thread, reads the environment.

use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use s3dlio_runtime::stats::{self, Counter};

use super::delete;
use super::fetch::fetch_tail;
use super::put::{self, PART_SIZE};
use super::stat::{Stat, head, stat_file};
use crate::error::{Result, StoreError};
use crate::local::{self, Create, Mode};
use crate::observe::{self, Verb};
use crate::progress::Progress;
use crate::registry::Backend;
use crate::uri::Scheme;
use crate::work::on_pool;
use crate::{Uri, size_cache, upload};

/// Bytes of a local file that are written at once: what is watched moves in steps of these.
const STEP: usize = 8 << 20;

/// Objects above this are uploaded in parts.
const SINGLE: u64 = 64 << 20;

/// Parts of one upload at most; S3 and Google Cloud Storage take 10,000.
const MOST_PARTS: u64 = 9_000;

/// Writes an object from pieces of memory that lie anywhere, without putting them together first.
///
/// With a condition other than [`Create::Overwrite`] the object goes in one request whatever its size.
///
/// # Errors
/// As [`put`](super::put()).
pub async fn put_pieces(backend: &Backend, uri: &Uri, pieces: Vec<Bytes>, condition: Create) -> Result<Option<String>> {
    put_watched(backend, uri, pieces, condition, &Arc::default()).await
}

/// As [`put_pieces`]; `progress` counts the bytes as they are written.
///
/// # Errors
/// As [`put_pieces`].
pub async fn put_watched(
    backend: &Backend,
    uri: &Uri,
    pieces: Vec<Bytes>,
    condition: Create,
    progress: &Arc<Progress>,
) -> Result<Option<String>> {
    let length = pieces.iter().map(|piece| piece.len() as u64).sum();
    match backend {
        Backend::Local(mode) => {
            let (uri, mode, progress) = (uri.clone(), *mode, Arc::clone(progress));
            on_pool(move || write(&uri, &pieces, mode, &condition, length, &progress)).await
        }
        Backend::Object(store) => {
            // The store in memory keeps what it is given, and lent memory changes after the call.
            let pieces = match uri.scheme {
                Scheme::Memory => pieces.iter().map(|piece| Bytes::copy_from_slice(piece)).collect(),
                _ => pieces,
            };
            if !matches!(condition, Create::Overwrite) || uri.is_directory() {
                let body = Bytes::from(pieces.concat());
                return put::upload(backend.clone(), uri.clone(), body, condition).await;
            }
            let span = observe::begin(Verb::Put, uri);
            let result = send(&**store, uri, &pieces, length, progress).await;
            size_cache::forget(store, uri);
            if result.is_ok() {
                stats::add(Counter::PutBytes, length);
            }
            span.end(length, &result);
            result
        }
    }
}

fn write(
    uri: &Uri,
    pieces: &[Bytes],
    mode: Mode,
    condition: &Create,
    length: u64,
    progress: &Progress,
) -> Result<Option<String>> {
    let span = observe::begin(Verb::Put, uri);
    let steps = pieces.iter().flat_map(|piece| piece.chunks(STEP));
    let result = local::write_pieces(&uri.key, steps, mode, condition, |bytes| progress.add(bytes));
    if result.is_ok() {
        stats::add(Counter::PutRequests, 1);
        stats::add(Counter::PutBytes, length);
    }
    span.end(length, &result);
    result.map(Some)
}

async fn send(
    store: &dyn ObjectStore,
    uri: &Uri,
    pieces: &[Bytes],
    length: u64,
    progress: &Arc<Progress>,
) -> Result<Option<String>> {
    let path = uri.object_path()?;
    let failed = |source| StoreError::object(uri.to_string(), source);
    if length <= SINGLE {
        stats::add(Counter::PutRequests, 1);
        let options = PutOptions { mode: PutMode::Overwrite, ..Default::default() };
        let payload = pieces.iter().cloned().collect::<PutPayload>();
        let written = store.put_opts(&path, payload, options).await.map_err(failed)?;
        progress.add(length);
        return Ok(written.e_tag);
    }
    send_parts(store, uri, &path, pieces, length, progress).await
}

async fn send_parts(
    store: &dyn ObjectStore,
    uri: &Uri,
    path: &Path,
    pieces: &[Bytes],
    length: u64,
    progress: &Arc<Progress>,
) -> Result<Option<String>> {
    let failed = |source| StoreError::object(uri.to_string(), source);
    let part = PART_SIZE.max(length.div_ceil(MOST_PARTS).next_multiple_of(1 << 20));
    let mut upload = upload::Upload::new(store.put_multipart(path).await.map_err(failed)?);
    let mut rest = Pieces { pieces, at: 0 };
    let sent = put::send_pieces(&mut upload, uri, length, part, |size| rest.take(size), progress).await;
    if let Err(error) = sent {
        upload.abort().await;
        return Err(error);
    }
    let written = upload.complete().await.map_err(failed)?;
    upload::confirm(store, uri, path, &written, length).await?;
    Ok(written.e_tag)
}

struct Pieces<'a> {
    pieces: &'a [Bytes],
    at: usize,
}

impl Pieces<'_> {
    /// The next `size` bytes, as slices of the pieces.
    fn take(&mut self, mut size: usize) -> PutPayload {
        let mut taken = Vec::new();
        while size > 0
            && let Some(piece) = self.pieces.first()
        {
            let length = size.min(piece.len() - self.at);
            taken.push(piece.slice(self.at..self.at + length));
            self.at += length;
            size -= length;
            if self.at == piece.len() {
                self.pieces = &self.pieces[1..];
                self.at = 0;
            }
        }
        taken.into_iter().collect()
    }
}

/// A small object and its entity tag, of which a conditional write can make its condition.
///
/// # Errors
/// What [`StoreError`] lists; [`StoreError::Corrupt`] for an object above `most` bytes.
pub async fn read_small(backend: &Backend, uri: &Uri, most: u64) -> Result<(Bytes, Option<String>)> {
    let (bytes, size, tag) = match backend {
        Backend::Object(store) => {
            let stat = head(&**store, uri).await?;
            if stat.size == 0 {
                return Ok((Bytes::new(), stat.etag));
            }
            let tail = fetch_tail(store, uri, most).await?;
            (tail.bytes, tail.size, tail.version)
        }
        Backend::Local(mode) => {
            let (uri, mode) = (uri.clone(), *mode);
            on_pool(move || {
                // The tag first: a file that is replaced between the two has another one when a condition asks.
                let stat = stat_file(&uri)?;
                let bytes = local::read(&uri.key, 0, Some(most), mode)?;
                Ok((bytes, stat.size, stat.etag))
            })
            .await?
        }
    };
    if size > most {
        let detail = format!("found {size} bytes, expected at most {most}");
        return Err(StoreError::Corrupt { uri: uri.to_string(), detail });
    }
    Ok((bytes, tag))
}

/// Metadata of an object.
///
/// # Errors
/// As [`stat`](super::stat()).
pub async fn look(backend: &Backend, uri: &Uri) -> Result<Stat> {
    match backend {
        Backend::Object(store) => head(&**store, uri).await,
        Backend::Local(_) => {
            let uri = uri.clone();
            on_pool(move || stat_file(&uri)).await
        }
    }
}

/// Removes one object; what is not there counts as removed.
///
/// # Errors
/// What [`StoreError`] lists.
pub async fn remove(backend: &Backend, uri: &Uri) -> Result<()> {
    delete::remove_one(backend, uri).await
}

//! `put`: one object, whole or not at all.

use std::future::{Future, ready};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{GetOptions, ObjectStore, ObjectStoreExt, PutMode, PutPayload, UpdateVersion};
use s3dlio_runtime::stats::{self, Counter};
use tokio::task::JoinSet;

use super::verify::verified;
use crate::error::{Result, StoreError};
use crate::local::{Create, Mode};
use crate::observe::{self, Verb};
use crate::progress::Progress;
use crate::registry::{self, Backend};
use crate::upload::Upload;
use crate::uri::Scheme;
use crate::work::{Work, on_pool};
use crate::{Uri, local, settings, size_cache, upload};

/// Objects above this are uploaded in parts: one lost connection then costs a part, not the object.
const MULTIPART_THRESHOLD: u64 = 64 << 20;

/// Local files above this take long enough (some 50 ms) that whoever waits should be able to give up.
const LARGE: usize = 64 << 20;

/// Bytes of one part; 10,000 parts (the usual limit) make 160 GB.
pub(super) const PART_SIZE: u64 = 16 << 20;

/// Parts of one object in flight.
const PARTS_IN_FLIGHT: usize = 8;

/// Writes an object; what was there before is replaced only by a complete one. Returns its entity tag, where the store
/// tells it.
///
/// With a condition other than [`Create::Overwrite`] the object goes in one request whatever its size, because only that
/// is atomic in every store.
///
/// # Errors
/// At once: a URI or settings that cannot work. From the work: [`StoreError::AlreadyExists`] and
/// [`StoreError::Precondition`] when the condition does not hold, and what else [`StoreError`] lists.
pub fn put(uri: &Uri, data: Bytes, condition: Create) -> Result<Work<Option<String>>> {
    let backend = registry::open(uri)?;
    let length = data.len() as u64;
    let verify = settings::put_verify()? || settings::multipart_verify()? && in_parts(length, &condition);
    let work = begin(backend.clone(), uri.clone(), data, condition);
    Ok(if verify { verified(work, backend, uri.clone(), Some(length)) } else { work })
}

/// Whether an upload of so many bytes goes in parts.
pub(super) fn in_parts(length: u64, condition: &Create) -> bool {
    matches!(condition, Create::Overwrite) && length > MULTIPART_THRESHOLD
}

fn begin(backend: Backend, uri: Uri, data: Bytes, condition: Create) -> Work<Option<String>> {
    match backend {
        Backend::Local(mode) if data.len() > LARGE => Work::pool(move || write(&uri, &data, mode, &condition)),
        Backend::Local(mode) => Work::here(move || write(&uri, &data, mode, &condition)),
        backend @ Backend::Object(_) if in_parts(data.len() as u64, &condition) => {
            Work::network(upload(backend, uri, data, condition))
        }
        backend @ Backend::Object(_) => Work::request(upload(backend, uri, data, condition)),
    }
}

/// As [`put`] without a condition, of a small object that is made when the work runs: for a local file on the thread that
/// runs it, otherwise on the reading pool.
///
/// # Errors
/// As [`put`], and what `make` returns.
pub fn put_made(uri: &Uri, make: impl FnOnce() -> Result<Bytes> + Send + 'static) -> Result<Work<Option<String>>> {
    let backend = registry::open(uri)?;
    let (place, verify) = ((backend.clone(), uri.clone()), settings::put_verify()?);
    let uri = uri.clone();
    let work = match backend {
        Backend::Local(mode) => Work::here(move || write(&uri, &make()?, mode, &Create::Overwrite)),
        backend @ Backend::Object(_) => {
            Work::network(async move { upload(backend, uri, on_pool(make).await?, Create::Overwrite).await })
        }
    };
    Ok(if verify { verified(work, place.0, place.1, None) } else { work })
}

fn write(uri: &Uri, data: &[u8], mode: Mode, condition: &Create) -> Result<Option<String>> {
    let span = observe::begin(Verb::Put, uri);
    let result = local::write(&uri.key, data, mode, condition);
    if result.is_ok() {
        stats::add(Counter::PutRequests, 1);
        stats::add(Counter::PutBytes, data.len() as u64);
    }
    span.end(data.len() as u64, &result);
    result.map(Some)
}

pub(super) async fn upload(backend: Backend, uri: Uri, data: Bytes, condition: Create) -> Result<Option<String>> {
    match backend {
        Backend::Local(mode) => on_pool(move || write(&uri, &data, mode, &condition)).await,
        Backend::Object(store) => {
            let length = data.len() as u64;
            let span = observe::begin(Verb::Put, &uri);
            let result = send(&*store, &uri, data, condition).await;
            size_cache::forget(&store, &uri);
            if result.is_ok() {
                stats::add(Counter::PutBytes, length);
            }
            span.end(length, &result);
            result
        }
    }
}

async fn send(store: &dyn ObjectStore, uri: &Uri, data: Bytes, condition: Create) -> Result<Option<String>> {
    if uri.is_directory() {
        return Err(StoreError::InvalidUri { uri: uri.to_string(), reason: "names a directory, not an object".into() });
    }
    let path = uri.object_path()?;
    let failed = |source| StoreError::object(uri.to_string(), source);
    let mode = match condition {
        Create::Overwrite if in_parts(data.len() as u64, &condition) => {
            let slice = |range: Range<u64>| ready(Ok(data.slice(range.start as usize..range.end as usize)));
            return upload_parts(store, uri, &path, data.len() as u64, slice).await;
        }
        Create::Overwrite => PutMode::Overwrite,
        Create::New => PutMode::Create,
        Create::Matching(etag) => {
            let version =
                if uri.scheme == Scheme::Gcs { Some(generation(store, uri, &path, &etag).await?) } else { None };
            PutMode::Update(UpdateVersion { e_tag: Some(etag), version })
        }
    };
    stats::add(Counter::PutRequests, 1);
    let written = store.put_opts(&path, PutPayload::from_bytes(data), mode.into()).await.map_err(failed)?;
    Ok(written.e_tag)
}

/// The generation of the object with this entity tag: Google's condition on a write takes no tag, but the number of the
/// very write that made the object.
async fn generation(store: &dyn ObjectStore, uri: &Uri, path: &Path, etag: &str) -> Result<String> {
    stats::add(Counter::HeadRequests, 1);
    let look = GetOptions { head: true, ..Default::default() };
    let failed = |detail: String| StoreError::Precondition { uri: uri.to_string(), detail };
    let found = match store.get_opts(path, look).await {
        Ok(answer) => answer.meta,
        Err(object_store::Error::NotFound { .. }) => return Err(failed("there is no object".into())),
        Err(source) => return Err(StoreError::object(uri.to_string(), source)),
    };
    match (found.e_tag, found.version) {
        (Some(found), Some(version)) if found == etag => Ok(version),
        (found, _) => Err(failed(format!("found the entity tag {found:?}, expected {etag:?}"))),
    }
}

/// Uploads `total` bytes in parts; `part` makes the bytes of one when its turn comes, so that no more than the parts in
/// flight are in memory.
pub(super) async fn upload_parts<F>(
    store: &dyn ObjectStore,
    uri: &Uri,
    path: &Path,
    total: u64,
    part: impl Fn(Range<u64>) -> F + Sync,
) -> Result<Option<String>>
where
    F: Future<Output = Result<Bytes>> + Send,
{
    let failed = |source| StoreError::object(uri.to_string(), source);
    let mut upload = Upload::new(store.put_multipart(path).await.map_err(failed)?);
    if let Err(error) = send_parts(&mut upload, uri, total, part).await {
        upload.abort().await;
        return Err(error);
    }
    let written = upload.complete().await.map_err(failed)?;
    upload::confirm(store, uri, path, &written, total).await?;
    Ok(written.e_tag)
}

async fn send_parts<F>(upload: &mut Upload, uri: &Uri, total: u64, part: impl Fn(Range<u64>) -> F + Sync) -> Result<()>
where
    F: Future<Output = Result<Bytes>> + Send,
{
    let failed = |source| StoreError::object(uri.to_string(), source);
    let mut tasks = JoinSet::new();
    let (mut start, mut acknowledged) = (0, 0);
    while start < total {
        let end = (start + PART_SIZE).min(total);
        if tasks.len() >= PARTS_IN_FLIGHT {
            acknowledged += finished(&mut tasks).await.map_err(failed)?;
        }
        let content = part(start..end).await?;
        let length = content.len() as u64;
        let Some(sending) = upload.put_part(PutPayload::from_bytes(content)) else { break };
        tasks.spawn(async move { sending.await.map(|()| length) });
        stats::add(Counter::PutRequests, 1);
        start = end;
    }
    while !tasks.is_empty() {
        acknowledged += finished(&mut tasks).await.map_err(failed)?;
    }
    // Completing an upload that lacks a part would make a short object under the final name.
    if acknowledged == total {
        return Ok(());
    }
    Err(StoreError::Length { uri: uri.to_string(), found: acknowledged, expected: total })
}

/// Sends `total` bytes in parts of `size` bytes, each made by `next` when its turn comes.
pub(super) async fn send_pieces(
    upload: &mut Upload,
    uri: &Uri,
    total: u64,
    size: u64,
    mut next: impl FnMut(usize) -> PutPayload + Send,
    progress: &Arc<Progress>,
) -> Result<()> {
    let failed = |source| StoreError::object(uri.to_string(), source);
    let mut tasks = JoinSet::new();
    let (mut start, mut acknowledged) = (0, 0);
    while start < total {
        if tasks.len() >= PARTS_IN_FLIGHT {
            acknowledged += finished(&mut tasks).await.map_err(failed)?;
        }
        let length = size.min(total - start);
        let payload = next(usize::try_from(length).unwrap_or(usize::MAX));
        let Some(sending) = upload.put_part(payload) else { break };
        let progress = Arc::clone(progress);
        tasks.spawn(async move { sending.await.map(|()| length).inspect(|&bytes| progress.add(bytes)) });
        stats::add(Counter::PutRequests, 1);
        start += length;
    }
    while !tasks.is_empty() {
        acknowledged += finished(&mut tasks).await.map_err(failed)?;
    }
    if acknowledged == total {
        return Ok(());
    }
    Err(StoreError::Length { uri: uri.to_string(), found: acknowledged, expected: total })
}

async fn finished(tasks: &mut JoinSet<object_store::Result<u64>>) -> object_store::Result<u64> {
    match tasks.join_next().await {
        Some(joined) => joined?,
        None => Ok(0),
    }
}

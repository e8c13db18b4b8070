//! `put`: one object, whole or not at all.

use bytes::Bytes;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload};
use s3dlio_runtime::stats::{self, Counter};
use tokio::task::JoinSet;

use crate::error::{Result, StoreError};
use crate::local::Mode;
use crate::registry::{self, Backend};
use crate::work::{Work, on_pool};
use crate::{Uri, local};

/// Objects above this are uploaded in parts: one lost connection then costs a part, not the object.
const MULTIPART_THRESHOLD: usize = 64 << 20;

/// Bytes of one part; 10,000 parts (the usual limit) make 160 GB.
const PART_SIZE: usize = 16 << 20;

/// Parts of one object in flight.
const PARTS_IN_FLIGHT: usize = 8;

/// Writes an object; what was there before is replaced only by a complete one.
///
/// # Errors
/// At once: a URI or settings that cannot work. From the work: what [`StoreError`] lists.
pub fn put(uri: &Uri, data: Bytes) -> Result<Work<()>> {
    match registry::open(uri)? {
        Backend::Local(mode) => {
            let path = uri.key.clone();
            Ok(Work::here(move || write(&path, &data, mode)))
        }
        backend @ Backend::Object(_) => Ok(Work::network(upload(backend, uri.clone(), data))),
    }
}

fn write(path: &str, data: &[u8], mode: Mode) -> Result<()> {
    local::write_atomic(path, data, mode)?;
    stats::add(Counter::PutRequests, 1);
    stats::add(Counter::PutBytes, data.len() as u64);
    Ok(())
}

pub(super) async fn upload(backend: Backend, uri: Uri, data: Bytes) -> Result<()> {
    let store = match backend {
        Backend::Local(mode) => return on_pool(move || write(&uri.key, &data, mode)).await,
        Backend::Object(store) => store,
    };
    if uri.is_directory() {
        return Err(StoreError::InvalidUri { uri: uri.to_string(), reason: "names a directory, not an object".into() });
    }
    let path = uri.object_path()?;
    let length = data.len() as u64;
    let failed = |source| StoreError::object(uri.to_string(), source);
    if data.len() <= MULTIPART_THRESHOLD {
        store.put(&path, PutPayload::from_bytes(data)).await.map_err(failed)?;
        stats::add(Counter::PutRequests, 1);
    } else {
        upload_parts(&*store, &path, data).await.map_err(failed)?;
    }
    stats::add(Counter::PutBytes, length);
    Ok(())
}

async fn upload_parts(
    store: &dyn ObjectStore,
    path: &object_store::path::Path,
    data: Bytes,
) -> object_store::Result<()> {
    let mut upload = store.put_multipart(path).await?;
    let sent = send_parts(&mut *upload, &data).await;
    let done = match sent {
        Ok(()) => upload.complete().await.map(|_| ()),
        Err(error) => Err(error),
    };
    if done.is_err() {
        // Parts that are not cleaned up are invisible but paid for; the first error is the one worth reporting.
        let _ = upload.abort().await;
    }
    done
}

async fn send_parts(upload: &mut dyn MultipartUpload, data: &Bytes) -> object_store::Result<()> {
    let mut tasks = JoinSet::new();
    let mut start = 0;
    while start < data.len() {
        let end = (start + PART_SIZE).min(data.len());
        if tasks.len() >= PARTS_IN_FLIGHT {
            finished(&mut tasks).await?;
        }
        tasks.spawn(upload.put_part(PutPayload::from_bytes(data.slice(start..end))));
        stats::add(Counter::PutRequests, 1);
        start = end;
    }
    while !tasks.is_empty() {
        finished(&mut tasks).await?;
    }
    Ok(())
}

async fn finished(tasks: &mut JoinSet<object_store::Result<()>>) -> object_store::Result<()> {
    match tasks.join_next().await {
        Some(joined) => joined?,
        None => Ok(()),
    }
}

//! The steps that go through the client: listing, reading, writing.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures::StreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};

use super::{Found, Report, unused_name};
use crate::error::{Result, StoreError};
use crate::registry::{self, Backend};
use crate::uri::Uri;
use crate::work::Work;

/// What the temporary object holds: enough for a range to be a part of it.
const CONTENT: &[u8] = b"s3dlio check: this object may be removed";

/// All steps of `memory://`, which has no network.
pub(super) fn of_memory(mut report: Report, uri: Uri, write: bool) -> Work<Report> {
    let began = Instant::now();
    match registry::open(&uri) {
        Ok(Backend::Object(store)) => Work::network(async move {
            report.add("settings", began, Found::good("objects of this process"));
            look(&mut report, &store, &uri, write).await;
            Ok(report)
        }),
        Ok(Backend::Local(_)) => Work::here(move || Ok(report)),
        Err(error) => {
            report.add("settings", began, Found::failed(&error));
            Work::here(move || Ok(report))
        }
    }
}

/// Lists, reads the object if the URI names one, and with `write` tries everything on an object of its own.
pub(super) async fn look(report: &mut Report, store: &Arc<dyn ObjectStore>, uri: &Uri, write: bool) {
    report.look("list", list(&**store, uri)).await;
    if !uri.is_directory() {
        report.look("read", read(&**store, uri)).await;
    }
    if write {
        let folder = uri.key.rfind('/').map_or("", |at| &uri.key[..=at]);
        let own = uri.with_key(format!("{folder}{}", unused_name()));
        if report.look("write", put(&**store, &own)).await {
            report.look("range", range(&**store, &own)).await;
            report.look("conditional put", conditional(&**store, &own)).await;
            report.look("delete", remove(&**store, &own)).await;
        }
    }
}

fn path(uri: &Uri) -> Result<Path> {
    uri.object_path()
}

fn named<T>(uri: &Uri, result: object_store::Result<T>) -> Result<T> {
    result.map_err(|source| StoreError::object(uri.to_string(), source))
}

async fn list(store: &dyn ObjectStore, uri: &Uri) -> Found {
    let folder = uri.key.rfind('/').map_or("", |at| &uri.key[..=at]);
    let prefix = match uri.with_key(folder).object_path() {
        Ok(prefix) => prefix,
        Err(error) => return Found::failed(&error),
    };
    let first = store.list((!prefix.is_root()).then_some(&prefix)).next().await;
    Found::of(named(uri, first.transpose()), |first| match first {
        Some(meta) => format!("allowed, first object {:?}", meta.location.as_ref()),
        None => "allowed, no objects".into(),
    })
}

async fn read(store: &dyn ObjectStore, uri: &Uri) -> Found {
    let result = async {
        let path = path(uri)?;
        let size = named(uri, store.head(&path).await)?.size;
        if size > 0 {
            named(uri, store.get_range(&path, 0..1).await)?;
        }
        Ok(size)
    };
    Found::of(result.await, |size| format!("allowed, {size} bytes"))
}

async fn put(store: &dyn ObjectStore, uri: &Uri) -> Found {
    let result = async { named(uri, store.put(&path(uri)?, Bytes::from_static(CONTENT).into()).await) };
    Found::of(result.await, |_| format!("allowed, {:?}", uri.key))
}

async fn range(store: &dyn ObjectStore, uri: &Uri) -> Found {
    let result = async {
        let path = path(uri)?;
        let whole = named(uri, store.get(&path).await)?;
        let whole = named(uri, whole.bytes().await)?;
        let part = named(uri, store.get_range(&path, 7..12).await)?;
        Ok(whole == CONTENT && part == CONTENT[7..12])
    };
    match result.await {
        Ok(true) => Found::good("the object and a range of it are what was written"),
        Ok(false) => Found::bad(
            "the server gives other bytes than were written",
            "do not use this server: it ignores ranges or alters objects",
        ),
        Err(error) => Found::failed(&error),
    }
}

async fn conditional(store: &dyn ObjectStore, uri: &Uri) -> Found {
    let result = async {
        let options = PutOptions { mode: PutMode::Create, ..Default::default() };
        store
            .put_opts(&path(uri)?, Bytes::from_static(CONTENT).into(), options)
            .await
            .map(|_| ())
            .map_err(|source| StoreError::object(uri.to_string(), source))
    };
    match result.await {
        Err(StoreError::AlreadyExists { .. }) => Found::good("an existing object is not replaced by a create-only put"),
        Ok(()) => Found::bad(
            "a create-only put replaced an existing object",
            "do not rely on create-only puts with this server: it ignores the condition",
        ),
        Err(StoreError::Unsupported { detail, .. }) => Found::unknown(format!("unsupported: {detail}")),
        Err(error) => Found::failed(&error),
    }
}

async fn remove(store: &dyn ObjectStore, uri: &Uri) -> Found {
    let result = async { named(uri, store.delete(&path(uri)?).await) };
    let mut found = Found::of(result.await, |()| "allowed".into());
    if found.ok == Some(false) {
        found.advice = format!("{}; {uri} is left over and can be removed", found.advice);
    }
    found
}

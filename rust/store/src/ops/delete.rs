//! `delete`: one object, or everything below a prefix.

use std::sync::Arc;

use futures::StreamExt;
use object_store::{ObjectStore, ObjectStoreExt};
use s3dlio_runtime::stats::{self, Counter};

use crate::error::{Result, StoreError};
use crate::registry::{self, Backend};
use crate::work::Work;
use crate::{Uri, local};

/// Removes an object, or with `recursive` everything below a directory.
///
/// The key is exact: `foo` never touches `foobar`, and `foo` with `recursive` means the object `foo` and what is
/// below `foo/`. What is not there counts as removed.
///
/// # Errors
/// [`StoreError::Unsupported`] for a directory without `recursive`; what else [`StoreError`] lists.
pub fn delete(uri: &Uri, recursive: bool) -> Result<Work<()>> {
    let backend = registry::open(uri)?;
    if uri.is_directory() && !recursive {
        return Err(StoreError::Unsupported {
            uri: uri.to_string(),
            detail: "is a directory: pass recursive=True to delete everything below it".into(),
        });
    }
    let uri = uri.clone();
    Ok(match backend {
        Backend::Local(_) => Work::here(move || {
            stats::add(Counter::DeleteRequests, 1);
            if recursive { local::remove_tree(&uri.key) } else { local::remove(&uri.key) }
        }),
        Backend::Object(store) => {
            Work::network(async move { if recursive { below(&store, &uri).await } else { one(&*store, &uri).await } })
        }
    })
}

async fn one(store: &dyn ObjectStore, uri: &Uri) -> Result<()> {
    stats::add(Counter::DeleteRequests, 1);
    match store.delete(&uri.object_path()?).await {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
        Err(source) => Err(StoreError::object(uri.to_string(), source)),
    }
}

async fn below(store: &Arc<dyn ObjectStore>, uri: &Uri) -> Result<()> {
    let prefix = uri.object_path()?;
    let names = store.list((!prefix.is_root()).then_some(&prefix)).map(|entry| entry.map(|meta| meta.location));
    let mut removed = store.delete_stream(names.boxed());
    while let Some(result) = removed.next().await {
        stats::add(Counter::DeleteRequests, 1);
        match result {
            Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
            Err(source) => return Err(StoreError::object(uri.to_string(), source)),
        }
    }
    if uri.is_directory() { Ok(()) } else { one(&**store, uri).await }
}

//! `delete`: one object, several, or everything below a prefix.

use std::collections::HashMap;
use std::sync::Arc;

use futures::future::ready;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use s3dlio_runtime::stats::{self, Counter};

use crate::error::{Result, StoreError};
use crate::observe::{self, Verb};
use crate::registry::{self, Backend, Opener};
use crate::uri::Scheme;
use crate::work::{Work, on_pool};
use crate::{Uri, local, size_cache};

/// Removes an object, or with `recursive` everything below a directory.
///
/// The key is exact: `foo` never touches `foobar`, and `foo` with `recursive` means the object `foo` and what is
/// below `foo/`. What is not there counts as removed.
///
/// # Errors
/// [`StoreError::Unsupported`] for a directory without `recursive`; what else [`StoreError`] lists.
pub fn delete(uri: &Uri, recursive: bool) -> Result<Work<()>> {
    let backend = registry::open(uri)?;
    if !recursive {
        refuse_directory(uri)?;
    }
    let uri = uri.clone();
    Ok(match backend {
        Backend::Local(_) if recursive => Work::pool(move || remove(&uri, true)),
        Backend::Local(_) => Work::here(move || remove(&uri, false)),
        Backend::Object(store) => {
            let removal = async move {
                let span = observe::begin(if recursive { Verb::DeletePrefix } else { Verb::Delete }, &uri);
                let result = if recursive { below(&store, &uri).await } else { one(&*store, &uri).await };
                size_cache::forget(&store, &uri);
                span.end(0, &result);
                result
            };
            if recursive { Work::network(removal) } else { Work::request(removal) }
        }
    })
}

fn refuse_directory(uri: &Uri) -> Result<()> {
    if !uri.is_directory() {
        return Ok(());
    }
    let detail = "is a directory: pass recursive=True to delete everything below it".into();
    Err(StoreError::Unsupported { uri: uri.to_string(), detail })
}

fn remove(uri: &Uri, recursive: bool) -> Result<()> {
    stats::add(Counter::DeleteRequests, 1);
    let span = observe::begin(if recursive { Verb::DeletePrefix } else { Verb::Delete }, uri);
    let result = if recursive { local::remove_tree(&uri.key) } else { local::remove(&uri.key) };
    span.end(0, &result);
    result
}

async fn one(store: &dyn ObjectStore, uri: &Uri) -> Result<()> {
    stats::add(Counter::DeleteRequests, 1);
    match store.delete(&uri.object_path()?).await {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
        Err(source) => Err(StoreError::object(uri.to_string(), source)),
    }
}

/// Removes one object of a store that was opened before.
pub(super) async fn remove_one(backend: &Backend, uri: &Uri) -> Result<()> {
    refuse_directory(uri)?;
    match backend {
        Backend::Local(_) => {
            let uri = uri.clone();
            on_pool(move || remove(&uri, false)).await
        }
        Backend::Object(store) => {
            let span = observe::begin(Verb::Delete, uri);
            let result = one(&**store, uri).await;
            size_cache::forget(store, uri);
            span.end(0, &result);
            result
        }
    }
}

async fn below(store: &Arc<dyn ObjectStore>, uri: &Uri) -> Result<()> {
    let prefix = uri.object_path()?;
    let marker = prefix.clone();
    let names = store
        .list((!prefix.is_root()).then_some(&prefix))
        .map(|entry| entry.map(|meta| meta.location))
        // An empty object `a/` by which other tools mark a directory comes without its slash, and would be taken for the
        // object `a` beside it.
        .filter(move |name| ready(!name.as_ref().is_ok_and(|name| *name == marker)));
    all(store, names.boxed(), uri).await?;
    if uri.is_directory() { Ok(()) } else { one(&**store, uri).await }
}

/// Removes every object that `names` gives, in the largest batches that the store takes.
///
/// One that cannot be removed does not keep the others: the first error is returned when all have been tried.
async fn all(
    store: &Arc<dyn ObjectStore>,
    names: BoxStream<'static, object_store::Result<Path>>,
    uri: &Uri,
) -> Result<()> {
    let mut removed = if uri.scheme == Scheme::Azure { each(store, names) } else { store.delete_stream(names) };
    let mut first = Ok(());
    while let Some(result) = removed.next().await {
        stats::add(Counter::DeleteRequests, 1);
        match result {
            Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
            Err(source) => first = first.and(Err(StoreError::object(uri.to_string(), source))),
        }
    }
    first
}

/// Removals in flight where a store is asked for each.
const IN_FLIGHT: usize = 32;

/// Removes one by one. Azure's request for many answers in a format of its own, which its emulator does not speak, and
/// accounts with a hierarchy of directories refuse it.
fn each(
    store: &Arc<dyn ObjectStore>,
    names: BoxStream<'static, object_store::Result<Path>>,
) -> BoxStream<'static, object_store::Result<Path>> {
    let store = Arc::clone(store);
    let remove = move |name: object_store::Result<Path>| {
        let store = Arc::clone(&store);
        async move {
            let name = name?;
            store.delete(&name).await.map(|()| name)
        }
    };
    names.map(remove).buffer_unordered(IN_FLIGHT).boxed()
}

/// The objects to remove from one store.
struct Batch {
    store: Arc<dyn ObjectStore>,
    root: Uri,
    paths: Vec<Path>,
}

/// Removes named objects, batched where the store can; what is not there counts as removed.
///
/// # Errors
/// At once: [`StoreError::Unsupported`] for a directory. From the work: the first failure, after all have been tried.
pub fn delete_many(uris: Vec<Uri>) -> Result<Work<()>> {
    let mut stores = Opener::default();
    let mut files = Vec::new();
    let mut batches: HashMap<String, Batch> = HashMap::new();
    for uri in uris {
        refuse_directory(&uri)?;
        match stores.open(&uri)? {
            Backend::Local(_) => files.push(uri),
            Backend::Object(store) => {
                size_cache::forget(&store, &uri);
                let path = uri.object_path()?;
                let batch = || Batch { store, root: uri.with_key(""), paths: Vec::new() };
                batches.entry(uri.root()).or_insert_with(batch).paths.push(path);
            }
        }
    }
    Ok(Work::network(async move {
        let mut first = on_pool(move || files.iter().map(|uri| remove(uri, false)).fold(Ok(()), Result::and)).await;
        for Batch { store, root, paths } in batches.into_values() {
            let mut span = observe::begin(Verb::DeleteBatch, &root);
            span.objects(paths.len() as u64);
            let result = all(&store, stream::iter(paths.into_iter().map(Ok)).boxed(), &root).await;
            span.end(0, &result);
            first = first.and(result);
        }
        first
    }))
}

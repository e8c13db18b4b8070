//! Verbs about many objects: a bounded number at a time, results in input order.

use std::future::Future;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use s3dlio_runtime::stats::{self, Counter};
use tokio::task::JoinSet;

use super::fetch::fetch;
use super::files;
use super::get::GetOptions;
use super::put::{PART_SIZE, in_parts, upload, upload_parts};
use super::stat::{Stat, head, stat_file};
use super::verify::compare;
use crate::error::{Result, StoreError};
use crate::local::Create;
use crate::observe::{self, Verb};
use crate::registry::{self, Backend, Opener};
use crate::work::{Work, on_pool};
use crate::{Uri, settings, size_cache};

/// Runs `start` for every item as a task of its own, on all runtime threads, `limit` at a time; results in the order of
/// the items. The first failure ends the whole call.
///
/// # Errors
/// The first error of an item.
pub async fn each<I, T, E, F>(items: Vec<I>, limit: usize, start: impl Fn(I) -> F) -> std::result::Result<Vec<T>, E>
where
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
    F: Future<Output = std::result::Result<T, E>> + Send + 'static,
{
    let mut results: Vec<Option<T>> = items.iter().map(|_| None).collect();
    let mut tasks: JoinSet<Numbered<T, E>> = JoinSet::new();
    for (at, item) in items.into_iter().enumerate() {
        if tasks.len() >= limit.max(1) {
            finish(&mut tasks, &mut results).await?;
        }
        let task = start(item);
        let runtime = s3dlio_runtime::executor::handle().map_err(StoreError::from)?;
        tasks.spawn_on(async move { task.await.map(|value| (at, value)) }, runtime);
    }
    while !tasks.is_empty() {
        finish(&mut tasks, &mut results).await?;
    }
    Ok(results.into_iter().flatten().collect())
}

/// A task's result and the number of its item.
type Numbered<T, E> = std::result::Result<(usize, T), E>;

async fn finish<T, E>(tasks: &mut JoinSet<Numbered<T, E>>, results: &mut [Option<T>]) -> std::result::Result<(), E>
where
    T: 'static,
    E: From<StoreError> + 'static,
{
    match tasks.join_next().await {
        None => Ok(()),
        Some(Ok(result)) => {
            let (at, value) = result?;
            results[at] = Some(value);
            Ok(())
        }
        Some(Err(source)) => {
            let detail = format!("a request task ended abnormally: {source}");
            Err(StoreError::Store { uri: String::new(), detail }.into())
        }
    }
}

/// Fetches many objects; the results stand in the order of `uris`, which may repeat and mix schemes.
///
/// Network requests run as tasks of their own on all runtime threads, `in_flight` at a time. The first failure ends
/// the whole call.
///
/// # Errors
/// As [`get`](super::get).
pub fn get_many(uris: Vec<Uri>, in_flight: usize, options: GetOptions) -> Result<Work<Vec<Bytes>>> {
    let mut stores = Opener::default();
    let mut on_disk = Vec::new();
    let mut objects = Vec::new();
    let total = uris.len();
    for (at, uri) in uris.into_iter().enumerate() {
        match stores.open(&uri)? {
            Backend::Local(mode) => on_disk.push((at, uri, mode)),
            Backend::Object(store) => objects.push((at, store, uri)),
        }
    }
    Ok(Work::network(async move {
        let mut results: Vec<Bytes> = vec![Bytes::new(); total];
        let reading = files::read(on_disk, options);
        let fetched = each(objects, in_flight, |(at, store, uri)| async move {
            fetch(&store, &uri, options).await.map(|bytes| (at, bytes))
        });
        for (at, bytes) in fetched.await? {
            results[at] = bytes;
        }
        for (at, bytes) in reading.collect().await? {
            results[at] = bytes;
        }
        Ok(results)
    }))
}

/// Writes many objects, `in_flight` at a time.
///
/// The first failure ends the call; objects that were written stay, each of them complete.
///
/// # Errors
/// As [`put`](super::put).
pub fn put_many(items: Vec<(Uri, Bytes)>, in_flight: usize) -> Result<Work<()>> {
    let mut stores = Opener::default();
    let mut work = Vec::with_capacity(items.len());
    for (uri, data) in items {
        work.push((stores.open(&uri)?, uri, data));
    }
    let looks = Looks::now()?;
    Ok(Work::network(async move {
        each(work, in_flight, |(backend, uri, data)| async move {
            let length = data.len() as u64;
            let etag = upload(backend.clone(), uri.clone(), data, Create::Overwrite).await?;
            looks.at(&backend, &uri, length, etag).await
        })
        .await?;
        Ok(())
    }))
}

/// Which of the objects that are put are looked at afterwards; read on the calling thread.
#[derive(Clone, Copy)]
struct Looks {
    all: bool,
    in_parts: bool,
}

impl Looks {
    fn now() -> Result<Self> {
        Ok(Self { all: settings::put_verify()?, in_parts: settings::multipart_verify()? })
    }

    async fn at(self, backend: &Backend, uri: &Uri, length: u64, etag: Option<String>) -> Result<()> {
        if self.all || self.in_parts && in_parts(length, &Create::Overwrite) {
            compare(backend, uri, Some(length), etag.as_deref()).await?;
        }
        Ok(())
    }
}

/// Makes the content of objects, by their number.
pub trait Produce: Send + Sync {
    /// A whole object.
    ///
    /// # Errors
    /// Whatever keeps it from being made.
    fn whole(&self, number: u64) -> Result<Bytes>;

    /// Bytes of an object, where its parts can be made one by one; `None` to have it made whole.
    fn streamed(&self) -> Option<u64>;

    /// A part of an object that is [`streamed`](Self::streamed).
    fn part(&self, number: u64, range: Range<u64>) -> Bytes;
}

/// Writes objects whose content is made when their turn comes, so that at most `in_flight` of them (of large streamed
/// ones: of their parts) are in memory.
///
/// # Errors
/// As [`put`](super::put), and what `produce` returns.
pub fn put_produced(uris: Vec<Uri>, in_flight: usize, produce: Arc<dyn Produce>) -> Result<Work<()>> {
    let mut stores = Opener::default();
    let mut work = Vec::with_capacity(uris.len());
    for (number, uri) in uris.into_iter().enumerate() {
        let streamed = produce.streamed().filter(|&size| size > PART_SIZE);
        let place = streamed.map(|size| registry::object_store(&uri).map(|place| (size, place))).transpose()?;
        work.push((number as u64, stores.open(&uri)?, place, uri));
    }
    let looks = Looks::now()?;
    Ok(Work::network(async move {
        each(work, in_flight, |(number, backend, place, uri)| {
            let produce = Arc::clone(&produce);
            async move {
                let Some((size, (store, path))) = place else {
                    let data = on_pool(move || produce.whole(number)).await?;
                    let length = data.len() as u64;
                    let etag = upload(backend.clone(), uri.clone(), data, Create::Overwrite).await?;
                    return looks.at(&backend, &uri, length, etag).await;
                };
                let span = observe::begin(Verb::Put, &uri);
                let part = |range| {
                    let produce = Arc::clone(&produce);
                    on_pool(move || Ok(produce.part(number, range)))
                };
                let result = upload_parts(&*store, &uri, &path, size, part).await;
                size_cache::forget(&store, &uri);
                stats::add(Counter::PutBytes, if result.is_ok() { size } else { 0 });
                span.end(size, &result);
                looks.at(&backend, &uri, size, result?).await
            }
        })
        .await?;
        Ok(())
    }))
}

/// Metadata of many objects in the order of `uris`, `in_flight` requests at a time; sizes are remembered, so that later
/// reads split large objects from their first request on.
///
/// # Errors
/// As [`stat`](super::stat).
pub fn stat_many(uris: Vec<Uri>, in_flight: usize) -> Result<Work<Vec<Stat>>> {
    let mut stores = Opener::default();
    let mut work = Vec::with_capacity(uris.len());
    for uri in uris {
        work.push((stores.open(&uri)?, uri));
    }
    Ok(Work::network(each(work, in_flight, |(backend, uri)| async move {
        match backend {
            Backend::Local(_) => on_pool(move || stat_file(&uri)).await,
            Backend::Object(store) => {
                let stat = head(&*store, &uri).await?;
                size_cache::put(&store, &uri, stat.size);
                Ok(stat)
            }
        }
    })))
}

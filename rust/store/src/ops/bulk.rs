//! `get_many` and `put_many`: many objects, a bounded number at a time, results in input order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use object_store::ObjectStore;
use s3dlio_runtime::pool;
use s3dlio_runtime::stats::{self, Counter};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::get::{GetOptions, fetch};
use super::put::upload;
use crate::error::{Result, StoreError};
use crate::local::Mode;
use crate::registry::{self, Backend};
use crate::work::Work;
use crate::{Uri, local};

/// Files in one job of the reading pool: long enough that taking a job is nothing beside the reads, short enough
/// that the threads end together.
const FILES_PER_JOB: usize = 16;

/// Fetches many objects; the results stand in the order of `uris`, which may repeat and mix schemes.
///
/// Network requests run as tasks of their own on all runtime threads, `in_flight` at a time. The first failure ends
/// the whole call.
///
/// # Errors
/// As [`get`](super::get).
pub fn get_many(uris: Vec<Uri>, in_flight: usize, options: GetOptions) -> Result<Work<Vec<Bytes>>> {
    let mut files = Vec::new();
    let mut objects = Vec::new();
    let total = uris.len();
    for (at, uri) in uris.into_iter().enumerate() {
        match registry::open(&uri)? {
            Backend::Local(mode) => files.push((at, uri.key, mode)),
            Backend::Object(store) => objects.push((at, store, uri)),
        }
    }
    Ok(Work::network(async move {
        let mut results: Vec<Bytes> = vec![Bytes::new(); total];
        let reading = read_files(files, options);
        for (at, bytes) in fetch_all(objects, in_flight.max(1), options).await? {
            results[at] = bytes;
        }
        for (at, bytes) in reading.collect().await? {
            results[at] = bytes;
        }
        Ok(results)
    }))
}

async fn fetch_all(
    objects: Vec<(usize, Arc<dyn ObjectStore>, Uri)>,
    in_flight: usize,
    options: GetOptions,
) -> Result<Vec<(usize, Bytes)>> {
    let mut results = Vec::with_capacity(objects.len());
    let mut tasks = JoinSet::new();
    for (at, store, uri) in objects {
        if tasks.len() >= in_flight {
            results.extend(next(&mut tasks).await?);
        }
        let request = async move { fetch(&store, &uri, options).await.map(|bytes| (at, bytes)) };
        tasks.spawn_on(request, s3dlio_runtime::executor::handle()?);
    }
    while !tasks.is_empty() {
        results.extend(next(&mut tasks).await?);
    }
    Ok(results)
}

async fn next<T: 'static>(tasks: &mut JoinSet<Result<T>>) -> Result<Option<T>> {
    match tasks.join_next().await {
        None => Ok(None),
        Some(Ok(result)) => result.map(Some),
        Some(Err(source)) => {
            Err(StoreError::Store { uri: String::new(), detail: format!("a request task ended abnormally: {source}") })
        }
    }
}

/// Files being read on the pool; dropping it stops the reading.
struct Reading {
    results: mpsc::UnboundedReceiver<Result<Vec<(usize, Bytes)>>>,
    expected: usize,
    stop: Arc<AtomicBool>,
}

fn read_files(files: Vec<(usize, String, Mode)>, options: GetOptions) -> Reading {
    let (done, results) = mpsc::unbounded_channel();
    let stop = Arc::new(AtomicBool::new(false));
    let reading = Reading { results, expected: files.len(), stop: Arc::clone(&stop) };
    if files.is_empty() {
        return reading;
    }
    let files = Arc::new(files);
    let next = Arc::new(AtomicUsize::new(0));
    for _ in 0..pool::io().threads().max(1) {
        let (files, next, stop, done) = (Arc::clone(&files), Arc::clone(&next), Arc::clone(&stop), done.clone());
        pool::io().run(move || {
            while !stop.load(Ordering::Relaxed) {
                let from = next.fetch_add(FILES_PER_JOB, Ordering::Relaxed);
                let Some(group) = files.get(from..files.len().min(from + FILES_PER_JOB)).filter(|g| !g.is_empty())
                else {
                    break;
                };
                if done.send(read_group(group, options)).is_err() {
                    break;
                }
            }
        });
    }
    reading
}

fn read_group(group: &[(usize, String, Mode)], options: GetOptions) -> Result<Vec<(usize, Bytes)>> {
    let mut bytes_read = 0;
    let read = |(at, path, mode): &(usize, String, Mode)| {
        let bytes = local::read(path, options.offset, options.length, *mode)?;
        bytes_read += bytes.len() as u64;
        Ok((*at, bytes))
    };
    let results = group.iter().map(read).collect::<Result<Vec<_>>>();
    stats::add(Counter::GetRequests, group.len() as u64);
    stats::add(Counter::GetBytes, bytes_read);
    results
}

impl Reading {
    async fn collect(mut self) -> Result<Vec<(usize, Bytes)>> {
        let mut all = Vec::with_capacity(self.expected);
        while all.len() < self.expected {
            match self.results.recv().await {
                Some(group) => all.extend(group?),
                None => {
                    return Err(StoreError::Store { uri: String::new(), detail: "a reading thread panicked".into() });
                }
            }
        }
        Ok(all)
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Writes many objects, `in_flight` at a time.
///
/// The first failure ends the call; objects that were written stay, each of them complete.
///
/// # Errors
/// As [`put`](super::put).
pub fn put_many(items: Vec<(Uri, Bytes)>, in_flight: usize) -> Result<Work<()>> {
    let mut work = Vec::with_capacity(items.len());
    for (uri, data) in items {
        work.push((registry::open(&uri)?, uri, data));
    }
    Ok(Work::network(async move {
        let mut tasks = JoinSet::new();
        for (backend, uri, data) in work {
            if tasks.len() >= in_flight.max(1) {
                next(&mut tasks).await?;
            }
            tasks.spawn_on(upload(backend, uri, data), s3dlio_runtime::executor::handle()?);
        }
        while next(&mut tasks).await?.is_some() {}
        Ok(())
    }))
}

//! Many local files, read in jobs of several by the reading pool.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use s3dlio_runtime::pool;
use tokio::sync::mpsc;

use super::get::{GetOptions, read_file};
use crate::Uri;
use crate::error::{Result, StoreError};
use crate::local::Mode;

/// Files in one job of the reading pool: long enough that taking a job is nothing beside the reads, short enough
/// that the threads end together.
const FILES_PER_JOB: usize = 16;

/// Files being read on the pool; dropping it stops the reading.
pub(super) struct Reading {
    results: mpsc::UnboundedReceiver<Result<Vec<(usize, Bytes)>>>,
    expected: usize,
    stop: Arc<AtomicBool>,
}

/// Begins to read files; each carries the number it is returned under.
pub(super) fn read(files: Vec<(usize, Uri, Mode)>, options: GetOptions) -> Reading {
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
                let read = |(at, uri, mode): &(usize, Uri, Mode)| Ok((*at, read_file(uri, options, *mode)?));
                if done.send(group.iter().map(read).collect()).is_err() {
                    break;
                }
            }
        });
    }
    reading
}

impl Reading {
    /// All files, in the order in which their jobs ended.
    pub(super) async fn collect(mut self) -> Result<Vec<(usize, Bytes)>> {
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

//! The transfer itself: a bounded number of objects at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use object_store::Attributes;
use s3dlio_runtime::stats::{self, Counter};
use s3dlio_runtime::{executor, settings};
use tokio::task::JoinSet;

use super::options::{Options, Progress, Source, Summary};
use super::parts::{Memory, Parts};
use super::place::Place;
use super::plan::{Job, Origin, plan};
use super::present;
use crate::error::{Result, StoreError};
use crate::local::{self, Create, Mode};
use crate::observe::{self, Verb};
use crate::registry::Backend;
use crate::work::{Work, joined, on_pool};
use crate::{Scheme, Uri};

/// Objects up to this size go by one read and one write: a second request costs more than it saves.
const WHOLE: u64 = 16 << 20;

/// The largest object that S3 copies by one request.
const S3_COPY_LIMIT: u64 = 5 << 30;

/// Copies `sources` to `dest`.
///
/// A single object goes to just `dest`, unless that ends in `/`, is an existing directory, or
/// [`Options::into_directory`] is set; everything else goes below it. An object is complete under its new name or not
/// there. The first failure ends the transfer; what was copied by then stays, and [`Options::resume`] goes on from it.
///
/// # Errors
/// At once: a URI or settings that cannot work. From the work, before anything is written: [`StoreError::NotFound`] for
/// a source that is not there or a pattern without a match; [`StoreError::InvalidUri`] for names that would leave the
/// destination and for two sources that would go to one name; [`StoreError::AlreadyExists`] as [`Options::existing`]
/// says. Later: what [`StoreError`] lists.
pub fn transfer(sources: &[Source], dest: &Uri, options: Options, progress: Arc<Progress>) -> Result<Work<Summary>> {
    let dest = Place::open(dest)?;
    let origins = sources.iter().map(|source| Origin::open(source, options.depth)).collect::<Result<Vec<_>>>()?;
    let listing = present::listing(&dest, &options)?;
    let memory = Memory::new(settings::memory_budget());
    Ok(Work::network(async move {
        let began = Instant::now();
        let jobs = plan(origins, &dest, &options).await?;
        progress.planned(jobs.len() as u64, jobs.iter().map(|job| job.size).sum());
        let jobs = present::compare(jobs, &dest, &options, listing, &progress).await?;
        let skipped = progress.skipped();
        let stop = Arc::new(AtomicBool::new(false));
        let copier = Arc::new(Copier { dest, memory, progress, stop: Arc::clone(&stop) });
        let giving_up = Stop(stop);
        let (objects, bytes) = run(jobs, &copier, options.in_flight.max(1)).await?;
        drop(giving_up);
        Ok(Summary { objects, bytes, skipped, took: began.elapsed() })
    }))
}

/// Ends the work that no task can be aborted in, when nobody waits for it any more.
struct Stop(Arc<AtomicBool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

async fn run(jobs: Vec<Job>, copier: &Arc<Copier>, in_flight: usize) -> Result<(u64, u64)> {
    let mut tasks: JoinSet<Result<Option<u64>>> = JoinSet::new();
    let mut jobs = jobs.into_iter();
    let (mut objects, mut bytes) = (0, 0);
    loop {
        for job in jobs.by_ref().take(in_flight - tasks.len()) {
            let copier = Arc::clone(copier);
            tasks.spawn_on(async move { copier.copy(&job).await }, executor::handle()?);
        }
        let Some(done) = tasks.join_next().await else { return Ok((objects, bytes)) };
        if let Some(copied) = joined(done)? {
            objects += 1;
            bytes += copied;
        }
    }
}

struct Copier {
    dest: Place,
    memory: Memory,
    progress: Arc<Progress>,
    stop: Arc<AtomicBool>,
}

impl Copier {
    /// Copies one object and returns its bytes; `None` for what turns out to be no object.
    async fn copy(&self, job: &Job) -> Result<Option<u64>> {
        match self.bytes(job).await {
            Ok(bytes) => {
                self.progress.copied();
                Ok(Some(bytes))
            }
            // Some tools mark a directory by an empty object named like it with a slash at the end. Listings give that
            // name without the slash, and under such a name there is nothing to copy.
            Err(StoreError::NotFound { .. }) if job.size == 0 && !job.from.is_local() => {
                self.progress.not_an_object();
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn bytes(&self, job: &Job) -> Result<u64> {
        let one_request = job.from.uri.scheme != Scheme::S3 || job.size <= S3_COPY_LIMIT;
        if one_request
            && self.dest.shares_bucket(&job.from)
            && let Some(copied) = self.dest.copy(&job.key, &job.target, job.size).await
        {
            copied?;
            self.progress.moved(job.size);
            return Ok(job.size);
        }
        if let (Backend::Local(Mode::Buffered), Backend::Local(Mode::Buffered)) =
            (&job.from.backend, &self.dest.backend)
        {
            return self.file(job).await;
        }
        if job.size <= WHOLE {
            return self.whole(job).await;
        }
        Parts { job, dest: &self.dest, memory: &self.memory, progress: &self.progress }.copy().await
    }

    async fn file(&self, job: &Job) -> Result<u64> {
        // The kernel reads and writes in one; a log tells both, as it does for every other pair of stores.
        let reading = observe::begin(Verb::Get, &job.from.uri.with_key(&job.key));
        let writing = observe::begin(Verb::Put, &self.dest.uri.with_key(&job.target));
        let (from, to) = (job.key.clone(), job.target.clone());
        let (stop, progress) = (Arc::clone(&self.stop), Arc::clone(&self.progress));
        let copied = on_pool(move || {
            // A file whose turn comes when nobody waits any more.
            going_on(&stop, &to)?;
            local::copy(&from, &to, &Create::Overwrite, &mut |step| {
                progress.moved(step);
                going_on(&stop, &to)
            })
        })
        .await;
        let bytes = *copied.as_ref().unwrap_or(&0);
        stats::add(Counter::GetRequests, 1);
        stats::add(Counter::GetBytes, bytes);
        stats::add(Counter::PutRequests, 1);
        stats::add(Counter::PutBytes, bytes);
        reading.end(bytes, &copied);
        writing.end(bytes, &copied);
        copied
    }

    async fn whole(&self, job: &Job) -> Result<u64> {
        let _permit = self.memory.take(job.size).await?;
        let (body, attributes) = job.from.whole(&job.key).await?;
        let bytes = body.content_length() as u64;
        // Files have no attributes to keep them in.
        let attributes = if self.dest.is_local() { Attributes::new() } else { attributes };
        self.dest.put(&job.target, body, attributes).await?;
        self.progress.moved(bytes);
        Ok(bytes)
    }
}

fn going_on(stop: &AtomicBool, to: &str) -> Result<()> {
    if stop.load(Ordering::Relaxed) {
        return Err(StoreError::Store { uri: format!("file://{to}"), detail: "the transfer was given up".into() });
    }
    Ok(())
}

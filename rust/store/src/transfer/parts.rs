//! Large objects: ranges of one version of the source become the parts of one upload.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use object_store::{Attributes, PutMultipartOptions, PutPayload};
use s3dlio_runtime::executor;
use s3dlio_runtime::stats::{self, Counter};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use super::options::Progress;
use super::place::{Head, Place};
use super::plan::Job;
use crate::error::{Result, StoreError};
use crate::observe::{self, Verb};
use crate::upload::{self, Upload};
use crate::work::{Task, joined};

/// Bytes of a part. Stores take no part below 5 MiB (but the last), and each part costs them a request.
const PART: u64 = 16 << 20;

/// Parts of an upload that every store takes.
const MOST_PARTS: u64 = 10_000;

/// Parts of one object that are being read or written.
const PARTS_IN_FLIGHT: usize = 8;

/// Kibibytes that all objects together may hold. One unit of a semaphore for each byte would pass its limit.
#[derive(Debug, Clone)]
pub(super) struct Memory {
    turns: Arc<Semaphore>,
    total: u32,
}

impl Memory {
    pub fn new(bytes: u64) -> Self {
        let total = u32::try_from(bytes >> 10).unwrap_or(u32::MAX >> 1).max(1);
        Self { turns: Arc::new(Semaphore::new(total as usize)), total }
    }

    fn units(&self, bytes: u64) -> u32 {
        u32::try_from(bytes.div_ceil(1 << 10)).unwrap_or(u32::MAX).clamp(1, self.total)
    }

    /// Waits for the room; more than all of it counts as all of it.
    pub async fn take(&self, bytes: u64) -> Result<OwnedSemaphorePermit> {
        let permit = Arc::clone(&self.turns).acquire_many_owned(self.units(bytes)).await;
        permit.map_err(|source| StoreError::Store { uri: String::new(), detail: source.to_string() })
    }

    fn try_take(&self, bytes: u64) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.turns).try_acquire_many_owned(self.units(bytes)).ok()
    }
}

fn ranges(size: u64) -> impl Iterator<Item = Range<u64>> {
    let part = PART.max(size.div_ceil(MOST_PARTS).next_multiple_of(1 << 20));
    (0..size.div_ceil(part)).map(move |at| at * part..size.min((at + 1) * part))
}

/// One large object on its way.
pub(super) struct Parts<'a> {
    pub job: &'a Job,
    pub dest: &'a Place,
    pub memory: &'a Memory,
    pub progress: &'a Arc<Progress>,
}

impl Parts<'_> {
    /// Copies; returns the bytes.
    pub async fn copy(&self) -> Result<u64> {
        let head = self.job.from.head(&self.job.key).await?;
        let span = observe::begin(Verb::Put, &self.dest.uri.with_key(&self.job.target));
        let done = self.send(&head).await;
        span.end(*done.as_ref().unwrap_or(&0), &done);
        done
    }

    fn failed(&self, source: object_store::Error) -> StoreError {
        StoreError::object(self.dest.name(&self.job.target), source)
    }

    async fn send(&self, head: &Head) -> Result<u64> {
        let path = self.dest.path(&self.job.target)?;
        // Files have no attributes to keep them in.
        let attributes = if self.dest.is_local() { Attributes::new() } else { head.attributes.clone() };
        let options = PutMultipartOptions { attributes, ..PutMultipartOptions::default() };
        let upload = self.dest.store.put_multipart_opts(&path, options).await.map_err(|source| self.failed(source))?;
        let mut upload = Upload::new(upload);
        let (parts, sent) = self.fill(&mut upload, head).await?;
        if (parts, sent) != (ranges(head.size).count(), head.size) {
            let uri = self.dest.name(&self.job.target);
            return Err(StoreError::Length { uri, found: sent, expected: head.size });
        }
        self.unchanged(head).await?;
        let written = upload.complete().await.map_err(|source| self.failed(source))?;
        let uri = self.dest.uri.with_key(&self.job.target);
        upload::confirm(&*self.dest.store, &uri, &path, &written, sent).await?;
        stats::add(Counter::PutBytes, sent);
        Ok(sent)
    }

    /// Ranges of a network store are tied to one version by its tag; of a file, two looks at it must agree.
    async fn unchanged(&self, before: &Head) -> Result<()> {
        let from = &self.job.from;
        if !from.is_local() || from.head(&self.job.key).await?.etag == before.etag {
            return Ok(());
        }
        let detail = "changed while it was copied; nothing was written".into();
        Err(StoreError::Store { uri: from.name(&self.job.key), detail })
    }

    /// Reads ahead while there is room, and hands the parts on in their order.
    ///
    /// Only an object that holds nothing waits for room. Were one to wait that holds parts it has not passed on, all
    /// of them could wait for each other.
    async fn fill(&self, upload: &mut Upload, head: &Head) -> Result<(usize, u64)> {
        let mut waiting = ranges(head.size).peekable();
        let mut reading: VecDeque<Task<(PutPayload, OwnedSemaphorePermit)>> = VecDeque::new();
        let mut writing: JoinSet<Result<u64>> = JoinSet::new();
        let (mut parts, mut sent) = (0, 0);
        loop {
            while let Some(range) = waiting.peek().filter(|_| reading.len() + writing.len() < PARTS_IN_FLIGHT).cloned()
            {
                let bytes = range.end - range.start;
                let permit = if reading.is_empty() && writing.is_empty() {
                    self.memory.take(bytes).await?
                } else {
                    let Some(permit) = self.memory.try_take(bytes) else { break };
                    permit
                };
                waiting.next();
                reading.push_back(self.read(range, head, permit)?);
            }
            if let Some(next) = reading.pop_front() {
                let (part, permit) = next.result().await?;
                self.write(upload, &mut writing, part, permit)?;
                parts += 1;
            } else if let Some(done) = writing.join_next().await {
                sent += joined(done)?;
            } else {
                return Ok((parts, sent));
            }
            while let Some(done) = writing.try_join_next() {
                sent += joined(done)?;
            }
        }
    }

    fn read(
        &self,
        range: Range<u64>,
        head: &Head,
        permit: OwnedSemaphorePermit,
    ) -> Result<Task<(PutPayload, OwnedSemaphorePermit)>> {
        let (from, key, etag) = (Arc::clone(&self.job.from), self.job.key.clone(), head.etag.clone());
        Task::spawn(async move { Ok((from.range(&key, range, etag).await?, permit)) })
    }

    fn write(
        &self,
        upload: &mut Upload,
        writing: &mut JoinSet<Result<u64>>,
        part: PutPayload,
        permit: OwnedSemaphorePermit,
    ) -> Result<()> {
        let bytes = part.content_length() as u64;
        let Some(work) = upload.put_part(part) else { return Ok(()) };
        let (name, progress) = (self.dest.name(&self.job.target), Arc::clone(self.progress));
        let task = async move {
            work.await.map_err(|source| StoreError::object(name, source))?;
            drop(permit);
            stats::add(Counter::PutRequests, 1);
            progress.moved(bytes);
            Ok(bytes)
        };
        writing.spawn_on(task, executor::handle()?);
        Ok(())
    }
}

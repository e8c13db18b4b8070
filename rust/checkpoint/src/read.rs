//! Reading: which chunks cover what is wanted, each read once, verified, and put where it belongs.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use s3dlio_store::ops;

use crate::container;
use crate::error::{CheckpointError, FormatError, Result};
use crate::memory::Target;
use crate::shard::{Body, Shard, read};
use crate::task;

/// Bytes of one request: at 100 MB/s a connection 80 ms, long beside its round trip.
const GROUP: u64 = 8 << 20;

/// Requests in flight; with the size of one they bound the memory.
const IN_FLIGHT: usize = 16;

/// Bytes of a shard's tensors that are wanted somewhere.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    /// Bytes of the shard's buffer.
    pub source: Range<u64>,
    /// Which target.
    pub target: usize,
    /// First byte in it.
    pub at: u64,
}

/// Neighbouring chunks that are read together, and what of them is wanted.
struct Job {
    chunks: Range<u64>,
    parts: Vec<Part>,
}

/// Reads parts of one shard, no two of which go to the same place.
pub(crate) async fn read_parts(
    shard: Arc<Shard>,
    parts: Vec<Part>,
    targets: Arc<Vec<Target>>,
    verify: bool,
) -> Result<()> {
    let jobs = jobs(parts, shard.chunk());
    ops::each(jobs, IN_FLIGHT, |job| {
        let (shard, targets) = (Arc::clone(&shard), Arc::clone(&targets));
        async move { shard.run(job, targets, verify).await }
    })
    .await?;
    Ok(())
}

/// Cuts parts at the bounds of chunks and puts those together that one request brings.
fn jobs(parts: Vec<Part>, chunk: u64) -> Vec<Job> {
    let mut pieces: Vec<(u64, Part)> = Vec::with_capacity(parts.len());
    for Part { source, target, at } in parts {
        let mut start = source.start;
        while start < source.end {
            let number = start / chunk;
            let end = source.end.min((number + 1) * chunk);
            pieces.push((number, Part { source: start..end, target, at: at + (start - source.start) }));
            start = end;
        }
    }
    pieces.sort_by_key(|(number, part)| (*number, part.source.start));
    let most = (GROUP / chunk).max(1);
    let mut jobs: Vec<Job> = Vec::new();
    for (number, part) in pieces {
        match jobs.last_mut() {
            Some(job) if number < job.chunks.end => job.parts.push(part),
            Some(job) if number == job.chunks.end && number - job.chunks.start < most => {
                job.chunks.end += 1;
                job.parts.push(part);
            }
            _ => jobs.push(Job { chunks: number..number + 1, parts: vec![part] }),
        }
    }
    jobs
}

impl Shard {
    async fn run(self: Arc<Self>, job: Job, targets: Arc<Vec<Target>>, verify: bool) -> Result<()> {
        if self.input.is_local() {
            return task::local(move || self.run_here(&job, &targets, verify)).await;
        }
        let range = self.range(&job.chunks);
        let bytes = read(&self.input, range).await?;
        task::compute(move || self.place(&job, &bytes, &targets, verify)).await?
    }

    /// The bytes of the object that hold these chunks.
    fn range(&self, chunks: &Range<u64>) -> Range<u64> {
        let chunk = self.chunk();
        match &self.body {
            Body::Plain { start, .. } => {
                start + chunks.start * chunk..start + (chunks.end * chunk).min(self.header.buffer())
            }
            Body::Packed { frames } => {
                let [first, .., last] = &frames[chunks.start as usize..chunks.end as usize] else {
                    let frame = &frames[chunks.start as usize];
                    return frame.offset..frame.offset + u64::from(frame.length);
                };
                first.offset..last.offset + u64::from(last.length)
            }
        }
    }

    /// Reads a local file on this thread: a chunk that one target takes whole goes straight into it.
    fn run_here(&self, job: &Job, targets: &[Target], verify: bool) -> Result<()> {
        let chunk = self.chunk();
        for number in job.chunks.clone() {
            let all = number * chunk..((number + 1) * chunk).min(self.header.buffer());
            let parts = job.parts.iter().filter(|part| part.source.start / chunk == number);
            let direct = parts.clone().find(|part| part.source == all);
            match (&self.body, direct) {
                (Body::Plain { start, .. }, Some(part)) if parts.clone().count() == 1 => {
                    let memory = self.memory(part, targets)?;
                    self.input.read_into_now(start + all.start, memory)?;
                    self.verify(number, memory, verify)?;
                }
                _ => {
                    let bytes = self.input.read_now(self.range(&(number..number + 1)))?;
                    let parts = parts.cloned().collect();
                    self.place(&Job { chunks: number..number + 1, parts }, &bytes, targets, verify)?;
                }
            }
        }
        Ok(())
    }

    /// Verifies what was read, decompresses it, and copies it to its places.
    fn place(&self, job: &Job, bytes: &Bytes, targets: &[Target], verify: bool) -> Result<()> {
        let chunk = self.chunk();
        let mut raw = Vec::new();
        let from = self.range(&job.chunks).start;
        for number in job.chunks.clone() {
            let begin = number * chunk;
            let size = chunk.min(self.header.buffer() - begin) as usize;
            let inside = self.range(&(number..number + 1));
            let read = &bytes[(inside.start - from) as usize..(inside.end - from) as usize];
            let content = match &self.body {
                Body::Plain { .. } => read,
                Body::Packed { frames } => {
                    raw.resize(size, 0);
                    container::unpack(read, &frames[number as usize], &mut raw).map_err(|error| self.at(error))?;
                    &raw
                }
            };
            self.verify(number, content, verify)?;
            for part in job.parts.iter().filter(|part| part.source.start / chunk == number) {
                let source = (part.source.start - begin) as usize..(part.source.end - begin) as usize;
                self.memory(part, targets)?.copy_from_slice(&content[source]);
            }
        }
        Ok(())
    }

    fn verify(&self, number: u64, content: &[u8], verify: bool) -> Result<()> {
        let expected = match &self.body {
            Body::Plain { checksums, .. } => checksums.as_ref().map(|checksums| checksums[number as usize]),
            Body::Packed { frames } => Some(frames[number as usize].raw),
        };
        let Some(expected) = expected.filter(|_| verify) else { return Ok(()) };
        let found = crc32c::crc32c(content);
        if found == expected {
            return Ok(());
        }
        let detail = format!("chunk {number} of the tensors has the checksum {found:08x}, expected {expected:08x}");
        Err(CheckpointError::corrupt(self.input.uri(), detail))
    }

    #[allow(clippy::mut_from_ref, reason = "the parts of a reading are disjoint, as its planner has seen to")]
    fn memory<'a>(&self, part: &Part, targets: &'a [Target]) -> Result<&'a mut [u8]> {
        let length = (part.source.end - part.source.start) as usize;
        let range = part.at as usize..part.at as usize + length;
        // SAFETY: no two parts of a reading go to the same bytes, and each is written by the one job that has it.
        let memory = targets.get(part.target).and_then(|target| unsafe { target.slice(range) });
        memory.ok_or_else(|| CheckpointError::invalid(self.input.uri(), "the memory to read into is too short"))
    }

    fn at(&self, error: FormatError) -> CheckpointError {
        error.at(self.input.uri())
    }
}

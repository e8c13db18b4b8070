//! Reading: which chunks cover what is wanted, each read once, verified, and put where it belongs.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use s3dlio_store::ops;
use s3dlio_store::progress::Progress;
use s3dlio_store::region::Region;

use crate::container;
use crate::error::{CheckpointError, Result};
use crate::format::FormatError;
use crate::shard::{Body, Shard, read};
use crate::task;

/// Bytes of one request: at 100 MB/s a connection 80 ms, long beside its round trip.
const GROUP: u64 = 8 << 20;

/// Requests in flight; with the size of one they bound the memory.
const IN_FLIGHT: usize = 16;

/// Bytes of a shard's tensors that are wanted somewhere.
#[derive(Debug)]
pub(crate) struct Part {
    /// Bytes of the shard's buffer.
    pub source: Range<u64>,
    /// Where they go: memory of just their number.
    pub memory: Region,
}

/// Neighbouring chunks that are read together, and what of them is wanted: of each something, in their order.
struct Job {
    chunks: Range<u64>,
    parts: Vec<Part>,
}

/// Reads parts of one shard; `progress` counts their bytes.
pub(crate) async fn read_parts(
    shard: Arc<Shard>,
    parts: Vec<Part>,
    verify: bool,
    progress: &Arc<Progress>,
) -> Result<()> {
    if parts.iter().any(|part| part.memory.len() as u64 != part.source.end - part.source.start) {
        return Err(CheckpointError::invalid(shard.input.uri(), "the memory to read into has another size"));
    }
    let jobs = jobs(parts, shard.chunk());
    ops::each(jobs, IN_FLIGHT, |job| {
        let (shard, progress) = (Arc::clone(&shard), Arc::clone(progress));
        async move {
            let length = job.parts.iter().map(|part| part.source.end - part.source.start).sum();
            shard.run(job, verify).await.inspect(|()| progress.add(length))
        }
    })
    .await?;
    Ok(())
}

/// Cuts parts at the bounds of chunks and puts those together that one request brings.
fn jobs(parts: Vec<Part>, chunk: u64) -> Vec<Job> {
    let mut pieces: Vec<(u64, Part)> = Vec::with_capacity(parts.len());
    for Part { source, mut memory } in parts {
        let mut start = source.start;
        while start < source.end {
            let number = start / chunk;
            let end = source.end.min((number + 1) * chunk);
            let rest = memory.split_off((end - start) as usize);
            pieces.push((number, Part { source: start..end, memory: std::mem::replace(&mut memory, rest) }));
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
    async fn run(self: Arc<Self>, job: Job, verify: bool) -> Result<()> {
        if self.input.is_local() {
            return task::local(move || self.run_here(job, verify)).await;
        }
        let range = self.range(&job.chunks);
        let bytes = read(&self.input, range).await?;
        task::compute(move || self.place(job, &bytes, verify)).await?
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

    /// Reads a local file on this thread: a chunk that one part takes whole goes straight into its memory.
    fn run_here(&self, mut job: Job, verify: bool) -> Result<()> {
        let chunk = self.chunk();
        for parts in job.parts.chunk_by_mut(|a, b| a.source.start / chunk == b.source.start / chunk) {
            let number = parts[0].source.start / chunk;
            let all = number * chunk..((number + 1) * chunk).min(self.header.buffer());
            match (&self.body, parts) {
                (Body::Plain { start, .. }, [part]) if part.source == all => {
                    let memory = part.memory.memory();
                    self.input.read_into_now(start + all.start, memory)?;
                    self.verify(number, memory, verify)?;
                }
                (_, parts) => {
                    let bytes = self.input.read_now(self.range(&(number..number + 1)))?;
                    self.place_chunk(number, &bytes, parts, &mut Vec::new(), verify)?;
                }
            }
        }
        Ok(())
    }

    /// Puts what was read of several chunks in its places.
    fn place(&self, mut job: Job, bytes: &Bytes, verify: bool) -> Result<()> {
        let chunk = self.chunk();
        let from = self.range(&job.chunks).start;
        let mut raw = Vec::new();
        for parts in job.parts.chunk_by_mut(|a, b| a.source.start / chunk == b.source.start / chunk) {
            let number = parts[0].source.start / chunk;
            let inside = self.range(&(number..number + 1));
            let read = &bytes[(inside.start - from) as usize..(inside.end - from) as usize];
            self.place_chunk(number, read, parts, &mut raw, verify)?;
        }
        Ok(())
    }

    /// Decompresses a chunk into `raw` if it is compressed, verifies it, and copies it to its places.
    fn place_chunk(&self, number: u64, read: &[u8], parts: &mut [Part], raw: &mut Vec<u8>, verify: bool) -> Result<()> {
        let begin = number * self.chunk();
        let content = match &self.body {
            Body::Plain { .. } => read,
            Body::Packed { frames } => {
                raw.resize(self.chunk().min(self.header.buffer() - begin) as usize, 0);
                container::unpack(read, &frames[number as usize], raw).map_err(|error| self.at(error))?;
                raw
            }
        };
        self.verify(number, content, verify)?;
        for Part { source, memory } in parts {
            let source = (source.start - begin) as usize..(source.end - begin) as usize;
            memory.memory().copy_from_slice(&content[source]);
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

    fn at(&self, error: FormatError) -> CheckpointError {
        error.at(self.input.uri())
    }
}

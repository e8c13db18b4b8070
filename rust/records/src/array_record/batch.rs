//! Reading records in any order: each chunk once, neighbours by one read.

use std::ops::Range;

use bytes::Bytes;
use s3dlio_formats::array_record::ChunkEntry;
use s3dlio_formats::riegeli::Records;
use s3dlio_store::Work;

use super::File;
use super::file::Indexed;
use crate::error::Result;
use crate::input::work;

/// Bytes of chunks that are in memory at a time beside the results.
const WAVE: u64 = 64 << 20;

/// Decoded bytes from which on the chunks of a call are shared out between the threads of the decoding pool.
const SHARED: u64 = 1 << 20;

/// A record that is at least this share of its chunk is handed out without a copy; of smaller ones a copy is made, so that
/// a few small records do not keep large chunks in memory.
const LARGE_SHARE: usize = 4;

/// Chunks as they were asked for; `None` where the bytes that were likely enough turned out too few.
type Decoded = Result<Vec<Option<Records>>>;

impl File {
    /// The record at `index`.
    ///
    /// # Errors
    /// From the work: no such record, a damaged chunk, and what else the store says.
    pub fn get(&self, index: u64) -> s3dlio_store::Result<Work<Result<Bytes>>> {
        self.connect()?;
        let file = self.clone();
        Ok(work(self.input().is_local(), async move { Ok(async { file.indexed().await?.one(index).await }.await) }))
    }

    /// The records at `indices`, in their order; they may repeat.
    ///
    /// # Errors
    /// As [`get`](Self::get); the first failure ends the whole call.
    pub fn get_many(&self, indices: Vec<u64>) -> s3dlio_store::Result<Work<Result<Vec<Bytes>>>> {
        self.connect()?;
        let file = self.clone();
        Ok(work(self.input().is_local(), async move { Ok(async { file.indexed().await?.many(&indices).await }.await) }))
    }
}

impl Indexed {
    pub(super) async fn one(&self, index: u64) -> Result<Bytes> {
        let Some((chunk, number)) = self.index.locate(index) else { return Err(self.file.out_of_range(index)) };
        let records = match self.kept(chunk) {
            Some(records) => records,
            None => self.chunk(chunk).await?,
        };
        Ok(record(&records, number))
    }

    /// Reads and decodes one chunk.
    async fn chunk(&self, chunk: usize) -> Result<Records> {
        let bytes = self.file.input().fetch(self.likely_range(chunk)).await?;
        match self.decode_likely(chunk, &bytes)? {
            Some(records) => Ok(records),
            None => self.whole(chunk).await,
        }
    }

    /// The same, for a chunk that turned out longer than it was likely to be.
    async fn whole(&self, chunk: usize) -> Result<Records> {
        let bytes = self.file.input().fetch(self.index.range(chunk).unwrap_or_default()).await?;
        self.decode(chunk, &bytes)
    }

    pub(super) async fn many(&self, indices: &[u64]) -> Result<Vec<Bytes>> {
        self.file.check(indices)?;
        let mut wanted: Vec<Wanted> = Vec::with_capacity(indices.len());
        for (at, &index) in indices.iter().enumerate() {
            // The check has found it.
            if let Some((chunk, record)) = self.index.locate(index) {
                wanted.push(Wanted { chunk, record, at });
            }
        }
        wanted.sort_unstable_by_key(|wanted| wanted.chunk);
        let mut results = vec![Bytes::new(); indices.len()];
        let mut rest = wanted.as_slice();
        while !rest.is_empty() {
            let (wave, later) = rest.split_at(self.wave(rest));
            self.read_wave(wave, &mut results).await?;
            rest = later;
        }
        Ok(results)
    }

    /// How many of the wanted records are read together.
    fn wave(&self, wanted: &[Wanted]) -> usize {
        let (mut bytes, mut last) = (0, None);
        for (count, wanted) in wanted.iter().enumerate() {
            if last != Some(wanted.chunk) {
                let range = self.likely_range(wanted.chunk);
                bytes += self.weight(wanted.chunk, range.end - range.start);
                if bytes > WAVE && count > 0 {
                    return count;
                }
                last = Some(wanted.chunk);
            }
        }
        wanted.len()
    }

    async fn read_wave(&self, wanted: &[Wanted], results: &mut [Bytes]) -> Result<()> {
        let mut missing: Vec<&[Wanted]> = Vec::new();
        for group in wanted.chunk_by(|one, other| one.chunk == other.chunk) {
            match self.kept(group[0].chunk) {
                Some(records) => hand_out(&records, group, results),
                None => missing.push(group),
            }
        }
        let chunk = |group: &&[Wanted]| (group[0].chunk, self.likely_range(group[0].chunk));
        let decoded = self.read_chunks(missing.iter().map(chunk).collect()).await?;
        for (group, records) in missing.into_iter().zip(decoded) {
            let records = match records {
                Some(records) => records,
                None => self.whole(group[0].chunk).await?,
            };
            hand_out(&records, group, results);
        }
        Ok(())
    }

    /// Reads and decodes chunks, on several threads where it takes long.
    async fn read_chunks(&self, chunks: Vec<(usize, Range<u64>)>) -> Decoded {
        let total: u64 = chunks.iter().map(|(chunk, range)| self.weight(*chunk, range.end - range.start)).sum();
        let alone = total < SHARED || chunks.len() < 2 || self.file.threads() < 2;
        if self.file.input().is_local() && !alone {
            return self.share(chunks, Self::read_and_decode).await;
        }
        let (chunks, ranges): (Vec<usize>, _) = chunks.into_iter().unzip();
        let read = self.file.input().fetch_many(ranges).await?;
        let chunks = chunks.into_iter().zip(read).collect();
        if alone { self.decode_all(chunks) } else { self.share(chunks, Self::decode_all).await }
    }

    /// Shares work out between the threads of the decoding pool.
    async fn share<C: Send + 'static>(&self, mut chunks: Vec<C>, work: fn(&Self, Vec<C>) -> Decoded) -> Decoded {
        let share = chunks.len().div_ceil(self.file.threads().max(1)).max(1);
        let mut parts = Vec::new();
        while !chunks.is_empty() {
            let rest = chunks.split_off(share.min(chunks.len()));
            let (file, part) = (self.clone(), std::mem::replace(&mut chunks, rest));
            parts.push(crate::jobs::decode(move || work(&file, part)));
        }
        let mut decoded = Vec::new();
        for part in parts {
            decoded.extend(part.wait().await??);
        }
        Ok(decoded)
    }

    fn read_and_decode(&self, chunks: Vec<(usize, Range<u64>)>) -> Decoded {
        let (chunks, ranges): (Vec<usize>, Vec<Range<u64>>) = chunks.into_iter().unzip();
        let read = self.file.input().read_many_now(&ranges)?;
        self.decode_all(chunks.into_iter().zip(read).collect())
    }

    fn decode_all(&self, chunks: Vec<(usize, Bytes)>) -> Decoded {
        chunks.into_iter().map(|(chunk, bytes)| self.decode_likely(chunk, &bytes)).collect()
    }

    /// Bytes of a chunk, in the file or decoded, whatever is more.
    pub(super) fn weight(&self, chunk: usize, bytes: u64) -> u64 {
        self.index.chunk(chunk).and_then(|entry| entry.decoded_size).unwrap_or(0).max(bytes)
    }

    /// Bytes of the file that are worth reading for a chunk: all that it can take, or, where padding follows it, what its
    /// records will hardly exceed.
    fn likely_range(&self, chunk: usize) -> Range<u64> {
        let Some(ChunkEntry { range, records, decoded_size: Some(decoded) }) = self.index.chunk(chunk) else {
            return self.index.range(chunk).unwrap_or_default();
        };
        // Sizes take up to three bytes a record, compressors and block headers well below a hundredth.
        let likely = decoded.saturating_add(decoded / 64).saturating_add(3 * (records.end - records.start) + 512);
        range.start..range.end.min(range.start.saturating_add(likely))
    }
}

/// A record that is asked for: where it is, and its place in the results.
struct Wanted {
    chunk: usize,
    record: usize,
    at: usize,
}

fn hand_out(records: &Records, group: &[Wanted], results: &mut [Bytes]) {
    for wanted in group {
        results[wanted.at] = record(records, wanted.record);
    }
}

/// One record, by itself where the chunk is much larger.
fn record(records: &Records, number: usize) -> Bytes {
    let Range { start, end } = records.range(number).unwrap_or_default();
    if (end - start).saturating_mul(LARGE_SHARE) < records.data().len() {
        Bytes::copy_from_slice(&records.data()[start..end])
    } else {
        records.data().slice(start..end)
    }
}

//! Reading records in any order: each chunk once, neighbours by one read.

use std::ops::Range;

use bytes::Bytes;
use s3dlio_formats::riegeli::Records;
use s3dlio_store::Work;

use super::File;
use crate::error::{RecordError, Result};
use crate::input::work;

/// Bytes of chunks that are in memory at a time beside the results.
const WAVE: u64 = 64 << 20;

/// Decoded bytes from which on the chunks of a call are shared out between the threads of the decoding pool.
const SHARED: u64 = 1 << 20;

/// A record that is at least this share of its chunk is handed out without a copy; of smaller ones a copy is made, so that
/// a few small records do not keep large chunks in memory.
const LARGE_SHARE: usize = 4;

impl File {
    /// The record at `index`.
    ///
    /// # Errors
    /// From the work: no such record, a damaged chunk, and what else the store says.
    pub fn get(&self, index: u64) -> s3dlio_store::Result<Work<Result<Bytes>>> {
        self.connect()?;
        let file = self.clone();
        Ok(work(self.input().is_local(), async move { Ok(file.one(index).await) }))
    }

    /// The records at `indices`, in their order; they may repeat.
    ///
    /// # Errors
    /// As [`get`](Self::get); the first failure ends the whole call.
    pub fn get_many(&self, indices: Vec<u64>) -> s3dlio_store::Result<Work<Result<Vec<Bytes>>>> {
        self.connect()?;
        let file = self.clone();
        Ok(work(self.input().is_local(), async move { Ok(file.many(&indices).await) }))
    }

    pub(super) async fn one(&self, index: u64) -> Result<Bytes> {
        let Some(location) = self.index().locate(index) else {
            return Err(RecordError::OutOfRange { uri: self.uri().to_string(), index, length: self.len() });
        };
        let records = match self.kept(location.chunk) {
            Some(records) => records,
            None => self.chunk(location.chunk).await?,
        };
        Ok(record(&records, location.record))
    }

    /// Reads and decodes one chunk.
    async fn chunk(&self, chunk: u64) -> Result<Records> {
        let bytes = self.input().fetch(self.index().likely_range(chunk)).await?;
        match self.decode_likely(chunk, &bytes)? {
            Some(records) => Ok(records),
            None => self.whole(chunk).await,
        }
    }

    /// The same, for a chunk that turned out longer than it was likely to be.
    async fn whole(&self, chunk: u64) -> Result<Records> {
        let bytes = self.input().fetch(self.index().range(chunk)).await?;
        self.decode(chunk, &bytes)
    }

    pub(super) async fn many(&self, indices: &[u64]) -> Result<Vec<Bytes>> {
        self.check(indices)?;
        let mut wanted: Vec<Wanted> = Vec::with_capacity(indices.len());
        for (at, &index) in indices.iter().enumerate() {
            // The check has found it.
            if let Some(location) = self.index().locate(index) {
                wanted.push(Wanted { chunk: location.chunk, record: location.record, at });
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
                let range = self.index().likely_range(wanted.chunk);
                let decoded = self.index().decoded_size(wanted.chunk).unwrap_or(0);
                bytes += (range.end - range.start).max(decoded);
                if bytes > WAVE && count > 0 {
                    return count;
                }
                last = Some(wanted.chunk);
            }
        }
        wanted.len()
    }

    async fn read_wave(&self, wanted: &[Wanted], results: &mut [Bytes]) -> Result<()> {
        let mut missing: Vec<Missing<'_>> = Vec::new();
        let mut ranges = Vec::new();
        for group in wanted.chunk_by(|one, other| one.chunk == other.chunk) {
            let chunk = group[0].chunk;
            match self.kept(chunk) {
                Some(records) => hand_out(&records, group, results),
                None => {
                    ranges.push(self.index().likely_range(chunk));
                    missing.push(Missing { chunk, group });
                }
            }
        }
        let read = self.input().fetch_many(ranges).await?;
        let decoded = self.decode_all(missing.iter().map(|missing| missing.chunk).zip(read).collect()).await?;
        for (Missing { chunk, group }, records) in missing.into_iter().zip(decoded) {
            let records = match records {
                Some(records) => records,
                None => self.whole(chunk).await?,
            };
            hand_out(&records, group, results);
        }
        Ok(())
    }

    /// Decodes chunks, on several threads where it takes long.
    async fn decode_all(&self, chunks: Vec<(u64, Bytes)>) -> Result<Vec<Option<Records>>> {
        let total: u64 = chunks.iter().map(|(chunk, bytes)| self.weight(*chunk, bytes)).sum();
        let threads = self.threads();
        if total < SHARED || chunks.len() < 2 || threads < 2 {
            return chunks.iter().map(|(chunk, bytes)| self.decode_likely(*chunk, bytes)).collect();
        }
        let share = chunks.len().div_ceil(threads);
        let mut parts = Vec::with_capacity(threads);
        let mut chunks = chunks.into_iter();
        while chunks.len() > 0 {
            let part: Vec<(u64, Bytes)> = chunks.by_ref().take(share).collect();
            let file = self.clone();
            parts.push(crate::decoding::spawn(move || {
                part.iter().map(|(chunk, bytes)| file.decode_likely(*chunk, bytes)).collect::<Result<Vec<_>>>()
            }));
        }
        let mut decoded = Vec::new();
        for part in parts {
            decoded.extend(part.wait().await??);
        }
        Ok(decoded)
    }

    fn weight(&self, chunk: u64, bytes: &Bytes) -> u64 {
        self.index().decoded_size(chunk).unwrap_or(0).max(bytes.len() as u64)
    }

    /// Threads that decode for one call.
    pub(super) fn threads(&self) -> usize {
        let most = s3dlio_runtime::settings::decode_threads();
        self.options().max_parallelism.map_or(most, |wanted| most.min(wanted as usize))
    }
}

/// A record that is asked for: where it is, and its place in the results.
struct Wanted {
    chunk: u64,
    record: u64,
    at: usize,
}

/// A chunk that is not kept, and the records wanted of it.
struct Missing<'a> {
    chunk: u64,
    group: &'a [Wanted],
}

fn hand_out(records: &Records, group: &[Wanted], results: &mut [Bytes]) {
    for wanted in group {
        results[wanted.at] = record(records, wanted.record);
    }
}

/// One record, by itself where the chunk is much larger.
fn record(records: &Records, number: u64) -> Bytes {
    let Range { start, end } = records.range(number as usize).unwrap_or_default();
    if (end - start).saturating_mul(LARGE_SHARE) < records.data().len() {
        Bytes::copy_from_slice(&records.data()[start..end])
    } else {
        records.data().slice(start..end)
    }
}

//! The chunks of one file, decoded in batches: which bytes are read when.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use s3dlio_formats::disky::{self, Next};
use s3dlio_formats::riegeli::{Damage, Need, OnDamage, Records};
use s3dlio_store::StoreError;
use tokio::sync::Semaphore;

use crate::ahead::Ahead;
use crate::error::{Place, RecordError};
use crate::input::Input;
use crate::jobs;

/// Bytes of a chunk header, with the block header that may interrupt it.
const HEADER: u64 = 64;

/// Bytes read at once of a local file with small chunks: large beside a system call, small enough for the processor's
/// cache.
const LOCAL_WINDOW: u64 = 128 << 10;

/// A chunk of a local file from this size on is read by itself, and the header of the next one with it: it then lies in
/// one piece of memory, and nothing is read twice.
const LARGE_CHUNK: u64 = 64 << 10;

/// Bytes of one request to a network store.
const WINDOW: u64 = 4 << 20;

/// Requests of one file in flight.
const WINDOWS: u64 = 4;

/// How far one file is read ahead.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Bytes of records in a batch; the chunk that reaches it is the last.
    batch: u64,
    window: u64,
    windows: usize,
}

impl Limits {
    /// Half of `bytes` for each of the two batches that are in memory.
    pub(super) fn of(bytes: u64) -> Self {
        let window = (bytes / 2).clamp(LOCAL_WINDOW, WINDOW);
        let windows = (bytes / window).clamp(1, WINDOWS) as usize;
        // A batch beyond a chunk of usual size would only push what is read out of the processor's cache.
        Self { batch: (bytes / 2).clamp(1, 1 << 20), window, windows }
    }
}

/// The records of a chunk.
#[derive(Debug)]
pub(super) struct Decoded {
    /// Where the chunk begins.
    pub begin: u64,
    pub records: Records,
}

/// What was decoded, and how it goes on.
#[derive(Debug)]
pub(super) struct Batch {
    pub chunks: VecDeque<Decoded>,
    pub then: Then,
}

#[derive(Debug)]
pub(super) enum Then {
    More(Box<Source>),
    End,
    Failed(RecordError),
}

/// A file at some chunk of it.
#[derive(Debug)]
pub(super) struct Source {
    input: Input,
    parser: disky::Reader,
    limits: Limits,
    /// Where the bytes end that the parser has.
    supplied: u64,
    ahead: Option<Ahead>,
    /// Memory of the last two reads of a local file, used again where nothing refers to it any more: fresh memory costs
    /// as much as the read itself.
    spare: [Bytes; 2],
}

/// How far the parser came.
enum Parsed {
    Need(Need),
    Full,
    End,
    Failed(RecordError),
}

impl Source {
    /// The file from the chunk at `begin` on.
    pub(super) fn new(input: Input, begin: u64, on_damage: OnDamage, limits: Limits) -> Box<Self> {
        let parser = disky::Reader::from(begin, input.size(), on_damage).read_ahead(0);
        Box::new(Self { input, parser, limits, supplied: 0, ahead: None, spare: Default::default() })
    }

    /// Decodes the next batch of a local file, on this thread.
    pub(super) fn read_now(mut self: Box<Self>) -> Batch {
        let mut chunks = VecDeque::new();
        loop {
            match self.parse(&mut chunks) {
                Parsed::Need(need) => {
                    let range = self.local_range(need);
                    match self.read_range(&range) {
                        Ok(bytes) => self.supply(range.start, bytes),
                        Err(error) => return Batch { chunks, then: Then::Failed(error.into()) },
                    }
                }
                parsed => return self.batch(chunks, parsed),
            }
        }
    }

    /// Decodes the next batch on the decoding pool, of a file of any store; of a network store the input must have been
    /// [connected](Input::connect).
    pub(super) async fn read(mut self: Box<Self>, permits: Option<Arc<Semaphore>>) -> Result<Batch, StoreError> {
        let mut chunks = VecDeque::new();
        loop {
            let permit = match permits.clone() {
                // It is never closed.
                Some(permits) => permits.acquire_owned().await.ok(),
                None => None,
            };
            if self.input.is_local() {
                return jobs::decode(move || {
                    let _permit = permit;
                    self.read_now()
                })
                .wait()
                .await;
            }
            let job = jobs::decode(move || {
                let _permit = permit;
                let parsed = self.parse(&mut chunks);
                (self, chunks, parsed)
            });
            let parsed;
            (self, chunks, parsed) = job.wait().await?;
            let Parsed::Need(need) = parsed else { return Ok(self.batch(chunks, parsed)) };
            match self.fetch(need).await {
                Ok(bytes) => self.supply(need.offset, bytes),
                Err(error) => return Ok(Batch { chunks, then: Then::Failed(error.into()) }),
            }
        }
    }

    fn batch(self: Box<Self>, chunks: VecDeque<Decoded>, parsed: Parsed) -> Batch {
        let then = match parsed {
            Parsed::Need(_) | Parsed::Full => Then::More(self),
            Parsed::End => Then::End,
            Parsed::Failed(error) => Then::Failed(error),
        };
        Batch { chunks, then }
    }

    fn supply(&mut self, offset: u64, bytes: Bytes) {
        self.supplied = offset + bytes.len() as u64;
        self.parser.supply(offset, bytes);
    }

    /// Decodes what is at hand.
    fn parse(&mut self, chunks: &mut VecDeque<Decoded>) -> Parsed {
        let mut bytes: u64 = chunks.iter().map(|chunk| chunk.records.data().len() as u64).sum();
        while bytes < self.limits.batch {
            match self.parser.next_step() {
                Ok(Next::Need(need)) => return Parsed::Need(need),
                Ok(Next::End) => return Parsed::End,
                Ok(Next::Records { begin, records }) => {
                    bytes += records.data().len() as u64;
                    chunks.push_back(Decoded { begin, records });
                }
                Ok(Next::Damage(Damage { error, lost })) => {
                    let uri = self.input.uri();
                    tracing::warn!("{uri}: {error}: bytes {} to {} are passed over", lost.start, lost.end);
                }
                Err(error) => {
                    let place = Place { offset: error.offset(), record: None };
                    return Parsed::Failed(RecordError::format(self.input.uri(), place, error));
                }
            }
        }
        Parsed::Full
    }

    /// Reads a range of a local file.
    fn read_range(&mut self, range: &Range<u64>) -> Result<Bytes, StoreError> {
        let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        // The parser still has the later one.
        let mut memory = std::mem::take(&mut self.spare[0]).try_into_mut().unwrap_or_default();
        memory.resize(length, 0);
        self.input.read_into_now(range.start, &mut memory)?;
        let bytes = memory.freeze();
        self.spare = [std::mem::take(&mut self.spare[1]), bytes.clone()];
        Ok(bytes)
    }

    /// What is read of a local file where `need` is missing: from the beginning of its chunk on, so that the chunk lies in
    /// one piece of memory.
    fn local_range(&self, need: Need) -> Range<u64> {
        let begin = self.parser.position();
        let rest = need.offset == self.supplied && (begin..=begin + LOCAL_WINDOW).contains(&need.offset);
        let start = if rest { begin } else { need.offset };
        let end = need.offset + need.len;
        let end = if end - start < LARGE_CHUNK { start + LOCAL_WINDOW } else { end + HEADER };
        start..end.min(self.input.size())
    }

    /// The next bytes of a file in a network store, which are mostly on their way already.
    async fn fetch(&mut self, need: Need) -> Result<Bytes, StoreError> {
        let Limits { window, windows, .. } = self.limits;
        let anew = || Ahead::new(self.input.clone(), need.offset, window, windows);
        let ahead = self.ahead.get_or_insert_with(anew);
        ahead.skip_to(need.offset);
        let mut read = ahead.window().await?;
        // Behind damage a chunk can begin before what was looked at last.
        if read.as_ref().is_none_or(|(start, _)| *start > need.offset) {
            read = self.ahead.insert(anew()).window().await?;
        }
        Ok(read.map_or_else(Bytes::new, |(start, bytes)| bytes.slice((need.offset - start) as usize..)))
    }
}

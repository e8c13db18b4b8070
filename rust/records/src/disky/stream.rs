//! The records of one file, one after another: what is decoded, and what is on its way.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use s3dlio_formats::riegeli::{OnDamage, Records};
use tokio::sync::Semaphore;

use super::source::{Batch, Decoded, Limits, Source, Then};
use crate::error::{RecordError, Result};
use crate::input::Input;
use crate::jobs::{self, Job};

/// A place between two records of a file: what comes next is a record of the chunk that begins at byte `chunk`, or of a
/// later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    /// Where the chunk begins; 0 is the beginning of the file.
    pub chunk: u64,
    /// Records of the chunk that are passed.
    pub index: u64,
}

/// What the streams of one reader have in common.
#[derive(Debug)]
pub(super) struct Common {
    /// How many of them decode at the same time.
    permits: Arc<Semaphore>,
    /// Records that are decoded and that no stream has taken over.
    records: AtomicU64,
    bytes: AtomicU64,
}

impl Common {
    pub(super) fn new(decoding: usize) -> Arc<Self> {
        let permits = Arc::new(Semaphore::new(decoding.min(Semaphore::MAX_PERMITS)));
        Arc::new(Self { permits, records: AtomicU64::new(0), bytes: AtomicU64::new(0) })
    }

    pub(super) fn queued(&self) -> (u64, u64) {
        (self.records.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }

    fn add(&self, batch: &Batch) {
        let (records, bytes) = sum(&batch.chunks);
        self.records.fetch_add(records, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn subtract(&self, batch: &Batch) {
        let (records, bytes) = sum(&batch.chunks);
        self.records.fetch_sub(records, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

fn sum(chunks: &VecDeque<Decoded>) -> (u64, u64) {
    chunks.iter().fold((0, 0), |(records, bytes), chunk| {
        (records + chunk.records.len() as u64, bytes + chunk.records.data().len() as u64)
    })
}

#[derive(Debug)]
pub(super) struct Stream {
    input: Input,
    on_damage: OnDamage,
    limits: Limits,
    common: Option<Arc<Common>>,
    /// Decoded chunks; the first has a record at `index`.
    ready: VecDeque<Decoded>,
    index: usize,
    /// What `ready` begins with while it is empty.
    place: Place,
    running: Option<Job<Batch>>,
    /// How it ends behind `ready`.
    last: Option<Last>,
}

#[derive(Debug)]
enum Last {
    End,
    Failed(RecordError),
}

impl Stream {
    pub(super) fn new(
        input: Input,
        place: Place,
        on_damage: OnDamage,
        limits: Limits,
        common: Option<Arc<Common>>,
    ) -> Self {
        Self { input, on_damage, limits, common, ready: VecDeque::new(), index: 0, place, running: None, last: None }
    }

    pub(super) fn input(&self) -> &Input {
        &self.input
    }

    /// The chunk and the number of the next record, if it is there.
    #[inline]
    pub(super) fn next(&self) -> Option<(&Records, usize)> {
        self.ready.front().map(|chunk| (&chunk.records, self.index))
    }

    /// Moves behind the next record.
    #[inline]
    pub(super) fn advance(&mut self) {
        self.index += 1;
        if self.ready.front().is_some_and(|chunk| self.index >= chunk.records.len()) {
            self.skip_chunk();
        }
    }

    /// Moves behind the chunk; the number of records passed.
    pub(super) fn skip_chunk(&mut self) -> u64 {
        let Some(chunk) = self.ready.pop_front() else { return 0 };
        let passed = (chunk.records.len() - self.index) as u64;
        self.place = Place { chunk: chunk.begin, index: chunk.records.len() as u64 };
        self.index = 0;
        passed
    }

    pub(super) fn place(&self) -> Place {
        match self.ready.front() {
            Some(chunk) => Place { chunk: chunk.begin, index: self.index as u64 },
            None => self.place,
        }
    }

    /// Records that are decoded, and their bytes; of the chunk that is being read all of them.
    pub(super) fn queued(&self) -> (u64, u64) {
        let (records, bytes) = sum(&self.ready);
        (records - self.index as u64, bytes)
    }

    /// Begins to decode ahead. Of a network store the input must have been [connected](Input::connect).
    pub(super) fn start(&mut self) {
        if self.running.is_none() && self.last.is_none() {
            let begin = self.place.chunk;
            let source = Source::new(self.input.clone(), begin, self.on_damage, self.limits);
            self.running = Some(self.run(source));
        }
    }

    fn run(&self, source: Box<Source>) -> Job<Batch> {
        match &self.common {
            None if self.input.is_local() => jobs::decode(move || source.read_now()),
            None => jobs::fetch(source.read(None)),
            Some(common) => {
                let common = Arc::clone(common);
                let permits = Arc::clone(&common.permits);
                jobs::fetch(async move {
                    let batch = source.read(Some(permits)).await?;
                    common.add(&batch);
                    Ok(batch)
                })
            }
        }
    }

    /// Waits until the next record is there; false at the end. A wait that is given up, and a failure, lose nothing: the
    /// next call reads from the same place again.
    pub(super) async fn fill(&mut self) -> Result<bool> {
        while self.ready.is_empty() {
            match self.last.take() {
                Some(Last::End) => {
                    self.last = Some(Last::End);
                    return Ok(false);
                }
                Some(Last::Failed(error)) => return Err(error),
                None => {}
            }
            self.start();
            let Some(running) = self.running.take() else { return Ok(false) };
            let batch = running.wait().await?;
            if let Some(common) = &self.common {
                common.subtract(&batch);
            }
            self.ready = batch.chunks;
            match batch.then {
                Then::More(source) => self.running = Some(self.run(source)),
                Then::End => self.last = Some(Last::End),
                Then::Failed(error) => self.last = Some(Last::Failed(error)),
            }
            self.pass();
        }
        Ok(true)
    }

    /// Leaves out what was read before: reading anew begins with the chunk of the place.
    fn pass(&mut self) {
        let Place { chunk, index } = self.place;
        if index == 0 {
            return;
        }
        if let Some(first) = self.ready.front().filter(|first| first.begin == chunk) {
            self.index = usize::try_from(index).unwrap_or(usize::MAX).min(first.records.len());
            if self.index == first.records.len() {
                self.skip_chunk();
            }
        }
    }

    /// Makes a stream that came through a fork one of this process: what its parent had on the way is read again.
    pub(super) fn revive(&mut self, common: Option<Arc<Common>>) {
        self.place = self.place();
        self.ready.clear();
        self.index = 0;
        self.common = common;
        self.last = None;
        // Its tasks belong to threads that do not exist here.
        std::mem::forget(self.running.take());
    }
}

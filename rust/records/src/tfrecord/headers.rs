//! Goes through a file by its headers, and gives each record's place to a sink.

use bytes::Bytes;
use s3dlio_formats::tfrecord::compression::Compression;
use s3dlio_formats::tfrecord::index::{Entry, Index, Scan, Verify, write_entry};
use s3dlio_formats::tfrecord::{HEADER, TfRecordError};

use super::pace::{Next, Pace};
use crate::ahead::Ahead;
use crate::error::{Place, RecordError, Result};
use crate::input::Input;
use crate::jobs;

/// Bytes of a local window: as much as stays in the processor's cache while it is looked through.
const LOCAL_WINDOW: usize = 256 << 10;

/// The same between large records: a header, and enough to see whether small records follow. Memory that is copied
/// costs more than the system call from some hundred bytes on, because nobody has touched it lately.
const LOCAL_PROBE: usize = 256;

/// Records of this size are stepped over: reading so many bytes costs as much as a further system call.
const LOCAL_LARGE: u64 = 8 << 10;

/// Windows in one job of the reading pool: some milliseconds, after which whoever waits can give up.
const LOCAL_STEP: usize = 64;

/// Windows of a network store that are read ahead.
const AHEAD: usize = 8;

/// Takes what was found.
pub trait Sink: Send + 'static {
    /// Takes a record.
    fn entry(&mut self, entry: Entry);

    /// Whether it wants to be emptied before it takes more.
    fn is_full(&self) -> bool {
        false
    }
}

impl Sink for Index {
    fn entry(&mut self, entry: Entry) {
        self.push(entry);
    }
}

/// The text of an index.
#[derive(Debug, Default)]
pub struct Text(pub Vec<u8>);

impl Sink for Text {
    fn entry(&mut self, entry: Entry) {
        write_entry(&mut self.0, entry);
    }

    fn is_full(&self) -> bool {
        self.0.len() >= 1 << 20
    }
}

/// A walk through a file.
#[derive(Debug)]
pub struct Headers<S> {
    input: Input,
    scan: Scan,
    pace: Pace,
    ahead: Option<Ahead>,
    buffer: Vec<u8>,
    window: usize,
    begun: bool,
    /// What was found since it was last emptied.
    pub sink: S,
}

impl<S: Sink> Headers<S> {
    /// At the beginning of a file that is connected.
    pub fn new(input: Input, verify: Verify, sink: S) -> Self {
        let scan = Scan::new(input.size(), verify);
        let buffer = Vec::new();
        Self { input, scan, pace: Pace::default(), ahead: None, buffer, window: LOCAL_WINDOW, begun: false, sink }
    }

    /// Records found so far.
    pub fn records(&self) -> u64 {
        self.scan.records()
    }

    /// Goes on until the sink is full or the file ends; false at its end.
    pub async fn step(mut self) -> Result<(Self, bool)> {
        if self.input.is_local() {
            return jobs::read(move || {
                let more = self.step_local()?;
                Ok((self, more))
            })
            .await?;
        }
        while !self.is_done()? {
            self.step_network().await?;
            if self.sink.is_full() {
                return Ok((self, true));
            }
        }
        Ok((self, false))
    }

    /// Goes on to the end of the file.
    pub async fn finish(mut self) -> Result<S> {
        loop {
            let (this, more) = self.step().await?;
            if !more {
                return Ok(this.sink);
            }
            self = this;
        }
    }

    fn is_done(&self) -> Result<bool> {
        self.scan.is_done().map_err(|error| self.failed(error))
    }

    fn failed(&self, error: TfRecordError) -> RecordError {
        let place = Place { offset: Some(self.scan.next()), record: Some(self.scan.records()) };
        RecordError::format(self.input.uri(), place, error)
    }

    fn step_local(&mut self) -> Result<bool> {
        self.buffer.resize(LOCAL_WINDOW, 0);
        for _ in 0..LOCAL_STEP {
            if self.is_done()? || self.sink.is_full() {
                return Ok(!self.is_done()?);
            }
            let (start, records) = (self.scan.next(), self.scan.records());
            let left = usize::try_from(self.input.size() - start).unwrap_or(usize::MAX);
            let length = self.window.min(left);
            let mut buffer = std::mem::take(&mut self.buffer);
            self.input.read_into_now(start, &mut buffer[..length])?;
            let looked = self.look(start, &buffer[..length]);
            self.buffer = buffer;
            looked?;
            let average = (self.scan.next() - start) / (self.scan.records() - records).max(1);
            self.window = if average > LOCAL_LARGE { LOCAL_PROBE } else { LOCAL_WINDOW };
        }
        Ok(true)
    }

    async fn step_network(&mut self) -> Result<()> {
        match self.pace.next(self.scan.next(), self.input.size()) {
            Next::Through(window) => {
                let ahead = self.ahead.get_or_insert_with(|| {
                    // Before anything is known of a file a second window might be for nothing.
                    let depth = if self.begun { AHEAD } else { 1 };
                    let ahead = Ahead::new(self.input.clone(), self.scan.next(), window, depth);
                    // So that a header which crosses the end of a window is whole in it.
                    ahead.overlapping(HEADER as u64 - 1)
                });
                ahead.resize(window);
                ahead.skip_to(self.scan.next());
                if let Some((start, bytes)) = ahead.window().await? {
                    self.look(start, &bytes)?;
                }
            }
            Next::Headers(ranges) => {
                self.ahead = None;
                let windows = self.input.read_many(ranges.clone())?.into_future().await?;
                for (range, bytes) in ranges.into_iter().zip(windows) {
                    if range.start != self.scan.next() {
                        break;
                    }
                    self.look(range.start, &bytes)?;
                }
            }
        }
        Ok(())
    }

    /// Finds the records in a window.
    fn look(&mut self, start: u64, bytes: &[u8]) -> Result<()> {
        if !self.begun {
            self.begun = true;
            self.ahead = None;
            let kind = Compression::detect(bytes);
            if kind != Compression::None {
                let error = TfRecordError::NoPlaces { kind: kind.name() };
                return Err(RecordError::format(self.input.uri(), Place::default(), error));
            }
        }
        let (next, records) = (self.scan.next(), self.scan.records());
        let mut last = 0;
        let sink = &mut self.sink;
        let found = self.scan.window(start, bytes, |entry| {
            last = entry.size;
            sink.entry(entry);
        });
        found.map_err(|error| self.failed(error))?;
        self.pace.found(self.scan.records() - records, self.scan.next() - next, last);
        Ok(())
    }
}

/// The records of a file in memory.
pub fn of_bytes<S: Sink>(bytes: &Bytes, verify: Verify, mut sink: S) -> std::result::Result<S, (Place, TfRecordError)> {
    let kind = Compression::detect(bytes);
    if kind != Compression::None {
        return Err((Place::default(), TfRecordError::NoPlaces { kind: kind.name() }));
    }
    let mut scan = Scan::new(bytes.len() as u64, verify);
    let found = scan.window(0, bytes, |entry| sink.entry(entry)).and_then(|()| scan.is_done());
    let place = Place { offset: Some(scan.next()), record: Some(scan.records()) };
    found.map(|_| sink).map_err(|error| (place, error))
}

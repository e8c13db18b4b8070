//! The records of one file in order.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use s3dlio_formats::tfrecord::TfRecordError;
use s3dlio_formats::tfrecord::compression::{Compression, DETECT, Inflate};
use s3dlio_formats::tfrecord::decode::Decoder;
use s3dlio_runtime::fork;
use s3dlio_store::{StoreError, Uri, Work};

use crate::ahead::Ahead;
use crate::error::{Place, RecordError, Result};
use crate::input::Input;
use crate::jobs;

/// Bytes of a window: local memory of this size is recycled, and a request for as much is long beside its round trip.
const WINDOW: u64 = 4 << 20;

/// Windows of a network store that are read ahead: with 100 MB/s each, as much as a 3 Gbit/s link brings.
const AHEAD: usize = 4;

/// Compressed bytes that are decompressed at a time; they can become a thousand times as many.
const PIECE: usize = 64 << 10;

/// Decompressed bytes that are handed on together.
const INFLATED: usize = 1 << 20;

/// Records of one batch: their handles take as long to make as some requests to arrive.
const BATCH: usize = 4096;

/// A place between two records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    /// Records before it.
    pub record: u64,
    /// Bytes before it, decompressed: each record is 16 bytes longer than its payload.
    pub offset: u64,
}

/// How a file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamOptions {
    /// How the file is compressed; its first bytes tell if `None`.
    pub compression: Option<Compression>,
    /// Whether both checksums of every record are compared.
    pub verify: bool,
    /// Where to begin. A compressed file is read from its beginning all the same, and what comes before is dropped.
    pub start: Position,
}

impl Default for StreamOptions {
    fn default() -> Self {
        Self { compression: None, verify: true, start: Position::default() }
    }
}

/// Reads the records of a file in order; clones are the same stream.
///
/// Damage ends the stream, after all records before it. A forked child of the process that opened the stream cannot go
/// on with it.
#[derive(Debug, Clone)]
pub struct Stream(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    uri: Uri,
    generation: u64,
    local: bool,
    /// Taken out by the call that is at work.
    state: Mutex<Option<State>>,
}

#[derive(Debug)]
struct State {
    input: Input,
    decoder: Decoder,
    compression: Option<Compression>,
    inflate: Option<Inflate>,
    /// Compressed bytes that were read and not decompressed yet.
    packed: Bytes,
    ahead: Option<Ahead>,
    /// Where the next window begins.
    at: u64,
    options: StreamOptions,
    /// Records that are dropped because they come before the start.
    dropped: u64,
    ended: bool,
    failed: Option<RecordError>,
}

impl Stream {
    /// Opens a file.
    ///
    /// # Errors
    /// At once: a URI or settings that cannot work. From the work: those of the store.
    pub fn open(uri: &Uri, options: StreamOptions) -> s3dlio_store::Result<Work<Self>> {
        let generation = fork::generation();
        Ok(Input::open(uri)?.map(move |input| {
            let mut state = State {
                decoder: Decoder::new(options.verify),
                compression: None,
                inflate: None,
                packed: Bytes::new(),
                ahead: None,
                at: 0,
                options,
                dropped: 0,
                ended: false,
                failed: None,
                input,
            };
            if let Some(kind) = options.compression {
                state.is(kind);
            }
            let (uri, local) = (state.input.uri().clone(), state.input.is_local());
            Self(Arc::new(Inner { uri, generation, local, state: Mutex::new(Some(state)) }))
        }))
    }

    /// The next records, at least one; none at the end of the file.
    ///
    /// # Errors
    /// At once: [`StoreError::Forked`] in a child of the process that opened the stream, [`RecordError::Closed`] while
    /// another call is at work or after one that was given up. From the work: those of the store; [`RecordError::Format`]
    /// for damage, again and again.
    pub fn batch(&self) -> Result<Work<Result<Vec<Bytes>>>> {
        if self.0.generation != fork::generation() {
            let detail = "this stream was opened in the parent of this process: open one in the forked child".into();
            return Err(StoreError::Forked { uri: self.0.uri.to_string(), detail }.into());
        }
        let state = self.slot().take().ok_or_else(|| {
            let detail = "another call reads from this stream, or one was given up: open the file again".into();
            RecordError::Closed { uri: self.0.uri.to_string(), detail }
        })?;
        let this = self.clone();
        if self.0.local {
            return Ok(Work::here(move || {
                let mut state = state;
                let batch = state.batch_local();
                this.slot().replace(state);
                Ok(batch)
            }));
        }
        Ok(jobs::work(async move {
            let mut state = state;
            let batch = state.batch_network().await;
            this.slot().replace(state);
            batch
        }))
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<State>> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.generation != fork::generation() {
            // Requests under way belong to threads of the parent, which a child cannot tell to stop.
            let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner).take();
            std::mem::forget(state);
        }
    }
}

impl State {
    fn place(&self) -> Place {
        Place { offset: Some(self.decoder.offset()), record: Some(self.decoder.record()) }
    }

    fn damaged(&self, error: TfRecordError) -> RecordError {
        RecordError::format(self.input.uri(), self.place(), error)
    }

    /// Damage in compressed data has no place among the records, but for the one that it keeps from being read.
    fn packed_damage(&self, error: TfRecordError) -> RecordError {
        let place = Place { offset: None, record: Some(self.decoder.record()) };
        RecordError::format(self.input.uri(), place, error)
    }

    /// The records that are there. What comes before damage is given first.
    fn take(&mut self) -> Result<Vec<Bytes>> {
        let mut batch = Vec::new();
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        while batch.len() < BATCH {
            match self.decoder.next_record() {
                Ok(Some(_)) if self.dropped > 0 => self.dropped -= 1,
                Ok(Some(record)) => batch.push(record),
                Ok(None) => break,
                Err(error) => {
                    let error = self.damaged(error);
                    self.failed = Some(error.clone());
                    return if batch.is_empty() { Err(error) } else { Ok(batch) };
                }
            }
        }
        Ok(batch)
    }

    fn remember<T>(&mut self, result: Result<T>) -> Result<T> {
        if let Err(error) = &result {
            self.failed = Some(error.clone());
        }
        result
    }

    fn batch_local(&mut self) -> Result<Vec<Bytes>> {
        loop {
            let batch = self.take()?;
            if !batch.is_empty() || self.ended {
                return Ok(batch);
            }
            let more = self.refill_local();
            self.remember(more)?;
        }
    }

    async fn batch_network(&mut self) -> Result<Vec<Bytes>> {
        loop {
            let batch = self.take()?;
            if !batch.is_empty() || self.ended {
                return Ok(batch);
            }
            let more = self.refill_network().await;
            self.remember(more)?;
        }
    }

    fn refill_local(&mut self) -> Result<()> {
        let size = self.input.size();
        if self.compression.is_none() {
            let first = self.input.read_now(0..size.min(DETECT as u64))?;
            self.is(Compression::detect(&first));
        }
        if self.inflate.is_none() {
            // A window begins at a record, so that none has to be put together, and holds the next one with the header
            // behind it, so that the window after it does as well.
            let (start, needed) = (self.decoder.offset(), self.needed()?);
            if start >= size {
                return self.end();
            }
            let window = WINDOW.max(needed.saturating_add(DETECT as u64));
            let piece = self.input.read_now(start..size.min(start.saturating_add(window)))?;
            self.decoder.restart(piece);
            return Ok(());
        }
        if self.packed.is_empty() {
            let end = size.min(self.at + WINDOW);
            self.packed = self.input.read_now(self.at..end)?;
            self.at = end;
        }
        let unpacked = self.inflate.as_mut().map(|inflate| unpack(inflate, &mut self.packed));
        self.unpacked(unpacked)
    }

    async fn refill_network(&mut self) -> Result<()> {
        if self.packed.is_empty() {
            // What a damaged length announces is not fetched to find that it is not there.
            if self.compression == Some(Compression::None) && self.needed()? == 0 {
                return self.end();
            }
            if self.compression.is_none() && self.options.start.offset > 0 {
                let first = self.input.fetch(0..self.input.size().min(DETECT as u64)).await?;
                self.is(Compression::detect(&first));
                return Ok(());
            }
            let ahead = self.ahead.get_or_insert_with(|| Ahead::new(self.input.clone(), self.at, WINDOW, AHEAD));
            let window = ahead.window().await?.map(|(_, bytes)| bytes).unwrap_or_default();
            if self.compression.is_none() {
                self.is(Compression::detect(&window));
            }
            self.at += window.len() as u64;
            if self.inflate.is_none() {
                if window.is_empty() {
                    return self.end();
                }
                self.decoder.push(window);
                return Ok(());
            }
            self.packed = window;
        }
        let Some(mut inflate) = self.inflate.take() else { return Ok(()) };
        let mut packed = std::mem::take(&mut self.packed);
        let (inflate, packed, unpacked) = jobs::decode(move || {
            let unpacked = unpack(&mut inflate, &mut packed);
            (inflate, packed, unpacked)
        })
        .wait()
        .await?;
        (self.inflate, self.packed) = (Some(inflate), packed);
        self.unpacked(Some(unpacked))
    }

    /// Notes the compression, and with it where to begin.
    fn is(&mut self, kind: Compression) {
        let Position { record, offset } = self.options.start;
        (self.compression, self.inflate) = (Some(kind), Inflate::new(kind));
        if kind == Compression::None {
            self.decoder = Decoder::starting(self.options.verify, offset, record);
            self.at = offset;
        } else {
            self.dropped = record;
        }
    }

    /// Bytes that the next record of a plain file needs; 0 at the end of the file.
    fn needed(&self) -> Result<u64> {
        let left = self.input.size().saturating_sub(self.decoder.offset());
        let needed = self.decoder.needed().map_err(|error| self.damaged(error))?;
        match (left, needed) {
            (0, _) => Ok(0),
            (left, 12) if left < 12 => Err(self.damaged(TfRecordError::TruncatedHeader { found: left })),
            (left, needed) if left < needed => {
                Err(self.damaged(TfRecordError::Truncated { length: needed - 16, found: left - 12 }))
            }
            (_, needed) => Ok(needed),
        }
    }

    fn unpacked(&mut self, unpacked: Option<std::result::Result<Vec<u8>, TfRecordError>>) -> Result<()> {
        let unpacked = unpacked.transpose().map_err(|error| self.packed_damage(error))?.unwrap_or_default();
        if unpacked.is_empty() && self.packed.is_empty() && self.at == self.input.size() {
            return self.end();
        }
        self.decoder.push(Bytes::from(unpacked));
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        let (start, size) = (self.options.start, self.input.size());
        if self.dropped > 0 || (self.inflate.is_none() && start.offset > size) {
            let detail =
                format!("ends before record {} at byte {}, from which it was to be read", start.record, start.offset);
            return Err(StoreError::Corrupt { uri: self.input.uri().to_string(), detail }.into());
        }
        self.inflate.as_ref().map_or(Ok(()), Inflate::finish).map_err(|error| self.packed_damage(error))?;
        self.decoder.finish().map_err(|error| self.damaged(error))?;
        self.ended = true;
        Ok(())
    }
}

/// Decompresses as much as is worth handing on.
fn unpack(inflate: &mut Inflate, packed: &mut Bytes) -> std::result::Result<Vec<u8>, TfRecordError> {
    let mut unpacked = Vec::new();
    while unpacked.len() < INFLATED && !packed.is_empty() {
        let piece = packed.split_to(PIECE.min(packed.len()));
        inflate.push(&piece, &mut unpacked)?;
    }
    Ok(unpacked)
}

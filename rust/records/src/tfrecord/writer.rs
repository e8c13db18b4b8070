//! Writing a file, and its index with it.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use flate2::write::{GzEncoder, ZlibEncoder};
use s3dlio_formats::tfrecord::compression::Compression;
use s3dlio_formats::tfrecord::index::{Entry, write_entry};
use s3dlio_formats::tfrecord::{OVERHEAD, append};
use s3dlio_store::{StoreError, Uri, Work};

use crate::error::{RecordError, Result};
use crate::jobs;
use crate::output::Output;

/// Bytes that are collected before they are compressed and passed on: the cost of passing on is then none for each record.
const BUFFER: usize = 256 << 10;

/// How a file is written.
#[derive(Debug, Clone, Default)]
pub struct WriterOptions {
    /// How the whole file is compressed.
    pub compression: Compression,
    /// Effort of compression, 0 to 9; 6 if `None`.
    pub level: Option<u32>,
    /// Where the index of the file goes; only of one that is not compressed.
    pub index: Option<Uri>,
}

/// Writes the records of a file; clones are the same writer, and calls from several threads take turns.
///
/// Neither the file nor its index is there before [`finish`](Self::finish) has succeeded; the file comes first.
#[derive(Debug, Clone)]
pub struct Writer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    output: Output,
    index: Option<Output>,
    state: Mutex<State>,
    /// Held while the buffer is passed on, so that what was written first goes first.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct State {
    buffer: Vec<u8>,
    encoder: Option<Encoder>,
    lines: Vec<u8>,
    records: u64,
    /// Bytes of the file before compression.
    bytes: u64,
    closed: bool,
}

enum Encoder {
    Gzip(Box<GzEncoder<Vec<u8>>>),
    Zlib(Box<ZlibEncoder<Vec<u8>>>),
}

impl Writer {
    /// Prepares to write a file; asks the store nothing yet. Call it on the calling thread: it reads environment
    /// variables.
    ///
    /// # Errors
    /// A URI or settings that cannot work; [`RecordError::Config`] for a level outside 0 to 9, or one without
    /// compression, and for an index of a compressed file.
    pub fn create(uri: &Uri, options: &WriterOptions) -> Result<Self> {
        let compressed = options.compression != Compression::None;
        match options.level {
            Some(level) if !compressed => {
                return Err(RecordError::config("level", level.to_string(), "None: the file is not compressed"));
            }
            Some(level) if level > 9 => return Err(RecordError::config("level", level.to_string(), "0 to 9")),
            _ => {}
        }
        if let Some(index) = &options.index
            && (compressed || index == uri)
        {
            let expected =
                if compressed { "None: the records of a compressed file have no place" } else { "another object" };
            return Err(RecordError::config("index", index.to_string(), expected));
        }
        let output = Output::create(uri)?;
        let index = options.index.as_ref().map(Output::create).transpose()?;
        let encoder = Encoder::new(options.compression, options.level.unwrap_or(6));
        let (buffer, lines) = (Vec::new(), Vec::new());
        let state = Mutex::new(State { buffer, encoder, lines, records: 0, bytes: 0, closed: false });
        Ok(Self(Arc::new(Inner { output, index, state, turn: tokio::sync::Mutex::default() })))
    }

    /// The file.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        self.0.output.uri()
    }

    /// Records taken so far.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.0.lock().records
    }

    /// Bytes of the file so far, before compression.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.lock().bytes
    }

    /// Whether the file is finished, given up or failed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.lock().closed || self.0.output.is_closed()
    }

    /// Takes a record. It is copied at once; true says that so much has gathered that [`pass_on`](Self::pass_on) is due.
    ///
    /// # Errors
    /// [`RecordError::Closed`] after the end, [`StoreError::Forked`] in a child of the process that made the writer.
    pub fn append(&self, record: &[u8]) -> Result<bool> {
        // An output of the parent refuses even nothing.
        self.0.output.try_write(&[])?;
        let mut state = self.0.lock();
        if state.closed {
            return Err(self.0.closed());
        }
        append(&mut state.buffer, record);
        let entry = Entry { offset: state.bytes, size: (record.len() + OVERHEAD) as u64 };
        state.records += 1;
        state.bytes += entry.size;
        if self.0.index.is_some() {
            write_entry(&mut state.lines, entry);
        }
        Ok(state.buffer.len() >= BUFFER)
    }

    /// Compresses what has gathered and hands it to the store; waits while all of the store's buffers are on their way.
    ///
    /// # Errors
    /// At once: as [`append`](Self::append). From the work: those of the store; the writer is then of no more use.
    pub fn pass_on(&self) -> Result<Work<Result<()>>> {
        let inner = self.open()?;
        Ok(jobs::work(async move {
            let _turn = inner.turn.lock().await;
            inner.pass_on(false).await
        }))
    }

    /// Hands over all that the store takes in full parts, and waits until it has it; the rest stays here.
    ///
    /// # Errors
    /// As [`pass_on`](Self::pass_on).
    pub fn flush(&self) -> Result<Work<Result<()>>> {
        let inner = self.open()?;
        Ok(jobs::work(async move {
            let _turn = inner.turn.lock().await;
            inner.pass_on(false).await?;
            Ok(inner.output.flush()?.into_future().await?)
        }))
    }

    /// Ends the file, makes it visible, and then its index; the number of records.
    ///
    /// # Errors
    /// As [`pass_on`](Self::pass_on).
    pub fn finish(&self) -> Result<Work<Result<u64>>> {
        let inner = self.open()?;
        inner.lock().closed = true;
        Ok(jobs::work(async move {
            let _turn = inner.turn.lock().await;
            inner.pass_on(true).await?;
            inner.output.finish()?.into_future().await?;
            if let Some(index) = &inner.index {
                let lines = std::mem::take(&mut inner.lock().lines);
                index.write(Bytes::from(lines))?.into_future().await?;
                index.finish()?.into_future().await?;
            }
            Ok(inner.lock().records)
        }))
    }

    /// Gives file and index up; nothing to do for a writer that failed or was given up.
    ///
    /// # Errors
    /// [`StoreError::Unsupported`] for a finished file; those of the removal.
    pub fn abort(&self) -> Result<Work<Result<()>>> {
        self.0.output.try_write(&[])?;
        let inner = Arc::clone(&self.0);
        inner.lock().closed = true;
        Ok(jobs::work(async move {
            let _turn = inner.turn.lock().await;
            inner.output.abort()?.into_future().await?;
            if let Some(index) = &inner.index {
                index.abort()?.into_future().await?;
            }
            Ok(())
        }))
    }

    fn open(&self) -> Result<Arc<Inner>> {
        self.0.output.try_write(&[])?;
        if self.0.lock().closed {
            return Err(self.0.closed());
        }
        Ok(Arc::clone(&self.0))
    }
}

impl Inner {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn closed(&self) -> RecordError {
        RecordError::Closed { uri: self.output.uri().to_string(), detail: "the writer is closed".into() }
    }

    async fn pass_on(&self, last: bool) -> Result<()> {
        let (gathered, encoder) = {
            let mut state = self.lock();
            (std::mem::take(&mut state.buffer), state.encoder.take())
        };
        let data = match encoder {
            None => gathered,
            Some(mut encoder) => {
                let uri = self.output.uri().to_string();
                let (encoder, data) = jobs::decode(move || {
                    let data = encoder.push(&gathered, last);
                    (encoder, data)
                })
                .wait()
                .await?;
                self.lock().encoder = Some(encoder);
                data.map_err(|source| StoreError::io(uri, &source))?
            }
        };
        self.output.write(Bytes::from(data))?.into_future().await?;
        Ok(())
    }
}

impl Encoder {
    fn new(compression: Compression, level: u32) -> Option<Self> {
        let level = flate2::Compression::new(level);
        match compression {
            Compression::None => None,
            Compression::Gzip => Some(Self::Gzip(Box::new(GzEncoder::new(Vec::new(), level)))),
            Compression::Zlib => Some(Self::Zlib(Box::new(ZlibEncoder::new(Vec::new(), level)))),
        }
    }

    /// Compresses `data`; what has come out by now.
    fn push(&mut self, data: &[u8], last: bool) -> std::io::Result<Vec<u8>> {
        let out = match self {
            Self::Gzip(encoder) => {
                encoder.write_all(data)?;
                if last {
                    encoder.try_finish()?;
                }
                encoder.get_mut()
            }
            Self::Zlib(encoder) => {
                encoder.write_all(data)?;
                if last {
                    encoder.try_finish()?;
                }
                encoder.get_mut()
            }
        };
        Ok(std::mem::take(out))
    }
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Gzip(_) => "Encoder::Gzip",
            Self::Zlib(_) => "Encoder::Zlib",
        })
    }
}

//! The state of one writer: what it has taken, and whether it can take more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;

use super::handle::{Encode, WriterStats};
use super::upload::{KEEP, Upload};
use crate::Uri;
use crate::compression::Encoder;
use crate::error::{Result, StoreError};
use crate::observe::Span;
use crate::work::on_pool;

/// Bytes that are taken between two looks at whoever waits: 0.1 ms of copying, 1 ms of zstd.
const PIECE: usize = 256 << 10;

/// How long the removal of parts may take: whoever waits for it has lost the object already.
const CLEANUP: Duration = Duration::from_secs(5);

/// Figures that can be read while the writer works.
#[derive(Debug, Default)]
pub(super) struct Figures {
    pub taken: AtomicU64,
    pub encoded: AtomicU64,
    pub checksum: AtomicU32,
    pub closed: AtomicBool,
}

impl Figures {
    fn take(&self, data: &[u8]) {
        let checksum = self.checksum.load(Ordering::Relaxed);
        self.checksum.store(crc32c::crc32c_append(checksum, data), Ordering::Relaxed);
        self.taken.fetch_add(data.len() as u64, Ordering::Relaxed);
    }

    pub fn checksum(&self) -> String {
        format!("crc32c:{:08x}", self.checksum.load(Ordering::Relaxed))
    }
}

/// Where a writer stands.
#[derive(Debug)]
enum Phase {
    Open,
    /// A call is at work; found by another call it means that the first was broken off.
    Busy,
    Finished,
    Aborted,
    Failed(StoreError),
}

/// One writer's stream.
pub(super) struct Stream {
    uri: Uri,
    phase: Phase,
    encoder: Option<Encoder>,
    compresses: bool,
    upload: Upload,
    figures: Arc<Figures>,
    span: Option<Span>,
}

impl Stream {
    pub fn new(uri: Uri, encoder: Option<Encoder>, upload: Upload, figures: Arc<Figures>, span: Span) -> Self {
        let compresses = encoder.is_some();
        Self { uri, phase: Phase::Open, encoder, compresses, upload, figures, span: Some(span) }
    }

    /// Claims the stream for one call, which ends with [`Stream::settle`].
    fn claim(&mut self) -> Result<()> {
        let over = |detail: &str| Err(StoreError::Store { uri: self.uri.to_string(), detail: detail.into() });
        match &self.phase {
            Phase::Open => {
                self.phase = Phase::Busy;
                Ok(())
            }
            Phase::Busy => over(
                "an earlier call of this writer was broken off, and what it had taken by then is not known: abort it \
                 and write the object again",
            ),
            Phase::Finished => over("the writer is finished"),
            Phase::Aborted => over("the writer was aborted"),
            Phase::Failed(error) => Err(error.clone()),
        }
    }

    /// Ends a call: after a failure nothing can be written any more, and the parts are removed.
    async fn settle<T>(&mut self, result: Result<T>, then: Phase) -> Result<T> {
        match &result {
            Ok(_) => self.phase = then,
            Err(error) => {
                self.phase = Phase::Failed(error.clone());
                // The first error is the one worth reporting.
                let _ = self.remove_parts().await;
                self.close(&result);
            }
        }
        result
    }

    fn close<T>(&mut self, result: &Result<T>) {
        self.figures.closed.store(true, Ordering::Release);
        if let Some(span) = self.span.take() {
            span.end(self.figures.encoded.load(Ordering::Relaxed), result);
        }
    }

    /// Whether bytes of this length can go to the store from where they are.
    pub fn keeps(&self, length: usize) -> bool {
        !self.compresses && length >= KEEP && self.upload.keeps()
    }

    /// Takes bytes if that needs neither a wait nor an encoder.
    pub fn try_write(&mut self, data: &[u8]) -> bool {
        let taken = matches!(self.phase, Phase::Open) && !self.compresses && self.upload.try_append(data);
        if taken {
            self.figures.take(data);
            self.figures.encoded.fetch_add(data.len() as u64, Ordering::Relaxed);
        }
        taken
    }

    pub async fn write(&mut self, data: Bytes, encode: Encode) -> Result<u64> {
        self.claim()?;
        let length = data.len() as u64;
        let taken = self.take(data, encode).await;
        self.settle(taken, Phase::Open).await.map(|()| length)
    }

    pub async fn keep(&mut self, data: Bytes) -> Result<u64> {
        self.claim()?;
        let length = data.len() as u64;
        let taken = self.take_kept(data).await;
        self.settle(taken, Phase::Open).await.map(|()| length)
    }

    async fn take(&mut self, mut data: Bytes, encode: Encode) -> Result<()> {
        while !data.is_empty() {
            let piece = data.split_to(PIECE.min(data.len()));
            self.figures.take(&piece);
            if self.compresses {
                self.compress(piece, encode).await?;
            } else {
                self.upload.append(&piece).await?;
                self.figures.encoded.fetch_add(piece.len() as u64, Ordering::Relaxed);
            }
            if !data.is_empty() {
                // Whoever drives this on its own thread looks for signals now, and others get their turn.
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }

    async fn take_kept(&mut self, data: Bytes) -> Result<()> {
        for piece in data.chunks(PIECE) {
            self.figures.take(piece);
            tokio::task::yield_now().await;
        }
        let length = data.len() as u64;
        self.upload.keep(data).await?;
        self.figures.encoded.fetch_add(length, Ordering::Relaxed);
        Ok(())
    }

    async fn compress(&mut self, piece: Bytes, encode: Encode) -> Result<()> {
        let push = move |mut encoder: Encoder| encoder.push(&piece).map(|()| encoder);
        let mut encoder = self.encode(encode, push).await?;
        self.pass_on(encoder.output()).await?;
        self.encoder = Some(encoder);
        Ok(())
    }

    /// Lets the encoder work on this thread or on the reading pool.
    async fn encode<T: Send + 'static>(
        &mut self,
        encode: Encode,
        job: impl FnOnce(Encoder) -> std::io::Result<T> + Send + 'static,
    ) -> Result<T> {
        let uri = self.uri.to_string();
        let lost = || StoreError::Store { uri: uri.clone(), detail: "the encoder failed earlier".into() };
        let encoder = self.encoder.take().ok_or_else(lost)?;
        let job = move || job(encoder).map_err(|source| StoreError::io(uri, &source));
        match encode {
            Encode::Here => job(),
            Encode::Pool => on_pool(job).await,
        }
    }

    async fn pass_on(&mut self, encoded: &mut Vec<u8>) -> Result<()> {
        self.upload.append(encoded).await?;
        self.figures.encoded.fetch_add(encoded.len() as u64, Ordering::Relaxed);
        encoded.clear();
        Ok(())
    }

    pub async fn flush(&mut self) -> Result<()> {
        self.claim()?;
        let settled = self.upload.settle().await;
        self.settle(settled, Phase::Open).await
    }

    pub async fn finish(&mut self, encode: Encode) -> Result<WriterStats> {
        self.claim()?;
        let done = self.complete(encode).await;
        let done = self.settle(done, Phase::Finished).await;
        self.close(&done);
        done
    }

    async fn complete(&mut self, encode: Encode) -> Result<WriterStats> {
        if self.compresses {
            let mut last = self.encode(encode, Encoder::finish).await?;
            self.pass_on(&mut last).await?;
        }
        let compressed_bytes = self.figures.encoded.load(Ordering::Relaxed);
        let (result, parts) = self.upload.finish(compressed_bytes).await?;
        Ok(WriterStats {
            bytes_written: self.figures.taken.load(Ordering::Relaxed),
            compressed_bytes,
            checksum: self.figures.checksum(),
            parts,
            etag: result.e_tag,
        })
    }

    /// Gives the object up; what is finished stays, and saying so twice is no error.
    pub async fn abort(&mut self) -> Result<()> {
        match self.phase {
            Phase::Finished => {
                let detail = "the writer is finished: delete the object instead of aborting it".into();
                return Err(StoreError::Unsupported { uri: self.uri.to_string(), detail });
            }
            Phase::Aborted | Phase::Failed(_) => return Ok(()),
            Phase::Open | Phase::Busy => {}
        }
        self.phase = Phase::Aborted;
        self.encoder = None;
        let done = self.remove_parts().await;
        let given_up: Result<()> = Err(StoreError::Store { uri: self.uri.to_string(), detail: "aborted".into() });
        self.close(&given_up);
        done
    }

    async fn remove_parts(&mut self) -> Result<()> {
        tokio::time::timeout(CLEANUP, self.upload.abort()).await.unwrap_or_else(|_| {
            let detail = format!("no answer to the removal of its parts within {} s", CLEANUP.as_secs());
            Err(StoreError::Timeout { uri: self.uri.to_string(), detail })
        })
    }

    /// Whether dropping this stream would leave parts in the store.
    pub fn needs_abort(&self) -> bool {
        self.upload.has_parts()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let uri = self.uri.to_string();
        let dropped: Result<()> = Err(StoreError::Store { uri, detail: "dropped before it was finished".into() });
        self.close(&dropped);
    }
}

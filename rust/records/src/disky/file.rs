//! One file that is being written: where its next chunk begins, and what waits to be sent.

use s3dlio_formats::disky::Options;
use s3dlio_formats::riegeli::chunk::{self, EncodedChunk};
use s3dlio_formats::riegeli::{Dialect, Records, RiegeliError, simple};

use crate::error::{Place, RecordError, Result};
use crate::output::Output;

/// Encoded bytes that go to the store by one write.
const WRITE: usize = 1 << 20;

#[derive(Debug)]
pub(super) struct File {
    output: Output,
    /// Where the next chunk begins.
    position: u64,
    pending: Vec<u8>,
}

impl File {
    pub(super) fn new(output: Output) -> Self {
        let mut pending = Vec::new();
        let position = chunk::write_signature(&mut pending);
        Self { output, position, pending }
    }

    /// Encodes a chunk on this thread.
    pub(super) fn write(&mut self, records: &Records, options: &Options) -> Result<()> {
        let written =
            simple::write(self.position, records.view(), options.compression, Dialect::Disky, &mut self.pending);
        self.position = written.map_err(|error| self.wrong(error))?.1;
        Ok(())
    }

    /// Puts an encoded chunk behind the others.
    pub(super) fn place(&mut self, chunk: &EncodedChunk) -> Result<()> {
        let end = chunk.write(self.position, &mut self.pending);
        self.position = end.map_err(|error| self.wrong(error))?;
        Ok(())
    }

    pub(super) fn wrong(&self, error: RiegeliError) -> RecordError {
        RecordError::format(self.output.uri(), Place::default(), error)
    }

    /// Sends what is pending, if it is worth a write.
    pub(super) async fn send_full(&mut self) -> Result<()> {
        if self.pending.len() >= WRITE { self.send().await } else { Ok(()) }
    }

    async fn send(&mut self) -> Result<()> {
        // Mostly it only has to be copied, and the memory stays.
        if self.output.try_write(&self.pending)? {
            self.pending.clear();
            return Ok(());
        }
        let pending = std::mem::take(&mut self.pending);
        self.output.write(pending.into())?.into_future().await?;
        Ok(())
    }

    pub(super) async fn flush(&mut self) -> Result<()> {
        self.send().await?;
        self.output.flush()?.into_future().await?;
        Ok(())
    }

    pub(super) async fn finish(mut self) -> Result<()> {
        self.send().await?;
        self.output.finish()?.into_future().await?;
        Ok(())
    }
}

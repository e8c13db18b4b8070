//! An object that is written from its beginning to its end.

use bytes::Bytes;
use s3dlio_store::registry::Backend;
use s3dlio_store::writer::{Encode, Writer, WriterOptions, WriterStats};
use s3dlio_store::{Result, Uri, Work};

/// An object being written; clones are the same one.
///
/// Nothing is under its name before [`finish`](Self::finish) has succeeded, and an earlier object of that name stays
/// until then. Dropping the last clone without it, or [`abort`](Self::abort), gives the object up and removes what the
/// store has of it. Memory is bounded: a write waits while every buffer is on its way.
#[derive(Debug, Clone)]
pub struct Output(Writer);

impl Output {
    /// Prepares to write the object; asks the store nothing yet. Call it on the calling thread: it reads environment
    /// variables.
    ///
    /// # Errors
    /// As [`Writer::open`].
    pub fn create(uri: &Uri) -> Result<Self> {
        Ok(Self(Writer::open(uri, &WriterOptions::default())?))
    }

    /// As [`create`](Self::create), in a store that was opened for this URI or another one of its bucket; on any thread.
    ///
    /// # Errors
    /// As [`Writer::open_in`].
    pub fn create_in(backend: Backend, uri: &Uri) -> Result<Self> {
        Ok(Self(Writer::open_in(backend, uri, &WriterOptions::default())?))
    }

    /// The object.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        self.0.uri()
    }

    /// Bytes taken so far: where the next write begins.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.0.bytes_written()
    }

    /// Whether the object is finished, given up or failed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    /// Takes the next bytes at once if they only have to be copied; otherwise they are for [`write`](Self::write).
    ///
    /// # Errors
    /// [`StoreError::Forked`](s3dlio_store::StoreError::Forked) in a child of the process that made the output.
    pub fn try_write(&self, data: &[u8]) -> Result<bool> {
        Ok(self.0.try_write(data)?.is_some())
    }

    /// Takes the next bytes; works run in the order in which they began. They are not copied where there is much, so they
    /// must stay as they are until the object is finished or given up.
    ///
    /// # Errors
    /// What [`StoreError`](s3dlio_store::StoreError) lists, of these bytes or earlier ones; the output is then of no
    /// more use.
    pub fn write(&self, data: Bytes) -> Result<Work<()>> {
        Ok(self.0.write_kept(data, Encode::Here)?.map(|_| ()))
    }

    /// Waits until the store has all full parts; the rest, less than a part, stays here.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn flush(&self) -> Result<Work<()>> {
        self.0.flush()
    }

    /// Sends the rest and makes the object visible.
    ///
    /// # Errors
    /// As [`write`](Self::write); the object is then as it was before.
    pub fn finish(&self) -> Result<Work<WriterStats>> {
        self.0.finish(Encode::Here)
    }

    /// Gives the object up; nothing to do for one that failed or was given up.
    ///
    /// # Errors
    /// [`StoreError::Unsupported`](s3dlio_store::StoreError::Unsupported) for a finished object; those of the removal.
    pub fn abort(&self) -> Result<Work<()>> {
        self.0.abort()
    }
}

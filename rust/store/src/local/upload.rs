//! A file written in parts: one temporary file, each part at its own place in it, in any order of completion.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use async_trait::async_trait;
use object_store::{MultipartUpload, PutPayload, PutResult, Result, UploadPart};

use super::Mode;
use super::sink::Sink;
use super::store::{blocking, failed};
use super::temporary::{Create, Temporary, parent};
use crate::error::StoreError;

/// What the parts have in common.
#[derive(Debug)]
struct Parts {
    sink: Sink,
    written: AtomicUsize,
    bytes: AtomicU64,
}

impl Parts {
    fn write(&self, offset: u64, data: PutPayload) -> crate::Result<()> {
        let mut at = offset;
        for piece in data {
            self.sink.write(at, &piece)?;
            at += piece.len() as u64;
        }
        self.bytes.fetch_add(at - offset, Ordering::AcqRel);
        self.written.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }
}

/// An upload in progress; dropping it removes what was written.
#[derive(Debug)]
pub(super) struct Upload {
    path: String,
    mode: Mode,
    /// `None` once it is completed or aborted.
    open: Option<(Arc<Parts>, Temporary)>,
    parts: usize,
    length: u64,
}

impl Upload {
    pub(super) fn begin(path: String, mode: Mode) -> crate::Result<Self> {
        let (temporary, file) = Temporary::beside(&path, mode)?;
        let sink = Sink::new(file, &path, mode)?;
        let parts = Arc::new(Parts { sink, written: AtomicUsize::new(0), bytes: AtomicU64::new(0) });
        Ok(Self { path, mode, open: Some((parts, temporary)), parts: 0, length: 0 })
    }

    fn ended(&self) -> StoreError {
        StoreError::Store { uri: self.mode.uri(&self.path), detail: "the upload was completed or aborted".into() }
    }
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let Some((parts, _)) = &self.open else {
            let error = failed(self.ended());
            return Box::pin(async move { Err(error) });
        };
        let (parts, offset) = (Arc::clone(parts), self.length);
        self.parts += 1;
        self.length += data.content_length() as u64;
        Box::pin(blocking(move || parts.write(offset, data).map_err(failed)))
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let (parts, temporary) = self.open.take().ok_or_else(|| failed(self.ended()))?;
        let (path, mode, count, length) = (self.path.clone(), self.mode, self.parts, self.length);
        blocking(move || {
            let (written, bytes) = (parts.written.load(Ordering::Acquire), parts.bytes.load(Ordering::Acquire));
            if written != count || bytes != length {
                let detail = format!("{written} of {count} parts with {bytes} of {length} bytes were written");
                return Err(failed(StoreError::Store { uri: mode.uri(&path), detail }));
            }
            let file = parts.sink.finish(length).map_err(failed)?;
            let tag = temporary.commit(file, &path, mode, &Create::Overwrite).map_err(failed)?;
            // A large object is worth the sync that makes its name survive a crash; not every file system can.
            let _ = File::open(parent(&path)).and_then(|directory| directory.sync_all());
            Ok(PutResult { e_tag: Some(tag), version: None, extensions: Default::default() })
        })
        .await
    }

    async fn abort(&mut self) -> Result<()> {
        let open = self.open.take().ok_or_else(|| failed(self.ended()))?;
        blocking(move || {
            drop(open);
            Ok(())
        })
        .await
    }
}

//! Uploads in parts: aborted when they end early, and looked at when they are complete.

use std::sync::atomic::{AtomicUsize, Ordering};

use object_store::path::Path;
use object_store::{GetOptions, MultipartUpload, ObjectStore, PutPayload, PutResult, UploadPart};
use s3dlio_runtime::executor;
use s3dlio_runtime::fork::ForkLocal;
use s3dlio_runtime::stats::{self, Counter};

use crate::Uri;
use crate::error::{Result, StoreError};

static ENDING: ForkLocal<AtomicUsize> = ForkLocal::new();

fn count() -> &'static AtomicUsize {
    ENDING.get_or_init(AtomicUsize::default)
}

/// Unfinished uploads that stores are being told to forget at this moment. A program that was interrupted may want to
/// wait for a short time until there are none: their parts are invisible, but stored and paid for.
#[must_use]
pub fn ending() -> usize {
    count().load(Ordering::Relaxed)
}

/// An upload that is aborted when it is dropped before its completion, be it by an error or because whoever waited for
/// it gave up.
#[derive(Debug)]
pub(crate) struct Upload(Option<Box<dyn MultipartUpload>>);

impl Upload {
    pub fn new(upload: Box<dyn MultipartUpload>) -> Self {
        Self(Some(upload))
    }

    pub fn put_part(&mut self, part: PutPayload) -> Option<UploadPart> {
        self.0.as_mut().map(|upload| upload.put_part(part))
    }

    /// Puts the parts together; whatever fails, the parts are given up.
    pub async fn complete(mut self) -> object_store::Result<PutResult> {
        let written = match &mut self.0 {
            Some(upload) => upload.complete().await,
            None => Ok(PutResult { e_tag: None, version: None, extensions: Default::default() }),
        };
        match written {
            Ok(written) => {
                self.0 = None;
                Ok(written)
            }
            Err(error) => {
                self.abort().await;
                Err(error)
            }
        }
    }

    /// Gives the parts up. An error of that is not worth reporting: another one has ended the upload.
    pub async fn abort(mut self) {
        if let Some(mut upload) = self.0.take() {
            let _ = upload.abort().await;
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let Some(mut upload) = self.0.take() else { return };
        let Ok(handle) = executor::handle() else { return };
        count().fetch_add(1, Ordering::Relaxed);
        handle.spawn(async move {
            // The error that ended the upload is the one that is reported.
            let _ = upload.abort().await;
            count().fetch_sub(1, Ordering::Relaxed);
        });
    }
}

/// Asks a network store how long the object is that it has put together.
///
/// A server that loses a part on completion answers as if all were well, and the object is short. Where the object
/// cannot be looked at, or is another one by now, nothing is known and nothing is wrong.
///
/// # Errors
/// [`StoreError::Length`] when bytes are missing.
pub(crate) async fn confirm(
    store: &dyn ObjectStore,
    uri: &Uri,
    path: &Path,
    written: &PutResult,
    expected: u64,
) -> Result<()> {
    if uri.scheme.is_local() {
        return Ok(());
    }
    stats::add(Counter::HeadRequests, 1);
    let look = store.get_opts(path, GetOptions { head: true, ..Default::default() }).await;
    let Ok(found) = look.map(|answer| answer.meta) else { return Ok(()) };
    if found.size == expected || written.e_tag.is_some() && found.e_tag != written.e_tag {
        return Ok(());
    }
    Err(StoreError::Length { uri: uri.to_string(), found: found.size, expected })
}

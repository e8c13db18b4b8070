//! Uploads that end early.

use std::sync::atomic::{AtomicUsize, Ordering};

use object_store::{MultipartUpload, PutPayload, UploadPart};
use s3dlio_runtime::executor;
use s3dlio_runtime::fork::ForkLocal;

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
pub(super) struct Upload(Option<Box<dyn MultipartUpload>>);

impl Upload {
    pub fn new(upload: Box<dyn MultipartUpload>) -> Self {
        Self(Some(upload))
    }

    pub fn put_part(&mut self, part: PutPayload) -> Option<UploadPart> {
        self.0.as_mut().map(|upload| upload.put_part(part))
    }

    pub async fn complete(mut self) -> object_store::Result<()> {
        if let Some(upload) = &mut self.0 {
            upload.complete().await?;
        }
        self.0 = None;
        Ok(())
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

//! Work on other threads, and work whose result can be an error of this crate.

use s3dlio_runtime::pool;
use s3dlio_store::{StoreError, Work};

use crate::error::Result;

/// Computes on the decoding pool, so that no thread of the runtime does.
pub(crate) async fn compute<T: Send + 'static>(job: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let (done, result) = tokio::sync::oneshot::channel();
    pool::decode().run(move || {
        // The receiver is gone when the waiting operation was cancelled: nobody wants the result.
        let _ = done.send(job());
    });
    let lost = |_| StoreError::Store { uri: String::new(), detail: "a computing thread panicked".into() };
    Ok(result.await.map_err(lost)?)
}

/// Works on local files on the reading pool.
pub(crate) async fn local<T: Send + 'static>(job: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    Work::pool(move || Ok(job())).into_future().await?
}

/// Work that waits and can end in an error of this crate.
pub(crate) fn work<T: Send + 'static>(future: impl Future<Output = Result<T>> + Send + 'static) -> Work<Result<T>> {
    Work::network(async move { Ok(future.await) })
}

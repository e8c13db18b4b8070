//! Work on other threads whose waiter can give up.

use s3dlio_runtime::{executor, pool};
use s3dlio_store::{StoreError, Work};
use tokio::task::JoinHandle;

use crate::error::Result;

/// A task of the network runtime that ends with its handle.
#[derive(Debug)]
pub(crate) struct Task<T>(JoinHandle<s3dlio_store::Result<T>>);

impl<T: Send + 'static> Task<T> {
    pub fn spawn(work: impl Future<Output = s3dlio_store::Result<T>> + Send + 'static) -> s3dlio_store::Result<Self> {
        Ok(Self(executor::spawn(work)?))
    }

    pub async fn result(mut self) -> s3dlio_store::Result<T> {
        (&mut self.0).await.unwrap_or_else(|source| {
            Err(StoreError::Store { uri: String::new(), detail: format!("a request task ended abnormally: {source}") })
        })
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Computes on the decoding pool, so that no thread of the runtime does.
pub(crate) async fn decode<T: Send + 'static>(job: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let (done, result) = tokio::sync::oneshot::channel();
    pool::decode().run(move || {
        // The receiver is gone when the waiting operation was cancelled: nobody wants the result.
        let _ = done.send(job());
    });
    result.await.map_err(|_| lost("a decoding thread panicked"))
}

/// Reads local files on the reading pool.
pub(crate) async fn read<T: Send + 'static>(job: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    Ok(Work::pool(move || Ok(job())).into_future().await?)
}

fn lost(detail: &str) -> crate::RecordError {
    StoreError::Store { uri: String::new(), detail: detail.into() }.into()
}

/// Work that waits and can end in an error of this crate.
pub(crate) fn work<T: Send + 'static>(future: impl Future<Output = Result<T>> + Send + 'static) -> Work<Result<T>> {
    Work::network(async move { Ok(future.await) })
}

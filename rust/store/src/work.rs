//! Where an operation runs: on the calling thread, with or without its connections, or on the network runtime.

use std::future::Future;

use s3dlio_runtime::executor::{self, BoxFuture};
use s3dlio_runtime::lane::Lane;
use tokio::task::{JoinError, JoinHandle};

use crate::error::{Result, StoreError};

/// One operation, ready to run.
///
/// The caller decides how to wait: a blocking binding runs [`Work::Here`] on its own thread with the interpreter
/// released and drives the others in slices between signal checks, a [`Work::Request`] on a [`Lane`]; an async one spawns
/// any of them.
pub enum Work<T> {
    /// Short local work: cheaper on the calling thread than the hop to another one.
    Here(Job<T>),
    /// A request or few, one after another: cheaper on the calling thread too, with their connections.
    Request(BoxFuture<Result<T>>),
    /// Work that waits: for the network, or for the reading pool.
    Network(BoxFuture<Result<T>>),
}

/// Work for the calling thread.
pub type Job<T> = Box<dyn FnOnce() -> Result<Step<T>> + Send + 'static>;

/// How far work on the calling thread came.
pub enum Step<T> {
    /// To its end.
    Done(T),
    /// It found that it would take long: the rest waits elsewhere, and its caller can give up.
    Later(BoxFuture<Result<T>>),
}

impl<T: Send + 'static> Work<T> {
    /// Local work.
    pub fn here(job: impl FnOnce() -> Result<T> + Send + 'static) -> Self {
        Self::Here(Box::new(move || job().map(Step::Done)))
    }

    /// Local work that may find itself too long for the calling thread.
    pub fn stepped(job: impl FnOnce() -> Result<Step<T>> + Send + 'static) -> Self {
        Self::Here(Box::new(job))
    }

    /// Local work that can take long: it runs on the reading pool, and whoever waits for it can give up.
    pub fn pool(job: impl FnOnce() -> Result<T> + Send + 'static) -> Self {
        Self::network(on_pool(job))
    }

    /// Work that waits for single requests.
    pub fn request(future: impl Future<Output = Result<T>> + Send + 'static) -> Self {
        Self::Request(Box::pin(future))
    }

    /// Work that waits.
    pub fn network(future: impl Future<Output = Result<T>> + Send + 'static) -> Self {
        Self::Network(Box::pin(future))
    }

    /// The same work with its result passed through `convert`, on whatever thread the work ends.
    pub fn map<U: Send + 'static>(self, convert: impl FnOnce(T) -> U + Send + 'static) -> Work<U> {
        self.and_then(move |value| Ok(convert(value)))
    }

    /// As [`map`](Self::map), where the conversion can fail.
    pub fn and_then<U: Send + 'static>(self, convert: impl FnOnce(T) -> Result<U> + Send + 'static) -> Work<U> {
        match self {
            Self::Here(job) => Work::stepped(move || {
                Ok(match job()? {
                    Step::Done(value) => Step::Done(convert(value)?),
                    Step::Later(rest) => Step::Later(Box::pin(async move { convert(rest.await?) })),
                })
            }),
            Self::Request(future) => Work::request(async move { convert(future.await?) }),
            Self::Network(future) => Work::network(async move { convert(future.await?) }),
        }
    }

    /// Runs the work to its end on this thread, without looking for signals.
    ///
    /// # Errors
    /// Those of the operation.
    pub fn wait(self) -> Result<T> {
        match self {
            Self::Here(job) => match job()? {
                Step::Done(value) => Ok(value),
                Step::Later(rest) => executor::handle()?.block_on(rest),
            },
            Self::Request(future) => Lane::take()?.finish(future)?,
            Self::Network(future) => executor::handle()?.block_on(future),
        }
    }

    /// Turns the work into a future; local work runs on the reading pool.
    pub fn into_future(self) -> BoxFuture<Result<T>> {
        match self {
            Self::Request(future) | Self::Network(future) => future,
            Self::Here(job) => Box::pin(async move {
                match on_pool(job).await? {
                    Step::Done(value) => Ok(value),
                    Step::Later(rest) => rest.await,
                }
            }),
        }
    }
}

impl<T> std::fmt::Debug for Work<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Here(_) => "Work::Here",
            Self::Request(_) => "Work::Request",
            Self::Network(_) => "Work::Network",
        })
    }
}

/// Runs a job on the reading pool and waits for it without blocking a runtime thread.
pub(crate) async fn on_pool<T: Send + 'static>(job: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let (done, result) = tokio::sync::oneshot::channel();
    s3dlio_runtime::pool::io().run(move || {
        // The receiver is gone when the waiting operation was cancelled: nobody wants the result.
        let _ = done.send(job());
    });
    result
        .await
        .unwrap_or_else(|_| Err(StoreError::Store { uri: String::new(), detail: "a reading thread panicked".into() }))
}

/// A task that ends with its handle.
#[derive(Debug)]
pub(crate) struct Task<T>(JoinHandle<Result<T>>);

impl<T: Send + 'static> Task<T> {
    pub(crate) fn spawn(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<Self> {
        Ok(Self(executor::spawn(work)?))
    }

    pub(crate) async fn result(mut self) -> Result<T> {
        joined((&mut self.0).await)
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What a task ended with.
pub(crate) fn joined<T>(ended: std::result::Result<Result<T>, JoinError>) -> Result<T> {
    ended.unwrap_or_else(|source| {
        Err(StoreError::Store { uri: String::new(), detail: format!("a task ended abnormally: {source}") })
    })
}

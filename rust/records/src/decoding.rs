//! Work on the threads of the decoding pool, waited for by tasks.

use std::future::Future;

use s3dlio_runtime::{executor, pool};
use s3dlio_store::{Result, StoreError};
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;

/// A value that another thread makes.
#[derive(Debug)]
pub(crate) struct Decoding<T>(State<T>);

#[derive(Debug)]
enum State<T> {
    Done(Result<T>),
    Running(oneshot::Receiver<T>),
    Task(AbortOnDropHandle<Result<T>>),
}

impl<T> Decoding<T> {
    /// A value that is there.
    pub(crate) fn done(value: T) -> Self {
        Self(State::Done(Ok(value)))
    }

    /// Waits for the value.
    pub(crate) async fn wait(self) -> Result<T> {
        match self.0 {
            State::Done(value) => value,
            State::Running(result) => result.await.map_err(|_| lost()),
            State::Task(task) => task.await.map_err(|_| lost())?,
        }
    }
}

fn lost() -> StoreError {
    StoreError::Store { uri: String::new(), detail: "a decoding thread panicked".into() }
}

/// Runs a future on the network runtime, at once; nobody waiting for it any more, it is given up.
pub(crate) fn fetch<T: Send + 'static>(future: impl Future<Output = Result<T>> + Send + 'static) -> Decoding<T> {
    Decoding(match executor::spawn(future) {
        Ok(task) => State::Task(AbortOnDropHandle::new(task)),
        Err(error) => State::Done(Err(error.into())),
    })
}

/// Runs a job on the decoding pool. Nobody waiting for it any more, it is not begun.
pub(crate) fn spawn<T: Send + 'static>(job: impl FnOnce() -> T + Send + 'static) -> Decoding<T> {
    let (done, result) = oneshot::channel();
    pool::decode().run(move || {
        if !done.is_closed() {
            let _ = done.send(job());
        }
    });
    Decoding(State::Running(result))
}

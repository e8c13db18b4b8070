//! Work on other threads: jobs of the decoding pool, tasks of the network runtime, and waiting for either.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

use s3dlio_runtime::{executor, pool};
use s3dlio_store::{Result, StoreError, Work};
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;

use crate::error;

/// A value that another thread makes.
#[derive(Debug)]
pub(crate) struct Job<T>(State<T>);

#[derive(Debug)]
enum State<T> {
    Done(Result<T>),
    Running(oneshot::Receiver<T>),
    Task(AbortOnDropHandle<Result<T>>),
}

impl<T> Job<T> {
    /// A value that is there.
    pub(crate) fn done(value: T) -> Self {
        Self(State::Done(Ok(value)))
    }

    /// Waits for the value, without blocking a thread of the runtime.
    pub(crate) async fn wait(self) -> Result<T> {
        match self.0 {
            State::Done(value) => value,
            State::Running(result) => result.await.map_err(|_| panicked()),
            State::Task(task) => task.await.map_err(|_| panicked())?,
        }
    }
}

/// Runs a future on the network runtime, at once; nobody waiting for it any more, it is given up.
pub(crate) fn fetch<T: Send + 'static>(future: impl Future<Output = Result<T>> + Send + 'static) -> Job<T> {
    Job(match executor::spawn(future) {
        Ok(task) => State::Task(AbortOnDropHandle::new(task)),
        Err(error) => State::Done(Err(error.into())),
    })
}

/// Runs a job on the decoding pool. Nobody waiting for it any more, it is not begun.
pub(crate) fn decode<T: Send + 'static>(job: impl FnOnce() -> T + Send + 'static) -> Job<T> {
    let (done, result) = oneshot::channel();
    pool::decode().run(move || {
        if !done.is_closed() {
            // The receiver is gone where the waiting operation was given up: nobody wants the result.
            let _ = done.send(job());
        }
    });
    Job(State::Running(result))
}

/// Set when nobody waits for the result any more; long work looks at it between two steps.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

struct StopOnDrop(Stop);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

/// As [`decode`], of a job that can be told to stop: dropping the future sets its [`Stop`].
pub(crate) fn stoppable<T: Send + 'static>(
    job: impl FnOnce(&Stop) -> T + Send + 'static,
) -> impl Future<Output = Result<T>> + Send + 'static {
    let stop = Stop::default();
    let waiting = StopOnDrop(stop.clone());
    let job = decode(move || job(&stop));
    async move {
        let _waiting = waiting;
        job.wait().await
    }
}

struct Shared<I, W> {
    items: Vec<I>,
    work: W,
    next: AtomicUsize,
}

impl<I, W> Shared<I, W> {
    /// Works on an item that nobody has begun; `None` when there is none. After a failure there is none.
    fn step<T, E>(&self) -> Option<(usize, std::result::Result<T, E>)>
    where
        W: Fn(&I) -> std::result::Result<T, E>,
    {
        let at = self.next.fetch_add(1, Ordering::Relaxed);
        let result = (self.work)(self.items.get(at)?);
        if result.is_err() {
            self.next.fetch_max(self.items.len(), Ordering::Relaxed);
        }
        Some((at, result))
    }
}

/// Runs `work` for every item, on this thread and on those of the decoding pool that have time; the results stand in the
/// order of the items. The first failure ends it.
///
/// This thread only waits for items that others are working on, so it may be one of the pool itself.
///
/// # Errors
/// Those of `work`.
pub(crate) fn each<I, T, E>(
    items: Vec<I>,
    work: impl Fn(&I) -> std::result::Result<T, E> + Send + Sync + 'static,
) -> std::result::Result<Vec<T>, E>
where
    I: Send + Sync + 'static,
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
{
    let count = items.len();
    let helpers = pool::decode().threads().saturating_sub(1).min(count.saturating_sub(1));
    if helpers == 0 {
        return items.iter().map(work).collect();
    }
    let shared = Arc::new(Shared { items, work, next: AtomicUsize::new(0) });
    let (done, others) = mpsc::channel();
    for _ in 0..helpers {
        let (shared, done) = (Arc::clone(&shared), done.clone());
        pool::decode().run(move || {
            while let Some(result) = shared.step() {
                if done.send(result).is_err() {
                    break;
                }
            }
        });
    }
    drop(done);
    let mut results: Vec<Option<T>> = (0..count).map(|_| None).collect();
    let mut missing = count;
    let mut keep = |(at, result): (usize, std::result::Result<T, E>)| -> std::result::Result<usize, E> {
        results[at] = Some(result?);
        missing -= 1;
        Ok(missing)
    };
    let mut left = count;
    while let Some(result) = shared.step() {
        left = keep(result)?;
    }
    while left > 0 {
        left = keep(others.recv().map_err(|_| E::from(panicked()))?)?;
    }
    Ok(results.into_iter().flatten().collect())
}

/// Reads local files on the reading pool.
pub(crate) async fn read<T: Send + 'static>(job: impl FnOnce() -> T + Send + 'static) -> error::Result<T> {
    Ok(Work::pool(move || Ok(job())).into_future().await?)
}

/// Work that waits and can end in an error of this crate.
pub(crate) fn work<T: Send + 'static>(
    future: impl Future<Output = error::Result<T>> + Send + 'static,
) -> Work<error::Result<T>> {
    Work::network(async move { Ok(future.await) })
}

fn panicked() -> StoreError {
    StoreError::Store { uri: String::new(), detail: "a decoding thread panicked".into() }
}

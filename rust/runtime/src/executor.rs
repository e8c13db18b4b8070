//! The one tokio runtime of a process: it waits on the network and does nothing else.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

use crate::fork::ForkLocal;
use crate::settings;

static RUNTIME: ForkLocal<Option<Runtime>> = ForkLocal::new();

/// A future that can move between threads.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send + 'static>>;

/// The system refused to start the runtime's threads.
#[derive(Debug, Clone, thiserror::Error)]
#[error("cannot start the network threads of this process: {0}")]
pub struct StartError(pub String);

/// A handle to this process's runtime; starts it on first use, and again in a forked child.
///
/// # Errors
/// [`StartError`] when the system grants no threads or no event queue.
pub fn handle() -> Result<&'static Handle, StartError> {
    let runtime = RUNTIME.get_or_init(|| {
        Builder::new_multi_thread()
            .worker_threads(settings::runtime_threads())
            // Blocking work has its own pools; these few threads only serve name resolution.
            .max_blocking_threads(8)
            .thread_name("s3dlio-net")
            .enable_all()
            .build()
            .map_err(|source| tracing::error!(%source, "no runtime"))
            .ok()
    });
    runtime
        .as_ref()
        .map(Runtime::handle)
        .ok_or_else(|| StartError("thread or epoll limit reached (see ulimit -u and ulimit -n)".into()))
}

/// Has this process's runtime start with `threads` threads (0: as many as the environment says) and returns their number.
///
/// # Errors
/// The number of threads of a runtime that is running already with another number.
pub fn configure(threads: usize) -> Result<usize, usize> {
    if let Some(Some(runtime)) = RUNTIME.get() {
        let running = runtime.metrics().num_workers();
        return if threads == 0 || threads == running { Ok(running) } else { Err(running) };
    }
    settings::set_runtime_threads(threads);
    Ok(settings::runtime_threads())
}

/// Starts `future` on the runtime.
///
/// # Errors
/// [`StartError`] as [`handle`].
pub fn spawn<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> Result<JoinHandle<T>, StartError> {
    Ok(handle()?.spawn(future))
}

/// Drives `future` on the calling thread until it is ready or `slice` has passed; `None` means not yet.
///
/// The caller looks for signals between slices. Polling on the calling thread saves the two thread switches that
/// spawning costs on a small request.
///
/// # Errors
/// [`StartError`] as [`handle`].
pub fn drive<T>(
    future: &mut Pin<Box<dyn Future<Output = T> + Send + '_>>,
    slice: Duration,
) -> Result<Option<T>, StartError> {
    let handle = handle()?;
    Ok(handle.block_on(async { tokio::time::timeout(slice, future.as_mut()).await.ok() }))
}

//! Lanes: runtimes without threads, on which one thread at a time drives one short operation and its connections.
//!
//! On the shared runtime a request costs its caller some hand-overs: a network thread is woken to send it, the caller to
//! see the first bytes, and both again as the body comes in. On a lane the thread that waits for the answer also does all
//! that leads to it.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use crate::executor::{self, StartError};
use crate::fork::{self, ForkLocal};

/// Lanes of a process; each has connections of its own, and threads beyond so many use the shared runtime. It bounds
/// the connections and event queues that a process with many threads keeps.
pub const MOST: usize = 64;

static LANES: ForkLocal<Mutex<Lanes>> = ForkLocal::new();

thread_local! {
    static CURRENT: Cell<Option<usize>> = const { Cell::new(None) };
}

#[derive(Default)]
struct Lanes {
    made: usize,
    /// The lane used last is used next: its connections are the least likely to be closed by now.
    idle: Vec<(usize, Runtime)>,
}

/// The number of the lane that the calling thread drives, below [`MOST`]; `None` on other threads.
///
/// What belongs to a runtime, such as a connection, has to be kept apart by it.
#[must_use]
pub fn current() -> Option<usize> {
    CURRENT.get()
}

/// The right to drive operations on a lane, or on the shared runtime where all lanes are taken.
#[derive(Debug)]
pub struct Lane {
    generation: u64,
    taken: Option<(usize, Runtime)>,
}

impl Lane {
    /// A lane that nobody uses.
    ///
    /// # Errors
    /// [`StartError`] when the system grants no event queue.
    pub fn take() -> Result<Self, StartError> {
        let generation = fork::generation();
        let mut lanes = lanes().lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(idle) = lanes.idle.pop() {
            return Ok(Self { generation, taken: Some(idle) });
        }
        if lanes.made == MOST {
            return Ok(Self { generation, taken: None });
        }
        let built = Builder::new_current_thread()
            // Only name resolution blocks. A caller may give up on one that hangs, and the next must not wait behind it.
            .max_blocking_threads(4)
            .thread_name("s3dlio-net")
            .enable_all()
            .build()
            .map_err(|source| StartError(source.to_string()))?;
        let number = lanes.made;
        lanes.made += 1;
        Ok(Self { generation, taken: Some((number, built)) })
    }

    /// Drives `future` on the calling thread until it is ready or `slice` has passed; `None` means not yet. A future that
    /// was driven on one lane is driven to its end, or dropped, there.
    ///
    /// # Errors
    /// [`StartError`] as [`executor::handle`]; in a process that inherited the lane, whose connections are not its own.
    pub fn drive<T>(
        &mut self,
        future: &mut Pin<Box<dyn Future<Output = T> + Send + '_>>,
        slice: Duration,
    ) -> Result<Option<T>, StartError> {
        let Some((number, runtime)) = &self.taken else {
            return executor::drive(future, slice);
        };
        if self.generation != fork::generation() {
            return Err(StartError("this wait began in the parent process, which alone can end it".into()));
        }
        let _here = Here::on(*number);
        Ok(runtime.block_on(async { tokio::time::timeout(slice, future.as_mut()).await.ok() }))
    }

    /// Drives `future` to its end.
    ///
    /// # Errors
    /// As [`drive`](Self::drive).
    pub fn finish<T>(&mut self, future: Pin<Box<dyn Future<Output = T> + Send + '_>>) -> Result<T, StartError> {
        match &self.taken {
            None => Ok(executor::handle()?.block_on(future)),
            Some((number, runtime)) => {
                let _here = Here::on(*number);
                Ok(runtime.block_on(future))
            }
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        let Some(lane) = self.taken.take() else { return };
        if self.generation == fork::generation() {
            lanes().lock().unwrap_or_else(PoisonError::into_inner).idle.push(lane);
        } else {
            // Its event queue is also the parent's, and letting go of the connections would take them out of it.
            std::mem::forget(lane);
        }
    }
}

fn lanes() -> &'static Mutex<Lanes> {
    LANES.get_or_init(Mutex::default)
}

/// Marks the thread as driving a lane.
struct Here(Option<usize>);

impl Here {
    fn on(number: usize) -> Self {
        Self(CURRENT.replace(Some(number)))
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}

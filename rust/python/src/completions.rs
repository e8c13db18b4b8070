//! The way of asynchronous results back to an event loop.
//!
//! No thread of the runtime attaches to the interpreter: at interpreter exit such a thread would abort the process.
//! A finished task puts its result into a queue and writes to an event descriptor that the event loop watches; the
//! loop's own thread drains the queue and resolves its futures.

use std::collections::HashMap;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_channel::{Receiver, Sender, unbounded};
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use rustix::event::{EventfdFlags, eventfd};
use s3dlio_runtime::{executor, fork};
use s3dlio_store::StoreError;
use tokio::task::AbortHandle;

use crate::buffer;
use crate::errors::Failure;
use crate::logging;
use crate::operation::{Operation, Outcome};

type Finished = (u64, Outcome);

#[derive(Default)]
struct Started {
    next: u64,
    running: HashMap<u64, AbortHandle>,
}

/// Delivers what a task ends with when the task is dropped, so that even a panic leaves nobody waiting for ever.
struct Report {
    number: u64,
    outcome: Option<Outcome>,
    send: Sender<Finished>,
    ready: Arc<OwnedFd>,
}

impl Report {
    fn finish(mut self, outcome: Outcome) {
        self.outcome = Some(outcome);
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        let outcome = self.outcome.take().unwrap_or_else(|| {
            let detail = "the operation ended abnormally".into();
            Err(StoreError::Store { uri: String::new(), detail }.into())
        });
        // Both fail only when the loop is gone, and then nobody waits.
        let _ = self.send.send((self.number, outcome));
        let _ = rustix::io::write(&*self.ready, &1_u64.to_ne_bytes());
    }
}

/// Results for one event loop.
#[pyclass(frozen, module = "s3dlio._s3dlio")]
pub struct Completions {
    ready: Arc<OwnedFd>,
    send: Sender<Finished>,
    finished: Receiver<Finished>,
    started: Mutex<Started>,
    generation: u64,
}

#[pymethods]
impl Completions {
    #[new]
    fn new() -> PyResult<Self> {
        let ready = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|error| PyOSError::new_err(format!("cannot make an event descriptor: {error}")))?;
        // Unbounded: each entry belongs to one awaited operation, and their number is the caller's.
        let (send, finished) = unbounded();
        let generation = fork::generation();
        Ok(Self { ready: Arc::new(ready), send, finished, started: Mutex::default(), generation })
    }

    /// The descriptor that becomes readable when results are there.
    fn fileno(&self) -> i32 {
        self.ready.as_raw_fd()
    }

    /// Starts an operation and returns its number.
    fn start(&self, operation: &Bound<'_, Operation>) -> PyResult<u64> {
        if self.generation != fork::generation() {
            let detail = "this event loop was made in the parent process: run a new one in the forked child".into();
            return Err(Failure::from(StoreError::Forked { uri: "asyncio".into(), detail }).into());
        }
        let future = Operation::into_future(operation)?;
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        let number = started.next;
        started.next += 1;
        let report = Report { number, outcome: None, send: self.send.clone(), ready: Arc::clone(&self.ready) };
        let task = executor::spawn(async move {
            let outcome = future.await;
            report.finish(outcome);
        });
        let task = task.map_err(|error| Failure::from(StoreError::from(error)))?;
        started.running.insert(number, task.abort_handle());
        Ok(number)
    }

    /// Breaks off an operation; its result, if it still comes, is dropped.
    fn cancel(&self, number: u64) {
        let running = self.started.lock().unwrap_or_else(PoisonError::into_inner).running.remove(&number);
        if let Some(task) = running {
            task.abort();
        }
    }

    /// Takes all results that are there: (number, value, exception) each, one of the two `None`.
    fn drain(&self, py: Python<'_>) -> Vec<(u64, Option<Py<PyAny>>, Option<PyErr>)> {
        // Not `?`: the results behind it have callers that wait for them.
        if let Err(error) = logging::deliver(py) {
            error.write_unraisable(py, None);
        }
        let mut count = [0; 8];
        // An empty descriptor only says that another call has drained the queue already.
        let _ = rustix::io::read(&*self.ready, &mut count);
        let finished: Vec<Finished> = self.finished.try_iter().collect();
        buffer::release_returned(py);
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        finished.iter().for_each(|(number, _)| {
            started.running.remove(number);
        });
        drop(started);
        let convert = |(number, outcome): Finished| match outcome.map_err(PyErr::from).and_then(|make| make(py)) {
            Ok(value) => (number, Some(value), None),
            Err(error) => (number, None, Some(error)),
        };
        finished.into_iter().map(convert).collect()
    }
}

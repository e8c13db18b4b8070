//! Operating-system thread pools: one for reading local files, one for decoding.
//!
//! The queue of a pool has no length limit because a job's memory is already accounted for by a budget permit that
//! the job carries; a length limit would only add a second place to block in.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_channel::{Sender, unbounded};

use crate::fork::ForkLocal;
use crate::settings;

type Job = Box<dyn FnOnce() + Send + 'static>;

/// A fixed set of threads that take jobs from one queue.
#[derive(Debug)]
pub struct Pool {
    jobs: Sender<Job>,
    threads: usize,
}

impl Pool {
    fn start(name: &str, wanted: usize) -> Self {
        let (jobs, queue) = unbounded::<Job>();
        let started = AtomicUsize::new(0);
        for number in 0..wanted {
            let queue = queue.clone();
            let spawned = std::thread::Builder::new().name(format!("{name}-{number}")).spawn(move || {
                for job in queue {
                    // A panic must cost one job and not a thread: whoever waits for the job sees its channel close.
                    if catch_unwind(AssertUnwindSafe(job)).is_err() {
                        tracing::error!("a job panicked");
                    }
                }
            });
            match spawned {
                Ok(_) => {
                    started.fetch_add(1, Ordering::Relaxed);
                }
                Err(source) => tracing::warn!(%source, name, "fewer threads than wanted"),
            }
        }
        Self { jobs, threads: started.into_inner() }
    }

    /// Queues a job. Without a single thread (the system refused them all) the job runs on the calling thread.
    pub fn run(&self, job: impl FnOnce() + Send + 'static) {
        if self.threads == 0 {
            job();
        } else if let Err(back) = self.jobs.send(Box::new(job)) {
            (back.into_inner())();
        }
    }

    /// Threads that are running.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.threads
    }
}

static IO: ForkLocal<Pool> = ForkLocal::new();
static DECODE: ForkLocal<Pool> = ForkLocal::new();

/// The pool that reads local files ([`settings::io_threads`]).
pub fn io() -> &'static Pool {
    IO.get_or_init(|| Pool::start("s3dlio-io", settings::io_threads()))
}

/// The pool that decodes and assembles batches ([`settings::decode_threads`]).
pub fn decode() -> &'static Pool {
    DECODE.get_or_init(|| Pool::start("s3dlio-decode", settings::decode_threads()))
}

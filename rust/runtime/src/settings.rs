//! Sizes of the shared resources, from the machine and from the environment.

use std::sync::atomic::{AtomicUsize, Ordering};

/// How many processes of this kind share the machine; see [`set_worker_share`].
static WORKERS: AtomicUsize = AtomicUsize::new(1);

/// Threads of the runtime that the program has asked for; 0 leaves them to the environment.
static RUNTIME_THREADS: AtomicUsize = AtomicUsize::new(0);

/// 512 threads is past any storage this library has met; more is a typing error.
const MOST_THREADS: usize = 512;

/// Smallest memory budget that the environment may ask for.
///
/// Below one range part (8 MiB) the budget would only slow the pipeline down: one part is always let through.
const MIN_BUDGET: u64 = 8 << 20;

/// Says that `workers` processes (the workers of a `DataLoader`) share this machine.
///
/// Thread counts and the memory budget are divided by it. Values below 1 mean 1. Has no effect on pools that are
/// already running in this process.
pub fn set_worker_share(workers: usize) {
    WORKERS.store(workers.max(1), Ordering::Relaxed);
}

/// Cores that this process may use (affinity and cgroup limits counted), at least 1.
#[must_use]
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn shared_cores() -> usize {
    (cores() / WORKERS.load(Ordering::Relaxed)).max(1)
}

/// The variables of this module: integers of at least 1.
const VARIABLES: [&str; 4] =
    ["S3DLIO_RT_THREADS", "S3DLIO_IO_THREADS", "S3DLIO_DECODE_THREADS", "S3DLIO_MEMORY_BUDGET"];

/// A variable of this module that is no integer of at least 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadVariable {
    /// Its name.
    pub name: &'static str,
    /// Its value.
    pub found: String,
}

/// Checks the variables of this module, so that a typing error is an error and not a default in silence.
///
/// # Errors
/// The first variable with a value out of range.
pub fn check() -> Result<(), BadVariable> {
    let bad = VARIABLES.into_iter().find(|name| text(name).is_some() && number(name).is_none());
    bad.map_or(Ok(()), |name| Err(BadVariable { name, found: text(name).unwrap_or_default() }))
}

fn text(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

fn number(name: &str) -> Option<u64> {
    text(name)?.trim().parse().ok().filter(|&number| number > 0)
}

fn threads(name: &str, default: usize) -> usize {
    number(name).map_or(default, |n| n.min(MOST_THREADS as u64) as usize)
}

/// Has the runtime start with this many threads, above what the environment says; 0 leaves them to it.
pub(crate) fn set_runtime_threads(threads: usize) {
    RUNTIME_THREADS.store(threads.min(MOST_THREADS), Ordering::Relaxed);
}

/// Threads of the tokio runtime: what the program has asked for, `S3DLIO_RT_THREADS`, else this process's share of the cores but at least 2, so
/// that one thread busy with TLS or copying does not stop the sockets of all others.
#[must_use]
pub fn runtime_threads() -> usize {
    match RUNTIME_THREADS.load(Ordering::Relaxed) {
        0 => threads("S3DLIO_RT_THREADS", shared_cores().max(2)),
        chosen => chosen,
    }
}

/// Threads that read local files: `S3DLIO_IO_THREADS`, else this process's share of the cores.
///
/// Reads from page cache are memory copies: more threads than cores only add page faults.
#[must_use]
pub fn io_threads() -> usize {
    threads("S3DLIO_IO_THREADS", shared_cores())
}

/// Threads that decode: `S3DLIO_DECODE_THREADS`, else this process's share of the cores.
#[must_use]
pub fn decode_threads() -> usize {
    threads("S3DLIO_DECODE_THREADS", shared_cores())
}

/// Bytes that one loader may hold: `S3DLIO_MEMORY_BUDGET` (bytes), else 256 MiB, divided by the worker share.
///
/// 256 MiB is 0.2 s of a 10 Gbit/s link: enough to ride over a slow request, small beside a training process.
#[must_use]
pub fn memory_budget() -> u64 {
    let total = number("S3DLIO_MEMORY_BUDGET").unwrap_or(256 << 20);
    (total / WORKERS.load(Ordering::Relaxed) as u64).max(MIN_BUDGET)
}

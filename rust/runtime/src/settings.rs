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

/// Where launchers say how many ranks they started on this machine: torchrun, Open MPI, MPICH and Intel MPI, MVAPICH.
const LOCAL_RANKS: [&str; 4] =
    ["LOCAL_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS", "MV2_COMM_WORLD_LOCAL_SIZE"];

/// Network reads in flight of one loader at most: at 20 ms a request this is 3,200 requests a second.
const MOST_READS: usize = 64;

/// Network reads in flight of all loaders of a machine, if each rank and worker has one: with 64 each, 16 ranks of 8
/// workers would open 8,192 connections.
const READS_OF_MACHINE: usize = 512;

/// Fewer reads in flight leave a worker waiting for one after the other.
const LEAST_READS: usize = 4;

/// Says that `workers` processes (the workers of a `DataLoader`) share what this rank has of the machine.
///
/// Thread counts, reads in flight and the memory budget are divided by it. Values below 1 mean 1. Has no effect on pools
/// that are already running in this process.
pub fn set_worker_share(workers: usize) {
    WORKERS.store(workers.max(1), Ordering::Relaxed);
}

/// Cores that this process may use (affinity and cgroup limits counted), at least 1.
#[must_use]
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Processes that read on this machine: the ranks that a launcher started here, times their workers.
fn processes() -> usize {
    let ranks = LOCAL_RANKS.iter().find_map(|name| number(name)).unwrap_or(1);
    usize::try_from(ranks).unwrap_or(usize::MAX).saturating_mul(WORKERS.load(Ordering::Relaxed))
}

fn shared_cores() -> usize {
    (cores() / processes()).max(1)
}

/// Network reads that a loader has in flight unless it is told a number: 64, or this process's share of 512 for the
/// machine, at least 4.
#[must_use]
pub fn network_reads() -> usize {
    (READS_OF_MACHINE / processes()).clamp(LEAST_READS, MOST_READS)
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

/// Bytes that one loader may hold: `S3DLIO_MEMORY_BUDGET` (bytes), else 256 MiB, divided by the workers of the rank.
///
/// 256 MiB is 0.2 s of a 10 Gbit/s link: enough to ride over a slow request, small beside a training process.
#[must_use]
pub fn memory_budget() -> u64 {
    let total = number("S3DLIO_MEMORY_BUDGET").unwrap_or(256 << 20);
    (total / WORKERS.load(Ordering::Relaxed) as u64).max(MIN_BUDGET)
}

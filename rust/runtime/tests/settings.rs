//! Sizes from the environment and the machine. The environment belongs to the process, so the tests take turns.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use std::sync::{Mutex, MutexGuard, PoisonError};

use s3dlio_runtime::settings::{
    cores, decode_threads, io_threads, memory_budget, network_reads, runtime_threads, set_worker_share,
};

static TURN: Mutex<()> = Mutex::new(());

struct Environment(MutexGuard<'static, ()>);

const NAMES: [&str; 4] = ["S3DLIO_RT_THREADS", "S3DLIO_IO_THREADS", "S3DLIO_DECODE_THREADS", "S3DLIO_MEMORY_BUDGET"];

const LOCAL_RANKS: [&str; 4] =
    ["LOCAL_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS", "MV2_COMM_WORLD_LOCAL_SIZE"];

fn environment(variables: &[(&str, &str)]) -> Environment {
    let guard = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    set_worker_share(1);
    // SAFETY: every test of this binary holds the lock while it touches the environment.
    unsafe {
        NAMES.iter().chain(&LOCAL_RANKS).for_each(|name| std::env::remove_var(name));
        variables.iter().for_each(|(name, value)| std::env::set_var(name, value));
    }
    Environment(guard)
}

impl Drop for Environment {
    fn drop(&mut self) {
        let _held = &self.0;
        set_worker_share(1);
        // SAFETY: as above; the lock is released after this.
        unsafe { NAMES.iter().chain(&LOCAL_RANKS).for_each(|name| std::env::remove_var(name)) };
    }
}

#[test]
fn defaults_follow_the_cores() {
    let _turn = environment(&[]);
    assert!(cores() >= 1);
    assert_eq!(runtime_threads(), cores().max(2));
    assert_eq!((io_threads(), decode_threads()), (cores(), cores()));
    assert_eq!(memory_budget(), 256 << 20);
}

#[test]
fn workers_share_cores_and_memory_but_never_get_nothing() {
    let _turn = environment(&[]);
    set_worker_share(4);
    assert_eq!(io_threads(), (cores() / 4).max(1));
    assert_eq!(memory_budget(), 64 << 20);
    set_worker_share(100_000);
    assert_eq!((runtime_threads(), io_threads(), decode_threads()), (2, 1, 1));
    assert_eq!(memory_budget(), 8 << 20);
    set_worker_share(0);
    assert_eq!(memory_budget(), 256 << 20);
}

#[test]
fn ranks_of_a_machine_share_its_cores_and_connections_and_not_their_memory() {
    for name in LOCAL_RANKS {
        let _turn = environment(&[(name, "16")]);
        assert_eq!((network_reads(), decode_threads()), (32, (cores() / 16).max(1)), "{name}");
        assert_eq!(memory_budget(), 256 << 20);
        set_worker_share(8);
        assert_eq!(network_reads(), 4);
        assert_eq!(memory_budget(), 32 << 20);
    }
    let _turn = environment(&[]);
    assert_eq!(network_reads(), 64);
    set_worker_share(8);
    assert_eq!(network_reads(), 64);
    set_worker_share(1000);
    assert_eq!(network_reads(), 4);
}

#[test]
fn the_environment_says_otherwise() {
    let _turn = environment(&[
        ("S3DLIO_RT_THREADS", "3"),
        ("S3DLIO_IO_THREADS", " 5 "),
        ("S3DLIO_DECODE_THREADS", "100000"),
        ("S3DLIO_MEMORY_BUDGET", "20000000"),
    ]);
    assert_eq!((runtime_threads(), io_threads(), decode_threads()), (3, 5, 512));
    assert_eq!(memory_budget(), 20_000_000);
    // A count for one process holds for it, whatever share it has of the machine; the memory is for all.
    set_worker_share(2);
    assert_eq!(io_threads(), 5);
    assert_eq!(memory_budget(), 10_000_000);
}

#[test]
fn what_is_no_positive_number_is_passed_over() {
    for bad in ["", "0", "-1", "many", "1.5", "99999999999999999999"] {
        let _turn = environment(&NAMES.map(|name| (name, bad)));
        assert_eq!(io_threads(), cores(), "{bad:?}");
        assert_eq!(memory_budget(), 256 << 20, "{bad:?}");
    }
    let _turn = environment(&[("S3DLIO_MEMORY_BUDGET", "1")]);
    assert_eq!(memory_budget(), 8 << 20);
}

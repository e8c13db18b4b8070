//! Real forks. A child does a little, says how it went by its exit status and never returns into the test harness.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

#[path = "common/child.rs"]
mod child;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use child::in_child;
use s3dlio_runtime::budget::{ByteBudget, Urgency};
use s3dlio_runtime::fork::{self, ForkLocal};
use s3dlio_runtime::{executor, pool, stats};

const SOON: Duration = Duration::from_secs(8);

/// A small job on the runtime, with a timer so that its driver is really there.
fn runtime_works() -> bool {
    let Ok(handle) = executor::handle() else { return false };
    let (send, receive) = channel();
    let spawned = executor::spawn(async move {
        tokio::time::sleep(Duration::from_millis(1)).await;
        send.send(20)
    });
    let slept = handle.block_on(async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        22
    });
    spawned.is_ok() && receive.recv_timeout(SOON) == Ok(20) && slept == 22
}

fn pools_work() -> bool {
    [pool::io(), pool::decode()].into_iter().all(|pool| {
        let (send, receive) = channel();
        pool.run(move || assert!(send.send(5).is_ok()));
        receive.recv_timeout(SOON) == Ok(5)
    })
}

#[test]
fn a_child_counts_one_generation_more_and_the_parent_none() {
    let here = fork::generation();
    let child = in_child(|| {
        let one_more = fork::generation() == here + 1;
        let grandchild = in_child(|| fork::generation() == here + 2);
        one_more && grandchild == 0 && fork::generation() == here + 1
    });
    assert_eq!(child, 0);
    assert_eq!(fork::generation(), here);
}

#[test]
fn a_value_is_built_again_in_every_process() {
    static CELL: ForkLocal<(u32, u64)> = ForkLocal::new();
    let build = || (std::process::id(), fork::generation());
    let parents = *CELL.get_or_init(build);
    let child = in_child(|| {
        let hidden = CELL.get().is_none();
        let own = *CELL.get_or_init(build);
        let grandchild = in_child(|| {
            let inherited = CELL.get().is_none();
            let own = *CELL.get_or_init(build);
            inherited && own == build() && CELL.get() == Some(&own)
        });
        hidden && own == build() && own != parents && grandchild == 0 && CELL.get() == Some(&own)
    });
    assert_eq!(child, 0);
    assert_eq!(CELL.get(), Some(&parents));
}

#[test]
fn an_inherited_value_is_never_dropped_and_an_own_one_is() {
    static DROPS: AtomicUsize = AtomicUsize::new(0);
    struct Noisy;
    impl Drop for Noisy {
        fn drop(&mut self) {
            DROPS.fetch_add(1, Ordering::SeqCst);
        }
    }
    let replaced = ForkLocal::new();
    replaced.get_or_init(|| Noisy);
    let untouched = ForkLocal::new();
    untouched.get_or_init(|| Noisy);
    let cells = Arc::new(std::sync::Mutex::new(Some((replaced, untouched))));
    let child = in_child(|| {
        let (replaced, untouched) = cells.lock().unwrap().take().unwrap();
        replaced.get_or_init(|| Noisy);
        let none_yet = DROPS.load(Ordering::SeqCst) == 0;
        drop(untouched);
        let leaked = DROPS.load(Ordering::SeqCst) == 0;
        drop(replaced);
        none_yet && leaked && DROPS.load(Ordering::SeqCst) == 1
    });
    assert_eq!(child, 0);
    drop(cells);
    assert_eq!(DROPS.load(Ordering::SeqCst), 2);
}

#[test]
fn racing_builders_of_a_child_agree_on_one_value() {
    static CELL: ForkLocal<usize> = ForkLocal::new();
    CELL.get_or_init(|| usize::MAX);
    let child = in_child(|| {
        let seen: Vec<usize> = std::thread::scope(|scope| {
            let racers: Vec<_> = (0..8).map(|number| scope.spawn(move || *CELL.get_or_init(|| number))).collect();
            racers.into_iter().map(|racer| racer.join().unwrap()).collect()
        });
        seen[0] != usize::MAX && seen.iter().all(|&value| value == seen[0])
    });
    assert_eq!(child, 0);
}

#[test]
fn runtime_and_pools_work_in_a_child_of_a_warm_parent_and_in_a_grandchild() {
    assert!(runtime_works() && pools_work());
    let child = in_child(|| {
        let works = runtime_works() && pools_work();
        works && in_child(|| runtime_works() && pools_work()) == 0 && runtime_works()
    });
    assert_eq!(child, 0);
    assert!(runtime_works() && pools_work());
}

#[test]
fn a_child_goes_on_counting_from_its_parent() {
    stats::add(stats::Counter::PutBytes, 3);
    let before = stats::value(stats::Counter::PutBytes);
    let child = in_child(|| {
        stats::add(stats::Counter::PutBytes, 4);
        stats::value(stats::Counter::PutBytes) == before + 4
    });
    assert_eq!(child, 0);
    assert_eq!(stats::value(stats::Counter::PutBytes), before);
}

/// Threads that use everything in small steps, so that a fork finds them in the middle of all kinds of things.
fn hammer(stop: &Arc<AtomicBool>) -> Vec<std::thread::JoinHandle<()>> {
    static CELL: ForkLocal<Vec<u8>> = ForkLocal::new();
    let shared = ByteBudget::new(8);
    let thread = |job: Box<dyn Fn() + Send>| {
        let stop = Arc::clone(stop);
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                job();
            }
        })
    };
    let jobs: [Box<dyn Fn() + Send>; 5] = [
        Box::new(|| assert!(runtime_works())),
        Box::new(|| assert!(pools_work())),
        Box::new(|| {
            CELL.get_or_init(|| vec![1; 4096]);
            let own = ForkLocal::new();
            own.get_or_init(|| vec![2; 4096]);
        }),
        Box::new(|| {
            let tasks: Vec<_> =
                (0..16).filter_map(|n| executor::spawn(async move { vec![0_u8; n * 100] }).ok()).collect();
            let handle = executor::handle().unwrap();
            tasks.into_iter().for_each(|task| drop(handle.block_on(task)));
        }),
        Box::new(move || {
            let budget = shared.clone();
            let permit = shared.acquire(5, || Urgency::Wait);
            pool::io().run(move || drop(budget.acquire(5, || Urgency::Wait)));
            drop(permit);
        }),
    ];
    jobs.into_iter().map(thread).collect()
}

#[test]
fn four_hundred_forks_under_load_all_work() {
    static CELL: ForkLocal<u32> = ForkLocal::new();
    let stop = Arc::new(AtomicBool::new(false));
    let threads = hammer(&stop);
    assert!(runtime_works() && pools_work());
    CELL.get_or_init(std::process::id);
    let began = Instant::now();
    let mut failed = Vec::new();
    for number in 0..400 {
        let status = in_child(|| {
            let own = *CELL.get_or_init(std::process::id) == std::process::id();
            own && runtime_works() && pools_work()
        });
        if status != 0 {
            failed.push((number, status));
        }
        assert!(began.elapsed() < Duration::from_secs(240), "after {number} forks; failed: {failed:?}");
    }
    stop.store(true, Ordering::Relaxed);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(failed, [], "(fork, status): {} is the alarm", -libc::SIGALRM);
}

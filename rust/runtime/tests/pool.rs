//! Pools, runtime and counters within one process.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use std::collections::HashSet;
use std::sync::mpsc::channel;
use std::time::Duration;

use s3dlio_runtime::executor;
use s3dlio_runtime::fork::{self, ForkLocal};
use s3dlio_runtime::pool::{self, Pool};
use s3dlio_runtime::settings;
use s3dlio_runtime::stats::{self, COUNTERS, Counter};

const SOON: Duration = Duration::from_secs(20);

fn both() -> [(&'static Pool, &'static str); 2] {
    [(pool::io(), "s3dlio-io-"), (pool::decode(), "s3dlio-decode-")]
}

#[test]
fn every_job_runs_once_on_a_thread_of_the_pool() {
    for (pool, name) in both() {
        let (send, receive) = channel();
        for number in 0..1000 {
            let send = send.clone();
            pool.run(move || send.send((number, std::thread::current().name().unwrap().to_owned())).unwrap());
        }
        drop(send);
        let ran: Vec<(i32, String)> = std::iter::from_fn(|| receive.recv_timeout(SOON).ok()).collect();
        assert_eq!(ran.iter().map(|(number, _)| *number).collect::<HashSet<_>>(), (0..1000).collect());
        assert_eq!(ran.len(), 1000);
        let threads: HashSet<&String> = ran.iter().map(|(_, thread)| thread).collect();
        assert!(threads.iter().all(|thread| thread.starts_with(name)), "{threads:?}");
        assert!((1..=pool.threads()).contains(&threads.len()), "{threads:?}");
    }
}

#[test]
fn a_panic_costs_one_job_and_no_thread() {
    for (pool, _) in both() {
        let jobs = 4 * pool.threads() + 4;
        let (send, receive) = channel::<()>();
        for _ in 0..jobs {
            let send = send.clone();
            pool.run(move || {
                let _waited_for = send;
                std::panic::resume_unwind(Box::new("on purpose"));
            });
        }
        drop(send);
        // Whoever waits for such a job is told by the closed channel.
        assert!(receive.recv_timeout(SOON).is_err());
        let (send, receive) = channel();
        for _ in 0..jobs {
            let send = send.clone();
            pool.run(move || send.send(()).unwrap());
        }
        (0..jobs).for_each(|_| receive.recv_timeout(SOON).unwrap());
    }
}

#[test]
fn a_job_may_queue_another_one() {
    let (send, receive) = channel();
    pool::io().run(move || {
        let inner = send.clone();
        pool::decode().run(move || pool::io().run(move || inner.send(()).unwrap()));
        drop(send);
    });
    receive.recv_timeout(SOON).unwrap();
}

#[test]
fn the_pools_and_the_runtime_are_the_same_for_every_caller() {
    let (send, receive) = channel();
    for _ in 0..8 {
        let send = send.clone();
        std::thread::spawn(move || {
            let pools = both().map(|(pool, _)| std::ptr::from_ref(pool) as usize);
            send.send((pools, executor::handle().unwrap().id())).unwrap();
        });
    }
    drop(send);
    let seen: HashSet<_> = receive.iter().collect();
    assert_eq!(seen.len(), 1);
    assert_eq!(pool::io().threads(), settings::io_threads());
    assert_eq!(pool::decode().threads(), settings::decode_threads());
}

#[test]
fn drive_returns_between_slices_and_keeps_the_future_going() {
    let slice = Duration::from_millis(5);
    let mut future: std::pin::Pin<Box<dyn std::future::Future<Output = i32> + Send>> = Box::pin(async {
        tokio::time::sleep(Duration::from_millis(60)).await;
        7
    });
    let mut slices = 0;
    let value = loop {
        if let Some(value) = executor::drive(&mut future, slice).unwrap() {
            break value;
        }
        slices += 1;
        assert!(slices < 10_000);
    };
    assert_eq!(value, 7);
    assert!(slices >= 2, "{slices}");
}

#[test]
fn spawned_work_runs_without_its_caller_and_a_panic_stays_in_its_task() {
    let panicking = executor::spawn(async { std::panic::resume_unwind(Box::new("on purpose")) });
    let panicking: tokio::task::JoinHandle<()> = panicking.unwrap();
    let (send, receive) = channel();
    executor::spawn(async move {
        let joined = panicking.await;
        send.send(joined.is_err_and(|error| error.is_panic())).unwrap();
    })
    .unwrap();
    assert!(receive.recv_timeout(SOON).unwrap());
}

#[test]
fn racing_builders_agree_on_one_value_and_drop_the_others() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static ALIVE: AtomicUsize = AtomicUsize::new(0);
    struct Counted(usize);
    impl Drop for Counted {
        fn drop(&mut self) {
            ALIVE.fetch_sub(1, Ordering::SeqCst);
        }
    }
    for round in 0..200 {
        let cell = ForkLocal::<Counted>::new();
        let start = std::sync::Barrier::new(4);
        let seen: HashSet<usize> = std::thread::scope(|scope| {
            let racers: Vec<_> = (0..4)
                .map(|number| {
                    let (cell, start) = (&cell, &start);
                    scope.spawn(move || {
                        start.wait();
                        let build = || {
                            ALIVE.fetch_add(1, Ordering::SeqCst);
                            Counted(round * 4 + number)
                        };
                        cell.get_or_init(build).0
                    })
                })
                .collect();
            racers.into_iter().map(|racer| racer.join().unwrap()).collect()
        });
        assert_eq!(seen.len(), 1);
        assert_eq!(cell.get().map(|value| value.0), seen.iter().next().copied());
        assert_eq!(ALIVE.load(Ordering::SeqCst), 1, "the values of the losers are dropped");
        drop(cell);
        assert_eq!(ALIVE.load(Ordering::SeqCst), 0, "the cell drops its value");
    }
}

#[test]
fn a_cell_is_empty_until_it_is_asked_to_build() {
    let cell = ForkLocal::<String>::default();
    assert!(cell.get().is_none());
    assert_eq!(format!("{cell:?}"), "ForkLocal { built: false }");
    assert_eq!(cell.get_or_init(|| "built".into()), "built");
    assert_eq!(cell.get_or_init(|| unreachable!("it is built already")), "built");
    assert_eq!(format!("{cell:?}"), "ForkLocal { built: true }");
    fork::install();
    assert_eq!(fork::generation(), 0);
}

#[test]
fn counters_add_up_under_their_names() {
    let names: HashSet<&str> = COUNTERS.iter().map(|&(_, name)| name).collect();
    assert_eq!(names.len(), COUNTERS.len());
    for (at, (counter, name)) in COUNTERS.into_iter().enumerate() {
        assert_eq!(counter as usize, at, "{name} is out of its place");
        let before = stats::value(counter);
        stats::add(counter, 5);
        stats::add(counter, 0);
        assert_eq!(stats::value(counter) - before, 5, "{name}");
    }
    assert_eq!(COUNTERS[1], (Counter::GetBytes, "get_bytes"));
}

//! The byte budget: what it promises about limits, turns, wake-ups and cancelled waits.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use s3dlio_runtime::budget::{ByteBudget, Permit, Urgency};

const SOON: Duration = Duration::from_secs(10);
const NOT_YET: Duration = Duration::from_millis(60);

fn wait() -> Urgency {
    Urgency::Wait
}

/// Acquires on a thread of its own; the permit comes out of the channel.
fn acquire(budget: &ByteBudget, bytes: u64) -> Receiver<Option<Permit>> {
    let (send, receive) = channel();
    let budget = budget.clone();
    thread::spawn(move || send.send(budget.acquire(bytes, wait)));
    receive
}

fn until(what: impl Fn() -> bool) {
    let began = Instant::now();
    while !what() {
        assert!(began.elapsed() < SOON, "did not come about in time");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn permits_count_until_they_are_dropped() {
    let budget = ByteBudget::new(100);
    let first = budget.acquire(60, wait).unwrap();
    let second = budget.try_acquire(40).unwrap();
    assert_eq!((budget.limit(), budget.used(), budget.peak()), (100, 100, 100));
    assert_eq!((first.bytes(), second.bytes()), (60, 40));
    assert!(budget.try_acquire(1).is_none());
    drop(first);
    assert_eq!((budget.used(), budget.peak()), (40, 100));
    assert!(budget.try_acquire(61).is_none());
    assert_eq!(budget.try_acquire(60).unwrap().bytes(), 60);
    drop(second);
    assert_eq!((budget.used(), budget.peak()), (0, 100));
}

#[test]
fn a_full_budget_makes_a_request_wait_until_bytes_come_back() {
    let budget = ByteBudget::new(10);
    let held = budget.acquire(8, wait).unwrap();
    let waiting = acquire(&budget, 3);
    assert!(waiting.recv_timeout(NOT_YET).is_err());
    assert_eq!(budget.used(), 8);
    drop(held);
    assert_eq!(waiting.recv_timeout(SOON).unwrap().unwrap().bytes(), 3);
}

#[test]
fn more_than_the_whole_budget_goes_ahead_alone() {
    let budget = ByteBudget::new(10);
    let big = budget.try_acquire(1000).unwrap();
    assert_eq!(budget.used(), 1000);
    let small = acquire(&budget, 1);
    assert!(small.recv_timeout(NOT_YET).is_err());
    drop(big);
    let small = small.recv_timeout(SOON).unwrap().unwrap();
    assert!(budget.try_acquire(1000).is_none());
    let big = acquire(&budget, 1000);
    assert!(big.recv_timeout(NOT_YET).is_err());
    drop(small);
    assert_eq!(big.recv_timeout(SOON).unwrap().unwrap().bytes(), 1000);
}

#[test]
fn waiters_are_served_in_the_order_they_came() {
    let budget = ByteBudget::new(10);
    let held = budget.acquire(10, wait).unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    let threads: Vec<_> = (0..8_u64)
        .map(|number| {
            let (asked, asking) = channel();
            let (budget, order) = (budget.clone(), Arc::clone(&order));
            let thread = thread::spawn(move || {
                let urgency = || {
                    let _ = asked.send(());
                    Urgency::Wait
                };
                let permit = budget.acquire(10, urgency).unwrap();
                order.lock().unwrap().push(number);
                drop(permit);
            });
            // The urgency is asked once the request stands in the queue.
            asking.recv_timeout(SOON).unwrap();
            thread
        })
        .collect();
    drop(held);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(*order.lock().unwrap(), (0..8).collect::<Vec<_>>());
}

#[test]
fn nobody_overtakes_a_waiter() {
    let budget = ByteBudget::new(10);
    let held = budget.acquire(6, wait).unwrap();
    let large = acquire(&budget, 10);
    assert!(large.recv_timeout(NOT_YET).is_err());
    // One byte would fit, but a stream of small requests must not starve the large one.
    assert!(budget.try_acquire(1).is_none());
    let small = acquire(&budget, 1);
    assert!(small.recv_timeout(NOT_YET).is_err());
    drop(held);
    drop(large.recv_timeout(SOON).unwrap().unwrap());
    assert!(small.recv_timeout(SOON).unwrap().is_some());
}

#[test]
fn an_urgent_request_goes_over_the_limit_and_out_of_turn() {
    let budget = ByteBudget::new(10);
    let held = budget.acquire(10, wait).unwrap();
    let waiting = acquire(&budget, 5);
    assert!(waiting.recv_timeout(NOT_YET).is_err());
    let urgent = budget.acquire(7, || Urgency::Now).unwrap();
    assert_eq!((budget.used(), budget.peak()), (17, 17));
    drop(held);
    // 7 held and 5 wanted: still too much.
    assert!(waiting.recv_timeout(NOT_YET).is_err());
    drop(urgent);
    assert!(waiting.recv_timeout(SOON).unwrap().is_some());
}

#[test]
fn a_wake_makes_a_waiter_ask_again() {
    let budget = ByteBudget::new(1);
    let held = budget.acquire(1, wait).unwrap();
    for change in [Urgency::Cancel, Urgency::Now] {
        let changed = Arc::new(AtomicBool::new(false));
        let (send, receive) = channel();
        let (seen, waiter) = (Arc::clone(&changed), budget.clone());
        thread::spawn(move || {
            let urgency = || if seen.load(Ordering::Acquire) { change } else { Urgency::Wait };
            send.send(waiter.acquire(1, urgency))
        });
        assert!(receive.recv_timeout(NOT_YET).is_err());
        changed.store(true, Ordering::Release);
        budget.wake();
        let permit = receive.recv_timeout(SOON).unwrap();
        assert_eq!(permit.is_some(), change == Urgency::Now);
    }
    assert_eq!((budget.used(), budget.peak()), (1, 2));
    drop(held);
}

#[test]
fn a_cancelled_waiter_gives_up_its_turn() {
    let budget = ByteBudget::new(10);
    let held = budget.acquire(10, wait).unwrap();
    let cancel = Arc::new(AtomicBool::new(false));
    let (send, first) = channel();
    let (seen, waiter) = (Arc::clone(&cancel), budget.clone());
    thread::spawn(move || {
        let urgency = || if seen.load(Ordering::Acquire) { Urgency::Cancel } else { Urgency::Wait };
        send.send(waiter.acquire(100, urgency))
    });
    assert!(first.recv_timeout(NOT_YET).is_err());
    let second = acquire(&budget, 4);
    assert!(second.recv_timeout(NOT_YET).is_err());
    cancel.store(true, Ordering::Release);
    budget.wake();
    assert!(first.recv_timeout(SOON).unwrap().is_none());
    drop(held);
    assert_eq!(second.recv_timeout(SOON).unwrap().unwrap().bytes(), 4);
    until(|| budget.used() == 0);
}

#[test]
fn growing_is_a_debt_that_blocks_until_it_is_repaid() {
    let budget = ByteBudget::new(10);
    let mut first = budget.acquire(4, wait).unwrap();
    let second = budget.acquire(4, wait).unwrap();
    first.resize(20);
    assert_eq!((first.bytes(), budget.used(), budget.peak()), (20, 24, 24));
    let waiting = acquire(&budget, 1);
    drop(second);
    assert!(waiting.recv_timeout(NOT_YET).is_err(), "20 of 10 bytes are held");
    first.resize(9);
    assert_eq!(waiting.recv_timeout(SOON).unwrap().unwrap().bytes(), 1);
    drop(first);
    until(|| budget.used() == 0);
    assert_eq!(budget.peak(), 24);
}

#[test]
fn a_zero_byte_request_takes_its_turn_and_nothing_else() {
    let budget = ByteBudget::new(1);
    let held = budget.acquire(1, wait).unwrap();
    let empty = budget.acquire(0, wait).unwrap();
    assert_eq!((empty.bytes(), budget.used()), (0, 1));
    drop(held);
}

#[test]
fn many_cancelled_and_woken_waiters_lose_no_wake_up() {
    let budget = ByteBudget::new(3);
    let cancel = Arc::new(AtomicBool::new(false));
    let granted = Arc::new(AtomicU64::new(0));
    let threads: Vec<_> = (0..8)
        .map(|seed| {
            let (budget, cancel, granted) = (budget.clone(), Arc::clone(&cancel), Arc::clone(&granted));
            thread::spawn(move || {
                let urgency = || if cancel.load(Ordering::Acquire) { Urgency::Cancel } else { Urgency::Wait };
                for turn in 0_u64.. {
                    let Some(permit) = budget.acquire(1 + (turn + seed) % 4, urgency) else { break };
                    granted.fetch_add(1, Ordering::Relaxed);
                    drop(permit);
                }
            })
        })
        .collect();
    // Progress must not depend on anybody calling `wake`.
    for goal in [1_000, 5_000, 10_000] {
        until(|| granted.load(Ordering::Relaxed) >= goal);
    }
    cancel.store(true, Ordering::Release);
    budget.wake();
    until(|| threads.iter().all(thread::JoinHandle::is_finished));
    assert_eq!(budget.used(), 0);
    assert!(budget.peak() <= 4, "one request of 4 alone is the most: {}", budget.peak());
}

/// What one thread of the property test does: requests, with what it resizes each to.
type Script = Vec<(u64, Option<u64>)>;

fn run(limit: u64, scripts: &[Script]) -> (ByteBudget, bool) {
    let budget = ByteBudget::new(limit);
    let (done, finished) = channel();
    for script in scripts.iter().cloned() {
        let (budget, done) = (budget.clone(), done.clone());
        thread::spawn(move || {
            for (bytes, resized) in script {
                let mut permit = budget.acquire(bytes, wait).unwrap();
                if let Some(to) = resized {
                    permit.resize(to);
                }
                thread::yield_now();
            }
            done.send(())
        });
    }
    let all = scripts.iter().all(|_| finished.recv_timeout(SOON).is_ok());
    (budget, all)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn the_limit_holds_for_any_requests(
        limit in 1_u64..40,
        scripts in prop::collection::vec(prop::collection::vec((0_u64..50, prop::option::of(0_u64..5)), 1..12), 1..6),
    ) {
        // Shrinking only: a request over the limit is then the only way past it.
        let scripts: Vec<Script> = scripts
            .into_iter()
            .map(|script| script.into_iter().map(|(bytes, to)| (bytes, to.map(|to| to.min(bytes)))).collect())
            .collect();
        let largest = scripts.iter().flatten().map(|&(bytes, _)| bytes).max().unwrap_or(0);
        let (budget, finished) = run(limit, &scripts);
        prop_assert!(finished, "a waiter was never woken");
        prop_assert_eq!(budget.used(), 0);
        prop_assert!(budget.peak() <= limit.max(largest), "peak {} of {}", budget.peak(), limit);
    }

    #[test]
    fn growing_permits_never_hang_the_others(
        limit in 1_u64..40,
        scripts in prop::collection::vec(prop::collection::vec((0_u64..50, prop::option::of(0_u64..200)), 1..12), 1..6),
    ) {
        let (budget, finished) = run(limit, &scripts);
        prop_assert!(finished, "a waiter was never woken");
        prop_assert_eq!(budget.used(), 0);
    }
}

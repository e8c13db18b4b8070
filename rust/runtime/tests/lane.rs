//! Lanes: who drives what, with how many threads, and after a fork.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

#[path = "common/child.rs"]
mod child;

use std::time::Duration;

use child::in_child;
use s3dlio_runtime::executor::BoxFuture;
use s3dlio_runtime::lane::{self, Lane};

/// The thread and the lane that a job runs on, after a wait.
async fn whereabouts() -> (std::thread::ThreadId, Option<usize>) {
    tokio::time::sleep(Duration::from_millis(1)).await;
    (std::thread::current().id(), lane::current())
}

#[test]
fn the_thread_that_waits_does_the_work_and_the_next_one_uses_the_same_lane() {
    // In a child nobody else takes lanes meanwhile.
    let child = in_child(|| {
        let mut used = Vec::new();
        for _ in 0..3 {
            let (thread, number) = Lane::take().unwrap().finish(Box::pin(whereabouts())).unwrap();
            used.push(number.unwrap());
            if thread != std::thread::current().id() || lane::current().is_some() {
                return false;
            }
        }
        let elsewhere = std::thread::spawn(|| Lane::take().unwrap().finish(Box::pin(whereabouts())).unwrap().1);
        used == [0, 0, 0] && elsewhere.join().unwrap() == Some(0)
    });
    assert_eq!(child, 0);
}

#[test]
fn what_is_not_ready_goes_on_with_the_next_slice() {
    let mut lane = Lane::take().unwrap();
    let mut slow: BoxFuture<u32> = Box::pin(async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        7
    });
    let mut slices = 1;
    while lane.drive(&mut slow, Duration::from_millis(5)).unwrap().is_none_or(|value| value != 7) {
        assert!(lane::current().is_none());
        slices += 1;
    }
    assert!(slices > 2, "50 ms in {slices} slices of 5 ms");
}

#[test]
fn lanes_are_different_as_long_as_there_are_any_and_then_the_shared_runtime_serves() {
    let child = in_child(|| {
        let mut all: Vec<Lane> = (0..lane::MOST).map(|_| Lane::take().unwrap()).collect();
        let mut numbers: Vec<_> =
            all.iter_mut().map(|lane| lane.finish(Box::pin(whereabouts())).unwrap().1.unwrap()).collect();
        numbers.sort_unstable();
        let mut one_more = Lane::take().unwrap();
        let (thread, number) = one_more.finish(Box::pin(whereabouts())).unwrap();
        numbers == (0..lane::MOST).collect::<Vec<_>>() && number.is_none() && thread == std::thread::current().id()
    });
    assert_eq!(child, 0);
}

#[test]
fn a_child_has_lanes_of_its_own_and_refuses_a_wait_that_it_inherited() {
    let mut lane = Lane::take().unwrap();
    let mut waiting: BoxFuture<()> = Box::pin(std::future::pending());
    assert!(lane.drive(&mut waiting, Duration::from_millis(1)).unwrap().is_none());
    let (lane, waiting) = (&mut lane, &mut waiting);
    let child = in_child(move || {
        let refused = lane.drive(waiting, Duration::from_millis(1)).unwrap_err();
        let own = Lane::take().unwrap().finish(Box::pin(whereabouts())).unwrap();
        refused.to_string().contains("parent process") && own.1.is_some()
    });
    assert_eq!(child, 0);
    assert!(Lane::take().unwrap().finish(Box::pin(whereabouts())).unwrap().1.is_some());
}

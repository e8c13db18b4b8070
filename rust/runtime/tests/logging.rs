//! Log events: which are kept, in what order, and what never leaves.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::SystemTime;

use s3dlio_runtime::logging::{self, CAPACITY, redact};
use tracing::level_filters::LevelFilter;
use tracing::{Level, debug, error, info, trace, warn};

/// The queue is the process's: tests that run in one process take turns.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    let guard = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    logging::drain();
    guard
}

fn messages() -> Vec<(Level, String)> {
    logging::drain().records.into_iter().map(|record| (record.level, record.message)).collect()
}

fn one_of_each() {
    error!(target: "s3dlio_test", "e");
    warn!(target: "s3dlio_test", "w");
    info!(target: "s3dlio_test", "i");
    debug!(target: "s3dlio_test", "d");
    trace!(target: "s3dlio_test", "t");
}

#[test]
fn the_level_can_change_at_any_time() {
    let _alone = alone();
    for (level, kept) in [
        (LevelFilter::WARN, "ew"),
        (LevelFilter::TRACE, "ewidt"),
        (LevelFilter::OFF, ""),
        (LevelFilter::INFO, "ewi"),
        (LevelFilter::ERROR, "e"),
        (LevelFilter::DEBUG, "ewid"),
    ] {
        logging::set_level(level);
        assert!(!logging::pending());
        one_of_each();
        assert_eq!(logging::pending(), !kept.is_empty());
        assert_eq!(messages().into_iter().map(|(_, message)| message).collect::<String>(), kept, "{level}");
    }
}

#[test]
fn an_event_keeps_its_level_fields_thread_and_time() {
    let _alone = alone();
    logging::set_level(LevelFilter::INFO);
    let before = SystemTime::now();
    let name = "logs-here";
    let work = move || {
        info!(target: "s3dlio_test", number = 3, name, why = %"it is so", "something happened");
        one_of_each();
    };
    thread::Builder::new().name(name.into()).spawn(work).unwrap().join().unwrap();
    let records = logging::drain().records;
    let first = &records[0];
    assert_eq!(first.message, "something happened number=3 name=logs-here why=it is so");
    assert_eq!((first.level, first.target.as_str(), first.thread.as_str()), (Level::INFO, "s3dlio_test", name));
    assert!(first.time >= before && first.time <= SystemTime::now());
    let levels: Vec<Level> = records.iter().map(|record| record.level).collect();
    assert_eq!(levels, [Level::INFO, Level::ERROR, Level::WARN, Level::INFO]);
}

#[test]
fn only_events_of_known_libraries_are_kept() {
    let _alone = alone();
    logging::set_level(LevelFilter::TRACE);
    info!(target: "hyper_util::client", "authorization: secret");
    let span = tracing::info_span!(target: "s3dlio_test", "span");
    let _entered = span.enter();
    info!(target: "object_store::client::retry", "tried again");
    assert_eq!(messages(), [(Level::INFO, "tried again".to_owned())]);
}

#[test]
fn the_oldest_make_room_for_the_newest() {
    let _alone = alone();
    logging::set_level(LevelFilter::INFO);
    for number in 0..CAPACITY + 7 {
        info!(target: "s3dlio_test", "{number}");
    }
    let drained = logging::drain();
    assert_eq!((drained.records.len(), drained.dropped), (CAPACITY, 7));
    assert_eq!(drained.records[0].message, "7");
    assert_eq!(drained.records[CAPACITY - 1].message, (CAPACITY + 6).to_string());
    info!(target: "s3dlio_test", "next");
    let drained = logging::drain();
    assert_eq!((drained.records.len(), drained.dropped), (1, 0));
}

#[test]
fn secrets_never_leave() {
    for (text, clean) in [
        ("GET https://h/k?X-Amz-Signature=abc&x=1", "GET https://h/k?X-Amz-Signature=***&x=1"),
        ("az://c/k?sv=2&sig=a%2Fb", "az://c/k?sv=2&sig=***"),
        ("AccountName=n;AccountKey=a+b==;x", "AccountName=n;AccountKey=***;x"),
        ("Authorization: AWS4 Credential=a, Signature=b", "Authorization: ***"),
        ("Bearer ya29.x and Bearer y", "Bearer *** and Bearer ***"),
        ("two sig=a sig=b", "two sig=*** sig=***"),
        ("ends in sig=", "ends in sig=***"),
        ("größe sig=ä x", "größe sig=*** x"),
        ("nothing to hide: s3://bucket/key", "nothing to hide: s3://bucket/key"),
        ("", ""),
    ] {
        assert_eq!(redact(text), clean);
    }
    let _alone = alone();
    logging::set_level(LevelFilter::INFO);
    info!(target: "s3dlio_test", url = "https://h/k?sig=abc", "failed");
    assert_eq!(messages()[0].1, "failed url=https://h/k?sig=***");
}

#[test]
fn a_forked_child_does_not_inherit_what_waits() {
    let _alone = alone();
    logging::set_level(LevelFilter::INFO);
    info!(target: "s3dlio_test", "of the parent");
    // SAFETY: the child only uses what this library promises to work after a fork, and leaves by `_exit`.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let inherited = logging::drain().records.len();
        info!(target: "s3dlio_test", "of the child");
        let own = logging::drain().records.len();
        // SAFETY: ends the child without running the exit handlers of the test harness.
        unsafe { libc::_exit(i32::from((inherited, own) != (0, 1))) };
    }
    let mut status = 0;
    // SAFETY: `child` is ours and has not been waited for.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0);
    assert_eq!(messages().len(), 1);
}

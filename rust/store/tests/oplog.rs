//! The operation log: its lines, its files, and what a summary makes of them.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use chrono::DateTime;
use s3dlio_runtime::stats::{self, STORES};
use s3dlio_store::observe::{self, Verb};
use s3dlio_store::oplog::{self, HEADER, Row, summary};
use s3dlio_store::{Result, Scheme, StoreError, Uri};

/// The log is the process's: tests that run in one process take turns.
struct Place {
    _alone: MutexGuard<'static, ()>,
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = oplog::finalize();
        Self { _alone: alone, folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<_> = self.folder.path().read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }
}

fn uri(text: &str) -> Uri {
    Uri::parse(text).unwrap()
}

fn done(verb: Verb, at: &str, bytes: u64) {
    observe::begin(verb, &uri(at)).end(bytes, &Ok(()));
}

/// The lines of a finished log without the header, split into their columns.
fn rows(path: impl AsRef<Path>) -> Vec<Vec<String>> {
    let text = zstd::decode_all(std::fs::File::open(path).unwrap()).unwrap();
    let text = String::from_utf8(text).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some(HEADER));
    lines.map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

#[test]
fn the_header_is_the_documented_one() {
    let columns = "idx thread op client_id n_objects bytes endpoint file error start first_byte end duration_ns";
    assert_eq!(HEADER.split('\t').collect::<Vec<_>>(), columns.split(' ').collect::<Vec<_>>());
}

#[test]
fn a_row_has_the_documented_columns() {
    let row = Row {
        verb: Verb::GetRange,
        uri: uri("s3://bucket/a/b"),
        objects: 1,
        bytes: 70,
        error: None,
        start: SystemTime::UNIX_EPOCH + Duration::from_nanos(1_735_689_600_000_000_001),
        first_byte: Some(Duration::from_micros(5)),
        took: Duration::from_millis(1500),
        thread: 77,
    };
    let line = |row: &Row| {
        let mut line = Vec::new();
        row.line(&mut line, 4, "me");
        String::from_utf8(line).unwrap()
    };
    let times = "2025-01-01T00:00:00.000000001Z\t2025-01-01T00:00:00.000005001Z\t2025-01-01T00:00:01.500000001Z";
    assert_eq!(line(&row), format!("4\t77\tGET_RANGE\tme\t1\t70\ts3://bucket\tbucket/a/b\t\t{times}\t1500000000\n"));
    let first_byte = |verb, first_byte, error: Option<&str>| {
        let row = Row { verb, first_byte, error: error.map(str::to_owned), ..row.clone() };
        line(&row).split('\t').nth(10).unwrap().to_owned()
    };
    let times: Vec<&str> = times.split('\t').collect();
    assert_eq!(first_byte(Verb::Get, None, None), times[2]);
    assert_eq!(first_byte(Verb::Get, None, Some("gone")), "");
    assert_eq!(first_byte(Verb::Put, None, None), times[0]);
    for verb in [Verb::List, Verb::Head, Verb::Delete, Verb::DeleteBatch, Verb::Copy, Verb::CreateContainer] {
        assert_eq!(first_byte(verb, Some(Duration::ZERO), None), "", "{verb:?}");
    }
}

#[test]
fn endpoint_and_file_have_the_documented_shapes() {
    let place = Place::new();
    let log = place.path("ops.tsv.zst");
    oplog::init(&log).unwrap();
    let expected = [
        ("file:///tmp/x", "file://", "/tmp/x"),
        ("direct:///tmp/x", "direct://", "/tmp/x"),
        ("memory://b/k", "memory://b", "b/k"),
        ("s3://b/k/l", "s3://b", "b/k/l"),
        ("s3://127.0.0.1:9/b/k", "s3://b", "b/k"),
        ("gs://b/k", "gs://b", "b/k"),
        ("az://account/c/k", "az://c", "c/k"),
    ];
    expected.iter().for_each(|(text, ..)| done(Verb::Get, text, 1));
    oplog::finalize().unwrap();
    for (row, (_, endpoint, file)) in rows(log).iter().zip(expected) {
        assert_eq!((row[6].as_str(), row[7].as_str()), (endpoint, file));
    }
}

#[test]
fn every_scheme_has_its_place_in_the_statistics() {
    assert_eq!(STORES.len(), Scheme::ALL.len());
    for scheme in Scheme::ALL {
        assert!(STORES.contains(&scheme.name()));
    }
}

#[test]
fn spans_become_rows_and_figures() {
    let place = Place::new();
    let log = place.path("ops");
    oplog::init(&format!("file://{log}")).unwrap();
    let before = SystemTime::now();
    let mut span = observe::begin(Verb::Get, &uri("gs://spans/k"));
    thread::sleep(Duration::from_millis(5));
    span.first_byte();
    thread::sleep(Duration::from_millis(5));
    span.first_byte();
    span.end(12, &Ok(()));
    let mut span = observe::begin(Verb::DeleteBatch, &uri("gs://spans/"));
    span.objects(9);
    span.end(0, &Ok(()));
    let missing = StoreError::NotFound { uri: "gs://spans/k".into(), detail: "no\tsuch\r\nkey".into() };
    observe::begin(Verb::Head, &uri("gs://spans/k")).end::<()>(0, &Err(missing));
    drop(observe::begin(Verb::List, &uri("gs://spans/")));
    let after = SystemTime::now();
    oplog::finalize().unwrap();

    let rows = rows(log);
    let column = |at: usize| rows.iter().map(|row| row[at].as_str()).collect::<Vec<_>>();
    assert_eq!(column(0), ["0", "1", "2", "3"]);
    assert_eq!(column(2), ["GET", "DELETE_BATCH", "HEAD", "LIST"]);
    assert_eq!(column(4), ["1", "9", "1", "1"]);
    assert_eq!(column(5), ["12", "0", "0", "0"]);
    assert_eq!(column(8), ["", "", "gs://spans/k: not found (no such  key)", "broken off"]);
    let time = |text: &str| SystemTime::from(DateTime::parse_from_rfc3339(text).unwrap());
    let (start, first, end) = (time(&rows[0][9]), time(&rows[0][10]), time(&rows[0][11]));
    assert!(before <= start && end <= after + Duration::from_millis(1));
    assert!(first >= start + Duration::from_millis(5) && end >= first + Duration::from_millis(5));
    assert_eq!(end.duration_since(start).unwrap().as_nanos().to_string(), rows[0][12]);

    let figures = stats::snapshot();
    let of = |verb| figures.iter().find(|figures| figures.store == "gs" && figures.verb == verb).unwrap();
    assert!(of(Verb::Get).bytes >= 12 && of(Verb::Head).errors >= 1 && of(Verb::List).errors >= 1);
}

#[test]
fn names_with_separators_stay_in_their_column() {
    let place = Place::new();
    let log = place.path("ops");
    oplog::init(&log).unwrap();
    done(Verb::Get, "file:///tmp/a\tb\nc\rd", 1);
    oplog::finalize().unwrap();
    assert_eq!(rows(log)[0][7], "/tmp/a%09b%0Ac%0Dd");
}

#[test]
fn secrets_in_errors_are_left_out() {
    let place = Place::new();
    let log = place.path("ops");
    oplog::init(&log).unwrap();
    let error = StoreError::Store { uri: "az://c/k".into(), detail: "GET https://h/c/k?sv=1&sig=abc failed".into() };
    observe::begin(Verb::Get, &uri("az://a/c/k")).end::<()>(0, &Err(error));
    oplog::finalize().unwrap();
    assert_eq!(rows(log)[0][8], "az://c/k: GET https://h/c/k?sv=1&sig=*** failed");
}

#[test]
fn no_row_of_any_thread_is_lost() {
    let place = Place::new();
    let log = place.path("ops.tsv.zst");
    oplog::init(&log).unwrap();
    let work = |thread: u64| (0..20_000).for_each(|at| done(Verb::Get, &format!("s3://b/{thread}/{at}"), at));
    thread::scope(|scope| (0..4).for_each(|thread| drop(scope.spawn(move || work(thread)))));
    oplog::finalize().unwrap();
    let rows = rows(&log);
    assert_eq!(rows.len(), 80_000);
    assert!(rows.iter().enumerate().all(|(at, row)| row.len() == 13 && row[0] == at.to_string()));
    let files: HashSet<&str> = rows.iter().map(|row| row[7].as_str()).collect();
    assert_eq!(files.len(), 80_000);
    let threads: HashSet<&str> = rows.iter().map(|row| row[1].as_str()).collect();
    assert_eq!(threads.len(), 4);
    let summary = summary::summarise(&log).unwrap();
    assert_eq!((summary.operations, summary.bytes), (80_000, 4 * (0..20_000).sum::<u64>()));
}

#[test]
fn one_log_after_the_other() {
    let place = Place::new();
    assert!(!oplog::is_active());
    oplog::finalize().unwrap();
    done(Verb::Get, "s3://b/before", 1);
    for name in ["one", "two", "one"] {
        let log = place.path(name);
        oplog::init(&log).unwrap();
        assert!(oplog::is_active());
        let error = oplog::init(&place.path("other")).unwrap_err();
        assert!(matches!(&error, StoreError::Config { expected, .. } if expected.contains(&log)), "{error}");
        done(Verb::Put, &format!("s3://b/{name}"), 1);
        oplog::finalize().unwrap();
        assert!(!oplog::is_active());
        done(Verb::Get, "s3://b/between", 1);
        assert_eq!(rows(&log).iter().map(|row| row[7].as_str()).collect::<Vec<_>>(), [format!("b/{name}")]);
    }
    assert_eq!(place.files().len(), 2);
}

#[test]
fn an_empty_log_has_its_header_at_once() {
    let place = Place::new();
    let log = place.path("ops");
    oplog::init(&log).unwrap();
    let summary = summary::summarise(&log).unwrap();
    assert_eq!((summary.operations, summary.complete, summary.start.as_str()), (0, false, ""));
    oplog::finalize().unwrap();
    assert_eq!(rows(&log), Vec::<Vec<String>>::new());
    assert!(summary::summarise(&log).unwrap().complete);
}

#[test]
fn rows_can_be_read_a_second_later_while_the_log_goes_on() {
    let place = Place::new();
    let log = place.path("ops");
    oplog::init(&log).unwrap();
    done(Verb::Get, "s3://b/k", 5);
    let began = Instant::now();
    while summary::summarise(&log).unwrap().operations == 0 {
        assert!(began.elapsed() < Duration::from_secs(8), "not flushed");
        thread::sleep(Duration::from_millis(20));
    }
    assert!(!summary::summarise(&log).unwrap().complete);
    oplog::finalize().unwrap();
}

#[test]
fn places_that_cannot_be_written() {
    let place = Place::new();
    for (at, expected) in [
        ("s3://bucket/log", "local file"),
        ("", "path"),
        ("ftp://x", "scheme"),
        (&place.path("no/such/folder"), "not found"),
        (&place.path("."), "directory"),
    ] {
        let error = oplog::init(at).unwrap_err().to_string();
        assert!(error.contains(expected), "{at}: {error}");
        assert!(!oplog::is_active());
    }
}

#[test]
fn a_full_disk_is_told_at_the_end_and_stops_no_operation() {
    let _place = Place::new();
    // The header alone fails here: this device is always full.
    let error = oplog::init("/dev/full").unwrap_err().to_string();
    assert!(error.contains("space"), "{error}");
    assert!(!oplog::is_active());
}

fn in_child(job: impl FnOnce() -> bool) -> u32 {
    // SAFETY: the child only uses what this library promises to work after a fork, and leaves by `_exit`.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: sets a timer of the child.
        unsafe { libc::alarm(20) };
        let good = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job)).unwrap_or(false);
        // SAFETY: ends the child without running the exit handlers of the test harness.
        unsafe { libc::_exit(i32::from(!good)) };
    }
    let mut status = 0;
    // SAFETY: `child` is ours and has not been waited for.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0);
    child as u32
}

#[test]
fn forked_children_have_files_of_their_own() {
    let place = Place::new();
    let log = place.path("ops.tsv.zst");
    oplog::init(&log).unwrap();
    done(Verb::Get, "s3://b/parent", 1);
    let silent = in_child(|| oplog::is_active() && oplog::finalize().is_ok());
    let busy = in_child(|| {
        done(Verb::Put, "s3://b/child", 2);
        done(Verb::Put, "s3://b/child", 2);
        let grandchild = in_child(|| {
            done(Verb::List, "s3://b/grandchild", 0);
            oplog::finalize().is_ok() && !oplog::is_active()
        });
        let own = place.path("own");
        grandchild > 0
            && oplog::finalize().is_ok()
            && oplog::init(&own).is_ok()
            && oplog::finalize().is_ok()
            && rows(&own).is_empty()
    });
    let replaced = in_child(|| {
        // Without an operation first: in place of the log that it was born with.
        oplog::init(&place.path("replaced")).unwrap();
        done(Verb::Head, "s3://b/replaced", 0);
        oplog::finalize().is_ok()
    });
    done(Verb::Get, "s3://b/parent", 1);
    oplog::finalize().unwrap();

    assert_eq!(rows(&log).len(), 2);
    assert_eq!(rows(place.path("replaced")).len(), 1);
    assert_eq!(rows(place.path(&format!("ops.{busy}.tsv.zst"))).len(), 2);
    let files = place.files();
    assert!([silent, replaced].iter().all(|pid| !files.contains(&place.path(&format!("ops.{pid}.tsv.zst")).into())));
    let logs: Vec<String> =
        files.iter().map(|path| path.to_str().unwrap().to_owned()).filter(|path| path.contains("/ops.")).collect();
    let all: Vec<&str> = logs.iter().map(String::as_str).collect();
    assert_eq!(all.len(), 3, "{all:?}");
    let summary = summary::summarise_all(&all).unwrap();
    assert_eq!((summary.operations, summary.bytes, summary.complete), (5, 6, true));
}

#[test]
fn a_child_that_finds_its_name_taken_takes_another() {
    let place = Place::new();
    oplog::init(&place.path("log")).unwrap();
    let child = in_child(|| {
        std::fs::write(place.path(&format!("log.{}", std::process::id())), b"of an earlier run").unwrap();
        done(Verb::Get, "s3://b/k", 1);
        oplog::finalize().is_ok()
    });
    oplog::finalize().unwrap();
    assert_eq!(rows(place.path(&format!("log.{child}-1"))).len(), 1);
    assert_eq!(std::fs::read(place.path(&format!("log.{child}"))).unwrap(), b"of an earlier run");
}

/// Writes a log of the given rows: seconds of start and duration, verb, bytes, error.
fn written(place: &Place, all: &[(f64, f64, Verb, u64, Option<&str>)]) -> String {
    let mut text = format!("{HEADER}\n").into_bytes();
    for (at, &(start, took, verb, bytes, error)) in all.iter().enumerate() {
        let row = Row {
            verb,
            uri: uri(&format!("s3://b/{at}")),
            objects: 1,
            bytes,
            error: error.map(|error| format!("s3://b/{at}: {error}")),
            start: SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000) + Duration::from_secs_f64(start),
            first_byte: None,
            took: Duration::from_secs_f64(took),
            thread: 1,
        };
        row.line(&mut text, at as u64, "");
    }
    let path = place.path("made.tsv.zst");
    std::fs::write(&path, zstd::encode_all(&*text, 1).unwrap()).unwrap();
    path
}

#[test]
fn a_summary_has_the_quantiles_rates_and_errors() {
    let place = Place::new();
    let mut all: Vec<_> =
        (0..100).map(|at| (f64::from(at), f64::from(at + 1) / 100.0, Verb::Get, 1000, None)).collect();
    all.extend([(0.0, 0.5, Verb::Head, 0, Some("gone")), (1.0, 0.5, Verb::Head, 0, Some("gone"))]);
    let summary = summary::summarise(&written(&place, &all)).unwrap();
    assert_eq!((summary.operations, summary.failed, summary.bytes), (102, 2, 100_000));
    assert_eq!(summary.start, "2023-11-14T22:13:20.000000000Z");
    assert_eq!(summary.end, "2023-11-14T22:15:00.000000000Z");
    assert!((summary.seconds - 100.0).abs() < 1e-9);
    let get = &summary.verbs["GET"];
    assert_eq!((get.operations, get.failed, get.objects), (100, 0, 100));
    let found = &get.latency;
    for (found, expected) in [
        (found.min, 0.01),
        (found.p50, 0.5),
        (found.p90, 0.9),
        (found.p99, 0.99),
        (found.max, 1.0),
        (found.mean, 0.505),
    ] {
        assert!((found - expected).abs() < 1e-6, "{found} for {expected}");
    }
    assert!((get.operations_per_second - 1.0).abs() < 1e-6 && (get.bytes_per_second - 1000.0).abs() < 1e-6);
    assert_eq!(get.first_byte.as_ref().unwrap().p50, found.p50);
    assert_eq!(summary.verbs["HEAD"].first_byte, None);
    assert_eq!(summary.endpoints["s3://b"].operations, 102);
    let errors: Vec<_> =
        summary.errors.iter().map(|error| (error.verb.as_str(), error.error.as_str(), error.count)).collect();
    assert_eq!(errors, [("HEAD", "gone", 2)]);
}

#[test]
fn throughput_spreads_the_bytes_of_long_operations() {
    let place = Place::new();
    let all = [(0.0, 1.0, Verb::Get, 1000, None), (0.25, 0.0, Verb::Put, 7, None)];
    let series = summary::summarise(&written(&place, &all)).unwrap().throughput;
    assert!((series.interval - 0.1).abs() < 1e-9);
    let gets = &series.bytes["GET"];
    assert!(gets[..10].iter().all(|bytes| (bytes - 100.0).abs() < 1e-6), "{gets:?}");
    assert!((gets.iter().sum::<f64>() - 1000.0).abs() < 1e-6);
    assert_eq!(series.bytes["PUT"].iter().position(|&bytes| bytes > 0.0), Some(2));
    assert_eq!(series.operations["GET"], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);

    let long = [(0.0, 1.0, Verb::Get, 1, None), (100_000.0, 1.0, Verb::Get, 1, None)];
    let series = summary::summarise(&written(&place, &long)).unwrap().throughput;
    assert!(series.operations["GET"].len() <= 200);
    assert_eq!(series.operations["GET"].iter().sum::<u64>(), 2);
}

#[test]
fn what_is_no_log_is_refused() {
    let place = Place::new();
    let compressed = |text: &str| {
        let path = place.path("bad");
        std::fs::write(&path, zstd::encode_all(text.as_bytes(), 1).unwrap()).unwrap();
        path
    };
    let refused = |path: &str, reason: &str| {
        let error = summary::summarise(path).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    };
    refused(&compressed("a\tb\n"), "line 1");
    refused(&compressed(""), "line 1");
    refused(&compressed(&format!("{HEADER}\n1\t2\n")), "line 2");
    std::fs::write(place.path("text"), "plain text, not compressed").unwrap();
    refused(&place.path("text"), "text");
    refused(&place.path("missing"), "not found");
    std::fs::write(place.path("empty"), "").unwrap();
    refused(&place.path("empty"), "empty");
}

/// What every operation pays while nobody logs, beyond its two looks at the clock, whose price is the machine's.
#[test]
fn a_span_costs_next_to_nothing_without_a_log() {
    const CALLS: u32 = 10_000;
    let _place = Place::new();
    let uri = uri("s3://bucket/some/key/that/would/have/to/be/copied");
    let result: Result<()> = Ok(());
    // The fastest round, because other programs share the machine.
    let fastest = |call: &dyn Fn()| {
        let round = || {
            let began = Instant::now();
            (0..CALLS).for_each(|_| call());
            began.elapsed() / CALLS
        };
        (0..50).map(|_| round()).min().unwrap()
    };
    let span = fastest(&|| observe::begin(Verb::Get, &uri).end(4096, &result));
    let clock = fastest(&|| {
        std::hint::black_box((Instant::now(), Instant::now()));
    });
    // A build for debugging is several times slower.
    let limit = Duration::from_nanos(if cfg!(debug_assertions) { 2000 } else { 100 });
    assert!(span.saturating_sub(clock) < limit, "{span:?}, of which {clock:?} for the clock");
}

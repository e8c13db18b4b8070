//! Reading at any place: local files, a store in memory, and S3 with its requests counted.

#![allow(clippy::single_range_in_vec_init, reason = "ranges are the items here")]

use std::ops::Range;

use crate::common::{Store, content, file, in_child, open, put, run};
use s3dlio_records::Input;
use s3dlio_runtime::stats::{self, Counter};
use s3dlio_store::{StoreError, Uri, Work};

const SIZE: usize = 300_000;

fn slices(data: &[u8], ranges: &[Range<u64>]) -> Vec<Vec<u8>> {
    ranges.iter().map(|range| data[range.start as usize..range.end as usize].to_vec()).collect()
}

/// One object of each kind of store.
fn everywhere(check: impl Fn(&Input, &[u8])) {
    let data = content(SIZE);
    let folder = tempfile::tempdir().unwrap();
    let store = Store::start();
    let memory = Uri::parse("memory://input/key").unwrap();
    put(&memory, &data);
    let local = file(&folder, "data", &data);
    let direct = Uri { scheme: s3dlio_store::Scheme::Direct, ..local.clone() };
    for uri in [local, direct, memory, store.put("key", &data)] {
        check(&open(&uri), &data);
    }
}

#[test]
fn a_range_is_read_exactly() {
    everywhere(|input, data| {
        assert_eq!(input.size(), SIZE as u64);
        for range in [0..SIZE as u64, 0..1, 4095..4097, 299_999..300_000, 0..0, 300_000..300_000] {
            let read = run(input.read(range.clone())).unwrap();
            assert_eq!(read, &data[range.start as usize..range.end as usize], "{input:?} {range:?}");
        }
    });
}

#[test]
fn many_ranges_come_in_their_order() {
    everywhere(|input, data| {
        let ranges =
            vec![5000..5100, 0..100, 250_000..300_000, 100..100, 50..150, 0..100, 5100..5101, 80_000..80_010, 9..8192];
        let read = run(input.read_many(ranges.clone())).unwrap();
        assert_eq!(read, slices(data, &ranges), "{input:?}");
        assert_eq!(run(input.read_many(Vec::new())).unwrap(), Vec::<bytes::Bytes>::new());
    });
}

#[test]
fn a_range_outside_the_object_is_refused_before_any_request() {
    everywhere(|input, _| {
        for range in [299_990..300_010, 300_001..300_001, u64::MAX - 1..u64::MAX] {
            let error = input.read(range.clone()).unwrap_err();
            let StoreError::Corrupt { uri, detail } = &error else { panic!("{error:?}") };
            assert_eq!(uri, &input.uri().to_string());
            let expected = range.end - range.start;
            assert!(detail.contains(&format!("at byte {}", range.start)), "{detail}");
            assert!(detail.contains(&format!("expected {expected}")), "{detail}");
            assert!(input.read_many(vec![0..1, range]).is_err());
        }
    });
    let store = Store::start();
    let input = open(&store.put("key", &content(SIZE)));
    let (refused, counts) = store.counted(|| input.read_many(vec![0..1, 299_990..300_010]).is_err());
    assert!(refused);
    assert_eq!(counts, [].into());
}

#[test]
fn small_local_reads_stay_on_the_calling_thread_and_share_memory() {
    let folder = tempfile::tempdir().unwrap();
    let data = content(SIZE);
    let input = open(&file(&folder, "data", &data));
    assert!(input.is_local());
    assert!(matches!(input.read(0..1000).unwrap(), Work::Here(_)));
    assert!(matches!(input.read_many(vec![0..1000]).unwrap(), Work::Here(_)));
    let both = input.read_many_now(&[0..100, 200_000..200_100]).unwrap();
    assert_eq!(both[0].as_ptr().wrapping_add(100), both[1].as_ptr());
    let mut memory = vec![0; 500];
    input.read_into_now(1234, &mut memory).unwrap();
    assert_eq!(memory, &data[1234..1734]);
}

#[test]
fn a_local_input_keeps_the_file_that_was_opened() {
    let folder = tempfile::tempdir().unwrap();
    let uri = file(&folder, "data", b"first version");
    let input = open(&uri);
    put(&uri, b"another one");
    assert_eq!(input.read_now(0..5).unwrap(), b"first".as_slice());
}

#[test]
fn a_file_that_shrinks_is_an_error_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let uri = file(&folder, "data", &content(10_000));
    let input = open(&uri);
    std::fs::OpenOptions::new().write(true).open(&uri.key).unwrap().set_len(4000).unwrap();
    for error in [
        input.read_now(3000..6000).unwrap_err(),
        input.read_many_now(&[3000..6000]).unwrap_err(),
        input.read_many_now(&[0..10, 3000..6000]).unwrap_err(),
        input.read_into_now(3000, &mut [0; 3000]).unwrap_err(),
    ] {
        let text = error.to_string();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{text}");
        assert!(text.contains(&uri.to_string()) && text.contains("at byte 3000 of 10000"), "{text}");
        assert!(text.contains("found 1000 bytes, expected 3000"), "{text}");
    }
}

#[test]
fn opening_costs_one_request_and_neighbours_share_one() {
    let store = Store::start();
    let uri = store.put("key", &content(SIZE));
    let (input, counts) = store.counted(|| open(&uri));
    assert_eq!(counts, [("HeadObject".to_owned(), 1)].into());
    // Two groups: the gap between them is larger than 64 KiB, those inside are not.
    let ranges = vec![10..20, 60_000..60_010, 0..5, 200_000..200_010, 250_000..250_001];
    let (read, counts) = store.counted(|| run(input.read_many(ranges)).unwrap());
    assert_eq!(read.len(), 5);
    assert_eq!(counts, [("GetObject".to_owned(), 2)].into());
    let mut asked = store.ranges();
    asked.sort();
    assert_eq!(asked, ["bytes=0-60009", "bytes=200000-250000"]);
}

#[test]
fn requests_and_bytes_are_counted() {
    let store = Store::start();
    let folder = tempfile::tempdir().unwrap();
    for uri in [store.put("key", &content(SIZE)), file(&folder, "data", &content(SIZE))] {
        let input = open(&uri);
        let figures = || (stats::value(Counter::GetRequests), stats::value(Counter::GetBytes));
        let (requests, bytes) = figures();
        run(input.read(1000..3000)).unwrap();
        let now = figures();
        // Other tests of this process count as well.
        assert!(now.0 > requests && now.1 >= bytes + 2000, "{now:?}");
    }
}

#[test]
fn several_requests_are_in_flight() {
    let store = Store::start();
    let uri = store.put("key", &content(SIZE * 10));
    let input = open(&uri);
    // Slow enough that a busy machine begins the next ones meanwhile.
    let stall = serde_json::json!([{"operation": "GetObject", "action": {"kind": "stall", "seconds": 0.2}}]);
    store.0.faults(serde_json::from_value(stall).unwrap()).unwrap();
    let ranges = (0..20).map(|at| at * 140_000..at * 140_000 + 100).collect();
    let (_, counts) = store.counted(|| run(input.read_many(ranges)).unwrap());
    assert_eq!(counts["GetObject"], 20);
    assert!(store.0.counts().most_at_once > 1);
}

#[test]
fn an_object_that_is_replaced_is_an_error_and_never_a_mixture() {
    let store = Store::start();
    let uri = store.put("key", &content(SIZE));
    let input = open(&uri);
    run(input.read(0..10)).unwrap();
    put(&uri, &content(SIZE + 1));
    for error in [run(input.read(0..10)).unwrap_err(), run(input.read_many(vec![0..10])).unwrap_err()] {
        assert!(matches!(&error, StoreError::Precondition { uri: named, .. } if *named == uri.to_string()), "{error}");
        assert!(error.to_string().contains("replaced after it was opened"), "{error}");
    }
}

#[test]
fn what_cannot_be_opened_says_why() {
    let store = Store::start();
    let folder = tempfile::tempdir().unwrap();
    for missing in [store.uri("missing"), crate::common::file_uri(&folder, "missing")] {
        assert!(matches!(run(Input::open(&missing)), Err(StoreError::NotFound { .. })), "{missing}");
    }
    for directory in [store.uri("folder/"), crate::common::file_uri(&folder, "")] {
        assert!(matches!(run(Input::open(&directory)), Err(StoreError::Unsupported { .. })), "{directory}");
    }
}

#[test]
fn an_input_works_in_a_forked_child_and_then_still_here() {
    let store = Store::start();
    let folder = tempfile::tempdir().unwrap();
    let data = content(SIZE);
    let inputs = [open(&file(&folder, "data", &data)), open(&store.put("key", &data))];
    inputs.iter().for_each(|input| assert_eq!(run(input.read(0..10)).unwrap(), &data[..10]));
    let ranges = vec![5..10, 200_000..200_100];
    let child = in_child(|| {
        inputs.iter().all(|input| {
            let one = run(input.read(100..200)).unwrap() == data[100..200];
            one && run(input.read_many(ranges.clone())).unwrap() == slices(&data, &ranges)
        })
    });
    assert_eq!(child, 0);
    inputs.iter().for_each(|input| assert_eq!(run(input.read(0..10)).unwrap(), &data[..10]));
}

#[test]
fn memory_is_refused_in_a_forked_child() {
    let uri = Uri::parse("memory://forked/key").unwrap();
    put(&uri, b"content");
    let input = open(&uri);
    let refused = || matches!(input.read(0..1), Err(StoreError::Forked { .. }));
    assert_eq!(in_child(refused), 0);
    assert_eq!(run(input.read(0..1)).unwrap(), b"c".as_slice());
}

//! Records in order: from every store, compressed and not, damaged and cut short.

use crate::common::tfrecord::{attempt, compressed, file_of, records};
use crate::common::{Store, file, in_child, put, run};
use bytes::Bytes;
use s3dlio_formats::FormatError;
use s3dlio_formats::tfrecord::compression::Compression;
use s3dlio_formats::tfrecord::{TfRecordError, header};
use s3dlio_records::RecordError;
use s3dlio_records::tfrecord::{Position, Stream, StreamOptions};
use s3dlio_store::{StoreError, Uri};

const KINDS: [Compression; 3] = [Compression::None, Compression::Gzip, Compression::Zlib];

/// All records, and how the stream ended.
fn read(uri: &Uri, options: StreamOptions) -> (Vec<Bytes>, Result<(), RecordError>) {
    let stream = run(Stream::open(uri, options)).unwrap();
    let mut all = Vec::new();
    loop {
        match attempt(stream.batch()) {
            Ok(batch) if batch.is_empty() => return (all, Ok(())),
            Ok(batch) => all.extend(batch),
            Err(error) => return (all, Err(error)),
        }
    }
}

/// The same content in each kind of store.
fn everywhere(content: &[u8], check: impl Fn(&Uri)) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::start();
    // The memory is that of the process, where other tests have their content.
    let memory = Uri::parse(&format!("memory://stream{}/key", folder.path().display())).unwrap();
    put(&memory, content);
    let local = file(&folder, "data", content);
    let direct = Uri { scheme: s3dlio_store::Scheme::Direct, ..local.clone() };
    [local, direct, memory, store.put("key", content)].iter().for_each(check);
}

#[test]
fn records_come_in_order_from_every_store_and_compression() {
    // Windows are 4 MiB: records across their borders, longer than one, and many in one.
    let mut lengths = vec![0, 1, 5_000_000, 12, 4 << 20, 3];
    lengths.extend((0..10_000).map(|number| number % 300));
    let expected = records(lengths);
    let plain = file_of(&expected);
    for kind in KINDS {
        everywhere(&compressed(kind, &plain), |uri| {
            for compression in [None, Some(kind)] {
                let (found, end) = read(uri, StreamOptions { compression, ..StreamOptions::default() });
                assert!(end.is_ok(), "{uri} {kind:?} {end:?}");
                assert!(found == expected, "{uri} {kind:?}");
            }
        });
    }
}

#[test]
fn an_empty_file_has_no_records() {
    everywhere(b"", |uri| {
        for compression in [None, Some(Compression::Gzip), Some(Compression::None)] {
            let (found, end) = read(uri, StreamOptions { compression, ..StreamOptions::default() });
            assert!(found.is_empty() && end.is_ok(), "{uri} {end:?}");
        }
    });
}

#[test]
fn damage_ends_the_stream_behind_all_records_before_it() {
    let plain = file_of(&records([100, 200, 300]));
    // The second record begins at byte 116 and the third at 332.
    for (at, record, offset) in [(116, 1, 116), (130, 1, 116), (331, 1, 116), (340, 2, 332), (647, 2, 332)] {
        let mut damaged = plain.clone();
        damaged[at] ^= 1;
        for kind in KINDS {
            everywhere(&compressed(kind, &damaged), |uri| {
                let (found, end) = read(uri, StreamOptions::default());
                let error = end.unwrap_err();
                assert_eq!(found.len() as u64, record);
                assert_eq!((error.place().record, error.place().offset), (Some(record), Some(offset)), "{error}");
                assert_eq!(error.uri(), uri.to_string());
            });
        }
    }
}

#[test]
fn a_failed_stream_says_so_again() {
    let folder = tempfile::tempdir().unwrap();
    let uri = file(&folder, "data", &file_of(&records([100]))[..50]);
    let stream = run(Stream::open(&uri, StreamOptions::default())).unwrap();
    let first = attempt(stream.batch()).unwrap_err().to_string();
    assert_eq!(attempt(stream.batch()).unwrap_err().to_string(), first);
}

#[test]
fn a_file_cut_anywhere_is_an_error() {
    let plain = file_of(&records([100, 200]));
    for end in [1, 11, 12, 50, 115, 117, 128, 200, plain.len() - 1] {
        everywhere(&plain[..end], |uri| {
            let (found, result) = read(uri, StreamOptions::default());
            let (record, offset) = if end < 116 { (0, 0) } else { (1, 116) };
            let error = result.unwrap_err();
            assert_eq!(found.len() as u64, record);
            assert_eq!((error.place().record, error.place().offset), (Some(record), Some(offset)), "{end}: {error}");
        });
    }
    for kind in [Compression::Gzip, Compression::Zlib] {
        let packed = compressed(kind, &plain);
        everywhere(&packed[..packed.len() - 3], |uri| {
            let (found, result) = read(uri, StreamOptions::default());
            let error = result.unwrap_err();
            assert!(found.len() <= 2 && error.to_string().contains(kind.name()), "{error}");
        });
    }
}

#[test]
fn an_absurd_length_is_neither_allocated_nor_fetched() {
    let mut content = header(1 << 60).to_vec();
    content.resize(10 << 20, 0);
    let store = Store::start();
    let uri = store.put("absurd", &content);
    let ((found, end), counts) = store.counted(|| read(&uri, StreamOptions::default()));
    let RecordError::Format { source: FormatError::TfRecord(error), .. } = end.unwrap_err() else { panic!() };
    let found_bytes = (10 << 20) - 12;
    assert_eq!(error, TfRecordError::Truncated { length: 1 << 60, found: found_bytes });
    assert!(found.is_empty() && counts["GetObject"] <= 3, "{counts:?}");
    let packed = compressed(Compression::Gzip, &content);
    let (_, end) = read(&store.put("packed", &packed), StreamOptions::default());
    let RecordError::Format { source: FormatError::TfRecord(error), .. } = end.unwrap_err() else { panic!() };
    assert_eq!(error, TfRecordError::Truncated { length: 1 << 60, found: found_bytes });
}

#[test]
fn checksums_are_not_compared_on_request() {
    let mut content = file_of(&records([100]));
    content[50] ^= 1;
    everywhere(&content, |uri| {
        let (found, end) = read(uri, StreamOptions { verify: false, ..StreamOptions::default() });
        assert!(found.len() == 1 && end.is_ok());
    });
}

#[test]
fn windows_are_read_ahead_and_each_byte_once() {
    let store = Store::start();
    let content = file_of(&records([1_000_000; 30]));
    let uri = store.put("key", &content);
    let ((found, end), counts) = store.counted(|| read(&uri, StreamOptions::default()));
    assert!(found.len() == 30 && end.is_ok());
    assert_eq!((counts["HeadObject"], counts["GetObject"]), (1, 8));
}

#[test]
fn a_stream_goes_on_from_any_record() {
    let expected = records((0..6000).map(|number| number % 2000));
    let plain = file_of(&expected);
    for kind in KINDS {
        everywhere(&compressed(kind, &plain), |uri| {
            let mut offset = 0;
            for (number, record) in expected.iter().enumerate() {
                if [0, 1, 2999, 5999].contains(&number) {
                    let start = Position { record: number as u64, offset };
                    let (found, end) = read(uri, StreamOptions { start, ..StreamOptions::default() });
                    assert!(end.is_ok() && found == expected[number..], "{uri} {kind:?} {number}");
                }
                offset += record.len() as u64 + 16;
            }
            let start = Position { record: 6000, offset };
            let (found, end) = read(uri, StreamOptions { start, ..StreamOptions::default() });
            assert!(end.is_ok() && found.is_empty(), "{uri} {kind:?}");
            let start = Position { record: 6001, offset: offset + 16 };
            let (found, end) = read(uri, StreamOptions { start, ..StreamOptions::default() });
            assert!(end.unwrap_err().to_string().contains("ends before record 6001") && found.is_empty());
        });
    }
}

#[test]
fn a_stream_stays_in_the_process_that_opened_it() {
    let store = Store::start();
    let uri = store.put("key", &file_of(&records([1_000_000; 30])));
    let stream = run(Stream::open(&uri, StreamOptions::default())).unwrap();
    assert!(!attempt(stream.batch()).unwrap().is_empty());
    let child = in_child(|| {
        let refused = matches!(stream.batch(), Err(RecordError::Store(StoreError::Forked { .. })));
        drop(stream.clone());
        refused && read(&uri, StreamOptions::default()).0.len() == 30
    });
    assert_eq!(child, 0);
    assert!(!attempt(stream.batch()).unwrap().is_empty());
}

#[test]
fn one_call_at_a_time_reads_from_a_stream() {
    let store = Store::start();
    let uri = store.put("key", &file_of(&records([10; 30])));
    let stream = run(Stream::open(&uri, StreamOptions::default())).unwrap();
    let first = stream.batch().unwrap();
    assert!(matches!(stream.batch(), Err(RecordError::Closed { .. })));
    assert_eq!(run(Ok(first)).unwrap().unwrap().len(), 30);
    drop(stream.batch().unwrap());
    assert!(matches!(stream.batch(), Err(RecordError::Closed { .. })), "a call that was given up lost its place");
}

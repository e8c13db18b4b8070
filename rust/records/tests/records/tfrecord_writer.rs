//! Writing files and their indexes.

use crate::common::tfrecord::{attempt, file_of, index_of, records};
use crate::common::{Store, file_uri, in_child, open, run};
use s3dlio_formats::tfrecord::compression::Compression;
use s3dlio_records::tfrecord::{Stream, StreamOptions, Writer, WriterOptions};
use s3dlio_records::{Input, RecordError};
use s3dlio_store::{StoreError, Uri};

fn everywhere(check: impl Fn(&Uri)) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::start();
    for uri in [file_uri(&folder, "key"), Uri::parse("memory://writer/key").unwrap(), store.uri("key")] {
        check(&uri);
    }
}

fn write(writer: &Writer, records: &[Vec<u8>]) {
    for record in records {
        if writer.append(record).unwrap() {
            attempt(writer.pass_on()).unwrap();
        }
    }
}

fn content(uri: &Uri) -> Vec<u8> {
    let input = open(uri);
    run(input.read(0..input.size())).unwrap().to_vec()
}

fn is_missing(uri: &Uri) -> bool {
    matches!(run(Input::open(uri)), Err(StoreError::NotFound { .. }))
}

#[test]
fn a_file_and_its_index_appear_when_they_are_finished() {
    let lengths: Vec<_> = (0..5000).map(|number| number % 700).collect();
    let records = records(lengths.clone());
    everywhere(|uri| {
        let index = uri.with_key(format!("{}.idx", uri.key));
        let options = WriterOptions { index: Some(index.clone()), ..WriterOptions::default() };
        let writer = Writer::create(uri, &options).unwrap();
        write(&writer, &records);
        assert_eq!((writer.records(), writer.bytes()), (5000, file_of(&records).len() as u64));
        assert!(is_missing(uri) && is_missing(&index) && !writer.is_closed());
        assert_eq!(attempt(writer.finish()).unwrap(), 5000);
        assert!(content(uri) == file_of(&records), "{uri}");
        assert_eq!(String::from_utf8(content(&index)).unwrap(), index_of(lengths.clone()));
        assert!(writer.is_closed());
        assert!(matches!(writer.append(b"more"), Err(RecordError::Closed { .. })));
        assert!(matches!(writer.finish(), Err(RecordError::Closed { .. })));
    });
}

#[test]
fn compressed_files_are_read_back() {
    let records = records((0..2000).map(|number| number % 1000));
    for (compression, level) in [(Compression::Gzip, None), (Compression::Zlib, Some(1)), (Compression::Gzip, Some(0))]
    {
        everywhere(|uri| {
            let options = WriterOptions { compression, level, index: None };
            let writer = Writer::create(uri, &options).unwrap();
            write(&writer, &records);
            attempt(writer.flush()).unwrap();
            attempt(writer.finish()).unwrap();
            assert_eq!(Compression::detect(&content(uri)[..12]), compression);
            let stream = run(Stream::open(uri, StreamOptions::default())).unwrap();
            let mut found = Vec::new();
            loop {
                let batch = attempt(stream.batch()).unwrap();
                if batch.is_empty() {
                    break;
                }
                found.extend(batch);
            }
            assert!(found == records);
        });
    }
}

#[test]
fn nothing_is_left_of_a_file_that_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let uri = file_uri(&folder, "key");
    let options = WriterOptions { index: Some(file_uri(&folder, "key.idx")), ..WriterOptions::default() };
    let writer = Writer::create(&uri, &options).unwrap();
    write(&writer, &vec![vec![1; 1_000_000]; 20]);
    attempt(writer.abort()).unwrap();
    assert!(writer.is_closed() && is_missing(&uri));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    assert!(matches!(writer.append(b"more"), Err(RecordError::Closed { .. })));
}

#[test]
fn options_that_cannot_work_are_refused() {
    let uri = Uri::parse("memory://writer/options").unwrap();
    let gzip = Compression::Gzip;
    for (compression, level, index, option) in [
        (Compression::None, Some(3), None, "level"),
        (gzip, Some(10), None, "level"),
        (gzip, None, Some(uri.with_key("index")), "index"),
        (Compression::None, None, Some(uri.clone()), "index"),
    ] {
        let error = Writer::create(&uri, &WriterOptions { compression, level, index }).unwrap_err();
        assert!(matches!(error, RecordError::Config { option: ref found, .. } if found == option), "{error}");
    }
}

#[test]
fn a_forked_child_cannot_write_to_its_parents_file() {
    let folder = tempfile::tempdir().unwrap();
    let uri = file_uri(&folder, "key");
    let writer = Writer::create(&uri, &WriterOptions::default()).unwrap();
    writer.append(b"parent").unwrap();
    let refused = || {
        let append = matches!(writer.append(b"child"), Err(RecordError::Store(StoreError::Forked { .. })));
        append && writer.finish().is_err() && writer.abort().is_err()
    };
    assert_eq!(in_child(refused), 0);
    attempt(writer.finish()).unwrap();
    assert_eq!(content(&uri), file_of(&[b"parent"]));
}

//! Records by their number, through an index.

use std::sync::Arc;

use crate::common::tfrecord::{attempt, compressed, file_of, index_of, records};
use crate::common::{Store, file, in_child, put};
use s3dlio_formats::tfrecord::compression::Compression;
use s3dlio_formats::tfrecord::index::{Entry, Verify};
use s3dlio_records::RecordError;
use s3dlio_records::tfrecord::{IndexFrom, Indexed, entries};
use s3dlio_store::{StoreError, Uri};

fn open(files: &[(Uri, IndexFrom)]) -> Result<Indexed, RecordError> {
    attempt(Indexed::open(files.to_vec(), true))
}

fn everywhere(check: impl Fn(&dyn Fn(&str, &[u8]) -> Uri)) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::start();
    check(&|name, content| file(&folder, name, content));
    check(&|name, content| store.put(name, content));
    check(&|name, content| {
        let uri = Uri::parse(&format!("memory://indexed/{name}")).unwrap();
        put(&uri, content);
        uri
    });
}

#[test]
fn records_are_found_by_their_number_over_several_files() {
    let lengths = |seed: usize| (0..100).map(move |number| (number * seed) % 5000);
    let contents = [3, 5, 7].map(|seed| records(lengths(seed)));
    let all: Vec<_> = contents.concat();
    everywhere(|make| {
        let files: Vec<_> = (0..3).map(|number| make(&format!("{number}"), &file_of(&contents[number]))).collect();
        let beside = make("1.idx", index_of(lengths(5)).as_bytes());
        let index = attempt(entries(&files[2], Verify::Auto)).unwrap();
        for indexes in [
            [IndexFrom::Headers, IndexFrom::Uri(beside.clone()), IndexFrom::Index(Arc::new(index.clone()))],
            [IndexFrom::Beside, IndexFrom::Beside, IndexFrom::Beside],
        ] {
            let opened = open(&files.iter().cloned().zip(indexes).collect::<Vec<_>>()).unwrap();
            assert_eq!(opened.len(), 300);
            let numbers = [299, 0, 100, 99, 150, 150, 1, 200, 42];
            let expected: Vec<_> = numbers.iter().map(|&number| all[number as usize].clone()).collect();
            assert_eq!(attempt(opened.read(&numbers)).unwrap(), expected);
            assert_eq!(attempt(opened.read(&[])).unwrap(), Vec::<bytes::Bytes>::new());
            let every: Vec<_> = (0..300).collect();
            assert!(attempt(opened.read(&every)).unwrap() == all);
            let (uri, entry) = opened.place(101).unwrap();
            assert_eq!((uri, entry), (&files[1], Entry { offset: 16, size: 5 + 16 }));
            let error = opened.read(&[5, 300]).unwrap_err();
            assert!(matches!(error, RecordError::OutOfRange { index: 300, length: 300, .. }), "{error}");
        }
    });
}

#[test]
fn neighbours_come_in_one_request_and_a_batch_in_few() {
    let store = Store::start();
    let uri = store.put("key", &file_of(&records(vec![1000; 10_000])));
    let index = store.put("key.idx", index_of(vec![1000; 10_000]).as_bytes());
    let (opened, counts) = store.counted(|| open(&[(uri.clone(), IndexFrom::Uri(index.clone()))]).unwrap());
    assert_eq!((counts["HeadObject"], counts["GetObject"]), (1, 1));
    let (_, counts) = store.counted(|| attempt(opened.read(&[10, 12, 11, 15])).unwrap());
    assert_eq!(counts, [("GetObject".to_owned(), 1)].into());
    // 64 KiB or less lie between 0, 60 and 120; the others are far away.
    let (_, counts) = store.counted(|| attempt(opened.read(&[5000, 0, 60, 120, 9999])).unwrap());
    assert_eq!(counts, [("GetObject".to_owned(), 3)].into());
}

#[test]
fn a_damaged_record_names_its_place() {
    let mut content = file_of(&records([100, 100, 100]));
    content[250] ^= 1;
    everywhere(|make| {
        let uri = make("damaged", &content);
        let opened = open(&[(uri.clone(), IndexFrom::Headers)]).unwrap();
        assert_eq!(attempt(opened.read(&[0, 1])).unwrap().len(), 2);
        let error = attempt(opened.read(&[0, 2])).unwrap_err();
        assert_eq!((error.uri(), error.place().record, error.place().offset), (&*uri.to_string(), Some(2), Some(232)));
        let unverified = attempt(Indexed::open(vec![(uri, IndexFrom::Headers)], false)).unwrap();
        assert_eq!(attempt(unverified.read(&[2])).unwrap()[0].len(), 100);
    });
}

#[test]
fn an_index_of_another_file_is_refused() {
    let content = file_of(&records([100, 200]));
    everywhere(|make| {
        let uri = make("file", &content);
        for (text, message) in [
            (index_of([100]), "ends at byte 116"),
            (index_of([100, 201]), "end at byte 333"),
            (index_of([100, 200, 50]), "end at byte 398"),
            ("0 10\n".to_owned(), "10 bytes"),
            ("zero\n".to_owned(), "line 1"),
        ] {
            let index = make("index", text.as_bytes());
            let error = open(&[(uri.clone(), IndexFrom::Uri(index.clone()))]).unwrap_err();
            assert!(error.to_string().contains(message) && error.uri() == index.to_string(), "{error}");
        }
        // One that only sizes tell: it is found when its records are read.
        let index = make("index", index_of([150, 150]).as_bytes());
        let opened = open(&[(uri.clone(), IndexFrom::Uri(index))]).unwrap();
        assert!(attempt(opened.read(&[0])).unwrap_err().to_string().contains("expected 166 from the index"));
        assert!(attempt(opened.read(&[1])).is_err());
    });
}

#[test]
fn what_is_missing_or_compressed_is_refused() {
    everywhere(|make| {
        let uri = make("file", &file_of(&records([100])));
        let missing = uri.with_key(format!("{}.missing", uri.key));
        for files in [[(missing.clone(), IndexFrom::Headers)], [(uri.clone(), IndexFrom::Uri(missing))]] {
            assert!(matches!(open(&files), Err(RecordError::Store(StoreError::NotFound { .. }))));
        }
        let packed = make("packed", &compressed(Compression::Gzip, &file_of(&records([100]))));
        assert!(open(&[(packed, IndexFrom::Headers)]).unwrap_err().to_string().contains("gzip"));
    });
}

#[test]
fn records_are_read_in_a_forked_child_too() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::start();
    let content = file_of(&records([100, 200, 300]));
    for uri in [file(&folder, "file", &content), store.put("file", &content)] {
        let opened = open(&[(uri, IndexFrom::Headers)]).unwrap();
        assert_eq!(attempt(opened.read(&[1])).unwrap()[0].len(), 200);
        assert_eq!(in_child(|| attempt(opened.read(&[2, 0])).unwrap()[0].len() == 300), 0);
        assert_eq!(attempt(opened.read(&[2])).unwrap()[0].len(), 300);
    }
}

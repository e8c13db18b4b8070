//! Indexing: the right text, from and to every store, with no more read than the headers take.

use crate::common::tfrecord::{attempt, compressed, file_of, index_of, records};
use crate::common::{Store, file, file_uri, open, put, run};
use s3dlio_formats::tfrecord::compression::Compression;
use s3dlio_formats::tfrecord::index::Verify;
use s3dlio_records::tfrecord::{PrefixOptions, create_index, create_indexes, entries, entries_of};
use s3dlio_records::{Input, RecordError};
use s3dlio_store::pattern::Pattern;
use s3dlio_store::{StoreError, Uri};

fn text(uri: &Uri) -> String {
    let input = open(uri);
    String::from_utf8(run(input.read(0..input.size())).unwrap().to_vec()).unwrap()
}

fn index(from: &Uri, to: &Uri) -> Result<u64, RecordError> {
    attempt(create_index(from, to, Verify::Auto))
}

fn is_missing(uri: &Uri) -> bool {
    matches!(run(Input::open(uri)), Err(StoreError::NotFound { .. }))
}

/// Lengths of records, by what a reader has to cope with.
fn shapes() -> Vec<(&'static str, Vec<usize>)> {
    let mixed = (0..3000).map(|number| if number % 500 == 499 { 300_000 } else { number % 90 }).collect();
    vec![
        ("none", vec![]),
        ("one", vec![5]),
        ("empty", vec![0; 70_000]),
        ("small", (0..40_000).map(|number| number % 100).collect()),
        ("medium", (0..200).map(|number| 9_000 + number).collect()),
        ("large", vec![100_000; 20]),
        ("growing", (0..25).map(|number| 70_000 + number * 1000).collect()),
        ("mixed", mixed),
    ]
}

#[test]
fn indexes_are_right_from_every_store_to_every_store() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::start();
    for (name, lengths) in shapes() {
        let content = file_of(&records(lengths.clone()));
        let memory = Uri::parse(&format!("memory://index/{name}")).unwrap();
        put(&memory, &content);
        let expected = index_of(lengths.clone());
        let outputs = [file_uri(&folder, "out.idx"), store.uri("out.idx"), memory.with_key("out.idx")];
        for (from, to) in [file(&folder, name, &content), store.put(name, &content), memory].iter().zip(outputs) {
            assert_eq!(index(from, &to).unwrap(), lengths.len() as u64, "{from}");
            assert!(text(&to) == expected, "{from}");
            let index = attempt(entries(from, Verify::Always)).unwrap();
            assert!(index == attempt(entries(&to, Verify::Auto)).unwrap(), "{from}");
        }
        let index = entries_of("bytes", &content.into(), Verify::Always).unwrap();
        assert_eq!(index.len(), lengths.len() as u64);
    }
}

/// Bytes that were asked for, and requests.
fn cost(store: &Store, lengths: &[usize]) -> (u64, u64, u64) {
    let content = file_of(&records(lengths.iter().copied()));
    let uri = store.put("costs", &content);
    let before = store.ranges().len();
    let (count, requests) = store.counted(|| attempt(entries(&uri, Verify::Auto)).unwrap().len());
    assert_eq!(count, lengths.len() as u64);
    let size = content.len() as u64;
    let read = |range: &String| {
        let (start, end) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
        end.parse::<u64>().unwrap().min(size - 1) + 1 - start.parse::<u64>().unwrap()
    };
    (store.ranges()[before..].iter().map(read).sum(), requests["GetObject"], size)
}

#[test]
fn payloads_of_large_records_are_not_read() {
    let store = Store::start();
    let (bytes, requests, size) = cost(&store, &[1_000_000; 40]);
    assert!(bytes < size / 300 && requests < 45, "{bytes} of {size} in {requests}");
    // Nothing is known of the next one's place, so there is one request each.
    let growing: Vec<_> = (0..40).map(|number| 100_000 + 1000 * number).collect();
    let (bytes, requests, size) = cost(&store, &growing);
    assert!(bytes < size / 30 && requests < 45, "{bytes} of {size} in {requests}");
}

#[test]
fn small_records_come_in_few_requests_each_read_once() {
    let store = Store::start();
    let (bytes, requests, size) = cost(&store, &[100; 200_000]);
    assert!(bytes < size + 2000 && requests < 20, "{bytes} of {size} in {requests}");
    let (bytes, requests, size) = cost(&store, &[1000; 100]);
    // A look at what the object is, and all of it.
    assert!(bytes <= size + 64 && requests == 2, "{bytes} of {size} in {requests}");
}

#[test]
fn a_damaged_file_has_no_index_and_says_where() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::start();
    let content = file_of(&records([10, 20, 100_000, 30]));
    let cases = [
        // The length of the third record is changed, its checksum, and the file cut in its last record.
        (62, 62, 2, "length"),
        (70, 62, 2, "length"),
        (content.len(), 100_078, 3, "ends inside a record"),
    ];
    for (at, offset, record, message) in cases {
        let mut damaged = content.clone();
        match damaged.get_mut(at) {
            Some(byte) => *byte ^= 1,
            None => damaged.truncate(at - 1),
        }
        for uri in [file(&folder, "damaged", &damaged), store.put("damaged", &damaged)] {
            let to = file_uri(&folder, "damaged.idx");
            let error = index(&uri, &to).unwrap_err();
            assert_eq!(
                (error.uri(), error.place().offset, error.place().record),
                (&*uri.to_string(), Some(offset), Some(record))
            );
            let text = error.to_string();
            assert!(text.contains(&format!("record {record} at byte {offset}")) && text.contains(message), "{text}");
            assert!(is_missing(&to));
        }
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "a temporary file was left");
}

#[test]
fn a_compressed_file_cannot_be_indexed() {
    let store = Store::start();
    for kind in [Compression::Gzip, Compression::Zlib] {
        let uri = store.put("file", &compressed(kind, &file_of(&records([5, 6]))));
        let error = index(&uri, &store.uri("file.idx")).unwrap_err();
        let RecordError::Format { source, .. } = &error else { panic!("{error}") };
        assert!(source.is_unsupported() && error.to_string().contains(kind.name()), "{error}");
    }
}

#[test]
fn what_cannot_work_is_said_at_once() {
    let uri = Uri::parse("memory://index/same").unwrap();
    assert!(matches!(create_index(&uri, &uri, Verify::Auto), Err(StoreError::InvalidUri { .. })));
    assert!(matches!(index(&uri.with_key("missing"), &uri), Err(RecordError::Store(StoreError::NotFound { .. }))));
    for options in [
        PrefixOptions { shard: (2, 2), ..PrefixOptions::default() },
        PrefixOptions { in_flight: 0, ..PrefixOptions::default() },
    ] {
        assert!(matches!(create_indexes(&uri, options), Err(RecordError::Config { .. })));
    }
}

#[test]
fn entries_come_from_an_index_or_a_file_by_what_it_holds() {
    let folder = tempfile::tempdir().unwrap();
    let index = attempt(entries(&file(&folder, "any name", b"0 21\n\n21 16\n"), Verify::Auto)).unwrap();
    assert_eq!(index.len(), 2);
    let error = attempt(entries(&file(&folder, "bad.idx", b"0 21\nnonsense\n"), Verify::Auto)).unwrap_err();
    assert!(error.to_string().contains("line 2"), "{error}");
    assert!(attempt(entries(&file(&folder, "empty", b""), Verify::Auto)).unwrap().is_empty());
}

#[test]
fn all_files_below_a_prefix_are_indexed_and_shards_share_them() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::start();
    std::fs::create_dir_all(folder.path().join("data/deep")).unwrap();
    let names = ["data/a.tfrecord", "data/b.tfrecord", "data/deep/c.tfrecord", "data/notes.txt"];
    for base in [file_uri(&folder, "data/"), store.uri("data/")] {
        let at = |name: &str| base.with_key(format!("{}{}", base.key.trim_end_matches("data/"), name));
        for (number, name) in names[..3].iter().enumerate() {
            put(&at(name), &file_of(&records(vec![10; number + 1])));
        }
        let make = |options| attempt(create_indexes(&base, options));
        put(&at(names[3]), b"no TFRecord file at all, and longer than a header");
        let pattern = Some(Pattern::glob("*.tfrecord").unwrap());
        assert!(make(PrefixOptions::default()).is_err(), "notes are no records");
        let options = PrefixOptions { pattern, ..PrefixOptions::default() };
        let made = make(options.clone()).unwrap();
        let found: Vec<_> = made.iter().map(|made| (made.file.clone(), made.records)).collect();
        assert_eq!(found, [(at(names[0]), Some(1)), (at(names[1]), Some(2)), (at(names[2]), Some(3))]);
        for (number, made) in made.iter().enumerate() {
            assert_eq!(made.index, at(&format!("{}.idx", names[number])));
            assert_eq!(text(&made.index), index_of(vec![10; number + 1]));
        }
        let output = Some(at("indexes"));
        let shards = (0..2).map(|rank| {
            let made = make(PrefixOptions { shard: (rank, 2), output: output.clone(), ..options.clone() }).unwrap();
            made.into_iter().map(|made| made.index).collect::<Vec<_>>()
        });
        let expected = ["indexes/a.tfrecord.idx", "indexes/b.tfrecord.idx", "indexes/deep/c.tfrecord.idx"].map(at);
        assert_eq!(
            shards.collect::<Vec<_>>(),
            [vec![expected[0].clone(), expected[2].clone()], vec![expected[1].clone()]]
        );
        assert_eq!(text(&expected[2]), index_of([10, 10, 10]));
        let resumed = make(PrefixOptions { resume: true, output, ..options.clone() }).unwrap();
        assert!(resumed.iter().all(|made| made.records.is_none()), "{resumed:?}");
        let none = PrefixOptions { pattern: Some(Pattern::glob("*.none").unwrap()), ..options };
        assert!(matches!(make(none), Err(RecordError::Store(StoreError::NotFound { .. }))));
    }
}

#[test]
fn a_listing_saves_the_look_at_each_object() {
    let store = Store::start();
    for number in 0..10 {
        store.put(&format!("many/{number}"), &file_of(&records([10, 20])));
    }
    let prefix = store.uri("many/");
    let (made, counts) = store.counted(|| attempt(create_indexes(&prefix, PrefixOptions::default())).unwrap());
    assert_eq!(made.len(), 10);
    assert_eq!((counts.get("HeadObject"), counts["GetObject"], counts["PutObject"]), (None, 10, 10));
}

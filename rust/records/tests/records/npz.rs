//! NPZ archives over every kind of store, with the requests counted.

use crate::common::{Store, content, file, file_uri, in_child, put, run};
use bytes::Bytes;
use s3dlio_formats::npz::Limits;
use s3dlio_formats::{Array, FormatError};
use s3dlio_records::npz::{self, Archive, Arrays};
use s3dlio_records::{RecordError, Result};
use s3dlio_store::{StoreError, Uri, Work};

fn array(length: usize) -> Array {
    let data = Bytes::from(content(length));
    Array { descr: "|u1".into(), item_size: 1, shape: vec![length as u64], fortran_order: false, data }
}

fn arrays(lengths: &[usize]) -> Arrays {
    lengths.iter().enumerate().map(|(at, &length)| (format!("a{at}"), array(length))).collect()
}

/// The result of the work, of which the store part must not fail.
fn done<T: Send + 'static>(work: s3dlio_store::Result<Work<Result<T>>>) -> Result<T> {
    run(work).map_err(RecordError::from)?
}

fn write(uri: &Uri, arrays: &Arrays, level: Option<u32>) {
    run(npz::write(uri, arrays.clone(), level).map_err(|error| panic!("{error}"))).unwrap().unwrap();
}

fn read(uri: &Uri) -> Result<Arrays> {
    done(npz::read(uri, Limits::default()))
}

fn select(uri: &Uri, names: &[&str]) -> Result<Arrays> {
    let names = names.iter().map(|&name| name.to_owned()).collect();
    done(npz::read_selected(uri, names, Limits::default()))
}

fn open(uri: &Uri) -> Archive {
    done(Archive::open(uri, Limits::default())).unwrap()
}

#[test]
fn what_is_written_is_read_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::start();
    let local = file_uri(&folder, "a.npz");
    let direct = Uri { scheme: s3dlio_store::Scheme::Direct, ..local.clone() };
    let memory = Uri::parse("memory://npz/key").unwrap();
    // Several pieces in one member, several members in one piece, and nothing at all.
    let all = arrays(&[10, 5 << 20, 0, 300_000, 9 << 20, 1]);
    for uri in [local, direct, memory, store.uri("a.npz")] {
        for level in [None, Some(1), Some(9)] {
            write(&uri, &all, level);
            assert_eq!(read(&uri).unwrap(), all, "{uri} {level:?}");
            let some = select(&uri, &["a4", "a0", "a2.npy", "a0"]).unwrap();
            let names: Vec<_> = some.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names, ["a4", "a0", "a2.npy", "a0"]);
            for ((_, found), at) in some.iter().zip([4, 0, 2, 0]) {
                assert_eq!(found, &all[at].1, "{uri} {level:?}");
            }
            let archive = open(&uri);
            assert_eq!(archive.directory().members().len(), all.len());
            for (name, expected) in &all {
                assert_eq!(&done(archive.read(vec![name.clone()])).unwrap()[0], expected);
            }
        }
        write(&uri, &Arrays::new(), None);
        assert_eq!(read(&uri).unwrap(), Arrays::new());
        run(npz::write_npy(&uri, &all[1].1).map_err(|error| panic!("{error}"))).unwrap();
        assert_eq!(done(npz::read_npy(&uri)).unwrap(), all[1].1);
    }
}

#[test]
fn a_small_archive_is_one_request() {
    let store = Store::start();
    let uri = store.uri("small.npz");
    let all = arrays(&[100, 2000, 30_000]);
    let (_, requests) = store.counted(|| write(&uri, &all, None));
    assert_eq!(requests.get("PutObject"), Some(&1));
    let get = |job: &dyn Fn() -> Arrays| {
        let (found, requests) = store.counted(job);
        assert_eq!(requests.into_iter().collect::<Vec<_>>(), [("GetObject".to_owned(), 1)]);
        found
    };
    assert_eq!(get(&|| read(&uri).unwrap()), all);
    assert_eq!(get(&|| select(&uri, &["a2", "a0"]).unwrap()).len(), 2);
    let archive = open(&uri);
    let (_, requests) = store.counted(|| done(archive.read(vec!["a1".into(), "a2".into()])).unwrap());
    assert!(requests.is_empty(), "{requests:?}");
}

#[test]
fn members_of_a_large_archive_are_fetched_without_the_rest() {
    let store = Store::start();
    let uri = store.uri("large.npz");
    let all = arrays(&[3 << 20, 1000, 1000, 3 << 20, 500, 3 << 20]);
    write(&uri, &all, None);
    store.0.faults(Vec::new()).unwrap();
    let before = store.ranges().len();
    let (found, requests) = store.counted(|| select(&uri, &["a2", "a1"]).unwrap());
    assert_eq!(found, [all[2].clone(), all[1].clone()]);
    assert_eq!(requests.into_iter().collect::<Vec<_>>(), [("GetObject".to_owned(), 2)]);
    let ranges = store.ranges().split_off(before);
    assert_eq!(ranges[0], "bytes=-65536");
    let (start, end) = ranges[1].strip_prefix("bytes=").unwrap().split_once('-').unwrap();
    let bytes = end.parse::<u64>().unwrap() - start.parse::<u64>().unwrap() + 1;
    assert!(bytes < 3000, "{ranges:?}");
    // Far apart they are two requests, side by side.
    let archive = open(&uri);
    let (found, requests) = store.counted(|| done(archive.read(vec!["a4".into(), "a1".into()])).unwrap());
    assert_eq!(found, [all[4].1.clone(), all[1].1.clone()]);
    assert_eq!(requests.into_iter().collect::<Vec<_>>(), [("GetObject".to_owned(), 2)]);
}

#[test]
fn a_long_directory_takes_one_request_more() {
    let store = Store::start();
    let uri = store.uri("many.npz");
    let mut all = arrays(&[10; 3000]);
    all.push(("big".into(), array(1 << 20)));
    write(&uri, &all, None);
    let (found, requests) = store.counted(|| select(&uri, &["a7", "a8"]).unwrap());
    assert_eq!(found, [all[7].clone(), all[8].clone()]);
    assert_eq!(requests.into_iter().collect::<Vec<_>>(), [("GetObject".to_owned(), 3)]);
}

#[test]
fn an_archive_that_is_replaced_is_no_mixture() {
    let store = Store::start();
    let uri = store.uri("replaced.npz");
    write(&uri, &arrays(&[1 << 20, 10, 1 << 20]), None);
    let archive = open(&uri);
    write(&uri, &arrays(&[1 << 20, 11, 1 << 20]), None);
    let error = done(archive.read(vec!["a0".into()])).unwrap_err();
    assert!(matches!(error, RecordError::Store(StoreError::Precondition { .. })), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let local = file_uri(&folder, "a.npz");
    let all = arrays(&[1 << 20, 10, 1 << 20]);
    write(&local, &all, None);
    let archive = open(&local);
    write(&local, &arrays(&[5]), None);
    assert_eq!(done(archive.read(vec!["a0".into()])).unwrap(), [all[0].1.clone()]);
}

#[test]
fn many_archives_come_in_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::start();
    let mut uris = Vec::new();
    for number in 0..40 {
        let uri =
            if number % 3 == 0 { store.uri(&format!("{number}")) } else { file_uri(&folder, &format!("{number}")) };
        write(&uri, &arrays(&[number, 70_000, 100 - number]), (number % 2 == 0).then_some(1));
        uris.push(uri);
    }
    uris.push(uris[5].clone());
    let found = done(npz::read_many(uris.clone(), None, 7, Limits::default())).unwrap();
    assert_eq!(found.len(), 41);
    for (at, found) in found.iter().enumerate() {
        let number = if at == 40 { 5 } else { at };
        assert_eq!(found, &arrays(&[number, 70_000, 100 - number]), "{at}");
    }
    let names = Some(vec!["a2".to_owned(), "a0".to_owned()]);
    let found = done(npz::read_many(uris.clone(), names, 7, Limits::default())).unwrap();
    assert!(found.iter().all(|found| found.len() == 2 && found[0].0 == "a2"));
    assert_eq!(done(npz::read_many(Vec::new(), None, 7, Limits::default())).unwrap(), Vec::<Arrays>::new());
    // One that is damaged, and one that is missing, wherever they are.
    for (at, uri) in [(3, store.uri("3")), (4, file_uri(&folder, "4"))] {
        put(&uri, b"no archive");
        let error = done(npz::read_many(uris.clone(), None, 7, Limits::default())).unwrap_err();
        assert_eq!(error.uri(), uri.to_string());
        write(&uri, &arrays(&[1]), None);
        let mut missing = uris.clone();
        missing[at].key.push('x');
        let error = done(npz::read_many(missing, None, 7, Limits::default())).unwrap_err();
        assert!(matches!(error, RecordError::Store(StoreError::NotFound { .. })), "{error}");
    }
}

#[test]
fn errors_name_file_place_and_cause() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::start();
    for uri in [file_uri(&folder, "bad.npz"), store.uri("bad.npz")] {
        let all = arrays(&[70_000, 70_000]);
        write(&uri, &all, None);
        let mut bytes = run(s3dlio_store::ops::get(&uri, Default::default())).unwrap().to_vec();
        let start = bytes.windows(6).position(|window| window == b"a1.npy").unwrap() as u64 - 30;
        bytes[100_000] ^= 1;
        put(&uri, &bytes);
        for error in [read(&uri).unwrap_err(), select(&uri, &["a0", "a1"]).unwrap_err()] {
            let RecordError::Format { uri: found, place, source } = &error else { panic!("{error}") };
            assert_eq!((found, place.offset), (&uri.to_string(), Some(start)));
            assert_eq!(source.member(), Some("a1.npy"));
            assert!(error.to_string().contains("CRC-32"), "{error}");
        }
        assert_eq!(select(&uri, &["a0"]).unwrap(), all[..1]);
        let error = select(&uri, &["a0", "b"]).unwrap_err();
        assert!(matches!(&error, RecordError::Format { source, .. } if source.is_not_found()), "{error}");
        put(&uri, b"");
        for error in [read(&uri).unwrap_err(), select(&uri, &[]).unwrap_err()] {
            let damaged = |source: &FormatError| matches!(source, FormatError::Archive { .. });
            assert!(matches!(&error, RecordError::Format { source, .. } if damaged(source)), "{error}");
        }
    }
}

#[test]
fn what_cannot_be_written_leaves_what_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let uri = file_uri(&folder, "kept.npz");
    let all = arrays(&[10]);
    write(&uri, &all, None);
    let object = Array { descr: "|O".into(), ..array(8) };
    let short = Array { shape: vec![9], ..array(8) };
    for (name, array, unsupported) in
        [("o", object, true), ("s", short, false), ("a0", array(1), false), ("\0", array(1), false)]
    {
        let mut wanted = all.clone();
        wanted.push((name.to_owned(), array));
        let error = npz::write(&uri, wanted, None).unwrap_err();
        let found = matches!(&error, RecordError::Format { source, .. } if source.is_unsupported());
        assert!(if unsupported { found } else { matches!(error, RecordError::Config { .. }) }, "{error}");
    }
    assert_eq!(read(&uri).unwrap(), all);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn stored_arrays_share_the_memory_of_the_archive() {
    let memory = Uri::parse("memory://npz/shared").unwrap();
    write(&memory, &arrays(&[1000, 1000]), None);
    let bytes = run(s3dlio_store::ops::get(&memory, Default::default())).unwrap();
    let all = read(&memory).unwrap();
    let distance = all[1].1.data.as_ptr() as usize - all[0].1.data.as_ptr() as usize;
    assert!(distance < bytes.len());
    // In the archive, and with it in memory that is aligned, items begin at multiples of 64 bytes.
    assert_eq!(distance % 64, 0);
}

#[test]
fn works_in_a_forked_child() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::start();
    let all = arrays(&[1 << 20, 2 << 20, 3 << 20]);
    for uri in [file(&folder, "a.npz", b""), store.uri("a.npz")] {
        write(&uri, &all, Some(1));
        let archive = open(&uri);
        let expected = all[1].1.clone();
        let job = || {
            let one = done(archive.read(vec!["a1".into()])).unwrap();
            one == [expected] && read(&uri).unwrap() == all && select(&uri, &["a2"]).unwrap()[0] == all[2]
        };
        assert_eq!(in_child(job), 0, "{uri}");
    }
}

//! Formats told apart, files checked, recovered, looked into and converted, over files and a network store.

use std::sync::Arc;

use crate::common::{Store, put};
use s3dlio_formats::Array;
use s3dlio_records::convert::{Converted, convert};
use s3dlio_records::disky::OnDamage;
use s3dlio_records::inspect::{Contents, Detail, inspect};
use s3dlio_records::kind::{KINDS, Kind, detect};
use s3dlio_records::salvage::Recovery;
use s3dlio_records::verify::{Report, verify};
use s3dlio_records::{Progress, RecordError, Result, array_record, disky, npz, tfrecord};
use s3dlio_store::{StoreError, Uri, Work};

fn done<T: Send + 'static>(work: std::result::Result<Work<Result<T>>, impl Into<RecordError>>) -> Result<T> {
    work.map_err(Into::into)?.wait()?
}

fn progress() -> Arc<Progress> {
    Arc::new(Progress::default())
}

fn texts(count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|number| format!("record {number}|").into_bytes().repeat(1 + number % 50)).collect()
}

fn write(uri: &Uri, kind: Kind, records: &[Vec<u8>]) {
    match kind {
        Kind::ArrayRecord => {
            let writer = array_record::Writer::create(uri, "group_size:7".parse().unwrap()).unwrap();
            for record in records {
                if let Some(work) = writer.write(record).unwrap() {
                    work.wait().unwrap().unwrap();
                }
            }
            done(writer.finish()).unwrap();
        }
        Kind::Disky => {
            let writer = disky::Writer::create(uri, disky::Compression::Zstd);
            for (number, record) in records.iter().enumerate() {
                if let Some(work) = writer.write(record).unwrap() {
                    work.wait().unwrap().unwrap();
                }
                if number % 500 == 499 {
                    done(writer.flush()).unwrap();
                }
            }
            done(writer.finish()).unwrap();
        }
        Kind::TfRecord => {
            let mut file = Vec::new();
            records.iter().for_each(|record| s3dlio_formats::tfrecord::append(&mut file, record));
            put(uri, &file);
        }
        Kind::Npz | Kind::Npy => {
            let data: Vec<u8> = records.concat();
            let array = |data: &[u8]| Array {
                descr: "|u1".into(),
                item_size: 1,
                shape: vec![data.len() as u64],
                fortran_order: false,
                data: data.to_vec().into(),
            };
            if kind == Kind::Npy {
                npz::write_npy(uri, &array(&data)).unwrap().wait().unwrap();
            } else {
                let arrays = vec![("x".to_owned(), array(&data)), ("y".to_owned(), array(b"abc"))];
                done(npz::write(uri, arrays, Some(6))).unwrap();
            }
        }
    }
}

fn check(uri: &Uri) -> Report {
    done(verify(uri, None, progress())).unwrap()
}

fn look(uri: &Uri) -> Contents {
    done(inspect(uri, None, progress())).unwrap()
}

fn recovered(uri: &Uri, kind: Option<Kind>) -> (Vec<Vec<u8>>, u64) {
    let recovery = done(Recovery::open(uri, kind, progress())).unwrap();
    let mut records = Vec::new();
    loop {
        let batch = done(recovery.batch()).unwrap();
        if batch.is_empty() {
            return (records, recovery.num_faults());
        }
        records.extend(batch.into_iter().map(Vec::from));
    }
}

fn converted(source: &Uri, dest: &Uri, to: Kind, options: &str, on_damage: OnDamage) -> Result<Converted> {
    let from = done(detect(source)).unwrap();
    done(convert((source, from), (dest, to), options, on_damage, progress()))
}

type Place = Box<dyn Fn(&str) -> Uri>;

/// A directory and a bucket, and how to name an object in either.
fn places(store: &Store, folder: &tempfile::TempDir) -> [Place; 2] {
    let base = folder.path().to_str().unwrap().to_owned();
    let address = store.0.address();
    [
        Box::new(move |name| Uri::parse(&format!("file://{base}/{name}")).unwrap()),
        Box::new(move |name| Uri::parse(&format!("s3://{address}/bucket/{name}")).unwrap()),
    ]
}

#[test]
fn every_format_is_told_apart_and_sound() {
    let (store, folder) = (Store::start(), tempfile::tempdir().unwrap());
    let records = texts(2000);
    let bytes: u64 = records.iter().map(|record| record.len() as u64).sum();
    for place in places(&store, &folder) {
        for kind in KINDS {
            // No name helps.
            let uri = place(&format!("data-{}", KINDS.iter().position(|one| *one == kind).unwrap()));
            write(&uri, kind, &records);
            assert_eq!(done(detect(&uri)).unwrap(), kind);
            let report = check(&uri);
            assert!(report.is_sound(), "{report:?}");
            assert_eq!((report.kind, report.size), (kind, look(&uri).size));
            let contents = look(&uri);
            assert_eq!(contents.damage, None);
            if kind.is_arrays() {
                assert_eq!(contents.records, if kind == Kind::Npz { 2 } else { 1 });
                assert_eq!(report.records, contents.records);
                let Detail::Arrays { arrays, others: 0 } = contents.detail else { panic!("{kind}") };
                assert_eq!((arrays[0].descr.as_deref(), &arrays[0].shape), (Some("|u1"), &vec![bytes]));
                continue;
            }
            assert_eq!((report.records, report.record_bytes), (2000, bytes));
            assert_eq!((contents.records, contents.record_bytes), (2000, Some(bytes)));
            match contents.detail {
                Detail::Chunks { chunks, codecs, transposed: false, group_size, .. } => {
                    assert_eq!((codecs, chunks), (vec!["zstd"], report.chunks));
                    assert_eq!(group_size, (kind == Kind::ArrayRecord).then_some(7));
                }
                Detail::Records { compression: "none", sizes } => assert_eq!(sizes, (9, 12 * 50)),
                other => panic!("{other:?}"),
            }
            assert_eq!(recovered(&uri, None), (records.clone(), 0));
        }
    }
}

#[test]
fn every_format_of_records_becomes_every_other() {
    let (store, folder) = (Store::start(), tempfile::tempdir().unwrap());
    let [file, object] = places(&store, &folder);
    let records = texts(1000);
    let kinds = [Kind::ArrayRecord, Kind::Disky, Kind::TfRecord];
    for from in kinds {
        let source = file(&format!("from-{from}"));
        write(&source, from, &records);
        for (to, options) in kinds.into_iter().zip(["group_size:3,snappy", "none", "gzip:1"]) {
            let dest = object(&format!("{from}-{to}"));
            let done = converted(&source, &dest, to, options, OnDamage::Stop).unwrap();
            assert_eq!((done.records, done.faults), (1000, 0));
            let report = check(&dest);
            assert_eq!((report.kind, report.records, report.num_faults), (to, 1000, 0));
            assert_eq!(recovered(&dest, None).0, records);
        }
    }
    let packed = look(&object("disky-tfrecord"));
    assert!(matches!(packed.detail, Detail::Records { compression: "gzip", .. }) && packed.records == 1000);
    let indexed = file("indexed.tfrecord");
    converted(&file("from-disky"), &indexed, Kind::TfRecord, "index", OnDamage::Stop).unwrap();
    let index = done(tfrecord::read_index(&file("indexed.tfrecord.idx"))).unwrap();
    assert_eq!(index.len(), 1000);
}

#[test]
fn damage_is_found_passed_over_and_never_converted() {
    let (store, folder) = (Store::start(), tempfile::tempdir().unwrap());
    let records = texts(2000);
    for place in places(&store, &folder) {
        for kind in KINDS {
            let (good, uri) = (place("good"), place(&format!("bad.{kind}")));
            write(&good, kind, &records);
            let mut bytes = s3dlio_store::ops::get(&good, Default::default()).unwrap().wait().unwrap().to_vec();
            let at = if kind == Kind::Npy { bytes.len() - 1 } else { bytes.len() / 2 };
            if kind == Kind::Npy {
                bytes.truncate(at);
            } else if kind == Kind::ArrayRecord {
                bytes[9000] ^= 1;
            } else {
                bytes[at] ^= 1;
            }
            put(&uri, &bytes);
            let report = check(&uri);
            assert!(!report.is_sound(), "{kind}");
            if kind.is_arrays() {
                continue;
            }
            assert!(report.faults.iter().all(|fault| fault.offset.is_some() && !fault.lost.is_empty()), "{report:?}");
            let (found, faults) = recovered(&uri, None);
            assert_eq!((faults, found.len() as u64), (report.num_faults, report.records), "{kind}");
            assert!(found.len() >= 1000 && found.len() < 2000 && found.iter().all(|record| records.contains(record)));

            let dest = place("result");
            let error = converted(&uri, &dest, Kind::TfRecord, "", OnDamage::Stop).unwrap_err();
            assert_eq!(error.uri(), uri.to_string());
            assert!(matches!(done(detect(&dest)), Err(RecordError::Store(StoreError::NotFound { .. }))));
            let done = converted(&uri, &dest, Kind::TfRecord, "", OnDamage::Skip).unwrap();
            assert_eq!((done.records, done.faults), (found.len() as u64, faults));
            assert_eq!(recovered(&dest, None), (found, 0));
            s3dlio_store::ops::delete(&dest, false).unwrap().wait().unwrap();
        }
    }
}

#[test]
fn compressed_records_are_lost_only_behind_the_damage() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| Uri::parse(&format!("file://{}/{name}", folder.path().display())).unwrap();
    write(&place("plain"), Kind::TfRecord, &texts(5000));
    converted(&place("plain"), &place("packed"), Kind::TfRecord, "gzip", OnDamage::Stop).unwrap();
    let mut bytes = std::fs::read(folder.path().join("packed")).unwrap();
    let size = bytes.len();
    for cut in [size / 2, size - 3] {
        bytes.truncate(cut.max(size / 2));
        std::fs::write(folder.path().join("broken"), &bytes[..cut.min(bytes.len())]).unwrap();
        let (found, faults) = recovered(&place("broken"), None);
        assert!(faults >= 1 && !found.is_empty() && found[..] == texts(5000)[..found.len()]);
    }
}

#[test]
fn what_is_no_record_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| Uri::parse(&format!("file://{}/{name}", folder.path().display())).unwrap();
    put(&place("text"), b"some text, which is no record");
    put(&place("empty"), b"");
    put(&place("text.tfrecord-00000-of-00001"), b"some text, which is no record");
    for name in ["text", "empty"] {
        let error = done(verify(&place(name), None, progress())).unwrap_err();
        assert!(matches!(error, RecordError::Store(StoreError::Unsupported { .. })), "{error}");
    }
    assert_eq!(check(&place("text.tfrecord-00000-of-00001")).num_faults, 1);
    put(&place("empty.tfrecord"), b"");
    assert!(check(&place("empty.tfrecord")).is_sound());
    put(&place("empty.disky"), b"");
    assert!(!check(&place("empty.disky")).is_sound());
    write(&place("a.npy"), Kind::Npy, &texts(3));
    let refused = converted(&place("a.npy"), &place("b.disky"), Kind::Disky, "", OnDamage::Stop).unwrap_err();
    assert!(refused.to_string().contains("arrays"), "{refused}");
    let refused = converted(&place("empty.tfrecord"), &place("b.npz"), Kind::Npz, "", OnDamage::Stop).unwrap_err();
    assert!(refused.to_string().contains("arrays"), "{refused}");
    let same = converted(&place("empty.tfrecord"), &place("empty.tfrecord"), Kind::Disky, "", OnDamage::Stop);
    assert!(matches!(same, Err(RecordError::Store(StoreError::InvalidUri { .. }))));
    for (kind, options) in [(Kind::Disky, "gzip"), (Kind::TfRecord, "gzip:x"), (Kind::ArrayRecord, "zstd:99")] {
        assert!(converted(&place("empty.tfrecord"), &place("out"), kind, options, OnDamage::Stop).is_err());
    }
    assert!(Kind::parse("tar").unwrap_err().to_string().contains("array_record, disky, tfrecord, npz, npy"));
}

#[test]
fn names_tell_formats() {
    let kind = |name: &str| Kind::of_name(&Uri::parse(&format!("s3://bucket/dir.npz/{name}")).unwrap());
    for (name, expected) in [
        ("a.array_record", Some(Kind::ArrayRecord)),
        ("a.array_record-00000-of-00008", Some(Kind::ArrayRecord)),
        ("a.tfrecord-00000-of-00008.gz", Some(Kind::TfRecord)),
        ("a.TFRecords", Some(Kind::TfRecord)),
        ("a.tfrec", Some(Kind::TfRecord)),
        ("a.tfrecord.idx", None),
        ("a.disky", Some(Kind::Disky)),
        ("a.npz", Some(Kind::Npz)),
        ("a.npy", Some(Kind::Npy)),
        ("a.tar", None),
        ("npz", None),
    ] {
        assert_eq!(kind(name), expected, "{name}");
    }
}

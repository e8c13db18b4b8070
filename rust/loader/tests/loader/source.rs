//! Sources of objects, and the table that holds them.

use crate::common::{content, found, listed, named, put, write};
use bytes::Bytes;
use proptest::prelude::*;
use s3dlio_loader::source::{self, MemorySource, ObjectSource, ObjectTable, RecordSource, Selection, unpack};
use s3dlio_loader::{LoaderError, Result};
use s3dlio_store::StoreError;
use s3dlio_store::ops::GetOptions;

fn discover(uri: &str, pattern: Option<&str>) -> Result<ObjectTable> {
    let selection = Selection::Prefix { uri: uri.into(), pattern: pattern.map(str::to_owned), index: None };
    Ok(source::discover(selection)?.wait()?)
}

fn names(table: &ObjectTable) -> Vec<String> {
    (0..table.len()).filter_map(|index| table.entry(index)).map(|(root, key)| format!("{root}{key}")).collect()
}

fn source(table: ObjectTable) -> ObjectSource {
    ObjectSource::new(table, GetOptions::default()).unwrap()
}

/// One base of each kind, filled alike.
fn bases(name: &str) -> (tempfile::TempDir, [String; 2]) {
    let dir = tempfile::tempdir().unwrap();
    let bases = [format!("file://{}/", dir.path().display()), format!("memory://source-{name}/")];
    for base in &bases {
        for (at, key) in ["b.npz", "a.npz", "sub/c.npz", "sub/d.npy", "ü 1%20.npz"].into_iter().enumerate() {
            put(&format!("{base}{key}"), &content(at as u64, at * 10));
        }
    }
    (dir, bases)
}

#[test]
fn a_prefix_is_everything_below_in_order_of_the_names() {
    let (_dir, bases) = bases("prefix");
    for base in bases {
        let full = |keys: &[&str]| keys.iter().map(|key| format!("{base}{key}")).collect::<Vec<_>>();
        let table: [(&str, Option<&str>, &[&str]); 7] = [
            ("", None, &["a.npz", "b.npz", "sub/c.npz", "sub/d.npy", "ü 1%20.npz"]),
            ("", Some("*.npz"), &["a.npz", "b.npz", "sub/c.npz", "ü 1%20.npz"]),
            ("", Some("sub/*"), &["sub/c.npz", "sub/d.npy"]),
            ("sub", None, &["sub/c.npz", "sub/d.npy"]),
            ("sub/*.npy", None, &["sub/d.npy"]),
            ("*.npz", Some("[ab]*"), &["a.npz", "b.npz"]),
            ("a.npz", None, &["a.npz"]),
        ];
        for (key, pattern, expected) in table {
            let found = discover(&format!("{base}{key}"), pattern).unwrap();
            assert_eq!(names(&found), full(expected), "{base}{key} {pattern:?}");
            assert_eq!(found.len(), expected.len());
        }
        let source = source(discover(&base, None).unwrap());
        assert_eq!((source.len(), source.is_empty()), (5, false));
        assert_eq!((0..5).map(|index| source.bytes(index)).collect::<Vec<_>>(), [10, 0, 20, 30, 40].map(Some));
        assert_eq!(source.bytes(5), None);
        assert_eq!(source.name(2), format!("{base}sub/c.npz"));
        assert_eq!(source.name(5), "record 5");
    }
}

#[test]
fn named_objects_keep_their_order_and_repetitions() {
    let (_dir, bases) = bases("named");
    let uris: Vec<String> = ["sub/c.npz", "a.npz", "a.npz", "b.npz"]
        .iter()
        .zip([0, 1, 0, 1])
        .map(|(key, at)| format!("{}{key}", bases[at]))
        .collect();
    let source = named(uris.clone());
    assert_eq!((0..4).map(|index| source.name(index)).collect::<Vec<_>>(), uris);
    // Local files tell their sizes at once; nobody asks a network store for each.
    assert_eq!((source.bytes(0), source.bytes(1)), (Some(content(2, 20).len() as u64), None));
    let table = source::discover(Selection::Uris(uris)).unwrap().wait().unwrap();
    assert_eq!(table.roots(), ["file://".to_owned(), bases[1].clone()]);
    let source = self::source(table);
    let records = source.read(&[3, 0, 1, 3], 2).unwrap().wait().unwrap();
    assert_eq!(records, [content(0, 0), content(2, 20), content(1, 10), content(0, 0)]);
    assert!(source.read(&[], 2).unwrap().wait().unwrap().is_empty());
    let error = source.read(&[0, 4], 2).unwrap_err();
    assert!(error.to_string().contains("record 4") && error.to_string().contains("4 records"), "{error}");
}

#[test]
fn nothing_found_says_where_and_why() {
    let (dir, [file, memory]) = bases("nothing");
    std::fs::create_dir(dir.path().join("hollow")).unwrap();
    for (uri, pattern, text) in [
        (format!("{file}missing/"), None, "Path does not exist"),
        (format!("{file}missing"), None, "Path does not exist"),
        (format!("{file}hollow/"), None, "empty"),
        (format!("{file}*.csv"), None, "empty"),
        (file.clone(), Some("*.csv"), "matches the pattern"),
        (format!("{memory}missing/"), None, "empty"),
        (memory.clone(), Some("*.csv"), "matches the pattern"),
    ] {
        let error = discover(&uri, pattern).unwrap_err();
        match &error {
            LoaderError::Store(StoreError::NotFound { uri: named, .. }) => assert_eq!(*named, uri),
            other => panic!("{other:?}"),
        }
        assert!(error.to_string().contains(text), "{error}");
    }
    let empty = source::discover(Selection::Uris(Vec::new())).unwrap_err();
    assert!(matches!(empty, LoaderError::Config { option: "uris", .. }), "{empty:?}");
    let bad = source::discover(Selection::Uris(vec!["/no/scheme".into()])).unwrap_err();
    assert!(matches!(bad, LoaderError::Store(StoreError::InvalidUri { .. })), "{bad:?}");
    let bad = discover(&file, Some("a{")).unwrap_err();
    assert!(matches!(bad, LoaderError::Store(StoreError::Config { .. })), "{bad:?}");
}

#[test]
fn directory_markers_of_other_tools_are_no_records() {
    for key in ["sub", "sub-1", "sub/a", "empty"] {
        put(&format!("memory://source-markers/train/{key}"), if key == "sub/a" { b"a" } else { b"" });
    }
    let source = listed("memory://source-markers/train/");
    let names: Vec<_> = (0..source.len()).map(|index| source.name(index)).collect();
    assert_eq!(names, ["empty", "sub-1", "sub/a"].map(|key| format!("memory://source-markers/train/{key}")));
}

#[test]
fn the_fingerprint_tells_data_sets_apart_and_copies_alike() {
    let records: Vec<_> = (0..20).map(|index| content(index, 50)).collect();
    for bucket in ["source-print-1", "source-print-2"] {
        write(&format!("memory://{bucket}/train/"), &records);
    }
    let print = |uri: &str| listed(uri).fingerprint().to_owned();
    let first = print("memory://source-print-1/train/");
    assert!(first.len() == 16 && first.chars().all(|c| c.is_ascii_hexdigit()), "{first}");
    assert_eq!(first, print("memory://source-print-2/train"));
    put("memory://source-print-2/train/0003", b"another size");
    assert_ne!(first, print("memory://source-print-2/train"));
    put("memory://source-print-2/train/0003", &records[3]);
    assert_eq!(first, print("memory://source-print-2/train"));
    put("memory://source-print-2/train/1000", b"");
    assert_ne!(first, print("memory://source-print-2/train"));
    let uris = |order: [usize; 3]| named(order.map(|at| format!("memory://source-print-1/train/{at:04}")).into());
    assert_ne!(uris([0, 1, 2]).fingerprint(), uris([0, 2, 1]).fingerprint());
    assert_ne!(uris([0, 1, 2]).fingerprint(), print("memory://source-print-1/train/"));
    let dir = tempfile::tempdir().unwrap();
    write(&format!("file://{}/copy/", dir.path().display()), &records);
    assert_eq!(first, print(&format!("file://{}/copy", dir.path().display())));
    let glob = Selection::below("memory://source-print-1/train/*");
    assert_eq!(found(glob).fingerprint(), first);
}

/// Stable across releases, because saved states carry it.
#[test]
fn the_fingerprint_of_a_known_table_stays() {
    let mut table = ObjectTable::default();
    table.push("s3://bucket/", "train/0001.npz", Some(1234));
    table.push("s3://bucket/", "train/0002.npz", None);
    let mut moved = ObjectTable::default();
    moved.push("s3://other/", "copies/of/train/0001.npz", Some(1234));
    moved.push("s3://other/", "copies/of/train/0002.npz", None);
    assert_eq!(table.fingerprint(), moved.fingerprint());
    assert_eq!(table.fingerprint(), "937c8a4f01686d0f");
}

fn table_of(entries: &[(u8, String, Option<u64>)]) -> ObjectTable {
    let mut table = ObjectTable::default();
    for (root, key, size) in entries {
        table.push(&format!("s3://bucket-{root}/"), key, *size);
    }
    table
}

proptest! {
    #[test]
    fn a_table_gives_back_what_was_put_in(
        entries in prop::collection::vec((0_u8..4, "\\PC{0,12}", prop::option::of(0..u64::MAX)), 1..40),
    ) {
        let table = table_of(&entries);
        for (index, (root, key, size)) in entries.iter().enumerate() {
            let root = format!("s3://bucket-{root}/");
            prop_assert_eq!(table.entry(index), Some((root.as_str(), key.clone())));
            prop_assert_eq!(table.size(index), *size);
        }
        prop_assert_eq!(table.entry(entries.len()), None);
        prop_assert_eq!(table.size(entries.len()), None);
        let packed = table.pack();
        prop_assert_eq!(&ObjectTable::unpack(&packed).unwrap(), &table);
        for cut in 0..packed.len() {
            prop_assert!(ObjectTable::unpack(&packed[..cut]).is_err());
        }
        prop_assert!(ObjectTable::unpack(&[&packed[..], &[0]].concat()).is_err());
    }

    #[test]
    fn damaged_tables_are_refused_or_read_without_a_panic(
        entries in prop::collection::vec((0_u8..3, "\\PC{0,6}", prop::option::of(0..u64::MAX)), 1..6),
        at in any::<prop::sample::Index>(),
        value in any::<u8>(),
    ) {
        let mut packed = table_of(&entries).pack();
        let at = at.index(packed.len());
        packed[at] = value;
        if let Ok(table) = ObjectTable::unpack(&packed) {
            for index in 0..table.len() {
                prop_assert!(table.entry(index).is_some());
            }
            let _ = ObjectSource::new(table, GetOptions::default()).map(|source| source.uri_count());
        }
    }
}

trait Count {
    fn uri_count(&self) -> usize;
}

impl Count for ObjectSource {
    fn uri_count(&self) -> usize {
        (0..self.len()).map(|index| self.name(index).len()).sum()
    }
}

#[test]
fn an_empty_table_survives_packing() {
    let table = ObjectTable::default();
    let unpacked = ObjectTable::unpack(&table.pack()).unwrap();
    assert_eq!((unpacked.len(), unpacked.is_empty()), (0, true));
    assert!(matches!(ObjectTable::unpack(b""), Err(LoaderError::StateInvalid(_))));
    assert!(matches!(ObjectTable::unpack(b"S3DLTAB1"), Err(LoaderError::StateInvalid(_))));
}

#[test]
fn bytes_in_memory_travel_as_they_are() {
    let records = vec![Bytes::from_static(b"one"), Bytes::new(), Bytes::from(vec![7; 100_000])];
    let source = MemorySource::new(records.clone()).unwrap();
    assert_eq!((source.len(), source.bytes(2), source.bytes(3)), (3, Some(100_000), None));
    assert_eq!(source.name(1), "bytes:1");
    assert_eq!(source.objects(&[2, 0], 1).unwrap().unwrap().wait().unwrap(), [records[2].clone(), records[0].clone()]);
    assert!(source.objects(&[3], 1).unwrap().is_err());
    assert!(source.reader().unwrap().access(3).is_err());
    let packed = source.pack().unwrap();
    let again = unpack(&packed).unwrap().wait().unwrap().unwrap();
    assert_eq!(again.fingerprint(), source.fingerprint());
    assert_eq!(again.objects(&[0, 1, 2], 1).unwrap().unwrap().wait().unwrap(), records);
    for cut in [9, 10, 12, packed.len() - 1] {
        assert!(matches!(unpack(&packed[..cut]), Err(LoaderError::StateInvalid(_))), "{cut}");
    }
    assert!(matches!(MemorySource::new(Vec::new()), Err(LoaderError::Config { .. })));
    let other = MemorySource::new(vec![Bytes::from_static(b"on"), Bytes::from_static(b"e")]).unwrap();
    assert_ne!(other.fingerprint(), source.fingerprint());
}

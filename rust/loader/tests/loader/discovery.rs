//! How the objects of a data set are found, and what their names take in memory.

use std::fmt::Write as _;

use crate::common::put;
use proptest::prelude::*;
use s3dlio_loader::LoaderError;
use s3dlio_loader::source::{self, Names, ObjectSource, ObjectTable, RecordSource, Selection, Template};
use s3dlio_store::StoreError;
use s3dlio_store::ops::GetOptions;

const TEN_MILLION: u64 = 10_000_000;

const MIB: usize = 1 << 20;

fn discover(selection: Selection) -> Result<ObjectTable, LoaderError> {
    Ok(source::discover(selection)?.wait()?)
}

fn indexed(uri: &str, pattern: Option<&str>, index: &str) -> Result<ObjectTable, LoaderError> {
    let pattern = pattern.map(str::to_owned);
    discover(Selection::Prefix { uri: uri.into(), pattern, index: Some(index.into()) })
}

fn manifest(uri: &str, text: &[u8]) -> Result<ObjectTable, LoaderError> {
    put(uri, text);
    discover(Selection::Manifest(uri.into()))
}

fn names(table: &ObjectTable) -> Vec<String> {
    (0..table.len()).filter_map(|index| table.entry(index)).map(|(root, key)| format!("{root}{key}")).collect()
}

/// A table of ten million objects, as it is kept for a data set.
fn ten_million(key: impl Fn(u64, &mut String)) -> Names {
    let (mut table, mut text) = (ObjectTable::default(), String::new());
    for index in 0..TEN_MILLION {
        text.clear();
        key(index, &mut text);
        table.push("s3://training-data/", &text, Some(100_000 + index % 50_000));
    }
    let last = table.entry(TEN_MILLION as usize - 1).unwrap();
    assert_eq!((last.1, table.len()), (text, TEN_MILLION as usize));
    Names::from(table)
}

#[test]
fn ten_million_names_in_folders_take_little_memory() {
    let names = ten_million(|index, key| {
        write!(key, "imagenet/train/n{:08}/n{:08}_{:05}.JPEG", index / 1300, index / 1300, index % 1300).unwrap();
    });
    assert!(names.memory() < 200 * MIB, "{} MiB", names.memory() / MIB);
}

#[test]
fn ten_million_names_without_any_order_take_less_than_600_mib() {
    // Digests as names share next to nothing with their neighbours.
    let names = ten_million(|index, key| {
        let mixed = |step: u64| (index + step).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        write!(key, "objects/{:016x}{:016x}", mixed(1), mixed(2)).unwrap();
    });
    assert!(names.memory() < 450 * MIB, "{} MiB", names.memory() / MIB);
}

proptest! {
    #[test]
    fn tables_put_together_hold_all(
        one in prop::collection::vec(("[ab]{0,20}", prop::option::of(0..1_u64 << 34)), 0..40),
        other in prop::collection::vec(("[ab]{0,20}", prop::option::of(0..1_u64 << 34)), 0..40),
    ) {
        let table = |entries: &[(String, Option<u64>)]| {
            let mut table = ObjectTable::default();
            entries.iter().for_each(|(key, size)| table.push("s3://b/", key, *size));
            table
        };
        let mut joined = table(&one);
        joined.append(&table(&other));
        let both: Vec<_> = one.iter().chain(&other).cloned().collect();
        prop_assert_eq!(&joined, &table(&both));
        prop_assert_eq!(ObjectTable::unpack(&joined.pack()).unwrap().pack(), joined.pack());
        for (index, (key, size)) in both.iter().enumerate() {
            prop_assert_eq!(joined.entry(index), Some(("s3://b/", key.clone())));
            prop_assert_eq!(joined.size(index), *size);
        }
    }
}

/// Folders with many objects, one with few, objects between them, and an empty object that marks a folder.
#[test]
fn a_long_listing_in_parts_is_that_of_a_short_one() {
    let base = "memory://discovery-parts/data/";
    let mut expected = Vec::new();
    for folder in ["a", "b", "b/c", "d", "e/f/g"] {
        expected.extend((0..1500).map(|index| format!("{base}{folder}/{index:05}.bin")));
    }
    expected.extend(["a-top", "b.top", "c", "zz"].map(|name| format!("{base}{name}")));
    expected.push(format!("{base}d0/only.bin"));
    expected.iter().for_each(|uri| put(uri, b"x"));
    put(&format!("{base}d0"), b"");
    expected.sort_unstable();
    assert!(names(&discover(Selection::below(base)).unwrap()) == expected);
    let pattern = Selection::Prefix { uri: base.into(), pattern: Some("*/0000?.bin".into()), index: None };
    let some: Vec<_> = expected.iter().filter(|uri| uri.contains("/0000")).cloned().collect();
    assert_eq!(names(&discover(pattern).unwrap()), some);
}

#[test]
fn an_index_is_believed_while_its_objects_are_there() {
    let base = "memory://discovery-index/data/";
    (0..20).for_each(|index| put(&format!("{base}{index:02}"), &vec![b'x'; index]));
    let index = "memory://discovery-index/kept/index";
    let listed = indexed(base, None, index).unwrap();
    assert_eq!(listed.len(), 20);
    // What came since is not looked for: nothing was listed.
    put(&format!("{base}99"), b"new");
    assert_eq!(indexed(base, None, index).unwrap(), listed);
    // Another question, a smaller object and a damaged index each lead to a new listing.
    assert_eq!(indexed(base, Some("0*"), index).unwrap().len(), 10);
    assert_eq!(indexed(base, None, index).unwrap().len(), 21);
    put(&format!("{base}99"), b"shorter or longer");
    assert_eq!(indexed(base, None, index).unwrap().size(20), Some(17));
    put(index, b"S3DLIDX1 and then something else");
    assert_eq!(indexed(base, None, index).unwrap().len(), 21);
    assert_eq!(indexed(base, None, index).unwrap().len(), 21);
}

#[test]
fn what_is_no_index_is_not_written_over() {
    put("memory://discovery-foreign/data/a", b"a");
    let index = "memory://discovery-foreign/kept";
    put(index, b"somebody's work");
    let error = indexed("memory://discovery-foreign/data/", None, index).unwrap_err();
    assert!(matches!(&error, LoaderError::Store(StoreError::AlreadyExists { uri, .. }) if uri == index), "{error}");
    let error = indexed("memory://discovery-foreign/data", None, "memory://discovery-foreign/data/i").unwrap_err();
    assert!(matches!(error, LoaderError::Config { option: "index", .. }), "{error}");
}

#[test]
fn a_manifest_names_objects_in_its_order() {
    let base = "memory://discovery-manifest/lists/";
    let text =
        "# a comment\n\nb.bin\t12\r\nmemory://other/a b.bin\n{\"uri\": \"c.bin\", \"size\": 5, \"label\": 3}\nb.bin";
    let table = manifest(&format!("{base}all.txt"), text.as_bytes()).unwrap();
    assert_eq!(
        names(&table),
        [
            "memory://discovery-manifest/lists/b.bin",
            "memory://other/a b.bin",
            "memory://discovery-manifest/lists/c.bin",
            "memory://discovery-manifest/lists/b.bin",
        ]
    );
    assert_eq!((0..4).map(|index| table.size(index)).collect::<Vec<_>>(), [Some(12), None, Some(5), None]);
    // Longer than the windows that it is read in, of which one ends within a line.
    let long: String = (0..400_000).map(|index| format!("part/{index:09}/some-long-name.bin\t{index}\n")).collect();
    let table = manifest(&format!("{base}long.txt"), long.as_bytes()).unwrap();
    assert_eq!(table.len(), 400_000);
    for index in [0, 123_456, 399_999] {
        assert_eq!(table.entry(index).unwrap().1, format!("lists/part/{index:09}/some-long-name.bin"));
        assert_eq!(table.size(index), Some(index as u64));
    }
}

#[test]
fn files_of_a_manifest_tell_their_sizes() {
    let dir = tempfile::tempdir().unwrap();
    let base = format!("file://{}/", dir.path().display());
    put(&format!("{base}a.bin"), b"four");
    let table = manifest(&format!("{base}list"), b"a.bin\nmissing.bin\na.bin\t9\n").unwrap();
    assert_eq!(names(&table)[0], format!("{base}a.bin"));
    assert_eq!((0..3).map(|index| table.size(index)).collect::<Vec<_>>(), [Some(4), None, Some(9)]);
}

#[test]
fn a_bad_manifest_says_which_line() {
    let uri = "memory://discovery-bad/list";
    for (text, line, cause) in [
        (&b"a\nb\tmany\n"[..], "line 2", "a size in bytes"),
        (b"a\n\n/etc/passwd", "line 3", "below the folder"),
        (b"{\"name\": \"a\"}", "line 1", "uri"),
        (b"{\"uri\": 5", "line 1", "expected a"),
        (b"a\nnothing://b/c\n", "line 2", "unknown scheme"),
        (b"a\n\xff\n", "line 2", "UTF-8"),
        (&vec![b'a'; 100_000], "line 1", "65536"),
    ] {
        let error = manifest(uri, text).unwrap_err();
        assert!(
            matches!(&error, LoaderError::Store(StoreError::Corrupt { uri: named, .. }) if named == uri),
            "{error}"
        );
        let message = error.to_string();
        assert!(message.contains(line) && message.contains(cause), "{message}");
    }
    let error = manifest(uri, b"# nothing\n").unwrap_err();
    assert!(matches!(error, LoaderError::Store(StoreError::NotFound { .. })), "{error}");
}

#[test]
fn a_template_is_a_data_set_without_a_list() {
    for index in 5..8 {
        put(&format!("memory://discovery-template/p/{index:04}.bin"), format!("{index}").as_bytes());
    }
    let template = |text: &str, count, size| Template::parse(text, 5, count, size).unwrap();
    let source =
        ObjectSource::new(template("memory://discovery-template/p/{:04}.bin", 3, Some(1)), GetOptions::default());
    let source = source.unwrap();
    assert_eq!((source.len(), source.bytes(2), source.bytes(9)), (3, Some(1), Some(1)));
    assert_eq!(source.name(2), "memory://discovery-template/p/0007.bin");
    assert_eq!(source.read(&[2, 0], 4).unwrap().wait().unwrap(), [&b"7"[..], b"5"]);
    assert!(source.read(&[3], 4).unwrap_err().to_string().contains("3 records"));
    assert!(source.names().memory() < 1000);
    assert_eq!(&Names::unpack(&source.names().pack()).unwrap(), source.names());
    let print = |text: &str, count| {
        let names = template(text, count, None);
        ObjectSource::new(names, GetOptions::default()).unwrap().fingerprint().to_owned()
    };
    assert_eq!(print("s3://a/x/{:04}.bin", 9), print("memory://b/y/z/{:04}.bin", 9));
    assert_ne!(print("s3://a/x/{:04}.bin", 9), print("s3://a/x/{:04}.bin", 8));
    assert_ne!(print("s3://a/x/{:04}.bin", 9), print("s3://a/x/{:05}.bin", 9));
    for packed in [&b"S3DLTPL1"[..], b"S3DLTPL1 cut", b"S3DLTPL1aaaaaaaabbbbbbbbccccccccs3://b/none"] {
        assert!(Names::unpack(packed).is_err());
    }
}

//! NPY: files written by numpy, and every way in which one can be wrong.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::time::{Duration, Instant};

use crate::common::{assert_matches, golden, manifest};
use bytes::Bytes;
use proptest::prelude::*;
use s3dlio_formats::{Array, FormatError, npy};

/// A file of version 2.0 with this header and these items.
fn file(header: impl AsRef<[u8]>, items: &[u8]) -> Bytes {
    let header = header.as_ref();
    let mut file = b"\x93NUMPY\x02\x00".to_vec();
    file.extend((header.len() as u32).to_le_bytes());
    file.extend(header);
    file.extend(items);
    Bytes::from(file)
}

fn header(descr: &str, shape: &str) -> String {
    format!("{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n")
}

fn parse_header(text: impl AsRef<[u8]>) -> Result<Array, FormatError> {
    npy::parse(&file(text, &[0; 64]))
}

#[test]
fn reads_what_numpy_writes() {
    let files = manifest(".npy");
    assert!(files.len() > 30);
    for (name, expected) in files {
        let array = npy::parse(&golden(&name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_matches(&array, &expected, &name);
    }
}

#[test]
fn objects_are_refused() {
    for name in ["object.npy", "object_field.npy"] {
        let error = npy::parse(&golden(name)).unwrap_err();
        assert!(matches!(error, FormatError::ObjectDtype { .. }), "{error}");
        assert!(error.is_unsupported() && !error.is_not_found());
        assert!(error.to_string().contains("pickle"), "{error}");
    }
}

#[test]
fn items_are_not_copied() {
    let input = golden("structured_nested.npy");
    let array = npy::parse(&input).unwrap();
    let offset = input.len() - array.byte_len();
    assert_eq!(array.data.as_ptr(), input[offset..].as_ptr());
}

#[test]
fn every_truncation_is_an_error() {
    for name in manifest(".npy").keys() {
        let whole = golden(name);
        let kept = if npy::parse(&whole).unwrap().is_empty() { whole.len() } else { whole.len() - 1 };
        for len in 0..=kept {
            let result = npy::parse(&whole.slice(..len));
            assert_eq!(result.is_err(), len < whole.len(), "{name} cut to {len} bytes");
        }
    }
}

#[test]
fn truncation_says_what_is_missing() {
    let whole = golden("version_1.npy");
    let error = npy::parse(&whole.slice(..whole.len() - 3)).unwrap_err();
    assert_eq!(error, FormatError::NpyTruncated { part: "data", offset: 128, expected: 10, found: 7 });
    assert_eq!(error.to_string(), "NPY data at byte 128 needs 10 bytes, but only 7 follow");
    let error = npy::parse(&whole.slice(..50)).unwrap_err();
    assert_eq!(error, FormatError::NpyTruncated { part: "header", offset: 10, expected: 118, found: 40 });
    let error = npy::parse(&whole.slice(..9)).unwrap_err();
    assert_eq!(error, FormatError::NpyTruncated { part: "preamble", offset: 6, expected: 4, found: 3 });
    assert_eq!(npy::parse(&whole.slice(..3)).unwrap_err(), FormatError::NpyMagic { found: b"\x93NU".to_vec() });
}

#[test]
fn bytes_after_the_items_are_ignored() {
    let mut longer = golden("fortran.npy").to_vec();
    longer.extend([1, 2, 3]);
    assert_eq!(npy::parse(&Bytes::from(longer)), npy::parse(&golden("fortran.npy")));
}

#[test]
fn unknown_versions_are_refused() {
    for (major, minor) in [(0, 0), (1, 1), (4, 0), (255, 255)] {
        let mut bytes = golden("scalar.npy").to_vec();
        (bytes[6], bytes[7]) = (major, minor);
        assert_eq!(npy::parse(&Bytes::from(bytes)).unwrap_err(), FormatError::NpyVersion { major, minor });
    }
}

#[test]
fn header_length_is_never_trusted() {
    let mut bytes = file(header("'<f4'", "()"), &[0; 4]).to_vec();
    bytes[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
    let error = npy::parse(&Bytes::from(bytes)).unwrap_err();
    assert_eq!(error, FormatError::NpyHeaderTooLong { len: u32::MAX.into(), limit: 1 << 20 });
}

#[test]
fn headers_of_python_2_are_read() {
    let array = parse_header(header("'<f4'", "(2L, 3L)")).unwrap();
    assert_eq!((array.shape.as_slice(), array.descr.as_str()), ([2, 3].as_slice(), "<f4"));
}

#[test]
fn structured_descr_has_one_spelling() {
    let array = parse_header(header(r#"[ ("a","<f4") , (u'b' ,'<i2',(2 , )) ]"#, "(1,)")).unwrap();
    assert_eq!(array.descr, "[('a', '<f4'), ('b', '<i2', (2,))]");
}

#[test]
fn wrong_headers_are_explained() {
    let content = |text: &str| matches!(parse_header(text), Err(FormatError::NpyHeaderContent { .. }));
    for text in [
        "1",
        "{}",
        "{'descr': '<f4', 'shape': ()}",
        "{'fortran_order': False, 'shape': ()}",
        "{'descr': '<f4', 'fortran_order': False}",
        "{'descr': '<f4', 'fortran_order': 0, 'shape': ()}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (), 'more': 1}",
        "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': ()}",
        "{1: '<f4', 'fortran_order': False, 'shape': ()}",
    ] {
        assert!(content(text), "{text}");
    }
    for shape in ["2", "[2]", "(-1,)", "(True,)", "('2',)", "(2, None)"] {
        assert!(content(&header("'<f4'", shape)), "{shape}");
    }
    assert!(content(&header("'<f4'", &format!("({})", "1,".repeat(65)))));
    assert!(matches!(parse_header(header("'<f3'", "()")), Err(FormatError::NpyDescr { .. })));
}

#[test]
fn syntax_errors_say_where() {
    let FormatError::NpyHeaderSyntax { offset, found, .. } = parse_header("{'descr': ?}").unwrap_err() else {
        panic!()
    };
    assert_eq!((offset, found.as_str()), (12 + 10, "\"?}\""));
    // Latin-1: one byte each, although the text that is parsed holds two for each of them.
    let FormatError::NpyHeaderSyntax { offset, .. } = parse_header(b"{'\xe9\xe9': ?}").unwrap_err() else { panic!() };
    assert_eq!(offset, 12 + 7);
    let mut version_3 = file(b"{'\xe9': 1}", &[]).to_vec();
    version_3[6] = 3;
    let error = npy::parse(&Bytes::from(version_3)).unwrap_err();
    assert_eq!(error, FormatError::NpyHeaderEncoding { offset: 14 });
}

#[test]
fn messages_stay_short() {
    let error = parse_header(header(&format!("'<{}'", "x".repeat(100_000)), "()")).unwrap_err();
    assert!(error.to_string().len() < 300);
}

#[test]
fn sizes_beyond_memory_are_refused() {
    for shape in [
        "(9223372036854775807,)",
        "(4294967296, 4294967296)",
        "(9223372036854775807, 9223372036854775807)",
        "(2305843009213693952,)",
    ] {
        let error = parse_header(header("'<f8'", shape)).unwrap_err();
        assert!(matches!(error, FormatError::NpyTooLarge { .. }), "{shape}: {error}");
    }
    let error = parse_header(header("'<f4'", "(1099511627776,)")).unwrap_err();
    assert!(matches!(error, FormatError::NpyTruncated { part: "data", .. }), "{error}");
}

#[test]
fn zero_sizes_are_arrays() {
    let array = parse_header(header("'<f4'", "(9223372036854775807, 0, 9223372036854775807)")).unwrap();
    assert_eq!((array.len(), array.byte_len()), (0, 0));
    let array = parse_header(header("'|V0'", "(5,)")).unwrap();
    assert_eq!((array.len(), array.byte_len(), array.item_size), (5, 0, 0));
}

#[test]
fn nesting_neither_hangs_nor_overflows() {
    let start = Instant::now();
    for (open, close) in [("[", "]"), ("(", ",)"), ("[(", ",)]"), ("{1:", "}")] {
        for depth in [10, 31, 60, 10_000] {
            let nested = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            assert!(parse_header(header(&nested, "()")).is_err());
        }
    }
    assert!(start.elapsed() < Duration::from_secs(5));
}

/// Whatever parses must be consistent in itself.
fn check(input: &Bytes) {
    if let Ok(array) = npy::parse(input) {
        assert_eq!(array.byte_len() as u64, array.len() * array.item_size as u64);
        assert!(array.byte_len() <= input.len());
    }
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        check(&Bytes::from(bytes));
    }

    #[test]
    fn random_headers_never_panic(version in 1u8..4, text in prop::collection::vec(any::<u8>(), 0..128)) {
        let mut bytes = file(text, &[0; 16]).to_vec();
        bytes[6] = version;
        check(&Bytes::from(bytes));
    }

    #[test]
    fn random_shapes_and_types(shape in prop::collection::vec(prop_oneof![0u64..4, any::<u64>()], 0..6), descr in "[<>|][a-zA-Z][0-9]{0,3}") {
        let shape: String = shape.iter().map(|n| format!("{n}, ")).collect();
        check(&file(header(&format!("'{descr}'"), &format!("({shape})")), &[0; 64]));
    }

    #[test]
    fn damaged_files_never_panic(at in 0usize..296, byte in any::<u8>()) {
        let mut bytes = golden("structured_nested.npy").to_vec();
        bytes[at] = byte;
        check(&Bytes::from(bytes));
    }
}

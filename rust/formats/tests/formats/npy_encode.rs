//! NPY headers as numpy writes them.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use crate::common::{golden, manifest};
use bytes::Bytes;
use proptest::prelude::*;
use s3dlio_formats::{FormatError, npy};

#[test]
fn writes_what_numpy_writes() {
    // These two were forced into a version that numpy would not choose, and text is spelt as it was given.
    let forced = ["version_2.npy", "version_3.npy"];
    let files: Vec<_> = manifest(".npy").into_keys().filter(|name| !forced.contains(&name.as_str())).collect();
    assert!(files.len() > 30);
    for name in files {
        let whole = golden(&name);
        let array = npy::parse(&whole).unwrap();
        let (mut written, items) = npy::encode_header(&array.descr, array.fortran_order, &array.shape).unwrap();
        assert_eq!(items, array.byte_len(), "{name}");
        written.extend(&array.data);
        assert_eq!(written, whole, "{name}");
    }
}

#[test]
fn long_headers_take_the_second_version() {
    let fields: Vec<_> = (0..9000).map(|i| format!("('a{i}', '<i4')")).collect();
    let descr = format!("[{}]", fields.join(", "));
    let (header, items) = npy::encode_header(&descr, false, &[1]).unwrap();
    assert_eq!((&header[..8], header.len() % 64, items), (&b"\x93NUMPY\x02\x00"[..], 0, 36_000));
    let descr = descr.replace("'a0'", "'\u{3b1}'");
    let (header, _) = npy::encode_header(&descr, false, &[0]).unwrap();
    assert_eq!(&header[..8], b"\x93NUMPY\x03\x00");
    let error = npy::encode_header(&format!("'{}'", "[".repeat(5)), false, &[]).unwrap_err();
    assert!(matches!(error, FormatError::NpyDescr { .. }));
}

#[test]
fn what_nobody_could_read_is_refused() {
    let fields: Vec<_> = (0..70_000).map(|i| format!("('a{i}', '|u1')")).collect();
    let error = npy::encode_header(&format!("[{}]", fields.join(", ")), false, &[]).unwrap_err();
    assert!(matches!(error, FormatError::NpyHeaderTooLong { .. }), "{error}");
    for descr in ["|O", "[('a', '|O')]"] {
        let error = npy::encode_header(descr, false, &[]).unwrap_err();
        assert!(matches!(error, FormatError::ObjectDtype { .. }), "{error}");
    }
    for descr in ["", "f4", "<f4'", "[", "[('a', '<f3')]", "[]]"] {
        let error = npy::encode_header(descr, false, &[]).unwrap_err();
        assert!(matches!(error, FormatError::NpyDescr { .. }), "{descr}: {error}");
    }
    let error = npy::encode_header("<f8", false, &[u64::MAX, 2]).unwrap_err();
    assert!(matches!(error, FormatError::NpyTooLarge { .. }), "{error}");
    let error = npy::encode_header("<f8", false, &[1; 65]).unwrap_err();
    assert!(matches!(error, FormatError::NpyHeaderContent { .. }), "{error}");
}

proptest! {
    #[test]
    fn what_is_written_is_read(shape in prop::collection::vec(0u64..5, 0..6), fortran in any::<bool>(), at in 0usize..6) {
        let descr = ["|u1", "<f2", ">c16", "<U3", "[('a', '<i4'), ('', '|V4'), ('b', [('c', '|b1', (2,))])]", "<M8[ns]"][at];
        let (mut file, items) = npy::encode_header(descr, fortran, &shape).unwrap();
        prop_assert_eq!(file.len() % 64, 0);
        file.resize(file.len() + items, 7);
        let array = npy::parse(&Bytes::from(file)).unwrap();
        prop_assert_eq!((array.descr.as_str(), array.fortran_order, array.shape), (descr, fortran, shape));
        prop_assert_eq!(array.data.len(), items);
    }
}

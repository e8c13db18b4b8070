//! Archives that we write, read back and read by another library.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::io::{Cursor, Read};

use bytes::Bytes;
use proptest::prelude::*;
use s3dlio_formats::npz::{Directory, Encoder, Limits, Method, Npz, Progress, deflate};
use s3dlio_formats::{FormatError, npy};
use zip::ZipArchive;

/// An NPY file of these bytes.
fn npy(items: &[u8]) -> Vec<u8> {
    let (mut file, _) = npy::encode_header("|u1", false, &[items.len() as u64]).unwrap();
    file.extend(items);
    file
}

fn deflated(content: &[u8], piece: usize) -> Vec<u8> {
    let mut pieces = content.chunks(piece).peekable();
    let mut out = Vec::new();
    while let Some(next) = pieces.next() {
        out.extend(deflate(next, 6, pieces.peek().is_none()).unwrap());
    }
    out
}

fn write(members: &[(String, Vec<u8>, bool)]) -> Bytes {
    let mut encoder = Encoder::new();
    let mut out = Vec::new();
    for (name, content, compress) in members {
        let stored = if *compress { deflated(content, 1000) } else { content.clone() };
        let method = if *compress { Method::Deflated } else { Method::Stored };
        let crc32 = crc32fast::hash(content);
        out.extend(encoder.member(name, method, crc32, content.len() as u64, stored.len() as u64).unwrap());
        assert!(*compress || out.len().is_multiple_of(64));
        out.extend(stored);
        assert_eq!(encoder.len(), out.len() as u64);
    }
    out.extend(encoder.finish());
    Bytes::from(out)
}

#[test]
fn an_archive_without_members_is_an_archive() {
    assert!(Encoder::new().is_empty());
    let empty = write(&[]);
    assert_eq!((empty.len(), Npz::open(&empty, Limits::default()).unwrap().names().count()), (22, 0));
    assert_eq!(ZipArchive::new(Cursor::new(empty)).unwrap().len(), 0);
}

#[test]
fn names_that_readers_see_differently_are_refused() {
    let mut encoder = Encoder::new();
    encoder.member("x", Method::Stored, 0, 0, 0).unwrap();
    for name in ["x".to_owned(), "a\0b".to_owned(), "n".repeat(65_532)] {
        let error = encoder.member(&name, Method::Stored, 0, 0, 0).unwrap_err();
        assert!(matches!(error, FormatError::MemberName { .. }), "{error}");
        assert!(error.to_string().len() < 300);
    }
    encoder.member(&"n".repeat(65_531), Method::Stored, 0, 0, 0).unwrap();
}

#[test]
fn many_members_make_a_large_archive() {
    let members: Vec<_> = (0..65_536).map(|i| (format!("{i}"), npy(&[]), false)).collect();
    let whole = write(&members);
    let npz = Npz::open(&whole, Limits::default()).unwrap();
    assert_eq!(npz.names().count(), members.len());
    assert!(npz.read("65535").unwrap().is_empty());
    let mut other = ZipArchive::new(Cursor::new(whole)).unwrap();
    assert_eq!(other.len(), members.len());
    other.by_name("40000.npy").unwrap();
}

/// The last bytes of an archive whose members are so large that they are not made.
#[test]
fn sizes_beyond_four_gibibytes_are_written_and_read() {
    let size = (5 << 30) + 3;
    let mut encoder = Encoder::new();
    let mut headers = Vec::new();
    for (name, len) in [("large", size), ("edge", u64::from(u32::MAX)), ("small", 10), ("last", size)] {
        headers.push((encoder.len(), encoder.member(name, Method::Stored, 7, len, len).unwrap()));
    }
    let members = encoder.len();
    let end = Bytes::from(encoder.finish());
    let len = members + end.len() as u64;
    let Progress::Ready(directory) = Directory::read(&end, len, &Limits::default()).unwrap() else { panic!() };
    let found: Vec<_> = directory.members().iter().map(|m| (m.array_name(), m.len(), m.range().start)).collect();
    let starts: Vec<_> = headers.iter().map(|(at, _)| *at).collect();
    let expected = [
        ("large", size, starts[0]),
        ("edge", u64::from(u32::MAX), starts[1]),
        ("small", 10, starts[2]),
        ("last", size, starts[3]),
    ];
    assert_eq!(found, expected);
    // The header of the first member has its sizes in a field of their own, and is padded.
    assert_eq!((starts[0] + headers[0].1.len() as u64) % 64, 0);
    assert!(headers[0].1.windows(8).any(|bytes| bytes == size.to_le_bytes()));
}

#[test]
fn a_piece_of_nothing_is_a_stream() {
    for content in [&b""[..], b"x"] {
        let mut stream = deflate(b"", 1, false).unwrap();
        stream.extend(deflate(content, 99, true).unwrap());
        let mut encoder = Encoder::new();
        let crc32 = crc32fast::hash(content);
        let mut out = encoder.member("x", Method::Deflated, crc32, content.len() as u64, stream.len() as u64).unwrap();
        out.extend(stream);
        out.extend(encoder.finish());
        let mut found = Vec::new();
        ZipArchive::new(Cursor::new(out.clone())).unwrap().by_index(0).unwrap().read_to_end(&mut found).unwrap();
        assert_eq!(found, content);
        let npz = Npz::open(&Bytes::from(out), Limits::default()).unwrap();
        let member = npz.directory().find("x").unwrap();
        let error = npz.read_member(member).unwrap_err();
        assert!(matches!(error, FormatError::Member { .. }), "{error}");
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        members in prop::collection::btree_map("[a-z\u{e9}\u{4e2d}/. ]{0,12}", (prop::collection::vec(0u8..4, 0..6000), any::<bool>()), 0..6),
    ) {
        let members: Vec<_> = members.into_iter().map(|(name, (items, compress))| (name, npy(&items), compress)).collect();
        let whole = write(&members);
        let npz = Npz::open(&whole, Limits::default()).unwrap();
        let read = npz.read_all().unwrap();
        prop_assert_eq!(read.len(), members.len());
        let mut other = ZipArchive::new(Cursor::new(whole.clone())).unwrap();
        for ((name, array), (expected, content, _)) in read.iter().zip(&members) {
            prop_assert_eq!((name, &array.data[..]), (expected, &content[128..]));
            let mut found = Vec::new();
            other.by_name(&format!("{name}.npy")).unwrap().read_to_end(&mut found).unwrap();
            prop_assert_eq!(&found, content);
        }
    }
}

//! NPZ: archives written by numpy, and every way in which one can be wrong.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use crate::common::{assert_matches, golden, manifest};
use crate::zip_writer::{Member, archive, with_directory};
use bytes::Bytes;
use proptest::prelude::*;
use s3dlio_formats::{Array, FormatError, Limits, Npz};

fn open(input: &Bytes) -> Result<Npz, FormatError> {
    Npz::open(input, Limits::default())
}

fn read_all(input: &Bytes) -> Result<Vec<(String, Array)>, FormatError> {
    open(input)?.read_all()
}

/// What is wrong with the one member concerned.
fn member_error(result: Result<Vec<(String, Array)>, FormatError>, name: &str) -> FormatError {
    let error = result.unwrap_err();
    assert_eq!(error.member(), Some(name), "{error}");
    assert!(error.to_string().contains(name), "{error}");
    match error {
        FormatError::Member { error, .. } => *error,
        other => panic!("{other}"),
    }
}

fn npy() -> Bytes {
    golden("fortran.npy")
}

#[test]
fn reads_what_numpy_writes() {
    for (file, expected) in manifest(".npz") {
        let expected = expected["arrays"].as_array().unwrap();
        let npz = open(&golden(&file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        let names: Vec<_> = expected.iter().map(|array| array["name"].as_str().unwrap()).collect();
        assert_eq!(npz.names().collect::<Vec<_>>(), names, "{file}");
        let all = npz.read_all().unwrap();
        assert_eq!(all.len(), expected.len(), "{file}");
        for ((name, array), expected) in all.iter().zip(expected) {
            assert_matches(array, expected, &format!("{file} {name}"));
            assert_eq!(&npz.read(name).unwrap(), array);
            assert_eq!(&npz.read(&format!("{name}.npy")).unwrap(), array);
        }
    }
}

#[test]
fn stored_arrays_are_not_copied() {
    for file in ["stored.npz", "zip64_stored.npz"] {
        let input = golden(file);
        let npz = open(&input).unwrap();
        assert_eq!(npz.inflated_len(), 0);
        for (name, array) in npz.read_all().unwrap() {
            let (inside, all) = (array.data.as_ptr_range(), input.as_ptr_range());
            assert!(array.data.is_empty() || (all.start <= inside.start && inside.end <= all.end), "{name}");
        }
    }
}

#[test]
fn says_what_inflating_takes() {
    let npz = open(&golden("mixed.npz")).unwrap();
    let arrays: usize = npz.read_all().unwrap().iter().map(|(_, array)| array.byte_len() + 128).sum();
    assert_eq!(npz.inflated_len(), arrays as u64);
}

#[test]
fn can_be_shared_between_threads() {
    let npz = open(&golden("mixed.npz")).unwrap();
    let expected = npz.read_all().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(npz.read_all().unwrap(), expected));
        }
    });
}

#[test]
fn missing_arrays_are_named() {
    let error = open(&golden("stored.npz")).unwrap().read("y").unwrap_err();
    assert!(error.is_not_found() && !error.is_unsupported());
    let available = ["x", "label", "none"].map(str::to_owned).to_vec();
    assert_eq!(error, FormatError::NoSuchArray { name: "y".to_owned(), available });
}

#[test]
fn objects_are_refused_but_their_neighbours_read() {
    let npz = open(&golden("object.npz")).unwrap();
    assert_eq!(npz.read("fine").unwrap().len(), 2);
    let error = npz.read_all().unwrap_err();
    assert!(error.is_unsupported());
    assert!(matches!(member_error(Err(error), "objects.npy"), FormatError::ObjectDtype { .. }));
}

#[test]
fn other_methods_are_unsupported() {
    let error = read_all(&golden("bzip2.npz")).unwrap_err();
    assert!(error.is_unsupported(), "{error}");
    let method = "bzip2 (12)".to_owned();
    assert_eq!(member_error(Err(error), "x.npy"), FormatError::Method { method });
    for method in [1, 6, 9, 12, 14, 93, 95, 99, 1000] {
        let member = Member { method, ..Member::stored("x.npy", &npy()) };
        let error = read_all(&archive(&[member])).unwrap_err();
        assert!(error.is_unsupported(), "{method}: {error}");
    }
}

#[test]
fn encrypted_members_are_unsupported() {
    for member in [Member::stored("x.npy", &npy()), Member::deflated("x.npy", &npy())] {
        let error = read_all(&archive(&[Member { flags: 1, ..member }])).unwrap_err();
        assert!(error.is_unsupported(), "{error}");
        assert_eq!(member_error(Err(error), "x.npy"), FormatError::Encrypted);
    }
}

#[test]
fn lying_sizes_are_refused_before_any_memory_is_taken() {
    let member = Member { size: u32::MAX - 1, ..Member::deflated("x.npy", &npy()) };
    let error = member_error(read_all(&archive(std::slice::from_ref(&member))), "x.npy");
    let compressed = u64::from(member.stored_size);
    let (announced, possible) = (u64::from(u32::MAX - 1), compressed * 1032);
    assert_eq!(error, FormatError::ImpossibleRatio { compressed, announced, possible });
}

#[test]
fn limits_bound_what_is_inflated() {
    let content = golden("mixed.npz");
    let zeros = vec![0; 1 << 20];
    let bomb = archive(&[Member::stored("big.npy", &npy()), Member::deflated("x.npy", &zeros)]);
    assert!(bomb.len() < 4096);
    let limits = Limits { max_member_bytes: (1 << 20) - 1, ..Limits::default() };
    let error = Npz::open(&bomb, limits).unwrap().read("x").unwrap_err();
    assert!(error.is_unsupported());
    let over = FormatError::OverLimit { announced: 1 << 20, limit: limits.max_member_bytes };
    assert_eq!(member_error(Err(error), "x.npy"), over);
    assert!(Npz::open(&bomb, Limits { max_member_bytes: 0, ..limits }).unwrap().read("big").is_ok());
    assert!(Npz::open(&content, Limits { max_member_bytes: 1 << 20, ..limits }).unwrap().read_all().is_ok());
}

#[test]
fn inflating_to_another_size_is_an_error() {
    let honest = Member::deflated("x.npy", &npy());
    let shorter = Member { size: honest.size - 1, ..honest.clone() };
    let error = member_error(read_all(&archive(&[shorter])), "x.npy");
    assert!(matches!(error, FormatError::Inflate { offset: 35, .. }), "{error}");
    let longer = Member { size: honest.size + 1, ..honest.clone() };
    let error = member_error(read_all(&archive(&[longer])), "x.npy");
    assert_eq!(error, FormatError::InflatedSize { found: honest.size.into(), expected: u64::from(honest.size) + 1 });
    let unequal = Member { size: 5, ..Member::stored("x.npy", &npy()) };
    let error = member_error(read_all(&archive(&[unequal])), "x.npy");
    assert_eq!(error, FormatError::StoredSize { stored: npy().len() as u64, announced: 5 });
}

#[test]
fn deflated_data_cut_short_is_an_error() {
    let mut member = Member::deflated("x.npy", &npy());
    member.content.truncate(20);
    member.stored_size = 20;
    let error = member_error(read_all(&archive(&[member])), "x.npy");
    assert!(matches!(error, FormatError::Inflate { .. } | FormatError::InflatedSize { .. }), "{error}");
}

#[test]
fn wrong_checksums_are_errors() {
    for member in [Member::stored("x.npy", &npy()), Member::deflated("x.npy", &npy())] {
        let (found, expected) = (member.crc32, member.crc32 ^ 1);
        let error = member_error(read_all(&archive(&[Member { crc32: expected, ..member }])), "x.npy");
        assert_eq!(error, FormatError::Checksum { found, expected });
    }
}

#[test]
fn names_must_be_unique() {
    let twice = [Member::stored("x.npy", &npy()), Member::stored("x.npy", &npy())];
    let error_inside = Box::new(FormatError::DuplicateMember);
    let member = "x.npy".to_owned();
    assert_eq!(open(&archive(&twice)).unwrap_err(), FormatError::Member { member, error: error_inside });
    // The same letter in UTF-8 and in the code page of DOS.
    let letter = Member::stored("\u{e4}.npy", &npy());
    let dos = Member { name: b"\x84.npy".to_vec(), flags: 0, ..letter.clone() };
    let error = open(&archive(&[letter, dos])).unwrap_err();
    let error_inside = Box::new(FormatError::DuplicateMember);
    assert_eq!(error, FormatError::Member { member: "\u{e4}.npy".to_owned(), error: error_inside });
}

#[test]
fn positions_must_be_inside_and_apart() {
    let member = Member::stored("x.npy", &npy());
    let whole = archive(std::slice::from_ref(&member));
    let body = whole[..35 + npy().len()].to_vec();
    for offset in [1, 35, body.len() as u32, u32::MAX - 1] {
        assert!(open(&with_directory(body.clone(), std::slice::from_ref(&member), &[offset])).is_err(), "{offset}");
    }
    let other = Member { name: b"y.npy".to_vec(), ..member.clone() };
    assert!(open(&with_directory(body.clone(), &[member.clone(), other], &[0, 0])).is_err());
    let long = Member { stored_size: u32::MAX - 1, size: u32::MAX - 1, ..member.clone() };
    assert!(open(&archive(&[long])).is_err());
    // A second member, complete in the archive, inside the data of the first.
    let inner = archive(std::slice::from_ref(&member));
    let outer = Member::stored("outer.npy", &inner);
    let start = archive(std::slice::from_ref(&outer))[..39 + inner.len()].to_vec();
    assert!(open(&with_directory(start, &[outer, member], &[0, 39])).is_err());
}

#[test]
fn members_missing_from_the_directory_are_noticed() {
    let members = [Member::stored("x.npy", &npy()), Member::stored("y.npy", &npy())];
    let whole = archive(&members);
    let body = whole[..2 * (35 + npy().len())].to_vec();
    for known in [(&members[..1], [0]), (&members[1..], [body.len() as u32 / 2])] {
        assert!(open(&with_directory(body.clone(), known.0, &known.1)).is_err());
    }
}

#[test]
fn an_archive_inside_an_array_is_not_taken_for_the_archive() {
    let inner = archive(&[Member::stored("inner.npy", &npy())]);
    let mut array = b"\x93NUMPY\x01\x00\x46\x00".to_vec();
    let header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({},), }}", inner.len());
    array.extend(format!("{header:<69}\n").as_bytes());
    array.extend(&inner);
    let whole = archive(&[Member::stored("outer.npy", &array)]);
    assert_eq!(open(&whole).unwrap().read("outer").unwrap().data, inner);
    for len in 0..whole.len() {
        assert!(read_all(&whole.slice(..len)).is_err(), "cut to {len} bytes");
    }
}

#[test]
fn what_is_no_archive_is_an_error() {
    for input in [&b""[..], b"PK", b"PK\x05\x06", b"\x93NUMPY", &[0; 100]] {
        let error = open(&Bytes::copy_from_slice(input)).unwrap_err();
        assert!(matches!(error, FormatError::Archive { .. }) && !error.is_unsupported(), "{error}");
    }
    let error = read_all(&archive(&[Member::stored("x.npy", b"text")])).unwrap_err();
    assert_eq!(member_error(Err(error), "x.npy"), FormatError::NpyMagic { found: b"text".to_vec() });
}

#[test]
fn every_truncation_is_an_error() {
    for file in manifest(".npz").keys() {
        let whole = golden(file);
        for len in 0..whole.len() {
            assert!(open(&whole.slice(..len)).is_err(), "{file} cut to {len} bytes");
        }
    }
}

#[test]
fn every_flipped_bit_is_noticed_or_harmless() {
    for file in manifest(".npz").keys() {
        let whole = golden(file);
        let expected = read_all(&whole).unwrap();
        let mut errors = 0;
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            match read_all(&Bytes::from(flipped)) {
                Ok(arrays) => assert_eq!(arrays, expected, "{file}: bit {} of byte {}", bit % 8, bit / 8),
                Err(_) => errors += 1,
            }
        }
        assert!(expected.is_empty() || errors * 10 > whole.len() * 8 * 6, "{file}: only {errors} noticed");
    }
}

#[test]
fn every_overwritten_byte_is_noticed_or_harmless() {
    for file in ["stored.npz", "deflated.npz", "zip64_stored.npz", "streamed.npz"] {
        let whole = golden(file);
        let expected = read_all(&whole).unwrap();
        for at in 0..whole.len() {
            for value in [0x00, 0x01, 0x7f, 0x80, 0xff, !whole[at]] {
                let mut damaged = whole.to_vec();
                damaged[at] = value;
                if let Ok(arrays) = read_all(&Bytes::from(damaged)) {
                    assert_eq!(arrays, expected, "{file}: byte {at} set to {value}");
                }
            }
        }
    }
}

fn damaged() -> impl Strategy<Value = Bytes> {
    let files: Vec<_> = manifest(".npz").into_keys().collect();
    let edits = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8);
    (prop::sample::select(files), edits).prop_map(|(file, edits)| {
        let mut bytes = golden(&file).to_vec();
        for (at, value) in edits {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        Bytes::from(bytes)
    })
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        let _ = read_all(&Bytes::from(bytes));
    }

    #[test]
    fn damaged_archives_never_panic(input in damaged()) {
        if let Ok(npz) = open(&input) {
            for name in npz.names() {
                let _ = npz.read(name);
            }
        }
    }

    #[test]
    fn round_trips(items in prop::collection::vec(any::<u8>(), 0..2000), deflate in any::<bool>(), name in "[a-z/\u{e9}]{1,12}") {
        let header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({},), }}", items.len());
        let mut content = b"\x93NUMPY\x01\x00".to_vec();
        content.extend((header.len() as u16).to_le_bytes());
        content.extend(header.as_bytes());
        content.extend(&items);
        let full = format!("{name}.npy");
        let member = if deflate { Member::deflated(&full, &content) } else { Member::stored(&full, &content) };
        let arrays = read_all(&archive(&[member])).unwrap();
        prop_assert_eq!(arrays.len(), 1);
        prop_assert_eq!(&arrays[0].0, &name);
        prop_assert_eq!(&arrays[0].1.data[..], &items[..]);
    }
}

//! TFRecord: framing, damage, indexes, compression, examples.

use std::io::Write;

use bytes::Bytes;
use proptest::prelude::*;
use s3dlio_formats::FormatError;
use s3dlio_formats::tfrecord::compression::{Compression, DETECT, Inflate};
use s3dlio_formats::tfrecord::decode::{self, Decoder};
use s3dlio_formats::tfrecord::index::{Entry, Index, Scan, Verify, parse_index, write_entry};
use s3dlio_formats::tfrecord::{HEADER, OVERHEAD, TfRecordError, append, header, masked_crc};

fn file(records: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let mut file = Vec::new();
    records.iter().for_each(|record| append(&mut file, record.as_ref()));
    file
}

/// Record, byte and error.
type At = (u64, u64, TfRecordError);

/// Decodes pieces; the records, and how it ended: place and error.
fn decode(pieces: &[&[u8]], verify: bool) -> (Vec<Bytes>, Result<(), At>) {
    let mut decoder = Decoder::new(verify);
    let mut records = Vec::new();
    for piece in pieces {
        decoder.push(Bytes::copy_from_slice(piece));
        loop {
            match decoder.next_record() {
                Ok(Some(record)) => records.push(record),
                Ok(None) => break,
                Err(error) => return (records, Err((decoder.record(), decoder.offset(), error))),
            }
        }
    }
    let end = decoder.finish().map_err(|error| (decoder.record(), decoder.offset(), error));
    (records, end)
}

fn scan(file: &[u8], verify: Verify, window: usize) -> Result<Vec<Entry>, At> {
    let mut scan = Scan::new(file.len() as u64, verify);
    let mut entries = Vec::new();
    while !scan.is_done().map_err(|error| (scan.records(), scan.next(), error))? {
        let start = scan.next() as usize;
        let bytes = &file[start..file.len().min(start + window)];
        let found = scan.window(start as u64, bytes, |entry| entries.push(entry));
        found.map_err(|error| (scan.records(), scan.next(), error))?;
    }
    Ok(entries)
}

#[test]
fn the_frame_is_the_documented_one() {
    // The check value of CRC-32C, masked by hand: rotated right by 15 bits, plus the constant.
    assert_eq!(masked_crc(b"123456789"), 0xe306_9283_u32.rotate_right(15).wrapping_add(0xa282_ead8));
    let one = file(&[b"abc"]);
    assert_eq!(one.len(), 3 + OVERHEAD);
    assert_eq!(one[..8], 3_u64.to_le_bytes());
    assert_eq!(one[..HEADER], header(3));
    assert_eq!(one[8..12], masked_crc(&3_u64.to_le_bytes()).to_le_bytes());
    assert_eq!(one[15..], masked_crc(b"abc").to_le_bytes());
}

#[test]
fn records_in_one_piece_are_slices_of_it() {
    let bytes = Bytes::from(file(&[b"first".as_slice(), b"", b"third"]));
    let mut decoder = Decoder::new(true);
    decoder.push(bytes.clone());
    let first = decoder.next_record().unwrap().unwrap();
    assert_eq!(first.as_ptr(), bytes[HEADER..].as_ptr());
    assert_eq!(decoder.next_record().unwrap().unwrap(), b"".as_slice());
    assert_eq!((decoder.record(), decoder.offset()), (2, 21 + 16));
    assert_eq!(decoder.next_record().unwrap().unwrap(), b"third".as_slice());
    assert_eq!(decoder.next_record(), Ok(None));
    assert_eq!(decoder.finish(), Ok(()));
}

#[test]
fn a_decoder_can_be_given_the_same_bytes_again() {
    let bytes = Bytes::from(file(&[b"first", b"again"]));
    let mut decoder = Decoder::new(true);
    decoder.push(bytes.slice(..30));
    assert!(decoder.next_record().unwrap().is_some());
    assert_eq!(decoder.next_record(), Ok(None));
    assert_eq!((decoder.needed(), decoder.offset()), (Ok(12), 21));
    decoder.restart(bytes.slice(21..35));
    assert_eq!((decoder.next_record(), decoder.needed()), (Ok(None), Ok(21)));
    decoder.restart(bytes.slice(21..));
    assert_eq!(decoder.next_record().unwrap().unwrap(), b"again".as_slice());
}

#[test]
fn a_file_that_ends_anywhere_gives_its_whole_records_and_says_what_is_missing() {
    let whole = file(&[b"first", b"later"]);
    for end in 0..whole.len() {
        let (records, result) = decode(&[&whole[..end]], true);
        assert_eq!(records.len(), usize::from(end >= 21));
        let begin = if end >= 21 { 21 } else { 0 };
        let found = (end - begin) as u64;
        let expected = match found {
            0 => Ok(()),
            1..=11 => Err((records.len() as u64, begin as u64, TfRecordError::TruncatedHeader { found })),
            _ => Err((records.len() as u64, begin as u64, TfRecordError::Truncated { length: 5, found: found - 12 })),
        };
        assert_eq!(result, expected, "{end}");
    }
}

#[test]
fn every_changed_byte_is_seen() {
    let whole = file(&[b"first", b"later"]);
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        let (records, result) = decode(&[&damaged], true);
        let (record, offset, error) = result.unwrap_err();
        assert_eq!((record, offset, records.len() as u64), ((at / 21) as u64, (at / 21 * 21) as u64, record));
        match at % 21 {
            0..12 => assert!(matches!(error, TfRecordError::LengthChecksum { .. }), "{at}: {error}"),
            _ => assert!(matches!(error, TfRecordError::DataChecksum { length: 5, .. }), "{at}: {error}"),
        }
    }
}

#[test]
fn checksums_are_not_looked_at_on_request() {
    let mut zeros = file(&[b"first", b"later"]);
    for at in [8, 9, 10, 11, 17, 18, 19, 20, 29, 30, 31, 32, 38, 39, 40, 41] {
        zeros[at] = 0;
    }
    assert_eq!(decode(&[&zeros], false), (vec![Bytes::from("first"), Bytes::from("later")], Ok(())));
    assert!(decode(&[&zeros], true).1.is_err());
}

#[test]
fn an_absurd_length_needs_no_memory() {
    for length in [u64::MAX, u64::MAX - 16, 1 << 62, 1 << 40] {
        let mut file = header(length).to_vec();
        file.extend_from_slice(b"few bytes");
        let mut decoder = Decoder::new(true);
        decoder.push(Bytes::from(file.clone()));
        assert_eq!(decoder.next_record(), Ok(None));
        assert_eq!(decoder.needed(), Ok(length.saturating_add(16)));
        assert_eq!(decoder.finish(), Err(TfRecordError::Truncated { length, found: 9 }));
        for verify in [Verify::Auto, Verify::Always, Verify::Never] {
            let error = TfRecordError::Truncated { length, found: 9 };
            assert_eq!(scan(&file, verify, 100), Err((0, 0, error)));
        }
    }
}

#[test]
fn headers_are_enough_for_the_places_of_records() {
    let whole = file(&[vec![1; 5], vec![], vec![2; 100_000], vec![3; 7]]);
    let expected: Vec<_> =
        [(0, 21), (21, 16), (37, 100_016), (100_053, 23)].map(|(offset, size)| Entry { offset, size }).into();
    for window in [12, 13, 100, 1 << 20] {
        assert_eq!(scan(&whole, Verify::Always, window), Ok(expected.clone()), "{window}");
    }
    let mut text = Vec::new();
    expected.iter().for_each(|&entry| write_entry(&mut text, entry));
    assert_eq!(String::from_utf8(text.clone()).unwrap(), "0 21\n21 16\n37 100016\n100053 23\n");
    assert_eq!(parse_index(&text), Ok(expected));
    assert_eq!(scan(&[], Verify::Always, 12), Ok(vec![]));
    let mut longest = Vec::new();
    write_entry(&mut longest, Entry { offset: u64::MAX, size: 1_020_304_050_607_080_900 });
    assert_eq!(longest, b"18446744073709551615 1020304050607080900\n");
}

#[test]
fn a_wrong_length_is_seen_where_the_file_has_checksums() {
    let whole = file(&[b"first", b"later", b"third"]);
    for (at, size) in [(21, 6), (29, 0)] {
        let mut damaged = whole.clone();
        damaged[at] = damaged[at].wrapping_add(1 + size);
        for verify in [Verify::Auto, Verify::Always] {
            let (record, offset, error) = scan(&damaged, verify, 1000).unwrap_err();
            assert_eq!((record, offset), (1, 21));
            assert!(matches!(error, TfRecordError::LengthChecksum { .. }), "{error}");
        }
    }
}

#[test]
fn files_without_checksums_are_indexed_unless_they_are_asked_for() {
    let mut zeros = file(&[b"first", b"later"]);
    for at in [8, 9, 10, 11, 29, 30, 31, 32] {
        zeros[at] = 0;
    }
    assert_eq!(scan(&zeros, Verify::Auto, 1000).unwrap().len(), 2);
    assert_eq!(scan(&zeros, Verify::Never, 1000).unwrap().len(), 2);
    assert!(matches!(scan(&zeros, Verify::Always, 1000), Err((0, 0, TfRecordError::LengthChecksum { .. }))));
}

#[test]
fn a_few_bytes_behind_the_last_record_are_passed_over_unless_all_is_compared() {
    let mut trailing = file(&[b"first"]);
    trailing.extend_from_slice(&[0; 11]);
    assert_eq!(scan(&trailing, Verify::Auto, 1000).unwrap().len(), 1);
    assert_eq!(scan(&trailing, Verify::Always, 1000), Err((1, 21, TfRecordError::TruncatedHeader { found: 11 })));
    trailing.truncate(20);
    let error = TfRecordError::Truncated { length: 5, found: 8 };
    assert_eq!(scan(&trailing, Verify::Auto, 1000), Err((0, 0, error)));
}

#[test]
fn an_index_has_two_numbers_a_line() {
    let entries = vec![Entry { offset: 0, size: 21 }, Entry { offset: 21, size: 16 }];
    assert_eq!(parse_index(b"0 21\r\n\n  \n21\t16"), Ok(entries));
    assert_eq!(parse_index(b""), Ok(vec![]));
    for (text, line) in [
        ("0 21\nx 3\n", 2),
        ("0\n", 1),
        ("0 1 2\n", 1),
        ("\n\n-1 3", 3),
        ("0 18446744073709551616\n", 1),
        ("0 1\n1 +3\n", 2),
    ] {
        let found = text.lines().nth(line as usize - 1).unwrap().to_owned();
        assert_eq!(parse_index(text.as_bytes()), Err(TfRecordError::IndexLine { line, found }), "{text:?}");
    }
    let Err(TfRecordError::IndexLine { found, .. }) = parse_index(&[0xff; 100_000]) else { panic!() };
    assert!(found.len() < 400);
}

#[test]
fn an_index_is_held_against_the_size_of_the_file() {
    let index: Index = [(0, 21), (21, 16), (37, 20)].map(|(offset, size)| Entry { offset, size }).into_iter().collect();
    assert_eq!((index.len(), index.end()), (3, 57));
    assert_eq!(index.get(1), Some(Entry { offset: 21, size: 16 }));
    assert_eq!(index.get(2), Some(Entry { offset: 37, size: 20 }));
    assert_eq!((index.get(3), index.get(u64::MAX)), (None, None));
    assert_eq!(index.check(57), Ok(()));
    assert_eq!(index.check(57 + 11), Ok(()));
    assert_eq!(index.check(57 + 12), Err((None, TfRecordError::IndexEnd { found: 57, expected: 69 })));
    assert_eq!(index.check(56), Err((Some(2), TfRecordError::IndexRange { size: 20, end: 57, length: 56 })));
    let short: Index = [Entry { offset: 0, size: 15 }].into_iter().collect();
    assert!(short.check(15).is_err());
    let endless: Index = [Entry { offset: u64::MAX, size: u64::MAX }].into_iter().collect();
    assert!(endless.check(u64::MAX - 1).is_err());
}

#[test]
fn an_index_may_leave_records_out() {
    let entries = [(100, 20), (40, 30), (70, 30), (0, 16)].map(|(offset, size)| Entry { offset, size });
    let index: Index = entries.into_iter().collect();
    assert_eq!(index.iter().collect::<Vec<_>>(), entries);
}

#[test]
fn a_record_is_held_against_its_index() {
    let whole = Bytes::from(file(&[b"first", b"later"]));
    assert_eq!(decode::record(&whole.slice(21..), true).unwrap(), b"later".as_slice());
    for (range, found) in [(0..20, 21), (0..22, 21), (0..5, 12)] {
        let expected = range.len() as u64;
        let error = decode::record(&whole.slice(range), true).unwrap_err();
        assert_eq!(error, TfRecordError::IndexSize { found, expected });
    }
    assert!(matches!(decode::record(&whole.slice(5..21), true), Err(TfRecordError::LengthChecksum { .. })));
}

fn compressed(kind: Compression, data: &[u8]) -> Vec<u8> {
    let level = flate2::Compression::default();
    match kind {
        Compression::None => data.to_vec(),
        Compression::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(data).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Zlib => {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), level);
            encoder.write_all(data).unwrap();
            encoder.finish().unwrap()
        }
    }
}

fn inflated(kind: Compression, data: &[u8], step: usize) -> Result<Vec<u8>, TfRecordError> {
    let mut inflate = Inflate::new(kind).unwrap();
    let mut out = Vec::new();
    for piece in data.chunks(step) {
        inflate.push(piece, &mut out)?;
    }
    inflate.finish().map(|()| out)
}

#[test]
fn compression_is_seen_and_undone_in_pieces_of_any_size() {
    let plain =
        file(&[vec![7; 3_000_000], b"x".to_vec(), (0..100_000_u32).map(|n| (n.wrapping_mul(n) >> 5) as u8).collect()]);
    for kind in [Compression::Gzip, Compression::Zlib] {
        let data = compressed(kind, &plain);
        assert_eq!(Compression::detect(&data[..DETECT]), kind);
        for step in [1, 1000, data.len()] {
            assert_eq!(inflated(kind, &data, step).unwrap(), plain, "{kind:?} {step}");
        }
        assert_eq!(inflated(kind, &[], 1).unwrap(), b"");
    }
    assert_eq!(Compression::detect(&plain), Compression::None);
    assert_eq!(Compression::detect(b""), Compression::None);
    assert_eq!(Compression::detect(b"anything else"), Compression::None);
    // A length whose first bytes are those of gzip; its checksum tells.
    assert_eq!(Compression::detect(&header(0x0008_8b1f)), Compression::None);
    let names = ["", "none", "GZIP", "zlib", "zstd"].map(Compression::parse);
    let (none, gzip, zlib) = (Some(Compression::None), Some(Compression::Gzip), Some(Compression::Zlib));
    assert_eq!(names, [none, none, gzip, zlib, None]);
}

#[test]
fn gzip_members_follow_each_other_and_nothing_follows_zlib() {
    let twice = [compressed(Compression::Gzip, b"first "), compressed(Compression::Gzip, b"second")].concat();
    for step in [1, 7, 1000] {
        assert_eq!(inflated(Compression::Gzip, &twice, step).unwrap(), b"first second");
    }
    let twice = [compressed(Compression::Zlib, b"first "), compressed(Compression::Zlib, b"second")].concat();
    assert!(matches!(inflated(Compression::Zlib, &twice, 1000), Err(TfRecordError::Inflate { kind: "zlib", .. })));
}

#[test]
fn damaged_compression_is_seen() {
    let plain = file(&[(0..10_000_u32).map(|n| (n.wrapping_mul(n) >> 5) as u8).collect::<Vec<_>>()]);
    for kind in [Compression::Gzip, Compression::Zlib] {
        let data = compressed(kind, &plain);
        for end in [1, 2, 11, data.len() / 2, data.len() - 9, data.len() - 1] {
            let error = inflated(kind, &data[..end], 100).unwrap_err();
            assert!(matches!(error, TfRecordError::Inflate { .. }), "{kind:?} {end}: {error}");
        }
        for at in [data.len() / 2, data.len() - 1] {
            let mut damaged = data.clone();
            damaged[at] ^= 1;
            assert!(inflated(kind, &damaged, 100).is_err(), "{kind:?} {at}");
        }
    }
}

#[test]
fn an_error_converts_and_says_what_it_is() {
    let error = FormatError::from(TfRecordError::NoPlaces { kind: "gzip" });
    assert!(error.is_unsupported() && error.to_string().contains("gzip"));
    assert!(!FormatError::from(TfRecordError::TruncatedHeader { found: 3 }).is_unsupported());
}

proptest! {
    #[test]
    fn records_come_back_from_any_pieces(
        records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..20),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
    ) {
        let whole = file(&records);
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(whole.len() + 1)).collect();
        cuts.extend([0, whole.len()]);
        cuts.sort_unstable();
        let pieces: Vec<_> = cuts.windows(2).map(|pair| &whole[pair[0]..pair[1]]).collect();
        let (found, end) = decode(&pieces, true);
        prop_assert_eq!(end, Ok(()));
        prop_assert_eq!(&found, &records);
        let index: Index = scan(&whole, Verify::Always, 64).unwrap().into_iter().collect();
        let whole = Bytes::from(whole);
        for (entry, record) in index.iter().zip(&records) {
            let frame = whole.slice(entry.offset as usize..(entry.offset + entry.size) as usize);
            prop_assert_eq!(&decode::record(&frame, true).unwrap(), record);
        }
        prop_assert_eq!(index.len(), records.len() as u64);
    }

    #[test]
    fn no_bytes_make_anything_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), verify in any::<bool>()) {
        let _ = decode(&[&bytes], verify);
        let _ = parse_index(&bytes);
        let _ = scan(&bytes, if verify { Verify::Auto } else { Verify::Never }, 50);
        let kind = Compression::detect(&bytes);
        if kind != Compression::None {
            let _ = inflated(kind, &bytes, 10);
        }
    }
}

//! What is whole of damaged files: ArrayRecord with and without its index, TFRecord, members of archives.

use std::ops::Range;

use bytes::Bytes;
use proptest::prelude::*;
use s3dlio_formats::array_record::{self, Checked, Verify, Writer, WriterOptions};
use s3dlio_formats::npz::{Check, Directory, Encoder, Limits, Method, Progress, deflate};
use s3dlio_formats::riegeli::Need;
use s3dlio_formats::tfrecord::{self, TfRecordError};

fn bytes_for(file: &Bytes, need: Need, piece: u64) -> Bytes {
    let start = need.offset.min(file.len() as u64);
    let end = need.offset.saturating_add(need.len.min(piece)).min(file.len() as u64);
    file.slice(start as usize..end as usize)
}

fn array_record(records: &[Vec<u8>], options: &str) -> Bytes {
    let mut out = Vec::new();
    let mut writer = Writer::new(options.parse::<WriterOptions>().unwrap(), &mut out);
    records.iter().for_each(|record| writer.push(record, &mut out).unwrap());
    writer.finish(&mut out).unwrap();
    out.into()
}

/// The records that are whole, and what is lost.
fn salvage(file: &Bytes, piece: u64) -> (Vec<Bytes>, Vec<Range<u64>>) {
    let mut salvage = array_record::Salvage::new(file.len() as u64);
    let (mut found, mut lost) = (Vec::new(), Vec::new());
    loop {
        match salvage.next_step() {
            array_record::Salvaged::Need(need) => salvage.supply(need.offset, bytes_for(file, need, piece)),
            array_record::Salvaged::Records { records, .. } => {
                found.extend((0..records.len()).map(|at| records.get(at).unwrap()));
            }
            array_record::Salvaged::Damage { lost: range, .. } => lost.push(range),
            array_record::Salvaged::End => {
                assert_eq!(salvage.next_step(), array_record::Salvaged::End);
                return (found, lost);
            }
        }
    }
}

fn texts(count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|number| format!("record {number}").into_bytes()).collect()
}

/// Chunks behind a broken header in the same block can only be found by the index.
#[test]
fn an_index_leads_around_a_broken_header() {
    let records = texts(9);
    let file = array_record(&records, "group_size:2");
    for header in [true, false] {
        let mut broken = file.to_vec();
        broken[64 + if header { 8 } else { 41 }] ^= 1;
        let (found, lost) = salvage(&broken.clone().into(), 1000);
        assert_eq!(found, records[2..]);
        assert_eq!(lost.len(), 1);
        assert_eq!(lost[0].start, 64);
        assert!(lost[0].end < 1000);
        // Without its index the file is lost up to the next block.
        broken.truncate(65536);
        let (found, lost) = salvage(&broken.into(), u64::MAX);
        assert_eq!(found, if header { &[] } else { &records[2..] });
        assert_eq!(lost.last().unwrap().start, 64);
    }
}

#[test]
fn verifying_goes_on_behind_a_broken_header() {
    let mut file = array_record(&texts(9), "group_size:2").to_vec();
    file[64 + 8] ^= 1;
    let file = Bytes::from(file);
    let mut verify = Verify::new(file.len() as u64);
    let mut faults = 0;
    let summary = loop {
        match verify.next_step() {
            Checked::Need(need) => verify.supply(need.offset, bytes_for(&file, need, 777)),
            Checked::Fault { error, lost } => {
                faults += 1;
                assert_eq!((error.offset(), lost.start), (Some(64), 64));
            }
            Checked::Done(summary) => break summary,
        }
    };
    assert_eq!((faults, summary.records, summary.chunks), (1, 7, 4));
}

fn tfrecord(records: &[Vec<u8>]) -> Vec<u8> {
    let mut file = Vec::new();
    records.iter().for_each(|record| tfrecord::append(&mut file, record));
    file
}

fn salvage_tfrecord(file: &Bytes, piece: u64) -> (Vec<Bytes>, Vec<(TfRecordError, Range<u64>)>) {
    let mut salvage = tfrecord::Salvage::new(file.len() as u64);
    let (mut found, mut faults) = (Vec::new(), Vec::new());
    loop {
        match salvage.next_step() {
            tfrecord::Salvaged::Need(need) => salvage.supply(need.offset, bytes_for(file, need, piece)),
            tfrecord::Salvaged::Record { offset, record } => {
                assert_eq!(file[offset as usize + 12..][..record.len()], record);
                found.push(record);
            }
            tfrecord::Salvaged::Damage { error, lost } => faults.push((error, lost)),
            tfrecord::Salvaged::End => {
                assert_eq!(salvage.next_step(), tfrecord::Salvaged::End);
                return (found, faults);
            }
        }
    }
}

#[test]
fn damage_of_a_tfrecord_file_costs_its_record() {
    let records: Vec<Vec<u8>> = (0..200).map(|number| vec![number as u8; 50 + number]).collect();
    let file = tfrecord(&records);
    let begins: Vec<usize> = records
        .iter()
        .scan(0, |at, record| {
            let begin = *at;
            *at += record.len() + 16;
            Some(begin)
        })
        .collect();
    for piece in [1, 13, 100, u64::MAX] {
        let (found, faults) = salvage_tfrecord(&file.clone().into(), piece);
        assert!(found == records && faults.is_empty());
    }
    let others = |lost: usize| -> Vec<Vec<u8>> {
        records.iter().enumerate().filter(|(number, _)| *number != lost).map(|(_, record)| record.clone()).collect()
    };
    // Length, checksum of the length, payload, checksum of the payload.
    for offset in [0, 9, 20, 62 + 7] {
        let mut broken = file.clone();
        broken[begins[7] + offset] ^= 4;
        let (found, faults) = salvage_tfrecord(&broken.into(), 1000);
        assert_eq!(found, others(7));
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].1, begins[7] as u64..begins[8] as u64);
    }
    for cut in [begins[199] + 5, begins[199] + 100] {
        let (found, faults) = salvage_tfrecord(&Bytes::from(file[..cut].to_vec()), u64::MAX);
        assert_eq!(found, records[..199]);
        assert_eq!(faults[0].1, begins[199] as u64..cut as u64);
    }
    let noise: Vec<u8> = (0..300_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let (found, faults) = salvage_tfrecord(&noise.into(), 70_000);
    assert!(found.is_empty());
    assert_eq!((faults.len(), faults[0].1.clone()), (1, 0..300_000));
    assert_eq!(salvage_tfrecord(&Bytes::new(), 1), (vec![], vec![]));
}

/// An archive with one stored and one deflated member, and where these lie.
fn archive() -> (Vec<u8>, Directory) {
    let content: Vec<u8> = (0..200_000_u32).map(|at| (at % 251) as u8).collect();
    let mut encoder = Encoder::new();
    let mut file = Vec::new();
    let crc = crc32fast::hash(&content);
    file.extend(encoder.member("a.npy", Method::Stored, crc, content.len() as u64, content.len() as u64).unwrap());
    file.extend(&content);
    let packed = deflate(&content, 6, true).unwrap();
    file.extend(encoder.member("b.npy", Method::Deflated, crc, content.len() as u64, packed.len() as u64).unwrap());
    file.extend(packed);
    file.extend(encoder.finish());
    let Progress::Ready(directory) =
        Directory::read(&file.clone().into(), file.len() as u64, &Limits::default()).unwrap()
    else {
        panic!("the directory is at hand")
    };
    (file, directory)
}

#[test]
fn members_are_checked_in_pieces() {
    let (file, directory) = archive();
    let check = |file: &[u8], at: usize, piece: usize| {
        let member = &directory.members()[at];
        let extent = &file[member.range().start as usize..member.range().end as usize];
        let mut check = Check::new(member).unwrap();
        extent.chunks(piece).try_for_each(|piece| check.push(piece))?;
        check.finish()
    };
    for piece in [1, 30, 1000, usize::MAX] {
        check(&file, 0, piece).unwrap();
        check(&file, 1, piece).unwrap();
    }
    for (at, member) in directory.members().iter().enumerate() {
        let range = member.range();
        for byte in (range.start..range.end).step_by(97).chain(range.start..range.start + 14) {
            let mut broken = file.clone();
            broken[byte as usize] ^= 0x10;
            let whole = member.content(
                &Bytes::from(broken.clone()).slice(range.start as usize..range.end as usize),
                &Limits::default(),
            );
            assert_eq!(check(&broken, at, 4096).is_err(), whole.is_err(), "byte {byte}");
        }
        let head = member.head(&file[range.start as usize..(range.start + 1024) as usize]).unwrap();
        assert!(head.len() > 500 && head[..251].iter().enumerate().all(|(at, byte)| at == *byte as usize));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn only_what_was_written_is_found(
        lens in prop::collection::vec(0..3000_usize, 1..40),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 1..=255_u8), 1..4),
        piece in prop_oneof![Just(61_u64), Just(5000), Just(u64::MAX)],
    ) {
        let records: Vec<Vec<u8>> =
            lens.iter().enumerate().map(|(number, len)| [&number.to_le_bytes()[..], &vec![7; *len]].concat()).collect();
        let flips = |mut file: Vec<u8>| {
            edits.iter().for_each(|(at, mask)| { let at = at.index(file.len()); file[at] ^= mask; });
            Bytes::from(file)
        };
        let broken = flips(tfrecord(&records));
        let (found, faults) = salvage_tfrecord(&broken, piece);
        prop_assert!(found.iter().all(|record| records.iter().any(|one| one == record)));
        // An edit costs one record; two that undo each other none.
        prop_assert!(found.len() + edits.len() >= records.len());
        prop_assert!(faults.windows(2).all(|pair| pair[0].1.end <= pair[1].1.start));

        let broken = flips(array_record(&records, "group_size:3,uncompressed").to_vec());
        let (found, lost) = salvage(&broken, piece);
        prop_assert!(found.iter().all(|record| records.iter().any(|one| one == record)));
        prop_assert!(lost.iter().all(|range| range.end <= broken.len() as u64));
    }
}

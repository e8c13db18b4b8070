//! Transposed chunks that lie: an error in bounded time and memory, never a panic.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

#[path = "common/array_record.rs"]
mod array_record;
mod fixtures;
#[path = "common/peak.rs"]
mod peak;
#[path = "common/proto.rs"]
mod proto;

use std::time::{Duration, Instant};

use array_record::{chunks, crafted, file, manifest, records};
use peak::Peak;
use proptest::prelude::*;
use s3dlio_formats::riegeli::transpose::{Fault, decode, encode};
use s3dlio_formats::riegeli::{
    Chunk, ChunkKind, Codec, Compression, Dialect, Records, Result, RiegeliError, decode_chunk,
};
use s3dlio_formats::varint;

#[global_allocator]
static PEAK: Peak = Peak::new();

/// Far above what any of these chunks needs, far below what they announce.
const MEMORY: usize = 64 << 20;

/// A tag that stands for a varint in field 1, and one for a string in it.
const NUMBER: u64 = 8;
const STRING: u64 = 10;

/// What decoding comes to, if it comes to an end soon and with little memory.
#[track_caller]
fn bounded(chunk: &Chunk) -> Result<Records> {
    let start = Instant::now();
    let (outcome, bytes) = PEAK.of(|| decode_chunk(chunk, Dialect::Riegeli));
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    assert!(bytes < MEMORY, "{bytes} bytes");
    outcome
}

#[track_caller]
fn fault(chunk: &Chunk) -> Fault {
    match bounded(chunk).unwrap_err() {
        RiegeliError::Chunk { begin: 64, error } => match *error {
            RiegeliError::Transposed(fault) => fault,
            other => panic!("{other}"),
        },
        other => panic!("{other}"),
    }
}

/// A machine without buckets whose i-th state is `(tag, next, subtype)`.
fn machine(states: &[(u64, u64, Option<u8>)], transitions: &[u8]) -> Vec<u8> {
    let mut header = vec![0, 0];
    varint::put(&mut header, states.len() as u64);
    states.iter().for_each(|state| varint::put(&mut header, state.0));
    states.iter().for_each(|state| varint::put(&mut header, state.1));
    header.extend(states.iter().filter_map(|state| state.2));
    header.push(0);
    let mut data = vec![0];
    varint::put(&mut data, header.len() as u64);
    [&data, &header[..], transitions].concat()
}

/// States that follow each other for nothing, up to the last one, from which a move leads back to the first.
fn chain(count: u64, tag: u64, subtype: Option<u8>) -> Vec<(u64, u64, Option<u8>)> {
    (1..=count).map(|next| (tag, if next == count { 0 } else { count + next }, subtype)).collect()
}

#[test]
fn every_malformed_file_is_refused() {
    let mut seen = 0;
    for entry in manifest("bad_files") {
        let name = fixtures::text(&entry["name"]);
        if !name.starts_with("t_") {
            continue;
        }
        let chunks = chunks(&file(&entry));
        let chunk = chunks.iter().find(|chunk| chunk.header.kind == ChunkKind::Transposed).unwrap();
        let outcome = bounded(chunk);
        if name == "t_valid_control" {
            assert_eq!(outcome.unwrap().len(), 3);
        } else {
            assert_eq!(outcome.expect_err(name).offset(), Some(chunk.begin), "{name}");
        }
        seen += 1;
    }
    assert_eq!(seen, 22);
}

#[test]
fn steps_that_lead_nowhere_end() {
    let data = machine(&chain(200_000, 0, None), &[3; 200_000]);
    let found = fault(&crafted(1, 1 << 50, data));
    assert!(matches!(found, Fault::Steps { bytes: 0, records: 0, .. }), "{found}");
}

#[test]
fn submessages_that_never_start_end() {
    let data = machine(&chain(200_000, STRING + 4, None), &[3; 2000]);
    let found = fault(&crafted(1, 1 << 50, data));
    assert!(matches!(found, Fault::Depth { .. }), "{found}");
}

#[test]
fn output_grows_up_to_what_is_announced() {
    let data = machine(&chain(1000, NUMBER, Some(11)), &[3; 1000]);
    let found = fault(&crafted(1, 999_999, data));
    assert_eq!(found, Fault::TooLarge { found: 1_000_000, expected: 999_999 });
}

#[test]
fn records_are_counted_while_decoding() {
    let data = machine(&chain(1000, 3, None), &[3; 1000]);
    assert_eq!(fault(&crafted(2, 1 << 50, data)), Fault::TooManyRecords { found: 3, expected: 2 });
}

#[test]
fn long_circles_are_found() {
    let mut states = chain(100_000, 0, None);
    states[99_999].1 = 100_000 + 70_000;
    let found = fault(&crafted(0, 0, machine(&states, &[])));
    assert!(matches!(found, Fault::Circle { state: 70_000.. }), "{found}");
}

#[test]
fn a_compressed_header_makes_no_more_than_records_can_need() {
    let header = vec![0; 200 << 20];
    for compression in [
        Compression::Zstd { level: 1, window_log: None },
        Compression::Brotli { level: 1, window_log: None },
        Compression::Snappy,
    ] {
        let (mut stored, mut data) = (Vec::new(), vec![compression.codec().byte()]);
        compression.put_buffer(&header, &mut stored).unwrap();
        varint::put(&mut data, stored.len() as u64);
        data.extend(stored);
        let error = bounded(&crafted(1, 1000, data)).unwrap_err();
        let RiegeliError::Chunk { error, .. } = error else { panic!("{error}") };
        assert!(matches!(*error, RiegeliError::Size { part: "header", .. }), "{error}");
    }
}

/// Whatever the bytes say: records that fit the chunk header, or an error.
fn survives(num_records: u64, decoded_size: u64, data: Vec<u8>) -> Result<(), TestCaseError> {
    if let Ok(records) = bounded(&crafted(num_records, decoded_size, data)) {
        prop_assert_eq!(records.len() as u64, num_records);
        prop_assert_eq!(records.data().len() as u64, decoded_size);
    }
    Ok(())
}

/// The data of a chunk that is sound.
fn encoded(all: Vec<Vec<u8>>, compression: Compression) -> Chunk {
    let mut file = Vec::new();
    encode(records(all).view(), compression, 64).unwrap().write(64, &mut file).unwrap();
    s3dlio_formats::riegeli::chunk::read(64, &file.into(), s3dlio_formats::riegeli::chunk::Check::Hashes).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn damage_never_panics(
        all in proto::records(),
        compression in prop_oneof![
            6 => Just(Compression::None),
            1 => Just(Compression::Snappy),
            1 => Just(Compression::Zstd { level: 1, window_log: None }),
            1 => Just(Compression::Brotli { level: 1, window_log: None }),
        ],
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        more in (0..3_u64, 0..3_u64),
    ) {
        let Chunk { header, data, .. } = encoded(all, compression);
        let mut data = data.to_vec();
        for (at, value) in edits {
            let at = at.index(data.len());
            data[at] = value;
        }
        survives(header.num_records + more.0, header.decoded_size + more.1, data)?;
    }

    #[test]
    fn truncation_is_refused(all in proto::records(), at in any::<prop::sample::Index>()) {
        let Chunk { header, data, .. } = encoded(all, Compression::None);
        // A shorter list of transitions may just end the last records too early, which is noticed as well.
        let chunk = crafted(header.num_records, header.decoded_size, data.slice(..at.index(data.len())));
        prop_assert!(header.num_records == 0 || decode(&chunk).is_err());
    }

    #[test]
    fn noise_never_panics(
        num_records in 0..9_u64,
        size in 0..99_u64,
        mut data in prop::collection::vec(prop_oneof![3 => 0..12_u8, 1 => any::<u8>()], 1..200),
    ) {
        data[0] = Codec::None.byte();
        survives(num_records, size, data)?;
    }
}

//! Transposed chunks: the reference's files, and whatever can be written comes back the same.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

#[path = "common/array_record.rs"]
mod array_record;
mod fixtures;
#[path = "common/proto.rs"]
mod proto;

use array_record::{chunks, crafted, file, manifest, records};
use fixtures::{digest, text, unhex};
use proptest::prelude::*;
use s3dlio_formats::riegeli::chunk::{self, Check};
use s3dlio_formats::riegeli::transpose::{DEFAULT_BUCKET_SIZE, decode, encode};
use s3dlio_formats::riegeli::{Chunk, ChunkKind, Compression, Dialect, Records, decode_chunk};

const COMPRESSIONS: [Compression; 4] = [
    Compression::None,
    Compression::Brotli { level: 6, window_log: None },
    Compression::Zstd { level: 3, window_log: Some(20) },
    Compression::Snappy,
];

/// The chunk as it is read back from a file.
fn written(records: &Records, compression: Compression, bucket_size: u64) -> Chunk {
    let encoded = encode(records.view(), compression, bucket_size).unwrap();
    let mut file = Vec::new();
    encoded.write(65536, &mut file).unwrap();
    chunk::read(65536, &file.into(), Check::All).unwrap()
}

#[track_caller]
fn comes_back(expected: &Records, compression: Compression, bucket_size: u64) -> Chunk {
    let chunk = written(expected, compression, bucket_size);
    let found = decode(&chunk).unwrap();
    assert!(found.iter().eq(expected.iter()), "{compression:?}");
    chunk
}

/// Bytes written as digits, with blanks between them.
fn hex(digits: &str) -> Vec<u8> {
    unhex(&digits.split_whitespace().collect::<String>())
}

fn decoded(num_records: u64, decoded_size: u64, data: &str) -> Vec<Vec<u8>> {
    decode(&crafted(num_records, decoded_size, hex(data))).unwrap().iter().map(<[u8]>::to_vec).collect()
}

#[test]
fn reads_a_chunk_written_by_the_reference() {
    let data = "00 24 04 05 03040201 0102040201 08 08081208021e0301 0e0e090c0a0b000d 0b0100 01020003 07
                051601 03616263 fffe 02 00";
    let expected = [hex("0801"), hex("08960112036162631a020805"), hex("fffe")];
    assert_eq!(decoded(3, 16, data), expected);
}

#[test]
fn reads_the_smallest_chunk_without_messages() {
    let data = "00 0a 0102 09 0603 01 01 00 00 00 fdfdfdfefeff 030201 01";
    assert_eq!(decoded(3, 6, data), [hex("ff"), hex("fefe"), hex("fdfdfd")]);
}

#[test]
fn reads_every_file_of_the_reference() {
    let mut transposed = 0;
    for entry in manifest("files") {
        let name = text(&entry["name"]);
        let mut all = Vec::new();
        let mut chunks = chunks(&file(&entry));
        // The last two that hold records are the index and the pointer to it.
        chunks.retain(|chunk| chunk.header.num_records > 0);
        chunks.truncate(chunks.len() - 2);
        for chunk in &chunks {
            all.push(decode_chunk(chunk, Dialect::Riegeli).unwrap_or_else(|error| panic!("{name}: {error}")));
        }
        transposed += chunks.iter().filter(|chunk| chunk.header.kind == ChunkKind::Transposed).count();
        let found = digest(all.iter().flat_map(Records::iter));
        assert_eq!(found, text(&entry["records_sha256"]), "{name}");
    }
    assert!(transposed > 200, "{transposed}");
}

/// The reference's own files, chunk by chunk: none grows by more than a twentieth
/// and what two versions of a compressor differ by, and all together shrink.
#[test]
fn writes_as_compactly_as_the_reference() {
    let (mut all_ours, mut all_theirs) = (0, 0);
    for entry in manifest("files") {
        let options = entry["writer_options_string"].as_str().unwrap_or_default();
        let bucket = options.split(',').find_map(|option| option.strip_prefix("transpose_bucket_size:"));
        let (Some(bucket), Some(_)) = (bucket, entry["options"].as_str()) else { continue };
        for chunk in chunks(&file(&entry)).iter().filter(|chunk| chunk.header.kind == ChunkKind::Transposed) {
            let records = decode(chunk).unwrap();
            for compression in COMPRESSIONS.into_iter().filter(|it| it.codec().byte() == chunk.data[0]) {
                let ours = comes_back(&records, compression, bucket.parse().unwrap()).data.len();
                let theirs = chunk.data.len();
                assert!(ours <= theirs + theirs / 20 + 512, "{}: {ours} {theirs}", entry["name"]);
                (all_ours, all_theirs) = (all_ours + ours, all_theirs + theirs);
            }
        }
    }
    assert!(all_theirs > 500_000 && all_ours < all_theirs, "{all_ours} {all_theirs}");
}

#[test]
fn rewrites_every_file_of_the_reference_in_each_compression() {
    for entry in manifest("files") {
        for chunk in chunks(&file(&entry)).iter().filter(|chunk| chunk.header.kind == ChunkKind::Transposed) {
            let records = decode(chunk).unwrap();
            for compression in COMPRESSIONS {
                comes_back(&records, compression, DEFAULT_BUCKET_SIZE);
            }
        }
    }
}

#[test]
fn no_records_make_a_chunk_too() {
    for compression in COMPRESSIONS {
        assert!(decode(&written(&records([""; 0]), compression, 1)).unwrap().is_empty());
    }
}

/// Ten thousand fields, each with its own state.
#[test]
fn machines_of_thousands_of_states() {
    let mut seed = 1_u64;
    let mut random = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) % below
    };
    let message = |_| -> Vec<u8> {
        (0..300)
            .flat_map(|_| {
                let at = 1 + random(4000) as u32;
                match at % 4 {
                    0 => proto::number(at, random(1 << 21)),
                    1 => proto::fixed32(at, (random(1 << 32) as u32).to_le_bytes()),
                    2 => proto::bytes(at, format!("v{}", random(1000)).as_bytes()),
                    _ => proto::bytes(at, &proto::number(1 + random(3) as u32, random(5))),
                }
            })
            .collect()
    };
    let all = records((0..200).map(message).collect::<Vec<_>>());
    for compression in COMPRESSIONS {
        comes_back(&all, compression, 4096);
    }
}

#[test]
fn nesting_of_any_depth() {
    let (mut submessages, mut groups, mut both) = (Vec::new(), Vec::new(), Vec::new());
    let mut all = Vec::new();
    for level in 0..250 {
        submessages = proto::bytes(1, &submessages);
        groups = proto::group(2, &groups);
        both = if level % 2 == 0 {
            proto::group(3, &both)
        } else {
            proto::bytes(4, &[both, proto::number(1, 300)].concat())
        };
        all.extend([submessages.clone(), groups.clone(), both.clone()]);
    }
    for compression in COMPRESSIONS {
        comes_back(&records(&all), compression, 1 << 20);
    }
}

#[test]
fn hundred_thousand_empty_records() {
    for compression in COMPRESSIONS {
        comes_back(&records(vec![""; 100_000]), compression, DEFAULT_BUCKET_SIZE);
    }
}

/// Only the one form that can be put together again counts as a message; everything else is kept whole.
#[test]
fn almost_messages_come_back_unchanged() {
    let almost = [
        "00",
        "07",
        "06",
        "0e05",
        "08",
        "880001",
        "088000",
        "08ffffffffffffffffff02",
        "08ffffffffffffffffff01",
        "08ffffffffffffffffffff01",
        "0d010203",
        "0901020304050607",
        "0a05616263",
        "0a8000",
        "0a810061",
        "1b",
        "1c",
        "1b24",
        "1b1c1c",
        "0a021b1c",
        "0a011b",
        "1b0a011c1c",
        "1b0a011b1c",
        "f8ffffff0f01",
        "f8ffffff1f01",
        "0a0a0a080a060a040a020a00",
        "0a0a0a080a060a040a020a01",
        "0affffffff0f",
    ];
    let all = records(almost.map(hex));
    for compression in COMPRESSIONS {
        comes_back(&all, compression, DEFAULT_BUCKET_SIZE);
        for record in all.iter() {
            comes_back(&records([record]), compression, 1);
        }
    }
}

#[test]
fn the_size_of_buckets_counts_only_where_values_are_compressed() {
    let all = records((0..2000_u32).map(|i| {
        let text = i.to_string().repeat(5);
        [proto::number(1, u64::from(i) * 1000), proto::bytes(2, text.as_bytes()), proto::bytes(3, text.as_bytes())]
            .concat()
    }));
    let size = |compression, bucket| comes_back(&all, compression, bucket).data.len();
    for bucket in [1, 256, 4096, u64::MAX] {
        assert_eq!(size(Compression::None, bucket), size(Compression::None, 256));
    }
    let zstd = Compression::Zstd { level: 3, window_log: None };
    assert_ne!(size(zstd, 1), size(zstd, u64::MAX));
}

fn any_compression() -> impl Strategy<Value = Compression> {
    prop::sample::select(&COMPRESSIONS[..])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_is_written_comes_back(all in proto::records(), compression in any_compression(), bucket in 1..600_u64) {
        let all = records(all);
        comes_back(&all, compression, bucket);
    }
}

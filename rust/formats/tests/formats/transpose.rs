//! Transposed chunks: the reference's files, and whatever can be written comes back the same.

use std::time::{Duration, Instant};

use crate::golden::{chunks, crafted, digest, file, manifest, records};
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

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
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
        let name = entry["name"].as_str().unwrap();
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
        assert_eq!(found, entry["records_sha256"].as_str().unwrap(), "{name}");
    }
    assert!(transposed > 200, "{transposed}");
}

#[test]
fn writes_the_reference_s_records_in_about_the_same_size() {
    for entry in manifest("files") {
        for chunk in chunks(&file(&entry)) {
            if chunk.header.kind != ChunkKind::Transposed || chunk.header.num_records == 0 {
                continue;
            }
            let records = decode(&chunk).unwrap();
            for compression in COMPRESSIONS {
                let ours = comes_back(&records, compression, DEFAULT_BUCKET_SIZE);
                if compression.codec().byte() == chunk.data[0] && chunk.data.len() > 2000 {
                    let (ours, theirs) = (ours.data.len(), chunk.data.len());
                    eprintln!(
                        "{:40} {compression:?} {ours} {theirs} {:.3}",
                        entry["name"],
                        ours as f64 / theirs as f64
                    );
                }
            }
        }
    }
}

#[test]
fn refuses_every_malformed_chunk() {
    let mut seen = 0;
    for entry in manifest("bad_files") {
        let name = entry["name"].as_str().unwrap();
        if !name.starts_with("t_") {
            continue;
        }
        let chunks = chunks(&file(&entry));
        let chunk = chunks.iter().find(|chunk| chunk.header.kind == ChunkKind::Transposed).unwrap();
        let start = Instant::now();
        let outcome = decode_chunk(chunk, Dialect::Riegeli);
        assert!(start.elapsed() < Duration::from_secs(2), "{name}: {:?}", start.elapsed());
        if name == "t_valid_control" {
            assert_eq!(outcome.unwrap().len(), 3);
        } else {
            let error = outcome.expect_err(name);
            eprintln!("{name:40} {error}");
            assert_eq!(error.offset(), Some(chunk.begin), "{name}: {error}");
        }
        seen += 1;
    }
    assert_eq!(seen, 22);
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
                    0 => crate::proto::number(at, random(1 << 21)),
                    1 => crate::proto::fixed32(at, (random(1 << 32) as u32).to_le_bytes()),
                    2 => crate::proto::bytes(at, format!("v{}", random(1000)).as_bytes()),
                    _ => crate::proto::bytes(at, &crate::proto::number(1 + random(3) as u32, random(5))),
                }
            })
            .collect()
    };
    let all = records((0..200).map(message).collect::<Vec<_>>());
    for compression in COMPRESSIONS {
        let chunk = comes_back(&all, compression, 4096);
        eprintln!("{}", chunk.data.len());
    }
}

#[test]
fn nesting_of_any_depth() {
    let (mut submessages, mut groups, mut both) = (Vec::new(), Vec::new(), Vec::new());
    let mut all = Vec::new();
    for level in 0..250 {
        submessages = crate::proto::bytes(1, &submessages);
        groups = crate::proto::group(2, &groups);
        both = if level % 2 == 0 {
            crate::proto::group(3, &both)
        } else {
            crate::proto::bytes(4, &[both, crate::proto::number(1, 300)].concat())
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
        [
            crate::proto::number(1, u64::from(i) * 1000),
            crate::proto::bytes(2, text.as_bytes()),
            crate::proto::bytes(3, text.as_bytes()),
        ]
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

/// Whatever the bytes say: records that fit the chunk header, or an error, soon.
fn survives(num_records: u64, decoded_size: u64, data: Vec<u8>) -> Result<(), TestCaseError> {
    let start = Instant::now();
    let outcome = decode(&crafted(num_records, decoded_size, data));
    prop_assert!(start.elapsed() < Duration::from_secs(5));
    if let Ok(records) = outcome {
        prop_assert_eq!(records.len() as u64, num_records);
        prop_assert_eq!(records.data().len() as u64, decoded_size);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_is_written_comes_back(all in crate::proto::records(), compression in any_compression(), bucket in 1..600_u64) {
        let all = records(all);
        comes_back(&all, compression, bucket);
    }

    #[test]
    fn damage_never_panics(
        all in crate::proto::records(),
        compression in prop_oneof![4 => Just(Compression::None), 1 => any_compression()],
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        more in (0..3_u64, 0..3_u64),
    ) {
        let chunk = written(&records(all), compression, 64);
        let mut data = chunk.data.to_vec();
        for (at, value) in edits {
            let at = at.index(data.len());
            data[at] = value;
        }
        survives(chunk.header.num_records + more.0, chunk.header.decoded_size + more.1, data)?;
    }

    #[test]
    fn noise_never_panics(num_records in 0..9_u64, size in 0..99_u64, mut data in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Some(first) = data.first_mut() {
            *first = 0;
        }
        survives(num_records, size, data)?;
    }
}

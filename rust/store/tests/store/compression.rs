//! Encoders against decoders, and decoding of what is damaged or hostile.

use std::io::Read;

use crate::common::content;
use bytes::Bytes;
use proptest::prelude::*;
use s3dlio_store::StoreError;
use s3dlio_store::compression::{Codec, Compression, Encoder, decompress};

const MIB: usize = 1 << 20;

fn all() -> Vec<(Compression, Codec)> {
    vec![
        (Compression::Zstd(1), Codec::Zstd),
        (Compression::Zstd(3), Codec::Zstd),
        (Compression::Zstd(19), Codec::Zstd),
        (Compression::Gzip(1), Codec::Gzip),
        (Compression::Gzip(9), Codec::Gzip),
        (Compression::Lz4, Codec::Lz4),
    ]
}

fn encode(compression: Compression, data: &[u8], step: usize) -> Bytes {
    let mut encoder = Encoder::new(compression).unwrap().unwrap();
    let mut out = Vec::new();
    for piece in data.chunks(step) {
        encoder.push(piece).unwrap();
        out.append(encoder.output());
    }
    out.extend(encoder.finish().unwrap());
    out.into()
}

fn decode(data: &Bytes, codec: Codec, limit: u64) -> Result<Bytes, StoreError> {
    decompress("file:///x", data.clone(), codec, limit)
}

fn detail(result: Result<Bytes, StoreError>) -> String {
    match result {
        Err(StoreError::Corrupt { uri, detail }) if uri == "file:///x" => detail,
        other => panic!("{other:?}"),
    }
}

/// Half of it compresses, half does not.
fn mixed(length: usize) -> Vec<u8> {
    let mut data = content(length, 3);
    data[..length / 2].fill(7);
    data
}

#[test]
fn every_method_and_level_comes_back() {
    // The highest level takes seconds for a body that the others take milliseconds for.
    for (compression, codec) in all().into_iter().chain([(Compression::Zstd(22), Codec::Zstd)]) {
        for length in [0, 1, 1000, 3 * MIB + 1] {
            let data = mixed(length);
            let encoded = encode(compression, &data, 100_000);
            assert_eq!(decode(&encoded, codec, u64::MAX).unwrap(), data, "{compression:?} {length}");
            assert_eq!(decode(&encoded, Codec::Auto, u64::MAX).unwrap(), data, "{compression:?} {length}");
            assert!(length < 1000 || encoded.len() < length * 3 / 4, "{compression:?}: {}", encoded.len());
        }
    }
}

#[test]
fn an_encoder_puts_out_as_it_goes() {
    let data = content(8 * MIB, 5);
    for (compression, _) in all() {
        let mut encoder = Encoder::new(compression).unwrap().unwrap();
        let mut out = 0;
        for piece in data.chunks(MIB / 4) {
            encoder.push(piece).unwrap();
            out += encoder.output().len();
            encoder.output().clear();
        }
        assert!(out > 0, "{compression:?} kept everything");
    }
}

#[test]
fn several_frames_are_one_body() {
    for (compression, codec) in all() {
        let first = encode(compression, b"first ", 100);
        let second = encode(compression, &mixed(MIB), 100_000);
        let both: Bytes = [first, second].concat().into();
        let expected = [b"first ".to_vec(), mixed(MIB)].concat();
        assert_eq!(decode(&both, codec, u64::MAX).unwrap(), expected, "{compression:?}");
    }
}

#[test]
fn a_body_cut_anywhere_is_corrupt() {
    for (compression, codec) in all() {
        let whole = encode(compression, &mixed(MIB), 100_000);
        for length in [0, 1, 3, 4, 7, 15, 100, whole.len() / 2, whole.len() - 9, whole.len() - 4, whole.len() - 1] {
            let error = detail(decode(&whole.slice(..length), codec, u64::MAX));
            assert!(!error.is_empty(), "{compression:?} {length}");
        }
    }
}

#[test]
fn an_lz4_body_cut_between_two_blocks_is_corrupt() {
    // Incompressible blocks are stored, so the borders are known: 7 bytes of header, 4 + 256 KiB each.
    let whole = encode(Compression::Lz4, &content(MIB, 1), MIB / 4);
    let border = (0..whole.len()).find(|&at| {
        let mut decoder = lz4_flex::frame::FrameDecoder::new(&whole[..at]);
        at > 7 && decoder.read_to_end(&mut Vec::new()).is_ok()
    });
    let border = border.expect("the reference decoder takes a cut at a border for the end");
    assert!(detail(decode(&whole.slice(..border), Codec::Lz4, u64::MAX)).contains("cut short"));
}

#[test]
fn a_flipped_bit_is_corrupt() {
    for (compression, codec) in all() {
        let whole = encode(compression, &mixed(MIB), 100_000);
        for at in [whole.len() / 3, whole.len() / 2, whole.len() - 2] {
            let mut bad = whole.to_vec();
            bad[at] ^= 0x10;
            detail(decode(&bad.into(), codec, u64::MAX));
        }
    }
}

#[test]
fn what_follows_the_last_frame_is_corrupt() {
    for (compression, codec) in all() {
        let whole = encode(compression, b"body", 100);
        detail(decode(&[whole, Bytes::from_static(b"and more")].concat().into(), codec, u64::MAX));
    }
}

#[test]
fn a_body_that_grows_past_the_limit_is_refused() {
    for (compression, codec) in all() {
        let bomb = encode(compression, &vec![0; 16 * MIB], MIB);
        assert!(bomb.len() < 200_000, "{compression:?}: {}", bomb.len());
        assert!(detail(decode(&bomb, codec, MIB as u64)).contains("1048576"), "{compression:?}");
        assert_eq!(decode(&bomb, codec, 16 * MIB as u64).unwrap().len(), 16 * MIB);
        detail(decode(&bomb, codec, 16 * MIB as u64 - 1));
    }
}

#[test]
fn the_extension_decides_before_the_first_bytes() {
    let plain = Bytes::from_static(b"plain");
    let gzip = encode(Compression::Gzip(6), b"text", 10);
    let open = |uri: &str, data: &Bytes| decompress(uri, data.clone(), Codec::Auto, u64::MAX);
    assert_eq!(open("s3://b/x.bin", &plain).unwrap(), plain);
    assert_eq!(open("s3://b/x.bin", &gzip).unwrap(), b"text".as_slice());
    assert_eq!(open("s3://b/x.gz", &gzip).unwrap(), b"text".as_slice());
    for uri in ["s3://b/x.zst", "s3://b/x.gz", "s3://b/x.lz4"] {
        assert!(matches!(open(uri, &plain), Err(StoreError::Corrupt { .. })), "{uri}");
    }
    assert_eq!(decompress("s3://b/x.gz", gzip.clone(), Codec::None, 0).unwrap(), gzip);
    assert!(matches!(open("s3://b/x.gz", &Bytes::new()), Err(StoreError::Corrupt { .. })));
    assert_eq!(open("s3://b/x", &Bytes::new()).unwrap(), b"".as_slice());
}

#[test]
fn methods_and_levels_are_checked() {
    assert_eq!(Compression::parse("none", None).unwrap(), Compression::None);
    assert_eq!(Compression::parse("zstd", None).unwrap(), Compression::Zstd(3));
    assert_eq!(Compression::parse("zstd", Some(22)).unwrap(), Compression::Zstd(22));
    assert_eq!(Compression::parse("gzip", None).unwrap(), Compression::Gzip(6));
    assert_eq!(Compression::parse("lz4", None).unwrap(), Compression::Lz4);
    for (method, level) in [("zstd", 0), ("zstd", 23), ("zstd", -1), ("gzip", 0), ("gzip", 10), ("lz4", 1), ("none", 3)]
    {
        let error = Compression::parse(method, Some(level)).unwrap_err();
        assert!(matches!(&error, StoreError::Config { option, .. } if option == "compression_level"), "{error:?}");
    }
    for method in ["", "Zstd", "bzip2"] {
        assert!(matches!(Compression::parse(method, None), Err(StoreError::Config { .. })), "{method}");
    }
    for (name, codec) in [("auto", Codec::Auto), ("none", Codec::None), ("gzip", Codec::Gzip), ("lz4", Codec::Lz4)] {
        assert_eq!(Codec::parse(name).unwrap(), codec);
    }
    assert!(matches!(Codec::parse("snappy"), Err(StoreError::Config { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_decode_or_are_corrupt(data in prop::collection::vec(any::<u8>(), 0..400), format in 0..3_usize) {
        let (codec, magic): (_, &[u8]) = [
            (Codec::Zstd, &[0x28, 0xb5, 0x2f, 0xfd][..]), (Codec::Gzip, &[0x1f, 0x8b, 8]), (Codec::Lz4, &[4, 0x22, 0x4d, 0x18]),
        ][format];
        let hostile: Bytes = [magic, &data].concat().into();
        match decode(&hostile, codec, MIB as u64) {
            Ok(decoded) => prop_assert!(decoded.len() <= MIB),
            Err(error) => prop_assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}"),
        }
    }

    #[test]
    fn any_split_comes_back(data in prop::collection::vec(any::<u8>(), 0..5000), step in 1..700_usize) {
        for compression in [Compression::Zstd(1), Compression::Gzip(1), Compression::Lz4] {
            prop_assert_eq!(&decode(&encode(compression, &data, step), Codec::Auto, u64::MAX).unwrap()[..], &data[..]);
        }
    }
}

//! Simple chunks: the sizes of the records, then their bytes end to end.

use std::borrow::Cow;

use bytes::Bytes;

use super::chunk::{self, Chunk, ChunkHeader, ChunkKind, EncodedChunk};
use super::compression::{Codec, Compression};
use super::{Dialect, Records, RecordsRef, Result, RiegeliError};
use crate::varint;

const SIZES: &str = "sizes of the records";
const VALUES: &str = "values of the records";

/// The chunk of `records`.
///
/// # Errors
/// [`RiegeliError::Compress`], and [`RiegeliError::UnsupportedCompression`] for what Disky does not have.
pub fn encode(records: &Records, compression: Compression, dialect: Dialect) -> Result<EncodedChunk> {
    let (header, head, values) = parts(records.view(), compression, dialect)?;
    let values = match values {
        Cow::Borrowed(_) => records.data().clone(),
        Cow::Owned(values) => values.into(),
    };
    Ok(EncodedChunk::new(header, head, values))
}

/// Appends the chunk of `records` as it stands at `begin` in a file; returns its header and where it ends.
///
/// # Errors
/// As [`encode`] and [`chunk::write`].
pub fn write(
    begin: u64,
    records: RecordsRef<'_>,
    compression: Compression,
    dialect: Dialect,
    out: &mut Vec<u8>,
) -> Result<(ChunkHeader, u64)> {
    let (header, head, values) = parts(records, compression, dialect)?;
    let end = chunk::write(begin, &header, &[&head, &values], out)?;
    Ok((header, end))
}

/// The two parts of a chunk's data: everything up to the values, and the values, which are not copied where they are
/// stored as they are.
fn parts(
    records: RecordsRef<'_>,
    compression: Compression,
    dialect: Dialect,
) -> Result<(ChunkHeader, Vec<u8>, Cow<'_, [u8]>)> {
    let codec = compression.codec();
    if dialect == Dialect::Disky && !matches!(codec, Codec::None | Codec::Zstd) {
        return Err(RiegeliError::UnsupportedCompression { codec: codec.name() });
    }
    let put = if dialect == Dialect::Disky { varint::put_long } else { varint::put };
    // Most sizes take one or two bytes.
    let mut sizes = Vec::with_capacity(records.len() * 2 + 1);
    records.sizes().for_each(|size| put(&mut sizes, size as u64));
    let mut head = Vec::with_capacity(sizes.len() + 1 + varint::MAX_LEN);
    head.push(codec.byte());
    if codec == Codec::None || dialect == Dialect::Disky {
        put(&mut head, sizes.len() as u64);
        head.extend_from_slice(&sizes);
    } else {
        let mut stored = Vec::new();
        compression.put_buffer(&sizes, &mut stored)?;
        put(&mut head, stored.len() as u64);
        head.extend_from_slice(&stored);
    }
    let values = match (codec, dialect) {
        (Codec::None, _) => Cow::Borrowed(records.data()),
        (_, Dialect::Disky) => {
            let mut values = Vec::new();
            compression.compress(records.data(), &mut values)?;
            Cow::Owned(values)
        }
        (_, Dialect::Riegeli) => {
            let mut values = Vec::new();
            compression.put_buffer(records.data(), &mut values)?;
            Cow::Owned(values)
        }
    };
    let decoded_size = records.data().len() as u64;
    let header = ChunkHeader::of(ChunkKind::Simple, records.len() as u64, decoded_size, &[&head, &values]);
    Ok((header, head, values))
}

/// The records of a simple chunk. Uncompressed ones share the chunk's bytes.
///
/// # Errors
/// [`RiegeliError`], where anything in the data contradicts the chunk header or itself; no records are returned then.
pub fn decode(chunk: &Chunk, dialect: Dialect) -> Result<Records> {
    let data = &chunk.data;
    let mut rest = &data[..];
    let (&codec, after) =
        rest.split_first().ok_or(RiegeliError::Overrun { part: "compression", expected: 1, found: 0 })?;
    rest = after;
    let codec = codec_of(codec, dialect)?;
    let stored = varint::get_u64(&mut rest).map_err(|error| RiegeliError::Varint { part: SIZES, error })?;
    let found = rest.len() as u64;
    if stored > found {
        return Err(RiegeliError::Overrun { part: SIZES, expected: stored, found });
    }
    let sizes_at = data.len() - rest.len();
    let values_at = sizes_at + stored as usize;
    let ChunkHeader { num_records, decoded_size, .. } = chunk.header;
    if codec == Codec::None && num_records == 1 {
        return one(&data[sizes_at..values_at], data.slice(values_at..), decoded_size);
    }
    let sizes = match dialect {
        Dialect::Disky => data.slice(sizes_at..values_at),
        Dialect::Riegeli => {
            let limit = num_records.saturating_mul(varint::MAX_LEN as u64);
            codec.get_buffer(data.slice(sizes_at..values_at), SIZES, limit)?
        }
    };
    let ends = ends(&sizes, num_records, decoded_size)?;
    let values = data.slice(values_at..);
    let values = match dialect {
        Dialect::Disky => codec.decompress(values, VALUES, decoded_size)?,
        Dialect::Riegeli => codec.get_buffer(values, VALUES, decoded_size)?,
    };
    check_len(&values, decoded_size)?;
    Ok(Records::from_sorted(values, ends))
}

fn codec_of(byte: u8, dialect: Dialect) -> Result<Codec> {
    let expected = "0x7a (zstd)";
    match (Codec::from_byte(byte)?, dialect) {
        (Codec::Brotli | Codec::Snappy, Dialect::Disky) => {
            Err(RiegeliError::UnknownCompression { found: byte, expected })
        }
        (codec, _) => Ok(codec),
    }
}

fn check_len(values: &Bytes, expected: u64) -> Result<()> {
    let found = values.len() as u64;
    if found == expected { Ok(()) } else { Err(RiegeliError::Size { part: VALUES, found, expected }) }
}

/// The only record of an uncompressed chunk.
fn one(mut sizes: &[u8], record: Bytes, decoded_size: u64) -> Result<Records> {
    let size = varint::get_u64(&mut sizes).map_err(|error| RiegeliError::Varint { part: SIZES, error })?;
    if !sizes.is_empty() {
        return Err(RiegeliError::Trailing { part: SIZES, bytes: sizes.len() as u64 });
    }
    if size != decoded_size {
        return Err(RiegeliError::SizesSum { found: size, expected: decoded_size });
    }
    check_len(&record, decoded_size)?;
    Ok(Records::one(record))
}

/// Where each record ends, from their sizes.
fn ends(mut sizes: &[u8], num_records: u64, decoded_size: u64) -> Result<Vec<usize>> {
    let bytes = sizes.len() as u64;
    if num_records > bytes {
        return Err(RiegeliError::TooManyRecords { num_records, bytes });
    }
    let limit = usize::try_from(decoded_size).map_err(|_| RiegeliError::NoMemory { bytes: decoded_size })?;
    let mut ends = Vec::with_capacity(num_records as usize);
    let mut end = 0_u64;
    for _ in 0..num_records {
        let size = varint::get_u64(&mut sizes).map_err(|error| RiegeliError::Varint { part: SIZES, error })?;
        end = end.saturating_add(size);
        if end > limit as u64 {
            return Err(RiegeliError::SizesSum { found: end, expected: decoded_size });
        }
        ends.push(end as usize);
    }
    if !sizes.is_empty() {
        return Err(RiegeliError::Trailing { part: SIZES, bytes: sizes.len() as u64 });
    }
    if end != decoded_size {
        return Err(RiegeliError::SizesSum { found: end, expected: decoded_size });
    }
    Ok(ends)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(list: &[&[u8]]) -> Records {
        let mut group = super::super::Group::default();
        list.iter().for_each(|record| group.push(record));
        group.take()
    }

    fn data(list: &[&[u8]], compression: Compression, dialect: Dialect) -> Vec<u8> {
        let mut out = Vec::new();
        let (header, end) = write(64, records(list).view(), compression, dialect, &mut out).unwrap();
        let mut same = Vec::new();
        assert_eq!(encode(&records(list), compression, dialect).unwrap().write(64, &mut same), Ok(end));
        assert_eq!(out, same);
        assert_eq!(out.len() as u64, end - 64);
        let chunk = chunk::read(64, &out.into(), chunk::Check::All).unwrap();
        assert_eq!(chunk.header, header);
        let found = if compression == Compression::None { Dialect::Riegeli } else { dialect };
        assert_eq!(Dialect::of(&chunk), found);
        assert_eq!(decode(&chunk, dialect).unwrap().iter().collect::<Vec<_>>(), list);
        chunk.data.to_vec()
    }

    const ZSTD: Compression = Compression::Zstd { level: 3, window_log: Some(20) };
    const BROTLI: Compression = Compression::Brotli { level: 6, window_log: None };

    #[test]
    fn published_uncompressed_chunks() {
        for dialect in [Dialect::Riegeli, Dialect::Disky] {
            assert_eq!(data(&[b"a", b""], Compression::None, dialect), [0, 2, 1, 0, b'a']);
            assert_eq!(data(&[b"ccc"], Compression::None, dialect), [0, 1, 3, b'c', b'c', b'c']);
            assert_eq!(data(&[b""], Compression::None, dialect), [0, 1, 0]);
            assert_eq!(data(&[], Compression::None, dialect), [0, 0]);
        }
        let sizes = |dialect| data(&[&[1; 127], b"", &[2; 126], &[3; 128]], Compression::None, dialect)[..8].to_vec();
        assert_eq!(sizes(Dialect::Disky), [0, 6, 0xff, 0, 0, 0x7e, 0x80, 1]);
        assert_eq!(sizes(Dialect::Riegeli)[..7], [0, 5, 0x7f, 0, 0x7e, 0x80, 1]);
        let ones = vec![&b"x"[..]; 127];
        assert_eq!(data(&ones, Compression::None, Dialect::Disky)[..5], [0, 0xff, 0, 1, 1]);
    }

    #[test]
    fn published_compressed_chunks() {
        let bytes = |hex: &str| -> Vec<u8> {
            let digits: Vec<u32> = hex.chars().filter_map(|digit| digit.to_digit(16)).collect();
            digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
        };
        let riegeli = |list: &[&[u8]], compression| data(list, compression, Dialect::Riegeli);
        let both: [&[u8]; 2] = [b"a", b""];
        let zstd = bytes("7a 0c 02 28b52ffd20021100000100 01 28b52ffd200109000061");
        assert_eq!(riegeli(&both, ZSTD), zstd);
        assert_eq!(riegeli(&[b"ccc"], ZSTD), bytes("7a 0b 01 28b52ffd200109000003 03 28b52ffd2003190000636363"));
        assert_eq!(riegeli(&[b""], ZSTD), bytes("7a 0b 01 28b52ffd200109000000 00 28b52ffd2000010000"));
        assert_eq!(riegeli(&both, Compression::Snappy), bytes("73 05 02 02040100 01 010061"));
        assert_eq!(riegeli(&[b"ccc"], Compression::Snappy), bytes("73 04 01 010003 03 0308636363"));
        assert_eq!(riegeli(&[b""], Compression::Snappy), bytes("73 04 01 010000 00 00"));
        assert_eq!(riegeli(&both, BROTLI)[0], b'b');
        let disky = bytes("7a 02 03 03 28b52ffd20063100006162636465 66");
        let level = Compression::Zstd { level: 3, window_log: None };
        assert_eq!(data(&[b"abc", b"def"], level, Dialect::Disky), disky);
        data(&[&b""[..]; 1000], level, Dialect::Disky);
    }

    #[test]
    fn brotli_chunks_of_upstream() {
        for (data, num_records, expected) in [
            (&b"b\x07\x02\x8b\0\x80\x01\0\x03\x01\x0b\0\x80a\x03"[..], 2, &[&b"a"[..], b""][..]),
            (b"b\x06\x01\x0b\0\x80\x03\x03\x03\x0b\x01\x80ccc\x03", 1, &[b"ccc"]),
            (b"b\x06\x01\x0b\0\x80\0\x03\0\x3b", 1, &[b""]),
        ] {
            let decoded_size = expected.iter().map(|record| record.len() as u64).sum();
            let header = ChunkHeader::of(ChunkKind::Simple, num_records, decoded_size, &[data]);
            let chunk = Chunk { begin: 64, header, data: Bytes::from_static(data) };
            assert_eq!(decode(&chunk, Dialect::Riegeli).unwrap().iter().collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn contradictions_are_errors() {
        let try_decode = |data: &'static [u8], num_records, decoded_size| {
            let header = ChunkHeader::of(ChunkKind::Simple, num_records, decoded_size, &[data]);
            decode(&Chunk { begin: 64, header, data: Bytes::from_static(data) }, Dialect::Riegeli)
        };
        assert!(try_decode(&[0, 2, 1, 1, b'a', b'b'], 2, 2).is_ok());
        for (data, num_records, decoded_size) in [
            (&b""[..], 0, 0),
            (b"\x01\0", 0, 0),
            (b"\0", 0, 0),
            (b"\0\x05\x01", 1, 1),
            (b"\0\x02\x01\x01ab", 1, 2),
            (b"\0\x02\x01\x01ab", 3, 2),
            (b"\0\x02\x01\x01ab", 2, 3),
            (b"\0\x02\x01\x01ab", 2, 1),
            (b"\0\x02\x01\x01abc", 2, 2),
            (b"\0\x02\x01\x01a", 2, 2),
            (b"\0\x01\x01ab", 1, 1),
            (b"\0\x01\x02a", 1, 2),
            (b"\0\x01\x01a", 1 << 50, 1),
            (b"z\x01\x01a", 1, 1),
            (b"s\x01\x01a", 1, 1),
            (b"b\x01\x01a", 1, 1),
        ] {
            assert!(try_decode(data, num_records, decoded_size).is_err(), "{data:?} {num_records} {decoded_size}");
        }
    }
}

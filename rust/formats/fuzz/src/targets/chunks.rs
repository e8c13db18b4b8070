//! Chunks of Riegeli files, and the records in them.

use bytes::Bytes;
use s3dlio_formats::riegeli::chunk::{self, Check, EncodedChunk};
use s3dlio_formats::riegeli::hash::hash;
use s3dlio_formats::riegeli::{
    BLOCK, Chunk, ChunkHeader, ChunkKind, Compression, Dialect, Group, Records, block, decode_chunk, simple, transpose,
};

use super::input::Input;

/// Most bytes of records that a chunk may announce: a few compressed bytes can stand for any number.
const MOST_DECODED: u64 = 1 << 24;

/// Records that are decoded from a chunk of this kind, whose data is the input behind what it announces.
fn decoded(kind: ChunkKind, dialect: Dialect, input: &mut Input<'_>) -> Option<Records> {
    let (num_records, decoded_size) = (input.number(2), input.number(3));
    let data = Bytes::copy_from_slice(input.rest());
    let header = ChunkHeader::of(kind, num_records, decoded_size, &[&data]);
    let records = decode_chunk(&Chunk { begin: 64, header, data }, dialect).ok()?;
    assert_eq!(records.len() as u64, num_records);
    assert_eq!(records.data().len() as u64, decoded_size);
    Some(records)
}

/// What a reader makes of a chunk that was just written.
fn reread(encoded: &EncodedChunk, dialect: Dialect) -> Records {
    let (mut file, begin) = (Vec::new(), BLOCK - 100);
    encoded.write(begin, &mut file).expect("a legal place");
    let chunk = chunk::read(begin, &file.into(), Check::All).expect("a chunk just written");
    decode_chunk(&chunk, dialect).expect("records just written")
}

pub fn simple(data: &[u8]) {
    let mut input = Input(data);
    let dialect = if input.byte() & 1 == 0 { Dialect::Riegeli } else { Dialect::Disky };
    let Some(records) = decoded(ChunkKind::Simple, dialect, &mut input) else { return };
    let encoded = simple::encode(&records, Compression::None, dialect).expect("nothing to refuse");
    let again = reread(&encoded, dialect);
    assert!(again.iter().eq(records.iter()));
}

fn transposes(records: &Records, compression: Compression) {
    let encoded = transpose::encode(records.view(), compression, 64).expect("nothing to refuse");
    let again = reread(&encoded, Dialect::Riegeli);
    assert!(again.iter().eq(records.iter()));
}

pub fn transposed(data: &[u8]) {
    if let Some(records) = decoded(ChunkKind::Transposed, Dialect::Riegeli, &mut Input(data)) {
        transposes(&records, Compression::None);
    }
}

/// Records of any content, which are split into the fields of messages where they have some.
pub fn messages(data: &[u8]) {
    let mut input = Input(data);
    let compression = match input.byte() {
        0 => Compression::Snappy,
        1 => Compression::Zstd { level: 1, window_log: None },
        _ => Compression::None,
    };
    let mut group = Group::default();
    while !input.is_empty() {
        group.push(input.short());
    }
    transposes(&group.take(), compression);
}

/// A chunk as it stands in a file, with hashes that may be right.
pub fn chunk(data: &[u8]) {
    let mut input = Input(data);
    let (flags, begin) = (input.byte(), input.number(3));
    let mut file = input.rest().to_vec();
    if flags & 1 != 0 {
        mend(&mut file);
    }
    let file = Bytes::from(file);
    for check in [Check::All, Check::Hashes] {
        let _ = chunk::header(begin, &file, check);
        let Ok(chunk) = chunk::read(begin, &file, check) else { continue };
        assert!(block::is_legal(begin));
        if chunk.header.decoded_size <= MOST_DECODED {
            let _ = decode_chunk(&chunk, Dialect::of(&chunk));
        }
        // Whoever announces many records gets a chunk filled up to as many bytes.
        if chunk.header.num_records < 1 << 16 {
            let mut out = Vec::new();
            chunk::write(begin, &chunk.header, &[&chunk.data], &mut out).expect("a chunk that was read");
            assert_eq!(chunk::read(begin, &out.into(), Check::All).as_ref(), Ok(&chunk));
        }
    }
}

/// Makes the hashes of header and data right, unless a block header lies between them.
fn mend(file: &mut [u8]) {
    let Some((header, rest)) = file.split_first_chunk_mut::<40>() else { return };
    let size = header[8..].first_chunk().map_or(0, |size| u64::from_le_bytes(*size));
    if let Some(data) = usize::try_from(size).ok().and_then(|size| rest.get(..size)) {
        header[16..24].copy_from_slice(&hash(data).to_le_bytes());
    }
    let sum = hash(&header[8..]);
    header[..8].copy_from_slice(&sum.to_le_bytes());
}

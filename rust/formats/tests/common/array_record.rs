//! The golden ArrayRecord files, and the chunks in them.

use std::io::Read;

use bytes::Bytes;
use flate2::read::GzDecoder;
use s3dlio_formats::riegeli::chunk::{self, Check};
use s3dlio_formats::riegeli::{Chunk, ChunkHeader, ChunkKind, Records};
use serde_json::Value;

use crate::fixtures;

/// The manifest's entries under `key`.
pub fn manifest(key: &str) -> Vec<Value> {
    fixtures::list(&fixtures::manifest("array_record")[key]).to_vec()
}

/// The file that an entry of the manifest describes.
pub fn file(entry: &Value) -> Bytes {
    let packed = fixtures::read(&format!("array_record/{}", fixtures::text(&entry["file"])));
    let mut bytes = Vec::new();
    GzDecoder::new(&packed[..]).read_to_end(&mut bytes).unwrap();
    bytes.into()
}

/// All chunks of a sound file, one after another.
pub fn chunks(file: &Bytes) -> Vec<Chunk> {
    let (mut chunks, mut begin) = (Vec::new(), 0);
    while begin < file.len() as u64 {
        let chunk = chunk::read(begin, &file.slice(begin as usize..), Check::All).unwrap();
        begin = chunk.header.end(begin).unwrap();
        chunks.push(chunk);
    }
    chunks
}

/// A transposed chunk of these contents, wherever it may be.
pub fn crafted(num_records: u64, decoded_size: u64, data: impl Into<Bytes>) -> Chunk {
    let data = data.into();
    let header = ChunkHeader::of(ChunkKind::Transposed, num_records, decoded_size, &[&data]);
    Chunk { begin: 64, header, data }
}

/// These records, as a reader would return them.
pub fn records<R: AsRef<[u8]>>(records: impl IntoIterator<Item = R>) -> Records {
    let (mut data, mut ends) = (Vec::new(), Vec::new());
    for record in records {
        data.extend_from_slice(record.as_ref());
        ends.push(data.len());
    }
    Records::new(data.into(), ends).unwrap()
}

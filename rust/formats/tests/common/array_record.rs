//! The golden ArrayRecord files, and the chunks in them.

#![allow(dead_code, reason = "each test crate uses a part of it")]

use std::fs;
use std::io::Read;
use std::path::PathBuf;

use bytes::Bytes;
use flate2::read::GzDecoder;
use s3dlio_formats::riegeli::chunk::{self, Check};
use s3dlio_formats::riegeli::{Chunk, ChunkHeader, ChunkKind, Records};
use serde_json::Value;
use sha2::{Digest, Sha256};

fn fixture(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/array_record").join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The manifest's entries under `key`.
pub fn manifest(key: &str) -> Vec<Value> {
    let all: Value = serde_json::from_slice(&fixture("manifest.json")).unwrap();
    all[key].as_array().unwrap().clone()
}

/// The file that an entry of the manifest describes.
pub fn file(entry: &Value) -> Bytes {
    let packed = fixture(entry["file"].as_str().unwrap());
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

/// A chunk of these contents, wherever it may be.
pub fn crafted(num_records: u64, decoded_size: u64, data: impl Into<Bytes>) -> Chunk {
    let data = data.into();
    let header = ChunkHeader::of(ChunkKind::Transposed, num_records, decoded_size, &[&data]);
    Chunk { begin: 64, header, data }
}

/// SHA-256 as the manifest has it, over the length and the bytes of each record.
pub fn digest<'a>(records: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut sha = Sha256::new();
    for record in records {
        sha.update((record.len() as u64).to_le_bytes());
        sha.update(record);
    }
    sha.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
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

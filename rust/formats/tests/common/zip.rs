//! A ZIP writer that can lie.

#![allow(dead_code, reason = "each file of tests uses a part of it")]

use std::io::{Cursor, Read, Write};

use bytes::Bytes;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

const UTF8: u16 = 1 << 11;

const STORED: u16 = 0;
const DEFLATED: u16 = 8;

/// A member as its headers describe it, which need not be true.
#[derive(Clone)]
pub struct Member {
    pub name: Vec<u8>,
    pub method: u16,
    pub flags: u16,
    pub crc32: u32,
    pub size: u32,
    pub stored_size: u32,
    pub content: Vec<u8>,
}

impl Member {
    pub fn stored(name: &str, content: &[u8]) -> Self {
        Self {
            name: name.into(),
            method: STORED,
            flags: if name.is_ascii() { 0 } else { UTF8 },
            crc32: crc32fast::hash(content),
            size: content.len() as u32,
            stored_size: content.len() as u32,
            content: content.to_vec(),
        }
    }

    pub fn deflated(name: &str, content: &[u8]) -> Self {
        let deflated = deflate(content);
        let stored_size = deflated.len() as u32;
        Self { method: DEFLATED, stored_size, content: deflated, ..Self::stored(name, content) }
    }

    fn header(&self) -> Vec<u8> {
        let mut header = Vec::new();
        for half in [20, self.flags, self.method, 0, 33] {
            header.extend(half.to_le_bytes());
        }
        for word in [self.crc32, self.stored_size, self.size] {
            header.extend(word.to_le_bytes());
        }
        header.extend((self.name.len() as u16).to_le_bytes());
        header.extend(0u16.to_le_bytes());
        header
    }
}

fn deflate(content: &[u8]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    writer.start_file("x", options).unwrap();
    writer.write_all(content).unwrap();
    let mut archive = ZipArchive::new(writer.finish().unwrap()).unwrap();
    let mut deflated = Vec::new();
    archive.by_index_raw(0).unwrap().read_to_end(&mut deflated).unwrap();
    deflated
}

/// An archive of these members, each with its own bytes.
pub fn archive(members: &[Member]) -> Bytes {
    let mut out = Vec::new();
    let mut offsets = Vec::new();
    for member in members {
        offsets.push(out.len() as u32);
        out.extend(b"PK\x03\x04");
        out.extend(member.header());
        out.extend(&member.name);
        out.extend(&member.content);
    }
    with_directory(out, members, &offsets)
}

/// `out` followed by a directory that says where each member is.
pub fn with_directory(mut out: Vec<u8>, members: &[Member], offsets: &[u32]) -> Bytes {
    let start = out.len() as u32;
    for (member, offset) in members.iter().zip(offsets) {
        out.extend(b"PK\x01\x02\x14\x00");
        out.extend(member.header());
        out.extend([0; 10]);
        out.extend(offset.to_le_bytes());
        out.extend(&member.name);
    }
    let len = out.len() as u32 - start;
    out.extend(b"PK\x05\x06\x00\x00\x00\x00");
    out.extend((members.len() as u16).to_le_bytes());
    out.extend((members.len() as u16).to_le_bytes());
    out.extend(len.to_le_bytes());
    out.extend(start.to_le_bytes());
    out.extend([0; 2]);
    Bytes::from(out)
}

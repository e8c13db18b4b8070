//! Content for benchmarks: objects of a chosen kind, size, share of repeated blocks and compressibility.
//!
//! The content is a pure function of the seed, the number of the object and the position in it, so that objects differ,
//! a part can be made without what is before it, and a run can be repeated.

use crate::error::{FormatError, Result};
use crate::npy;
use crate::npz::{Encoder, Method};
use crate::tfrecord;

/// Bytes of a block: what deduplication and compression of storage systems commonly look at.
const BLOCK: u64 = 4096;

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Zero bytes.
    Zeros,
    /// Random bytes.
    Random,
    /// An NPZ archive with one array `data` of bytes.
    Npz,
    /// A TFRecord file of one record.
    TfRecord,
}

impl Kind {
    /// The kind of this name, in any case: `zeros`, `random` (also `raw`, `binary`), `npz`, `tfrecord`.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "zeros" => Some(Self::Zeros),
            "random" | "raw" | "binary" => Some(Self::Random),
            "npz" => Some(Self::Npz),
            "tfrecord" => Some(Self::TfRecord),
            _ => None,
        }
    }
}

/// The content of a series of objects.
#[derive(Debug, Clone, Copy)]
pub struct Content {
    /// What they are.
    pub kind: Kind,
    /// Bytes of payload in each; an NPZ or TFRecord is a little longer.
    pub size: u64,
    /// One block in so many is distinct, the others repeat; 0 and 1 mean all of them.
    pub dedup: u64,
    /// Of each block the fraction (n-1)/n is zero; 0 and 1 mean nothing of it.
    pub compress: u64,
    /// Objects of another seed differ.
    pub seed: u64,
}

impl Content {
    /// The whole object of this number.
    ///
    /// # Errors
    /// When no header can describe the payload.
    pub fn object(&self, number: u64) -> Result<Vec<u8>> {
        let mut payload = vec![0; usize::try_from(self.size).unwrap_or(usize::MAX)];
        self.fill(number, 0, &mut payload);
        match self.kind {
            Kind::Zeros | Kind::Random => Ok(payload),
            Kind::Npz => npz(&payload),
            Kind::TfRecord => {
                let mut file = Vec::new();
                tfrecord::append(&mut file, &payload);
                Ok(file)
            }
        }
    }

    /// Writes the payload from byte `offset` on over `out`.
    pub fn fill(&self, number: u64, offset: u64, out: &mut [u8]) {
        if self.kind == Kind::Zeros {
            out.fill(0);
            return;
        }
        let blocks = self.size.div_ceil(BLOCK).max(1);
        // Rounded to the nearest, and never none.
        let dedup = self.dedup.max(1);
        let distinct = ((blocks + dedup / 2) / dedup).max(1);
        let compress = self.compress.max(1);
        let zeros = BLOCK * (compress - 1) / compress;
        let mut at = offset;
        let mut rest = out;
        while !rest.is_empty() {
            let within = at % BLOCK;
            let take = usize::try_from(BLOCK - within).unwrap_or(usize::MAX).min(rest.len());
            let (piece, tail) = rest.split_at_mut(take);
            let seed = mix(self.seed ^ mix(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ mix(at / BLOCK % distinct)));
            fill_block(seed, zeros, within, piece);
            at += take as u64;
            rest = tail;
        }
    }
}

/// The bytes of one block from `within` on: `zeros` of them zero, the rest random.
fn fill_block(seed: u64, zeros: u64, within: u64, out: &mut [u8]) {
    let head = usize::try_from(zeros.saturating_sub(within)).unwrap_or(usize::MAX).min(out.len());
    let (zero, random) = out.split_at_mut(head);
    zero.fill(0);
    let mut position = within + head as u64;
    let mut rest = random;
    while !rest.is_empty() {
        let word = mix(seed.wrapping_add(position / 8)).to_le_bytes();
        let skip = (position % 8) as usize;
        let take = (8 - skip).min(rest.len());
        let (piece, tail) = rest.split_at_mut(take);
        piece.copy_from_slice(&word[skip..skip + take]);
        position += take as u64;
        rest = tail;
    }
}

/// The output function of `SplitMix64` (Steele, Lea, Flood 2014): every input gives another, unrelated word.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// An archive with one stored member `data.npy`: the payload as a vector of unsigned bytes.
fn npz(payload: &[u8]) -> Result<Vec<u8>> {
    let (header, _) = npy::encode_header("|u1", false, &[payload.len() as u64])?;
    let mut archive = Encoder::new();
    let mut out = Vec::with_capacity(header.len() + payload.len() + 512);
    member(&mut archive, &mut out, "data", &header, payload.len(), |items| items.copy_from_slice(payload))?;
    out.extend(archive.finish());
    Ok(out)
}

/// An archive as training benchmarks read it: `x`, an array of this dtype and shape with random bytes for items, and `y`,
/// as many zeros of type `<i8` as there are `labels`. Both are stored as they are.
///
/// # Errors
/// As [`npy::encode_header`], and for more bytes than memory has.
pub fn samples(descr: &str, shape: &[u64], labels: u64, seed: u64) -> Result<Vec<u8>> {
    let (header, length) = npy::encode_header(descr, false, shape)?;
    let (label_header, label_length) = npy::encode_header("<i8", false, &[labels])?;
    let total = length.saturating_add(label_length).saturating_add(header.len() + label_header.len() + 1024);
    let mut out = Vec::new();
    out.try_reserve_exact(total).map_err(|_| FormatError::NoMemory { announced: total as u64 })?;
    let mut archive = Encoder::new();
    member(&mut archive, &mut out, "x", &header, length, |items| {
        Content { kind: Kind::Random, size: length as u64, dedup: 1, compress: 1, seed }.fill(0, 0, items);
        if descr == "|b1" {
            // Other values are no truth values, and what numpy makes of them is not defined.
            items.iter_mut().for_each(|item| *item &= 1);
        }
    })?;
    member(&mut archive, &mut out, "y", &label_header, label_length, |_| ())?;
    out.extend(archive.finish());
    Ok(out)
}

/// Adds a member whose `length` bytes of items, zeros at first, are made in their place.
fn member(
    archive: &mut Encoder,
    out: &mut Vec<u8>,
    name: &str,
    header: &[u8],
    length: usize,
    fill: impl FnOnce(&mut [u8]),
) -> Result<()> {
    let len = (header.len() + length) as u64;
    // The checksum stands in front of what it is of, and has the same length whatever it is.
    let space = archive.clone().member(name, Method::Stored, 0, len, len)?.len();
    let start = out.len();
    out.resize(start + space, 0);
    out.extend(header);
    out.resize(start + space + header.len() + length, 0);
    fill(&mut out[start + space + header.len()..]);
    let crc32 = crc32fast::hash(&out[start + space..]);
    out[start..start + space].copy_from_slice(&archive.member(name, Method::Stored, crc32, len, len)?);
    Ok(())
}

//! TFRecord: length, checksum of the length, payload, checksum of the payload.
//!
//! Checksums are CRC-32C, rotated right by 15 bits and increased by a constant, as TensorFlow's record writer has them.
//!
//! - [`decode`] cuts bytes into records, whole files as well as streams that arrive in pieces;
//! - [`Salvage`] returns all that is whole of a damaged file;
//! - [`index`] finds the records by their headers alone, and reads and writes the index that DALI uses;
//! - [`compression`] undoes the compression that a whole file may have;
//! - [`example`] takes `tf.train.Example` messages apart into columns, and makes them.

pub mod compression;
pub mod decode;
mod error;
pub mod example;
pub mod index;
mod packed;
mod salvage;

pub use error::TfRecordError;
pub use salvage::{Salvage, Salvaged};

const MASK_DELTA: u32 = 0xa282_ead8;

/// Bytes before a payload: a length of 8 and a checksum of 4.
pub const HEADER: usize = 12;

/// Bytes around a payload: the header, and a checksum of 4 behind it.
pub const OVERHEAD: usize = 16;

/// The checksum of `bytes` as the format stores it.
#[must_use]
pub fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(MASK_DELTA)
}

/// The bytes before a payload of `length` bytes.
#[must_use]
pub fn header(length: u64) -> [u8; HEADER] {
    let length = length.to_le_bytes();
    let mut header = [0; HEADER];
    header[..8].copy_from_slice(&length);
    header[8..].copy_from_slice(&masked_crc(&length).to_le_bytes());
    header
}

/// Appends one record to `out`.
pub fn append(out: &mut Vec<u8>, payload: &[u8]) {
    out.reserve(payload.len() + OVERHEAD);
    out.extend_from_slice(&header(payload.len() as u64));
    out.extend_from_slice(payload);
    out.extend_from_slice(&masked_crc(payload).to_le_bytes());
}

/// The length that a header announces, and whether the header's checksum is right.
#[must_use]
pub fn announced(header: &[u8; HEADER]) -> (u64, bool) {
    let [l0, l1, l2, l3, l4, l5, l6, l7, c0, c1, c2, c3] = *header;
    let length = [l0, l1, l2, l3, l4, l5, l6, l7];
    (u64::from_le_bytes(length), masked_crc(&length) == u32::from_le_bytes([c0, c1, c2, c3]))
}

/// The length that a header announces.
///
/// # Errors
/// [`TfRecordError::LengthChecksum`].
fn length(header: &[u8; HEADER], verify: bool) -> Result<u64, TfRecordError> {
    let (length, right) = announced(header);
    if right || !verify {
        return Ok(length);
    }
    let expected = u32::from_le_bytes([header[8], header[9], header[10], header[11]]);
    Err(TfRecordError::LengthChecksum { length, found: masked_crc(&header[..8]), expected })
}

//! TFRecord: length, checksum of the length, payload, checksum of the payload.
//!
//! Checksums are CRC-32C, rotated right by 15 bits and increased by a constant, as TensorFlow's record writer has them.

const MASK_DELTA: u32 = 0xa282_ead8;

/// Bytes around a payload: a length of 8 and a checksum of 4 before it, a checksum of 4 behind it.
pub const OVERHEAD: usize = 16;

/// The checksum of `bytes` as the format stores it.
#[must_use]
pub fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(MASK_DELTA)
}

/// Appends one record to `out`.
pub fn append(out: &mut Vec<u8>, payload: &[u8]) {
    let length = (payload.len() as u64).to_le_bytes();
    out.reserve(payload.len() + OVERHEAD);
    out.extend_from_slice(&length);
    out.extend_from_slice(&masked_crc(&length).to_le_bytes());
    out.extend_from_slice(payload);
    out.extend_from_slice(&masked_crc(payload).to_le_bytes());
}

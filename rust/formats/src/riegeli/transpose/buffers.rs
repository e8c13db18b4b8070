//! The buffers of a transposed chunk, in their buckets.

use bytes::Bytes;

use super::fault::Fault;
use crate::riegeli::{Codec, Result, RiegeliError};

/// Takes the first `len` bytes of `data`, without a copy.
pub(super) fn split_off(data: &mut Bytes, len: u64, part: &'static str) -> Result<Bytes> {
    match usize::try_from(len) {
        Ok(len) if len <= data.len() => Ok(data.split_to(len)),
        _ => Err(RiegeliError::Overrun { part, expected: len, found: data.len() as u64 }),
    }
}

/// Decompresses the buckets, whose stored bytes are the first ones of `data`, and leaves what follows them.
///
/// They may make as many bytes as all buffers have, and not more.
pub(super) fn open_buckets(data: &mut Bytes, stored: &[u64], codec: Codec, mut limit: u64) -> Result<Vec<Bytes>> {
    let mut buckets = Vec::with_capacity(stored.len());
    for &len in stored {
        let bucket = codec.get_buffer(split_off(data, len, "bucket")?, "bucket", limit)?;
        limit = limit.saturating_sub(bucket.len() as u64);
        buckets.push(bucket);
    }
    Ok(buckets)
}

/// Cuts the buckets into buffers of these lengths. A buffer lies in one bucket.
pub(super) fn cut<'a>(buckets: &'a [Bytes], lens: &[u64]) -> Result<Vec<&'a [u8]>, Fault> {
    let mut buffers = Vec::with_capacity(lens.len());
    let mut used = usize::from(!lens.is_empty());
    if buckets.len() < used {
        return Err(Fault::NoBucket { buffers: lens.len() as u32 });
    }
    let mut rest = buckets.first().map_or(&[][..], |bucket| bucket);
    for (&len, buffer) in lens.iter().zip(0..) {
        while let Some(next) = buckets.get(used).filter(|_| rest.is_empty()) {
            rest = next;
            used += 1;
        }
        let left = rest.len() as u64;
        let at = usize::try_from(len).ok().and_then(|len| rest.split_at_checked(len));
        let (taken, behind) = at.ok_or(Fault::BufferOverBucket { buffer, len, left })?;
        rest = behind;
        buffers.push(taken);
    }
    if used < buckets.len() {
        return Err(Fault::SpareBuckets { found: buckets.len() as u32, used: used as u32 });
    }
    if !rest.is_empty() {
        return Err(Fault::SpareBytes { bytes: rest.len() as u64 });
    }
    Ok(buffers)
}

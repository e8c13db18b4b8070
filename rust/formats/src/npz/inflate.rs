//! Deflated content into one buffer of exactly its size.

use bytes::Bytes;
use libdeflater::{DecompressionError, Decompressor};

use super::Limits;
use crate::error::{FormatError, Result};

/// A match of 258 bytes takes two bits at best: one for its length, one for its distance.
const MAX_RATIO: u64 = 1032;

/// Inflates `deflated`, which lies at byte `offset` of the archive, to `announced` bytes.
pub(super) fn inflate(deflated: &[u8], announced: u64, offset: u64, limits: &Limits) -> Result<Bytes> {
    let compressed = deflated.len() as u64;
    let possible = compressed.saturating_mul(MAX_RATIO);
    if announced > possible {
        return Err(FormatError::ImpossibleRatio { compressed, announced, possible });
    }
    if announced > limits.max_member_bytes {
        return Err(FormatError::OverLimit { announced, limit: limits.max_member_bytes });
    }
    let no_memory = || FormatError::NoMemory { announced };
    let capacity = usize::try_from(announced).map_err(|_| no_memory())?;
    let mut content = Vec::new();
    content.try_reserve_exact(capacity).map_err(|_| no_memory())?;
    content.resize(capacity, 0);
    let damaged = |detail: String| FormatError::Inflate { offset, detail };
    match Decompressor::new().deflate_decompress(deflated, &mut content) {
        Ok(found) if found == capacity => Ok(Bytes::from(content)),
        Ok(found) => Err(FormatError::InflatedSize { found: found as u64, expected: announced }),
        Err(DecompressionError::BadData) => {
            Err(damaged("it is no deflate stream, or only the beginning of one".into()))
        }
        Err(DecompressionError::InsufficientSpace) => {
            Err(damaged(format!("it goes on behind the {announced} bytes announced")))
        }
    }
}

//! Deflated content into one buffer of exactly its size.

use bytes::Bytes;
use flate2::{Decompress, FlushDecompress, Status};

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
    let damaged = |detail: String| FormatError::Inflate { offset, detail };
    let mut stream = Decompress::new(false);
    let mut status = stream
        .decompress_vec(deflated, &mut content, FlushDecompress::Finish)
        .map_err(|error| damaged(error.to_string()))?;
    if status != Status::StreamEnd && content.len() >= capacity {
        // The end of the stream may be all that is missing. It takes no room, and content that goes on does.
        let rest = usize::try_from(stream.total_in()).ok().and_then(|taken| deflated.get(taken..)).unwrap_or_default();
        let before = stream.total_out();
        let last = stream.decompress(rest, &mut [0], FlushDecompress::Finish);
        status = last.map_err(|error| damaged(error.to_string()))?;
        if stream.total_out() > before {
            return Err(damaged(format!("it goes on behind the {announced} bytes announced")));
        }
    }
    if status != Status::StreamEnd {
        return Err(damaged(format!("it ends in the middle, after {} bytes", content.len())));
    }
    if content.len() != capacity {
        return Err(FormatError::InflatedSize { found: content.len() as u64, expected: announced });
    }
    if stream.total_in() != compressed {
        return Err(damaged(format!("it ends after {} of {compressed} bytes", stream.total_in())));
    }
    Ok(Bytes::from(content))
}

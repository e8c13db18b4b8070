//! Verifying: every byte of a checkpoint is read and compared with its checksum, and none is kept.

use std::sync::Arc;

use s3dlio_store::Work;

use crate::error::Result;
use crate::memory::Owned;
use crate::open::Checkpoint;
use crate::read::{Part, read_parts};
use crate::task;

/// Bytes that are verified together.
const WINDOW: u64 = 64 << 20;

/// Reads everything and compares it; the result is the number of bytes of tensors.
pub fn verify(checkpoint: Arc<Checkpoint>) -> Work<Result<u64>> {
    task::work(async move {
        let mut total = 0;
        for rank in 0..checkpoint.manifest.world_size {
            let shard = checkpoint.shard(rank).await?;
            let length = shard.header.buffer();
            let mut at = 0;
            while at < length {
                let end = length.min(at + WINDOW);
                let memory = Owned::zeroed(usize::try_from(end - at).unwrap_or(usize::MAX));
                let part = Part { source: at..end, target: 0, at: 0 };
                read_parts(Arc::clone(&shard), vec![part], Arc::new(vec![memory.target()]), true).await?;
                at = end;
            }
            total += length;
        }
        Ok(total)
    })
}

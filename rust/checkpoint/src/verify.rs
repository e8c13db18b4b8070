//! Verifying: every byte of a checkpoint is read and compared with its checksum, and none is kept.

use std::sync::Arc;

use s3dlio_records::Progress;
use s3dlio_store::region::Owned;
use s3dlio_store::{StoreError, Work};

use crate::error::{CheckpointError, Result};
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
            total += verify_rank(&checkpoint, rank, &Arc::default()).await?;
        }
        Ok(total)
    })
}

/// What was found.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Bytes of the tensors of sound shards.
    pub bytes: u64,
    /// Ranks whose shards are damaged or missing, and in which way.
    pub faults: Vec<(u32, CheckpointError)>,
}

/// As [`verify`]; a damaged or missing shard does not keep the others from being read.
pub fn report(checkpoint: Arc<Checkpoint>, progress: Arc<Progress>) -> Work<Result<Report>> {
    task::work(async move {
        let mut report = Report::default();
        progress.of(checkpoint.manifest.shards.iter().map(|shard| shard.size).sum());
        for rank in 0..checkpoint.manifest.world_size {
            match verify_rank(&checkpoint, rank, &progress).await {
                Ok(bytes) => report.bytes += bytes,
                Err(
                    error @ (CheckpointError::Store(StoreError::Corrupt { .. }) | CheckpointError::Incomplete { .. }),
                ) => report.faults.push((rank, error)),
                Err(error) => return Err(error),
            }
        }
        Ok(report)
    })
}

async fn verify_rank(checkpoint: &Arc<Checkpoint>, rank: u32, progress: &Arc<Progress>) -> Result<u64> {
    let shard = checkpoint.shard(rank).await?;
    let length = shard.header.buffer();
    let mut at = 0;
    while at < length {
        let end = length.min(at + WINDOW);
        let (_, memory) = Owned::zeroed(usize::try_from(end - at).unwrap_or(usize::MAX));
        read_parts(Arc::clone(&shard), vec![Part { source: at..end, memory }], true, progress).await?;
        at = end;
    }
    Ok(length)
}

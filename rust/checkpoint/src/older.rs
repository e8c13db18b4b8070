//! Reading what the earlier checkpoint store wrote: manifests in JSON, a shard of plain or compressed bytes for each rank.
//!
//! ```text
//! latest.json                          the manifest's key
//! manifests/ckpt-<step>-<time>.json    what a checkpoint consists of
//! shards/.../rank-<rank>.bin[.zst]     bytes
//! ```

use std::io::Read;

use bytes::Bytes;
use chrono::{DateTime, FixedOffset};
use s3dlio_records::Input;
use s3dlio_store::ops::{self, within};
use s3dlio_store::{Uri, Work};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::{Base, entries};
use crate::error::{CheckpointError, Result};
use crate::shard::read;
use crate::task;

/// Bytes of a manifest at most.
const MOST: u64 = 64 << 20;

/// Manifests that are read at the same time.
const IN_FLIGHT: usize = 16;

/// How many bytes one compressed byte stands for at most, beyond the first GiB: weights shrink far less.
const MOST_RATIO: u64 = 4096;

/// One shard of a checkpoint.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Shard {
    /// Its rank.
    pub rank: u32,
    /// Its key, relative to the store.
    pub key: String,
    /// Bytes of the object.
    pub size: u64,
    /// The entity tag that it had.
    #[serde(default)]
    pub etag: Option<String>,
    /// `crc32c:` and the checksum of the bytes as they were before compression.
    #[serde(default)]
    pub checksum: Option<String>,
}

/// What a checkpoint consists of.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Manifest {
    /// 1.
    pub format_version: u32,
    /// What the user calls the framework.
    pub framework: String,
    /// The step.
    pub global_step: u64,
    /// The epoch.
    pub epoch: u64,
    /// When it was written.
    pub wall_time: DateTime<FixedOffset>,
    /// Number of ranks.
    pub world_size: u32,
    /// The shards.
    pub shards: Vec<Shard>,
    /// `complete`, when it is.
    #[serde(default)]
    pub status: String,
    /// The user's own JSON.
    #[serde(default)]
    pub user_meta: Value,
}

#[derive(Deserialize)]
struct Latest {
    manifest_key: String,
}

/// Whether a key lies below a directory of the store, and nowhere else.
fn below(key: &str, directory: &str) -> bool {
    let inside = key.strip_prefix(directory).unwrap_or_default();
    !inside.is_empty() && inside.split('/').all(|part| !matches!(part, "" | "." | "..") && !part.contains(['\\', '\0']))
}

fn parse(text: &[u8]) -> Option<Manifest> {
    let manifest: Manifest = serde_json::from_slice(text).ok()?;
    let whole = manifest.format_version == 1 && matches!(manifest.status.as_str(), "complete" | "Complete");
    let all = (0..manifest.world_size).all(|rank| manifest.shards.iter().any(|shard| shard.rank == rank));
    let fits = manifest.shards.len() as u64 == u64::from(manifest.world_size);
    (whole && fits && all && manifest.shards.iter().all(|shard| below(&shard.key, "shards/"))).then_some(manifest)
}

/// The complete checkpoints, the oldest first; of two of one step the later one stands last.
///
/// # Errors
/// At once: a URI or settings that cannot work. From the work: those of the store.
pub fn list(uri: &Uri) -> Result<Work<Result<Vec<Manifest>>>> {
    let base = Base::open(uri)?;
    let lister = base.list("manifests/", false)?;
    Ok(task::work(async move {
        let found = entries(lister).await?;
        let keys = found.iter().filter_map(|entry| base.relative(entry));
        let keys: Vec<String> =
            keys.filter(|key| below(key, "manifests/") && key.ends_with(".json")).map(str::to_owned).collect();
        let read = ops::each(keys, IN_FLIGHT, |key| {
            let base = base.clone();
            async move { base.find(&key, MOST).await }
        });
        let read: Vec<_> = read.await?;
        let mut found: Vec<Manifest> = read.into_iter().flatten().filter_map(|(text, _)| parse(&text)).collect();
        found.sort_by_key(|manifest| (manifest.global_step, manifest.wall_time));
        Ok(found)
    }))
}

/// The checkpoint that `latest.json` names, otherwise the newest; `None` where there is none.
///
/// # Errors
/// As [`list`].
pub fn latest(uri: &Uri) -> Result<Work<Result<Option<Manifest>>>> {
    let base = Base::open(uri)?;
    let all = list(uri)?;
    Ok(task::work(async move {
        // It was written in place: what is cut short or names what is gone is passed over.
        let named = base.find("latest.json", MOST).await?;
        let named = named.and_then(|(text, _)| serde_json::from_slice::<Latest>(&text).ok());
        if let Some(Latest { manifest_key }) = named.filter(|latest| below(&latest.manifest_key, "manifests/"))
            && let Some((text, _)) = base.find(&manifest_key, MOST).await?
            && let Some(manifest) = parse(&text)
        {
            return Ok(Some(manifest));
        }
        Ok(all.into_future().await??.pop())
    }))
}

/// The bytes of a shard, decompressed and compared with its checksum where it has one.
///
/// # Errors
/// At once: a URI or settings that cannot work. From the work: a key outside of the store, `NotFound`, and damaged bytes.
pub fn shard(uri: &Uri, shard: Shard) -> Result<Work<Result<Bytes>>> {
    let base = Base::open(uri)?;
    Ok(task::work(async move {
        let at = base.at(&shard.key);
        if !below(&shard.key, "shards/") {
            return Err(CheckpointError::corrupt(base.uri(), format!("{:?} is no key of a shard", shard.key)));
        }
        let stat = within::look(base.backend(), &at).await?;
        if stat.size != shard.size {
            let detail = format!("found {} bytes, the manifest says {}", stat.size, shard.size);
            return Err(CheckpointError::corrupt(&at, detail));
        }
        let (place, backend) = (at.clone(), base.backend().clone());
        let input = task::local(move || Ok(Input::listed(place, backend, stat.size, stat.etag)?)).await?;
        let stored = read(&input, 0..input.size()).await?;
        task::compute(move || {
            let raw = if shard.key.ends_with(".zst") { unpack(&stored).map_err(|e| wrong(&at, &e))? } else { stored };
            let expected = shard.checksum.as_deref().and_then(|text| text.strip_prefix("crc32c:"));
            let found = format!("{:08x}", crc32c::crc32c(&raw));
            match expected {
                Some(expected) if !expected.trim_start_matches("0x").eq_ignore_ascii_case(&found) => {
                    Err(wrong(&at, &format!("the checksum of its bytes is {found}, expected {expected}")))
                }
                _ => Ok(raw),
            }
        })
        .await?
    }))
}

fn wrong(at: &Uri, detail: &str) -> CheckpointError {
    CheckpointError::corrupt(at, detail)
}

/// Decompresses step by step, so that memory follows what is really there.
fn unpack(stored: &[u8]) -> std::result::Result<Bytes, String> {
    let most = (1 << 30) + (stored.len() as u64).saturating_mul(MOST_RATIO);
    let failed = |error: std::io::Error| format!("zstd: {error}");
    let decoder = zstd::stream::read::Decoder::new(stored).map_err(failed)?;
    let mut raw = Vec::new();
    decoder.take(most + 1).read_to_end(&mut raw).map_err(failed)?;
    if raw.len() as u64 > most {
        return Err(format!("more than {most} bytes from {} compressed ones", stored.len()));
    }
    Ok(raw.into())
}

//! The commit: from the shards of all ranks to a checkpoint that readers see, in one conditional write.
//!
//! ```text
//! shard of each rank ─► its description ─► MANIFEST ─► steps/<step>   (the last one is the commit)
//! ```
//!
//! An attempt has names of its own, so nothing that a reader may be looking at is ever overwritten. An answer that was
//! lost is not guessed at: the object is read back, and only what it says counts.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use s3dlio_store::local::Create;
use s3dlio_store::ops::{self, Lister};
use s3dlio_store::progress::Progress;
use s3dlio_store::{StoreError, Uri, Work};
use tokio::time::Instant;

use crate::base::{Base, entries};
use crate::boxes::Region;
use crate::error::{CheckpointError, Result};
use crate::layout::{self, Attempt, LATEST, Strategy};
use crate::manifest::{self, Commit, Manifest, ShardMeta};
use crate::open::Index;
use crate::save::{self, Identity, Item};
use crate::task;
use crate::tree::Tree;

/// Bytes of a commit or a hint at most.
pub(crate) const SMALL: u64 = 4096;

/// Between two looks for descriptions that are missing: at first, and at most.
const POLL: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// Longest wait for other ranks: beyond a month lie only typing errors, and the end of what a clock can count.
const LONGEST: Duration = Duration::from_secs(31 * 86_400);

/// Descriptions that are fetched at the same time.
const IN_FLIGHT: usize = 16;

/// What a shard of a managed checkpoint is saved with.
#[derive(Debug, Clone)]
pub struct ShardOptions {
    /// The attempt; the same on all ranks.
    pub attempt: Attempt,
    /// This rank.
    pub rank: u32,
    /// Number of ranks.
    pub world_size: u32,
    /// A number that no other shard of the attempt has.
    pub nonce: u64,
    /// How keys are spread.
    pub strategy: Strategy,
    /// Level of zstd; `None` stores tensors as they are.
    pub level: Option<i32>,
    /// Whether the description is stored, for a commit that looks for it; otherwise whoever commits is given it.
    pub announce: bool,
    /// Counts the bytes of tensors that are written.
    pub progress: Arc<Progress>,
}

/// Saves the shard of one rank and, when it is complete, its description.
///
/// # Errors
/// At once: a URI or settings that cannot work. From the work: [`CheckpointError::Exists`] when this rank has already
/// saved in this attempt, and those of the store.
pub fn save_shard(uri: &Uri, items: Vec<Item>, tree: Tree, options: ShardOptions) -> Result<Work<Result<ShardMeta>>> {
    let base = Base::open(uri)?;
    Ok(task::work(async move {
        let ShardOptions { attempt, rank, world_size, nonce, strategy, level, announce, progress } = options;
        let extension = if level.is_some() { "s3ck" } else { "safetensors" };
        let key = attempt.shard(strategy, rank, world_size, nonce, extension);
        let identity = Identity { save_id: attempt.id.clone(), rank, world_size };
        let mut meta = save::write(base.backend(), &base.at(&key), items, tree, identity, level, &progress).await?;
        meta.key = key;
        if !announce {
            return Ok(meta);
        }
        let name = attempt.meta(rank);
        let content = manifest::encode(&meta).map_err(|error| error.at(base.at(&name)))?;
        match base.create(&name, content.clone()).await {
            Ok(_) => Ok(meta),
            Err(error) => match base.find(&name, manifest::MOST).await? {
                // The write took effect and its answer was lost.
                Some((found, _)) if found == content => Ok(meta),
                Some(_) => Err(CheckpointError::Exists {
                    uri: base.at(&name).to_string(),
                    detail: format!("rank {rank} has already saved in this attempt"),
                }),
                None => Err(error.into()),
            },
        }
    }))
}

/// What a commit is made with.
#[derive(Debug, Clone)]
pub struct CommitOptions {
    /// The attempt.
    pub attempt: Attempt,
    /// Number of ranks.
    pub world_size: u32,
    /// How long to wait for the shards of other ranks.
    pub timeout: Duration,
    /// Whether a checkpoint of this step is replaced.
    pub overwrite: bool,
    /// The shards, where they are known; otherwise those that were announced in this attempt.
    pub shards: Option<Vec<ShardMeta>>,
    /// Framework, name, epoch, user's metadata and metrics of the manifest.
    pub describe: Manifest,
}

/// Waits for the shards of all ranks and commits them; the result is the key of the manifest.
///
/// Of several that commit the same step exactly one succeeds. A commit that took effect is never reported as failed.
///
/// # Errors
/// At once: a URI or settings that cannot work. From the work: [`CheckpointError::Incomplete`] for ranks that are
/// missing in time, or that do not fit together; [`CheckpointError::Exists`] when the step is committed by another
/// attempt; those of the store.
pub fn commit(uri: &Uri, options: CommitOptions) -> Result<Work<Result<String>>> {
    let base = Base::open(uri)?;
    let lister = base.list(&format!("data/{}/", options.attempt), false)?;
    Ok(task::work(async move { run(&base, options, lister).await }))
}

async fn run(base: &Base, options: CommitOptions, lister: Lister) -> Result<String> {
    let CommitOptions { attempt, world_size, timeout, overwrite, shards, describe } = options;
    let shards = match shards {
        Some(mut shards) => {
            shards.sort_by_key(|shard| shard.rank);
            shards
        }
        None => {
            let shards = gather(base, &attempt, world_size, timeout).await?;
            refuse_strangers(base, &attempt, world_size, lister).await?;
            shards
        }
    };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let manifest = Manifest {
        format_version: 1,
        step: attempt.step,
        attempt: attempt.id.clone(),
        world_size,
        wall_time: now.as_secs(),
        shards,
        ..describe
    };
    manifest.check(layout::is_shard).map_err(|error| CheckpointError::incomplete(base.uri(), error.0))?;
    complete(base, &manifest)?;
    let key = attempt.manifest();
    let mut content = manifest::encode(&manifest).map_err(|error| error.at(base.at(&key)))?;
    if let Err(error) = base.create(&key, content.clone()).await {
        // Another commit of the same attempt was faster, or this one took effect and its answer was lost. Both hold the
        // same shards, so the one that is there is as good.
        let Some((found, _)) = base.find(&key, manifest::MOST).await? else { return Err(error.into()) };
        let other: Manifest = manifest::decode(&found).map_err(|error| error.at(base.at(&key)))?;
        if other.shards != manifest.shards {
            return Err(CheckpointError::incomplete(base.at(&key), "another commit of the attempt has other shards"));
        }
        content = found.to_vec();
    }
    let commit = Commit {
        step: attempt.step,
        attempt: attempt.id.clone(),
        size: content.len() as u64,
        crc: crc32c::crc32c(&content),
    };
    put_commit(base, &commit, overwrite).await?;
    hint(base, attempt.step).await;
    Ok(key)
}

/// The one write that makes the checkpoint visible.
async fn put_commit(base: &Base, commit: &Commit, overwrite: bool) -> Result<()> {
    let key = layout::commit(commit.step);
    let text = commit.to_text();
    let before = if overwrite { base.find(&key, SMALL).await? } else { None };
    let written = match before.and_then(|(_, tag)| tag) {
        Some(tag) => base.put(&key, text.clone().into_bytes(), Create::Matching(tag)).await.map(|_| ()),
        None => base.create(&key, text.clone().into_bytes()).await.map(|_| ()).map_err(Into::into),
    };
    let Err(error) = written else { return Ok(()) };
    let exists = |found: &Commit| CheckpointError::Exists {
        uri: base.at(&key).to_string(),
        detail: format!("attempt {} has committed this step; overwrite=True replaces it", found.attempt),
    };
    match base.find(&key, SMALL).await {
        Ok(Some((found, _))) => match Commit::parse(&found) {
            Ok(found) if found == *commit => Ok(()),
            Ok(found) => Err(exists(&found)),
            Err(wrong) => Err(wrong.at(base.at(&key))),
        },
        Ok(None) | Err(_) => Err(error),
    }
}

/// Tells which step is the newest, for people and for stores whose listings lag behind. Readers survive without.
async fn hint(base: &Base, step: u64) {
    let newer = match base.find(LATEST, SMALL).await {
        Ok(found) => found.and_then(|(text, _)| latest(&text)).is_none_or(|found| found < step),
        Err(_) => false,
    };
    if newer && let Err(error) = base.put(LATEST, format!("{step}\n").into_bytes(), Create::Overwrite).await {
        tracing::warn!(%error, "the hint to the newest checkpoint could not be written");
    }
}

pub(crate) fn latest(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.trim().parse().ok()
}

/// The descriptions of all ranks, in their order.
async fn gather(base: &Base, attempt: &Attempt, world: u32, timeout: Duration) -> Result<Vec<ShardMeta>> {
    let deadline = Instant::now() + timeout.min(LONGEST);
    let (mut found, mut pause) = (vec![None; world as usize], POLL.0);
    loop {
        let missing: Vec<u32> = (0..world).filter(|rank| found[*rank as usize].is_none()).collect();
        let looked = ops::each(missing.clone(), IN_FLIGHT, |rank| {
            let (base, key) = (base.clone(), attempt.meta(rank));
            async move { base.find(&key, manifest::MOST).await }
        });
        for (rank, content) in missing.into_iter().zip(looked.await?) {
            let Some((content, _)) = content else { continue };
            let place = || base.at(&attempt.meta(rank));
            let meta: ShardMeta = manifest::decode(&content).map_err(|error| error.at(place()))?;
            if meta.rank != rank || meta.world_size != world || meta.save_id != attempt.id {
                let detail = format!(
                    "found rank {} of {} of attempt {}, expected rank {rank} of {world} of {}",
                    meta.rank, meta.world_size, meta.save_id, attempt.id
                );
                return Err(CheckpointError::incomplete(place(), detail));
            }
            found[rank as usize] = Some(meta);
        }
        let missing: Vec<usize> = (0..found.len()).filter(|rank| found[*rank].is_none()).collect();
        if missing.is_empty() {
            return Ok(found.into_iter().flatten().collect());
        }
        if Instant::now() >= deadline {
            let detail = format!("no shard of ranks {missing:?} after {} s", timeout.as_secs_f64());
            return Err(CheckpointError::incomplete(base.at(&format!("data/{attempt}/")), detail));
        }
        tokio::time::sleep(pause.min(deadline - Instant::now())).await;
        pause = (pause * 2).min(POLL.1);
    }
}

/// Refuses an attempt in which more ranks have saved than it is committed with.
async fn refuse_strangers(base: &Base, attempt: &Attempt, world: u32, lister: Lister) -> Result<()> {
    let known: Vec<String> = (0..world).map(|rank| attempt.meta(rank)).collect();
    for entry in entries(lister).await? {
        let Some(key) = base.relative(&entry) else { continue };
        if key.ends_with(".meta") && layout::attempt_of(key).is_some() && !known.iter().any(|known| known == key) {
            let detail = format!("{key} was saved beside ranks 0 to {}", world - 1);
            return Err(CheckpointError::incomplete(base.uri(), detail));
        }
    }
    Ok(())
}

/// Refuses wholes of which a part is missing or stands twice.
fn complete(base: &Base, manifest: &Manifest) -> Result<()> {
    let index = Index::of(&manifest.shards).map_err(|error| CheckpointError::incomplete(base.uri(), error.0))?;
    for (name, whole) in &index.wholes {
        let total = Region::whole(&whole.shape).elements();
        if total != Some(whole.elements) {
            let detail = format!("tensor {name:?} has {} of {} elements", whole.elements, total.unwrap_or(u64::MAX));
            return Err(CheckpointError::incomplete(base.uri(), detail));
        }
    }
    Ok(())
}

/// Whether an error only says that there is nothing.
pub(crate) fn is_missing(error: &CheckpointError) -> bool {
    matches!(error, CheckpointError::Store(StoreError::NotFound { .. }))
}

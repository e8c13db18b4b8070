//! Shards under names that the user chose, and the manifest that makes them one checkpoint.

use s3dlio_store::{StoreError, Uri, Work};
use std::sync::Arc;

use crate::base::{Base, entries};
use crate::error::{CheckpointError, Result};
use crate::manifest::{self, Manifest, ShardMeta, TensorMeta};
use crate::meta::Extent;
use crate::open::{Checkpoint, Index};
use crate::save::{self, Identity, Item};
use crate::shard::Shard;
use crate::task;
use crate::tree::Tree;

/// The manifest beside the shards.
pub const MANIFEST: &str = "MANIFEST.s3dlio";

/// Whether a key may be that of a shard: a name beside the manifest.
fn is_name(key: &str) -> bool {
    !key.is_empty() && key != "." && key != ".." && key != MANIFEST && !key.contains(['/', '\\', '\0'])
}

/// The directory that an object lies in.
fn directory(uri: &Uri) -> Uri {
    let key = uri.key.rsplit_once('/').map_or(String::new(), |(directory, _)| format!("{directory}/"));
    uri.with_key(key)
}

/// Saves the shard of one rank under a name of the user's. Where a finished checkpoint lies it is refused, unless
/// `overwrite` removes that one's manifest first.
///
/// # Errors
/// At once: a URI or settings that cannot work. From the work: [`CheckpointError::Exists`], and those of the store.
pub fn save_shard(
    uri: &Uri,
    items: Vec<Item>,
    tree: Tree,
    identity: Identity,
    level: Option<i32>,
    overwrite: bool,
) -> Result<Work<Result<ShardMeta>>> {
    let base = Base::open(&directory(uri))?;
    let uri = uri.clone();
    Ok(task::work(async move {
        if base.find(MANIFEST, manifest::MOST).await?.is_some() {
            if !overwrite {
                let detail = "it is finished; overwrite=True replaces it, or save to another place".into();
                return Err(CheckpointError::Exists { uri: base.uri().to_string(), detail });
            }
            base.remove(MANIFEST).await?;
        }
        save::write(base.backend(), &uri, items, tree, identity, level, &Arc::default()).await
    }))
}

/// Makes the shards beside each other one checkpoint; the result is the key of the manifest.
///
/// # Errors
/// At once: a URI or settings that cannot work. From the work: [`CheckpointError::Incomplete`] unless there is exactly
/// one shard of each rank, all of one save; [`CheckpointError::Exists`] when there is a manifest; damaged bytes.
pub fn finalize(uri: &Uri, world: u32) -> Result<Work<Result<String>>> {
    let base = Base::open(uri)?;
    let lister = base.list("", false)?;
    Ok(task::work(async move {
        let mut found: Vec<Option<ShardMeta>> = vec![None; world as usize];
        let mut save_id = None;
        for entry in entries(lister).await? {
            let Some(key) = base.relative(&entry).filter(|key| is_name(key)) else { continue };
            let Some(described) = describe(&base, key).await? else { continue };
            let uri = base.at(key);
            if described.world_size != world || described.rank >= world {
                let detail = format!("it is rank {} of {}, expected {world}", described.rank, described.world_size);
                return Err(CheckpointError::incomplete(&uri, detail));
            }
            if save_id.get_or_insert_with(|| described.save_id.clone()) != &described.save_id {
                return Err(CheckpointError::incomplete(&uri, "it belongs to another save than the shards beside it"));
            }
            let rank = described.rank as usize;
            if let Some(other) = &found[rank] {
                let detail = format!("rank {rank} is also in {:?}", other.key);
                return Err(CheckpointError::incomplete(&uri, detail));
            }
            found[rank] = Some(described);
        }
        let missing: Vec<usize> = (0..found.len()).filter(|rank| found[*rank].is_none()).collect();
        if !missing.is_empty() || world == 0 {
            return Err(CheckpointError::incomplete(base.uri(), format!("no shard of ranks {missing:?}")));
        }
        let shards = found.into_iter().flatten().collect();
        let manifest = Manifest { format_version: 1, world_size: world, shards, ..Manifest::default() };
        write(&base, &manifest).await
    }))
}

async fn write(base: &Base, manifest: &Manifest) -> Result<String> {
    let wrong = |error: crate::FormatError| CheckpointError::incomplete(base.uri(), error.0);
    manifest.check(is_name).map_err(wrong)?;
    Index::of(&manifest.shards).map_err(wrong)?;
    let content = manifest::encode(manifest).map_err(wrong)?;
    let key = base.at(MANIFEST).to_string();
    match base.create(MANIFEST, content.clone()).await {
        Ok(_) => Ok(key),
        Err(error) => match base.find(MANIFEST, manifest::MOST).await? {
            Some((found, _)) if found == content => Ok(key),
            Some(_) => Err(CheckpointError::Exists { uri: key, detail: "another save is finished here".into() }),
            None => Err(error.into()),
        },
    }
}

/// What a shard says of itself; `None` for an object that is none of ours.
async fn describe(base: &Base, key: &str) -> Result<Option<ShardMeta>> {
    let uri = base.at(key);
    let shard = match Shard::open(base.backend(), &uri).await {
        Ok(shard) => shard,
        Err(CheckpointError::Store(StoreError::Corrupt { .. })) if !key.ends_with(".bin") => return Ok(None),
        Err(error) => return Err(error),
    };
    let Some(meta) = &shard.meta else { return Ok(None) };
    let tensor = |tensor: &crate::header::Tensor| {
        let extent = meta.boxes.get(&tensor.spec.name).cloned();
        let shared = extent.is_some();
        let Extent { global, offsets } = extent.unwrap_or(Extent { global: Vec::new(), offsets: Vec::new() });
        let crate::header::Spec { name, dtype, shape } = tensor.spec.clone();
        TensorMeta { name, dtype, shape, shared, global, offsets }
    };
    Ok(Some(ShardMeta {
        rank: meta.rank,
        world_size: meta.world_size,
        save_id: meta.save_id.clone(),
        key: key.to_owned(),
        size: shard.input.size(),
        etag: String::new(),
        header_crc: shard.header_crc,
        table_crc: shard.table_crc,
        has_pickle: meta.pickle,
        tensors: shard.header.tensors.iter().map(tensor).collect(),
    }))
}

/// Opens a checkpoint of shards beside each other.
///
/// # Errors
/// At once: a URI or settings that cannot work. From the work: `NotFound` where no manifest is, damaged bytes.
pub fn open(uri: &Uri) -> Result<Work<Result<Checkpoint>>> {
    let base = Base::open(uri)?;
    Ok(task::work(async move {
        let (content, _) = base.get(MANIFEST, manifest::MOST).await?;
        let manifest = manifest::decode(&content).map_err(|error| error.at(base.at(MANIFEST)))?;
        Checkpoint::of(base, manifest, is_name)
    }))
}

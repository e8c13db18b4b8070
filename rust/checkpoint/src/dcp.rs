//! What `torch.distributed.checkpoint` saved through our writer: which pieces of the shards make up which tensor.
//!
//! The Python package keeps torch's own description in the user's part of the manifest, as JSON.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::boxes::Region;
use crate::format::{FormatError, wrong};
use crate::manifest::Manifest;
use crate::open::Whole;

/// As in the manifest: the tensors by name, and where each piece lies.
#[derive(Deserialize)]
struct Description {
    dcp: u32,
    state: BTreeMap<String, Value>,
    storage: Vec<(String, Option<Vec<u64>>, u32)>,
}

/// The tensors that the pieces make up, by name; none for another checkpoint.
///
/// # Errors
/// Pieces that are not there or do not fit together.
pub(crate) fn wholes(manifest: &Manifest) -> Result<BTreeMap<String, Whole>, FormatError> {
    let mut wholes: BTreeMap<String, Whole> = BTreeMap::new();
    let described = serde_json::from_str::<Description>(&manifest.user_meta).ok().filter(|found| found.dcp == 1);
    let Some(described) = described else { return Ok(wholes) };
    let pieces: BTreeMap<(u32, String), _> = manifest
        .shards
        .iter()
        .flat_map(|shard| shard.tensors.iter().map(|tensor| ((shard.rank, tensor.name.clone()), tensor)))
        .collect();
    for (fqn, offsets, rank) in described.storage {
        let size = described.state.get(&fqn).and_then(|state| state.get("size"));
        let Some(size) = size.and_then(|size| serde_json::from_value::<Vec<u64>>(size.clone()).ok()) else { continue };
        let mut offsets = offsets.unwrap_or_default();
        let place = offsets.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
        let name = format!("item:{fqn}@{place}");
        let Some(piece) = pieces.get(&(rank, name.clone())) else {
            return wrong(format!("rank {rank} does not hold the piece {name:?} of a tensor"));
        };
        // Complex numbers have an axis of their own behind the others.
        let extra = piece.shape.get(size.len()..).unwrap_or_default();
        offsets.resize(size.len(), 0);
        offsets.extend(extra.iter().map(|_| 0));
        let shape: Vec<u64> = size.iter().chain(extra).copied().collect();
        let part = Region { offsets, lengths: piece.shape.clone() };
        let whole = wholes.entry(fqn.clone()).or_insert_with(|| Whole::new(piece.dtype.clone(), shape.clone()));
        if whole.shape != shape {
            return wrong(format!("the pieces of tensor {fqn:?} do not fit together"));
        }
        whole.add(&fqn, rank, name, &piece.dtype, part)?;
    }
    Ok(wholes)
}

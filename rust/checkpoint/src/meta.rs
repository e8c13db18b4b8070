//! What a shard says of itself, in the metadata of its header.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::format::{FormatError, wrong};
use crate::header::{Header, META_KEY};
use crate::tree::Tree;

/// The format that this crate writes, and the only one that it reads.
pub const VERSION: u32 = 1;

/// Bytes of the buffer under one checksum. Long enough that reading to its bounds costs little beside a request, short
/// enough that a part of a tensor can be verified by itself.
pub const CHUNK: u64 = 4 << 20;

/// Where a tensor lies in a larger one that several shards make up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Extent {
    /// Shape of the whole.
    pub global: Vec<u64>,
    /// First element of this part along each axis.
    pub offsets: Vec<u64>,
}

impl Extent {
    /// Whether a part of this shape lies inside the whole.
    #[must_use]
    pub fn holds(&self, shape: &[u64]) -> bool {
        let inside = |((offset, length), whole): ((&u64, &u64), &u64)| {
            offset.checked_add(*length).is_some_and(|end| end <= *whole)
        };
        self.global.len() == shape.len()
            && self.offsets.len() == shape.len()
            && self.offsets.iter().zip(shape).zip(&self.global).all(inside)
    }
}

/// The description of a shard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Meta {
    /// [`VERSION`].
    pub v: u32,
    /// The program that wrote it.
    pub writer: String,
    /// What the shards of one save have in common.
    pub save_id: String,
    /// Number of the process, from 0.
    pub rank: u32,
    /// Number of processes.
    pub world_size: u32,
    /// Bytes under one checksum.
    pub chunk: u64,
    /// Whether the tree holds pickled objects.
    pub pickle: bool,
    /// Tensors that are parts of larger ones.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub boxes: BTreeMap<String, Extent>,
    /// Tensors that all processes have and this one stores.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shared: Vec<String>,
    /// The values.
    pub tree: Tree,
}

impl Meta {
    /// Reads the description from a header; `None` for a file that another program wrote.
    ///
    /// # Errors
    /// A description that is wrong, of another version, or does not fit the tensors.
    pub fn of(header: &Header) -> Result<Option<Self>, FormatError> {
        let Some(text) = header.meta(META_KEY) else { return Ok(None) };
        let meta: Self = serde_json::from_str(text)
            .map_err(|error| FormatError(format!("the description of the shard is wrong: {error}")))?;
        if meta.v != VERSION {
            return wrong(format!("the shard has format version {}, expected {VERSION}", meta.v));
        }
        if meta.rank >= meta.world_size || meta.chunk < 4096 || meta.chunk > 1 << 30 {
            let Self { rank, world_size, chunk, .. } = meta;
            return wrong(format!("the shard says rank {rank} of {world_size} and chunks of {chunk} bytes"));
        }
        if meta.pickle != meta.tree.has_pickle() {
            return wrong("the shard does not tell the truth about pickled objects");
        }
        let names: HashSet<&str> = header.tensors.iter().map(|tensor| tensor.spec.name.as_str()).collect();
        meta.tree.resolve(&names)?;
        let named = header.tensors.iter().map(|tensor| (tensor.spec.name.as_str(), &tensor.spec.shape));
        let shapes: HashMap<&str, _> = named.collect();
        for (name, extent) in &meta.boxes {
            if !shapes.get(name.as_str()).is_some_and(|shape| extent.holds(shape)) {
                return wrong(format!("the place of tensor {name:?} in the whole does not fit its shape"));
            }
        }
        Ok(Some(meta))
    }
}

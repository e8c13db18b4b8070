//! What a checkpoint holds, by path, as a load without a rank sees it: entries of several processes put together, those of
//! the lowest rank first.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use s3dlio_store::region::Owned;
use serde_json::{Map, Value, json};

use crate::boxes::Region;
use crate::dtype;
use crate::error::{CheckpointError, Result};
use crate::header::Spec;
use crate::open::{Checkpoint, Request};
use crate::tree::{Tree, reference};

/// A tensor as the tree refers to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// Whose shard is asked for it.
    pub rank: u32,
    /// Its name there.
    pub name: String,
    /// Whether several shards make it up.
    pub global: bool,
    /// Type of its elements.
    pub dtype: String,
    /// Its shape.
    pub shape: Vec<u64>,
    /// What the tree says of it, without its name and its place in a whole.
    pub node: Map<String, Value>,
}

impl Stored {
    /// Bytes of it.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        dtype::size(&self.dtype, &self.shape).unwrap_or(0)
    }

    /// Whether these are the elements of an array, and not the bytes of something else.
    #[must_use]
    pub fn is_array(&self) -> bool {
        !["bytes_in", "bytearray_in", "pickle_in"].iter().any(|kind| self.node.contains_key(*kind))
    }
}

/// What lies at a path.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// A container; its kind.
    Container(&'static str),
    /// A scalar, as its node of the tree.
    Scalar(Value),
    /// Bytes in a tensor.
    Tensor(Stored),
}

/// What a checkpoint holds, by path; the path of the value as a whole is empty.
pub type Contents = BTreeMap<String, Entry>;

/// Finds out what a checkpoint holds.
///
/// # Errors
/// As [`Checkpoint::tree`]; a tree that refers to a tensor that no shard has.
pub async fn contents(checkpoint: &Checkpoint) -> Result<Contents> {
    let mut found = Contents::new();
    let mut referred = HashSet::new();
    let mut loose = Vec::new();
    for rank in 0..checkpoint.manifest.world_size {
        let (tree, specs) = checkpoint.tree(rank).await?;
        let mut walk = Walk { checkpoint, rank, specs: &specs, found: &mut found, referred: &mut referred };
        walk.tree(&tree)?;
        loose.extend(specs.into_iter().map(|spec| (rank, spec)));
    }
    let tensor = |rank, global, spec: Spec| {
        let Spec { name, dtype, shape } = spec;
        Entry::Tensor(Stored { rank, name, global, dtype, shape, node: Map::new() })
    };
    // What torch.distributed.checkpoint saved stands in no tree.
    for (name, whole) in &checkpoint.index().wholes {
        if referred.contains(name) {
            continue;
        }
        let spec = Spec { name: name.clone(), dtype: whole.dtype.clone(), shape: whole.shape.clone() };
        referred.extend(whole.parts.iter().map(|(_, part, _)| part.clone()));
        found.entry(name.clone()).or_insert_with(|| tensor(0, true, spec));
    }
    for (rank, spec) in loose.into_iter().filter(|(_, spec)| !referred.contains(&spec.name)) {
        found.entry(spec.name.clone()).or_insert_with(|| tensor(rank, false, spec));
    }
    Ok(found)
}

struct Walk<'a> {
    checkpoint: &'a Checkpoint,
    rank: u32,
    specs: &'a [Spec],
    found: &'a mut Contents,
    referred: &'a mut HashSet<String>,
}

impl Walk<'_> {
    fn tree(&mut self, tree: &Tree) -> Result<()> {
        let specs: BTreeMap<&str, &Spec> = self.specs.iter().map(|spec| (spec.name.as_str(), spec)).collect();
        self.node(&mut tree.nodes().iter(), String::new(), &specs)
    }

    /// Takes a value and what is in it; the tree was checked, so that the recursion has an end.
    fn node(
        &mut self,
        nodes: &mut std::slice::Iter<'_, Value>,
        path: String,
        specs: &BTreeMap<&str, &Spec>,
    ) -> Result<()> {
        let Some(node) = nodes.next() else { return Ok(()) };
        let Some((kind, count)) = container(node) else {
            let entry = self.leaf(node, specs)?;
            self.found.entry(path).or_insert(entry);
            return Ok(());
        };
        self.found.entry(path.clone()).or_insert(Entry::Container(kind));
        for number in 0..count {
            let name = if matches!(kind, "dict" | "odict") { key(nodes) } else { number.to_string() };
            self.node(nodes, joined(&path, &name), specs)?;
        }
        if node.get("meta").is_some() {
            self.node(nodes, joined(&path, "_metadata"), specs)?;
        }
        Ok(())
    }

    fn leaf(&mut self, node: &Value, specs: &BTreeMap<&str, &Spec>) -> Result<Entry> {
        let Some((fields, name)) = node.as_object().and_then(|fields| Some((fields, reference(fields)?))) else {
            return Ok(Entry::Scalar(node.clone()));
        };
        let global = fields.get("global") == Some(&Value::Bool(true));
        let whole = self.checkpoint.whole(name).filter(|_| global);
        let own = || specs.get(name).map(|spec| (spec.dtype.as_str(), spec.shape.as_slice()));
        let Some((dtype, shape)) = whole.or_else(own) else {
            let detail = format!("no shard holds the tensor {name:?}");
            return Err(CheckpointError::incomplete(self.checkpoint.uri(), detail));
        };
        self.referred.insert(name.to_owned());
        let mut kept = fields.clone();
        kept.retain(|field, _| !["tensor", "global", "offsets", "lengths"].contains(&field.as_str()));
        Ok(Entry::Tensor(Stored {
            rank: self.rank,
            name: name.to_owned(),
            global: whole.is_some(),
            dtype: dtype.to_owned(),
            shape: shape.to_vec(),
            node: kept,
        }))
    }
}

fn container(node: &Value) -> Option<(&'static str, u64)> {
    let fields = node.as_object()?;
    crate::tree::CONTAINERS.iter().find_map(|(kind, _)| Some((*kind, fields.get(*kind)?.as_u64()?)))
}

fn joined(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// The key of an entry, as Python writes it in a path.
fn key(nodes: &mut std::slice::Iter<'_, Value>) -> String {
    let Some(node) = nodes.next() else { return String::new() };
    if let Some((_, count)) = container(node) {
        let parts: Vec<String> = (0..count).map(|_| key(nodes)).collect();
        return format!("({})", parts.join(", "));
    }
    match node {
        Value::String(text) => text.clone(),
        node => shown(node),
    }
}

/// A scalar as text: numbers as they are written, everything else as its node, cut to a line.
#[must_use]
pub fn shown(node: &Value) -> String {
    match node {
        Value::Null => return "None".into(),
        Value::Bool(true) => return "True".into(),
        Value::Bool(false) => return "False".into(),
        _ => {}
    }
    let bits = node.get("float").and_then(Value::as_str).and_then(|text| u64::from_str_radix(text, 16).ok());
    match bits {
        Some(bits) => format!("{:?}", f64::from_bits(bits)),
        None => node.to_string().chars().take(80).collect(),
    }
}

impl Entry {
    /// The entry in a line.
    #[must_use]
    pub fn line(&self) -> String {
        match self {
            Self::Container(kind) => (*kind).to_owned(),
            Self::Scalar(node) => shown(node),
            Self::Tensor(stored) if stored.is_array() => format!("{} {:?}", stored.dtype, stored.shape),
            Self::Tensor(stored) => format!("{} bytes", stored.bytes()),
        }
    }

    /// The entry as JSON.
    #[must_use]
    pub fn document(&self) -> Value {
        match self {
            Self::Container(kind) => json!({"container": kind}),
            Self::Scalar(node) => node.clone(),
            Self::Tensor(stored) => json!({"dtype": stored.dtype, "shape": stored.shape, "bytes": stored.bytes()}),
        }
    }
}

/// Boxes that cover an array in row-major order, each of at most so many bytes, or of one element.
#[must_use]
pub fn windows(shape: &[u64], width: u64, most: u64) -> Vec<Region> {
    if shape.is_empty() {
        return vec![Region::whole(shape)];
    }
    if shape.contains(&0) {
        return Vec::new();
    }
    let slab = |axis: usize| shape[axis + 1..].iter().product::<u64>() * width;
    let axis = (0..shape.len() - 1).find(|axis| slab(*axis) <= most).unwrap_or(shape.len() - 1);
    let step = (most / slab(axis)).clamp(1, shape[axis]);
    let mut found = Vec::new();
    let mut before = vec![0; axis];
    loop {
        for start in (0..shape[axis]).step_by(usize::try_from(step).unwrap_or(usize::MAX)) {
            let mut region = Region::whole(shape);
            region.offsets[..axis].copy_from_slice(&before);
            region.lengths[..axis].fill(1);
            (region.offsets[axis], region.lengths[axis]) = (start, step.min(shape[axis] - start));
            found.push(region);
        }
        let Some(turning) = (0..axis).rev().find(|at| before[*at] + 1 < shape[*at]) else { return found };
        before[turning] += 1;
        before[turning + 1..].fill(0);
    }
}

/// Reads a box of a tensor, verified.
pub(crate) async fn read_box(checkpoint: &Arc<Checkpoint>, stored: &Stored, region: Region) -> Result<Vec<u8>> {
    let width = dtype::width(&stored.dtype).unwrap_or(1);
    let length = region.elements().and_then(|elements| usize::try_from(elements.checked_mul(width)?).ok());
    let (memory, target) = Owned::zeroed(length.unwrap_or(0));
    let request = Request { name: stored.name.clone(), global: stored.global, region: Some(region), target };
    Arc::clone(checkpoint).read(stored.rank, vec![request], true, Arc::default()).await?;
    memory.into_bytes().ok_or_else(|| CheckpointError::invalid(checkpoint.uri(), "memory is still being filled"))
}

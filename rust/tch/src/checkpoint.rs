//! Tensors and texts in the files of [`s3dlio_checkpoint`].
//!
//! To Python what is saved here is a dict: a `torch.Tensor` or a `str` for each name. What Python saved is read by the
//! dotted paths of its tensors (`model.fc1.weight`), texts by theirs; its other values stay in the file.

use std::collections::{BTreeMap, HashMap};
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use s3dlio_checkpoint::CheckpointError;
use s3dlio_checkpoint::commit::{self, CommitOptions, ShardOptions};
use s3dlio_checkpoint::contents::{Contents, Entry, Stored, contents};
use s3dlio_checkpoint::header::Spec;
use s3dlio_checkpoint::layout::{Attempt, Strategy};
use s3dlio_checkpoint::manifest::Manifest;
use s3dlio_checkpoint::open::{self, Checkpoint, Request};
use s3dlio_checkpoint::save::{self, Identity, Item};
use s3dlio_checkpoint::tree::Tree;
use s3dlio_checkpoint::view::View;
use s3dlio_store::region::{Memory, Region};
use s3dlio_store::{Uri, Work};
use serde_json::{Value, json};
use tch::{Device, Kind, Tensor, no_grad};

use crate::error::{Result, TrainError, mismatch};
use crate::kinds;

/// What a checkpoint holds, by name.
#[derive(Debug, Default)]
pub struct Values {
    /// Tensors; variables of a [`VarStore`](tch::nn::VarStore) by its own names.
    pub tensors: BTreeMap<String, Tensor>,
    /// Texts, as the state of a loader.
    pub texts: BTreeMap<String, String>,
}

/// Saves values as one object, which appears whole or not at all; with a `level` of zstd it is compressed.
///
/// # Errors
/// Names that stand for a tensor and a text, types that checkpoints have not, and those of the store.
pub fn save(uri: &Uri, values: &Values, level: Option<i32>) -> Result<()> {
    let (items, tree) = encode(values)?;
    let identity = Identity { save_id: random_id()?, rank: 0, world_size: 1 };
    run(save::save(uri, items, tree, identity, level, Arc::default())?)?;
    Ok(())
}

/// Saves values as a step of the checkpoints below `base`, as Python's `CheckpointManager` does; the last write is the
/// commit, before which readers see the step before.
///
/// # Errors
/// As [`save()`]; [`CheckpointError::Exists`] for a step that is there, unless it is to be overwritten.
pub fn save_step(base: &Uri, step: u64, values: &Values, level: Option<i32>, overwrite: bool) -> Result<()> {
    let (items, tree) = encode(values)?;
    let invalid = |error: s3dlio_checkpoint::FormatError| invalid(base, error.to_string());
    let attempt = Attempt::new(step, &random_id()?).map_err(invalid)?;
    let options = ShardOptions {
        attempt: attempt.clone(),
        rank: 0,
        world_size: 1,
        // One shard has nothing that it could be taken for.
        nonce: 0,
        strategy: Strategy::Flat,
        level,
        announce: false,
        progress: Arc::default(),
    };
    let shard = run(commit::save_shard(base, items, tree, options)?)?;
    let options = CommitOptions {
        attempt,
        world_size: 1,
        timeout: Duration::ZERO,
        overwrite,
        shards: Some(vec![shard]),
        describe: Manifest { framework: "tch".into(), ..Manifest::default() },
    };
    run(commit::commit(base, options)?)?;
    Ok(())
}

/// An open checkpoint; its bytes are verified as they are read.
#[derive(Debug)]
pub struct Saved {
    checkpoint: Arc<Checkpoint>,
    contents: Contents,
}

impl Saved {
    /// Opens one object: of [`save()`], of Python's `save_checkpoint`, or any file of safetensors.
    ///
    /// # Errors
    /// Those of the store, and damaged bytes.
    pub fn object(uri: &Uri) -> Result<Self> {
        Self::of(run(open::open_object(uri)?)?)
    }

    /// Opens a step below `base`, the newest if none is given.
    ///
    /// # Errors
    /// As [`object`](Self::object); `NotFound` where there is no such step.
    pub fn step(base: &Uri, step: Option<u64>) -> Result<Self> {
        Self::of(run(open::open_step(base, step)?)?)
    }

    fn of(checkpoint: Checkpoint) -> Result<Self> {
        let checkpoint = Arc::new(checkpoint);
        let looked = Arc::clone(&checkpoint);
        let contents = run(Work::network(async move { Ok(contents(&looked).await) }))?;
        Ok(Self { checkpoint, contents })
    }

    /// The number of the step; 0 for one object.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.checkpoint.manifest.step
    }

    /// A text by its path.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<&str> {
        match self.contents.get(path) {
            Some(Entry::Scalar(Value::String(text))) => Some(text),
            _ => None,
        }
    }

    /// Reads all tensors and texts, in the memory of this machine. Tensors that shared memory share it again.
    ///
    /// # Errors
    /// Those of the store, damaged bytes, and tensors of types that libtorch has not.
    pub fn values(&self) -> Result<Values> {
        let mut values = Values::default();
        let mut wanted = Vec::new();
        let mut storages: HashMap<(u32, &str), Tensor> = HashMap::new();
        for (path, entry) in &self.contents {
            match entry {
                Entry::Tensor(stored) if stored.is_array() => {
                    let kind = kind_of(path, stored)?;
                    let storage = match storages.get(&(stored.rank, stored.name.as_str())) {
                        Some(storage) => storage.shallow_clone(),
                        None => {
                            let storage = Tensor::f_zeros(shape_of(path, stored, kind)?, (kind, Device::Cpu))?;
                            wanted.push((stored, region(&storage)));
                            storages.insert((stored.rank, &stored.name), storage.shallow_clone());
                            storage
                        }
                    };
                    values.tensors.insert(path.clone(), view(stored, storage)?);
                }
                Entry::Scalar(Value::String(text)) => {
                    values.texts.insert(path.clone(), text.clone());
                }
                _ => {}
            }
        }
        self.read(wanted)?;
        Ok(values)
    }

    /// Reads into variables, as those of [`VarStore::variables`](tch::nn::VarStore::variables): each takes the tensor whose
    /// path is its name, or its name below `below`. What fits is read into the variable's own memory.
    ///
    /// # Errors
    /// As [`values`](Self::values); a variable that the checkpoint has not, or has in another shape or of another type: then
    /// nothing was read.
    pub fn fill(&self, below: &str, variables: &HashMap<String, Tensor>) -> Result<()> {
        let mut wanted = Vec::new();
        let mut copied = Vec::new();
        for (name, variable) in variables {
            let path = if below.is_empty() { name.clone() } else { format!("{below}.{name}") };
            let Some(Entry::Tensor(stored)) = self.contents.get(&path) else {
                return Err(mismatch(&path, "nothing", format!("a tensor in {}", self.checkpoint.uri())));
            };
            let kind = kind_of(&path, stored)?;
            let viewed = View::of(stored)?.map(|view| signed(&view.size));
            let shape = shape_of(&path, stored, kind)?;
            let found = (kind, viewed.clone().unwrap_or_else(|| shape.clone()));
            let expected = (variable.f_kind()?, variable.size());
            if found != expected {
                return Err(mismatch(&path, format!("{found:?}"), format!("{expected:?}, as the variable is")));
            }
            if viewed.is_none() && variable.device() == Device::Cpu && variable.is_contiguous() {
                wanted.push((stored, region(variable)));
                continue;
            }
            let storage = Tensor::f_zeros(&shape, (kind, Device::Cpu))?;
            wanted.push((stored, region(&storage)));
            copied.push((variable.shallow_clone(), view(stored, storage)?));
        }
        self.read(wanted)?;
        no_grad(|| copied.iter_mut().try_for_each(|(variable, read)| variable.f_copy_(read).map(|_| ())))?;
        Ok(())
    }

    /// Reads tensors into memory, those of one rank together.
    fn read(&self, wanted: Vec<(&Stored, Region)>) -> Result<()> {
        let mut requests: BTreeMap<u32, Vec<Request>> = BTreeMap::new();
        for (stored, target) in wanted {
            let request = Request { name: stored.name.clone(), global: stored.global, region: None, target };
            requests.entry(stored.rank).or_default().push(request);
        }
        for (rank, requests) in requests {
            let checkpoint = Arc::clone(&self.checkpoint);
            run(Work::network(async move { Ok(checkpoint.read(rank, requests, true, Arc::default()).await) }))?;
        }
        Ok(())
    }
}

/// The type of a tensor: what Python's torch called it, if it came from there.
fn kind_of(path: &str, stored: &Stored) -> Result<Kind> {
    let torch = stored.node.get("as").and_then(Value::as_str) == Some("torch");
    let name = stored.node.get("dtype").and_then(Value::as_str).filter(|_| torch);
    let found = name.map_or_else(|| kinds::of_stored(&stored.dtype), kinds::of_torch);
    found.ok_or_else(|| mismatch(path, name.unwrap_or(&stored.dtype), "a type of elements that tch has"))
}

/// The shape of what is stored, in elements of `kind`.
fn shape_of(path: &str, stored: &Stored, kind: Kind) -> Result<Vec<i64>> {
    let mut shape = signed(&stored.shape);
    if kinds::is_complex(kind) && shape.pop() != Some(2) {
        return Err(mismatch(path, format!("the shape {:?}", stored.shape), "pairs of numbers, which are complex"));
    }
    Ok(shape)
}

fn signed(shape: &[u64]) -> Vec<i64> {
    shape.iter().map(|&length| length.cast_signed()).collect()
}

/// The tensor that the tree has of a storage.
fn view(stored: &Stored, storage: Tensor) -> Result<Tensor> {
    Ok(match View::of(stored)? {
        Some(view) => storage.f_as_strided(signed(&view.size), signed(&view.stride), view.start.cast_signed())?,
        None => storage,
    })
}

fn encode(values: &Values) -> Result<(Vec<Item>, Tree)> {
    let mut items = Vec::with_capacity(values.tensors.len());
    let mut nodes = vec![json!({"dict": values.tensors.len() + values.texts.len()})];
    for (name, text) in &values.texts {
        if values.tensors.contains_key(name) {
            return Err(mismatch(name, "a tensor and a text", "one value for a name"));
        }
        nodes.extend([json!(name), json!(text)]);
    }
    for (name, tensor) in &values.tensors {
        let kind = tensor.f_kind()?;
        let Some((dtype, torch)) = kinds::stored(kind).filter(|_| !tensor.is_sparse()) else {
            let found = format!("{kind:?}, sparse: {}", tensor.is_sparse());
            return Err(mismatch(name, found, "a dense tensor of a type that checkpoints have"));
        };
        let pairs = kinds::is_complex(kind).then_some(2);
        let shape = tensor.size().iter().map(|length| length.cast_unsigned()).chain(pairs).collect();
        let plain = tensor.f_detach()?.f_resolve_conj()?.f_resolve_neg()?.f_to_device(Device::Cpu)?.f_contiguous()?;
        let spec = Spec { name: name.clone(), dtype: dtype.into(), shape };
        items.push(Item { spec, data: Bytes::from_owner(Lent::of(&plain)), extent: None, shared: false });
        nodes.extend([json!(name), json!({"tensor": name, "as": "torch", "dtype": torch})]);
    }
    let tree = Tree::parse(&Value::Array(nodes).to_string()).map_err(|error| mismatch("values", error, "a tree"))?;
    Ok((items, tree))
}

/// The memory of a contiguous tensor on this machine, which stays in place while this value holds the tensor.
struct Lent {
    _tensor: Tensor,
    start: *mut u8,
    length: usize,
}

// SAFETY: tch's tensors may be sent, and the pointer goes with the tensor that it points into.
unsafe impl Send for Lent {}
// SAFETY: a shared `Lent` gives out nothing but the pointer and the bytes; the tensor itself cannot be reached.
unsafe impl Sync for Lent {}

impl Lent {
    fn of(tensor: &Tensor) -> Self {
        let length = tensor.numel() * tensor.kind().elt_size_in_bytes();
        Self { start: tensor.data_ptr().cast(), length, _tensor: tensor.shallow_clone() }
    }
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        if self.length == 0 {
            return &[];
        }
        // SAFETY: a contiguous tensor has so many initialised bytes from its first on, which stay while the tensor is held.
        // Whoever trains waits for the end of the save, and so changes nothing meanwhile.
        unsafe { slice::from_raw_parts(self.start, self.length) }
    }
}

// SAFETY: as above; the tensors that are read into are new, or variables whose owner waits for the end of the read.
unsafe impl Memory for Lent {
    fn pointer(&self) -> *mut u8 {
        self.start
    }

    fn length(&self) -> usize {
        self.length
    }
}

fn region(tensor: &Tensor) -> Region {
    Region::new(Lent::of(tensor))
}

/// 32 hexadecimal digits that no other save has.
fn random_id() -> Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| mismatch("random numbers", error, "those of the system"))?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}

fn invalid(uri: &Uri, detail: String) -> TrainError {
    CheckpointError::Invalid { uri: uri.to_string(), detail }.into()
}

fn run<T: Send + 'static>(work: Work<s3dlio_checkpoint::Result<T>>) -> Result<T> {
    Ok(work.wait()??)
}

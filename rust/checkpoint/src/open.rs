//! Opening a checkpoint, whatever its form, and reading any part of it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use s3dlio_store::ops;
use s3dlio_store::progress::Progress;
use s3dlio_store::{Uri, Work};
use s3dlio_store::{region, registry};

use crate::base::{Base, entries};
use crate::boxes::{Region, runs};
use crate::commit::{SMALL, is_missing, latest};
use crate::dcp;
use crate::dtype;
use crate::error::{CheckpointError, Result};
use crate::format::{FormatError, wrong};
use crate::header::{Spec, Tensor};
use crate::layout::{self, Attempt, LATEST};
use crate::manifest::{self, Commit, Manifest, ShardMeta};
use crate::read::{Part, read_parts};
use crate::shard::Shard;
use crate::task;
use crate::tree::Tree;

/// Shards that are opened at the same time.
const IN_FLIGHT: usize = 16;

/// Parts of one whole at most; each is compared with the others.
const MOST_PARTS: usize = 8192;

/// Parts of tensors that several shards make up, by name.
#[derive(Debug, Default)]
pub struct Index {
    pub(crate) wholes: BTreeMap<String, Whole>,
}

#[derive(Debug)]
pub(crate) struct Whole {
    pub dtype: String,
    pub shape: Vec<u64>,
    pub elements: u64,
    /// Rank, the name in its shard, and place in the whole.
    pub parts: Vec<(u32, String, Region)>,
}

impl Whole {
    pub(crate) fn new(dtype: String, shape: Vec<u64>) -> Self {
        Self { dtype, shape, elements: 0, parts: Vec::new() }
    }

    /// Adds a part; `tensor` is the name of the whole.
    pub(crate) fn add(
        &mut self,
        tensor: &str,
        rank: u32,
        name: String,
        dtype: &str,
        part: Region,
    ) -> std::result::Result<(), FormatError> {
        let inside = crate::meta::Extent { global: self.shape.clone(), offsets: part.offsets.clone() };
        if self.dtype != dtype || self.parts.len() == MOST_PARTS || !inside.holds(&part.lengths) {
            return wrong(format!("the parts of tensor {tensor:?} do not fit together"));
        }
        let elements = part.elements().unwrap_or(u64::MAX);
        if elements > 0 && self.parts.iter().any(|(_, _, other)| other.intersection(&part).is_some()) {
            return wrong(format!("two shards hold the same part of tensor {tensor:?}"));
        }
        self.elements = self.elements.saturating_add(elements);
        self.parts.push((rank, name, part));
        Ok(())
    }
}

impl Index {
    /// Gathers the parts that the shards hold.
    ///
    /// # Errors
    /// Parts of different wholes under one name, and parts that overlap.
    pub fn of(shards: &[ShardMeta]) -> std::result::Result<Self, FormatError> {
        let mut wholes: BTreeMap<String, Whole> = BTreeMap::new();
        for shard in shards {
            for tensor in shard.tensors.iter().filter(|tensor| tensor.shared) {
                let part = Region { offsets: tensor.offsets.clone(), lengths: tensor.shape.clone() };
                let new = || Whole::new(tensor.dtype.clone(), tensor.global.clone());
                let whole = wholes.entry(tensor.name.clone()).or_insert_with(new);
                if whole.shape != tensor.global {
                    return wrong(format!("the parts of tensor {:?} do not fit together", tensor.name));
                }
                whole.add(&tensor.name, shard.rank, tensor.name.clone(), &tensor.dtype, part)?;
            }
        }
        Ok(Self { wholes })
    }
}

/// What is to be read.
#[derive(Debug)]
pub struct Request {
    /// The name of the tensor.
    pub name: String,
    /// Whether it is one that several shards make up, or one of this rank's own.
    pub global: bool,
    /// Which part of it; all if `None`.
    pub region: Option<Region>,
    /// Where the part goes: memory of just its size.
    pub target: region::Region,
}

/// An open checkpoint of one or several shards.
#[derive(Debug)]
pub struct Checkpoint {
    base: Base,
    /// The manifest; of a single object one that was made up from it.
    pub manifest: Manifest,
    single: bool,
    index: Index,
    shards: Mutex<HashMap<u32, Arc<Shard>>>,
}

/// Opens one object.
///
/// # Errors
/// At once: a URI or settings that cannot work. From the work: those of the store, and damaged bytes.
pub fn open_object(uri: &Uri) -> Result<Work<Result<Checkpoint>>> {
    let backend = registry::open(uri)?;
    let base = Base::open(&uri.with_key(format!("{}/", uri.key)))?;
    let uri = uri.clone();
    Ok(task::work(async move {
        let shard = Arc::new(Shard::open(&backend, &uri).await?);
        let manifest = Manifest { format_version: 1, world_size: 1, ..Manifest::default() };
        let shards = Mutex::new(HashMap::from([(0, shard)]));
        Ok(Checkpoint { base, manifest, single: true, index: Index::default(), shards })
    }))
}

/// Opens a step of a managed checkpoint; `None` means the newest. No listing is needed for a step that is known.
///
/// # Errors
/// At once: a URI or settings that cannot work. From the work: `NotFound` for a step that is not committed,
/// [`CheckpointError::Incomplete`] for one that lacks objects, and damaged bytes.
pub fn open_step(uri: &Uri, step: Option<u64>) -> Result<Work<Result<Checkpoint>>> {
    let base = Base::open(uri)?;
    let lister = base.list("steps/", false)?;
    Ok(task::work(async move {
        let step = match step {
            Some(step) => step,
            None => newest(&base, entries(lister).await?).await?,
        };
        at_step(base, step).await
    }))
}

/// Opens a step that is known.
pub(crate) async fn at_step(base: Base, step: u64) -> Result<Checkpoint> {
    let (commit, _) = base.get(&layout::commit(step), SMALL).await?;
    let commit = Commit::parse(&commit).map_err(|error| error.at(base.at(&layout::commit(step))))?;
    if commit.step != step {
        let detail = format!("it commits step {}", commit.step);
        return Err(CheckpointError::corrupt(base.at(&layout::commit(step)), detail));
    }
    let attempt = Attempt::new(step, &commit.attempt).map_err(|error| error.at(base.uri()))?;
    let key = attempt.manifest();
    let Some((content, _)) = base.find(&key, manifest::MOST).await? else {
        return Err(CheckpointError::incomplete(base.at(&key), "the step is committed, its manifest is missing"));
    };
    if content.len() as u64 != commit.size || crc32c::crc32c(&content) != commit.crc {
        return Err(CheckpointError::corrupt(base.at(&key), "the manifest is not the one that was committed"));
    }
    let manifest: Manifest = manifest::decode(&content).map_err(|error| error.at(base.at(&key)))?;
    if manifest.step != step || manifest.attempt != commit.attempt {
        return Err(CheckpointError::corrupt(base.at(&key), "the manifest is that of another attempt"));
    }
    Checkpoint::of(base, manifest, layout::is_shard)
}

/// The steps that are committed, in order.
///
/// # Errors
/// At once: a URI or settings that cannot work. From the work: those of the store.
pub fn steps(uri: &Uri) -> Result<Work<Result<Vec<u64>>>> {
    let base = Base::open(uri)?;
    let lister = base.list("steps/", false)?;
    Ok(task::work(async move { Ok(listed(&base, &entries(lister).await?)) }))
}

/// The newest step; `None` where nothing is committed.
///
/// # Errors
/// As [`steps`].
pub fn latest_step(uri: &Uri) -> Result<Work<Result<Option<u64>>>> {
    let base = Base::open(uri)?;
    let lister = base.list("steps/", false)?;
    Ok(task::work(async move {
        match newest(&base, entries(lister).await?).await {
            Ok(step) => Ok(Some(step)),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }))
}

pub(crate) fn listed(base: &Base, entries: &[ops::Entry]) -> Vec<u64> {
    let mut steps: Vec<u64> =
        entries.iter().filter_map(|entry| base.relative(entry)).filter_map(layout::committed).collect();
    steps.sort_unstable();
    steps
}

/// The newest of the listed steps and the one that the hint names, if that is really committed.
async fn newest(base: &Base, entries: Vec<ops::Entry>) -> Result<u64> {
    let listed = listed(base, &entries).last().copied();
    let hint = base.find(LATEST, SMALL).await.ok().flatten().and_then(|(text, _)| latest(&text));
    if let Some(hint) = hint.filter(|hint| listed.is_none_or(|listed| listed < *hint))
        && base.find(&layout::commit(hint), SMALL).await?.is_some()
    {
        return Ok(hint);
    }
    listed.ok_or_else(|| {
        let detail = "no checkpoint is committed here".into();
        s3dlio_store::StoreError::NotFound { uri: base.uri().to_string(), detail }.into()
    })
}

impl Checkpoint {
    pub(crate) fn of(base: Base, manifest: Manifest, valid: impl Fn(&str) -> bool) -> Result<Self> {
        let at = |error: FormatError| error.at(base.uri());
        manifest.check(valid).map_err(at)?;
        let mut index = Index::of(&manifest.shards).map_err(at)?;
        for (name, whole) in dcp::wholes(&manifest).map_err(at)? {
            index.wholes.entry(name).or_insert(whole);
        }
        Ok(Self { base, manifest, single: false, index, shards: Mutex::default() })
    }

    /// The directory of the checkpoint; of a single object its name with a slash.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        self.base.uri()
    }

    /// Whether it is one object, without a manifest.
    #[must_use]
    pub fn is_single(&self) -> bool {
        self.single
    }

    pub(crate) fn index(&self) -> &Index {
        &self.index
    }

    /// The type and shape of a tensor that several shards make up.
    #[must_use]
    pub fn whole(&self, name: &str) -> Option<(&str, &[u64])> {
        self.index.wholes.get(name).map(|whole| (whole.dtype.as_str(), whole.shape.as_slice()))
    }

    /// An open shard.
    ///
    /// # Errors
    /// [`CheckpointError::Incomplete`] when it is missing, damaged bytes, and a shard that is not the one committed.
    pub async fn shard(&self, rank: u32) -> Result<Arc<Shard>> {
        if let Some(shard) = self.shards.lock().unwrap_or_else(PoisonError::into_inner).get(&rank) {
            return Ok(Arc::clone(shard));
        }
        let Some(described) = self.manifest.shards.get(rank as usize) else {
            let detail = format!("there is no rank {rank}: the checkpoint has {}", self.manifest.world_size);
            return Err(CheckpointError::invalid(self.base.uri(), detail));
        };
        let uri = self.base.at(&described.key);
        let shard = Shard::open(self.base.backend(), &uri).await.map_err(|error| match error {
            error if is_missing(&error) => CheckpointError::incomplete(&uri, "the shard is missing"),
            error => error,
        })?;
        let found = (shard.input.size(), shard.header_crc, shard.table_crc);
        if found != (described.size, described.header_crc, described.table_crc) {
            return Err(CheckpointError::corrupt(&uri, "the shard is not the one that was committed"));
        }
        let shard = Arc::new(shard);
        self.shards.lock().unwrap_or_else(PoisonError::into_inner).insert(rank, Arc::clone(&shard));
        Ok(shard)
    }

    /// The values of a rank, and the tensors that its shard holds.
    ///
    /// # Errors
    /// As [`shard`](Self::shard).
    pub async fn tree(&self, rank: u32) -> Result<(Tree, Vec<Spec>)> {
        let shard = self.shard(rank).await?;
        let specs: Vec<Spec> = shard.header.tensors.iter().map(|tensor| tensor.spec.clone()).collect();
        let tree = match &shard.meta {
            Some(meta) => meta.tree.clone(),
            None => Tree::of_tensors(specs.iter().map(|spec| (spec.name.as_str(), spec.dtype.as_str()))),
        };
        Ok((tree, specs))
    }

    /// Reads tensors, or parts of them, of one rank and of all; `progress` counts their bytes.
    ///
    /// # Errors
    /// Names that are not there, parts that no shard holds, memory of another size, and damaged bytes.
    pub async fn read(
        self: Arc<Self>,
        rank: u32,
        requests: Vec<Request>,
        verify: bool,
        progress: Arc<Progress>,
    ) -> Result<()> {
        let mut parts: BTreeMap<u32, Vec<Part>> = BTreeMap::new();
        for request in requests {
            for (holder, part) in self.plan(rank, request).await? {
                parts.entry(holder).or_default().push(part);
            }
        }
        ops::each(parts.into_iter().collect(), IN_FLIGHT, |(rank, parts)| {
            let (checkpoint, progress) = (Arc::clone(&self), Arc::clone(&progress));
            async move { read_parts(checkpoint.shard(rank).await?, parts, verify, &progress).await }
        })
        .await?;
        Ok(())
    }

    /// Which bytes of which shards fill the memory of a request, all of it and each byte once.
    async fn plan(&self, rank: u32, request: Request) -> Result<Vec<(u32, Part)>> {
        let bad = |detail: String| CheckpointError::invalid(self.base.uri(), detail);
        let Request { name, global, region, target: mut memory } = request;
        let (dtype, shape, pieces) = if global && !self.single {
            let whole = self.index.wholes.get(&name).ok_or_else(|| bad(format!("no shard holds a tensor {name:?}")))?;
            (whole.dtype.clone(), whole.shape.clone(), whole.parts.clone())
        } else {
            let shard = self.shard(rank).await?;
            let tensor = shard.tensor(&name).ok_or_else(|| bad(format!("rank {rank} has no tensor {name:?}")))?;
            let Tensor { spec, .. } = tensor;
            (spec.dtype.clone(), spec.shape.clone(), vec![(rank, name.clone(), Region::whole(&spec.shape))])
        };
        let wanted = region.unwrap_or_else(|| Region::whole(&shape));
        let inside = crate::meta::Extent { global: shape.clone(), offsets: wanted.offsets.clone() };
        let width = dtype::width(&dtype).unwrap_or(1);
        let elements = wanted.elements().filter(|_| inside.holds(&wanted.lengths));
        let Some(elements) = elements else {
            return Err(bad(format!("tensor {name:?} has shape {shape:?}: {wanted:?} does not lie in it")));
        };
        if elements.checked_mul(width) != Some(memory.len() as u64) {
            let found = memory.len();
            return Err(bad(format!("tensor {name:?}: found memory of {found} bytes, expected {elements} x {width}")));
        }
        let mut runs_found = Vec::new();
        for (holder, held_as, piece) in &pieces {
            let found = runs(piece, &wanted, width);
            if found.is_empty() {
                continue;
            }
            let shard = self.shard(*holder).await?;
            let tensor = shard.tensor(held_as).filter(|tensor| tensor.spec.dtype == dtype);
            let tensor = tensor.filter(|tensor| tensor.spec.shape == piece.lengths);
            let Some(Tensor { range, .. }) = tensor else {
                let detail = format!("tensor {name:?} is not as announced");
                return Err(CheckpointError::corrupt(shard.input.uri(), detail));
            };
            runs_found.extend(found.into_iter().map(|run| {
                let source = range.start + run.source.start..range.start + run.source.end;
                (run.target, *holder, source)
            }));
        }
        runs_found.sort_unstable_by_key(|(at, ..)| *at);
        let (mut parts, mut held) = (Vec::with_capacity(runs_found.len()), 0);
        for (at, holder, source) in runs_found {
            if at != held {
                break;
            }
            let length = source.end - source.start;
            let rest = memory.split_off(usize::try_from(length).unwrap_or(usize::MAX));
            parts.push((holder, Part { source, memory: std::mem::replace(&mut memory, rest) }));
            held += length;
        }
        if held == elements * width {
            return Ok(parts);
        }
        let detail = format!("of tensor {name:?} the first {held} bytes are there, expected {}", elements * width);
        Err(CheckpointError::incomplete(self.base.uri(), detail))
    }
}

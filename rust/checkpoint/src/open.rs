//! Opening a checkpoint, whatever its form, and reading any part of it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use s3dlio_store::ops;
use s3dlio_store::registry;
use s3dlio_store::{Uri, Work};

use crate::base::{Base, entries};
use crate::boxes::{Region, runs};
use crate::commit::{SMALL, is_missing, latest};
use crate::dtype;
use crate::error::{CheckpointError, FormatError, Result, wrong};
use crate::header::{Spec, Tensor};
use crate::layout::{self, Attempt, LATEST};
use crate::manifest::{self, Commit, Manifest, ShardMeta};
use crate::memory::Target;
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
    pub parts: Vec<(u32, Region)>,
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
                let elements = part.elements().unwrap_or(u64::MAX);
                let whole = wholes.entry(tensor.name.clone()).or_insert_with(|| Whole {
                    dtype: tensor.dtype.clone(),
                    shape: tensor.global.clone(),
                    elements: 0,
                    parts: Vec::new(),
                });
                if whole.dtype != tensor.dtype || whole.shape != tensor.global || whole.parts.len() == MOST_PARTS {
                    return wrong(format!("the parts of tensor {:?} do not fit together", tensor.name));
                }
                if elements > 0 && whole.parts.iter().any(|(_, other)| other.intersection(&part).is_some()) {
                    return wrong(format!("two shards hold the same part of tensor {:?}", tensor.name));
                }
                whole.elements = whole.elements.saturating_add(elements);
                whole.parts.push((shard.rank, part));
            }
        }
        Ok(Self { wholes })
    }
}

/// What is to be read.
#[derive(Debug, Clone)]
pub struct Request {
    /// The name of the tensor.
    pub name: String,
    /// Whether it is one that several shards make up, or one of this rank's own.
    pub global: bool,
    /// Which part of it; all if `None`.
    pub region: Option<Region>,
    /// Where the part goes: memory of just its size.
    pub target: Target,
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
    }))
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
        let index = Index::of(&manifest.shards).map_err(at)?;
        Ok(Self { base, manifest, single: false, index, shards: Mutex::default() })
    }

    /// The directory of the checkpoint; of a single object its name with a slash.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        self.base.uri()
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

    /// Reads tensors, or parts of them, of one rank and of all.
    ///
    /// # Errors
    /// Names that are not there, parts that no shard holds, memory of another size, and damaged bytes.
    pub async fn read(self: Arc<Self>, rank: u32, requests: Vec<Request>, verify: bool) -> Result<()> {
        let mut parts: BTreeMap<u32, Vec<Part>> = BTreeMap::new();
        for (number, request) in requests.iter().enumerate() {
            self.plan(rank, request, number, &mut parts).await?;
        }
        let targets = Arc::new(requests.into_iter().map(|request| request.target).collect::<Vec<_>>());
        ops::each(parts.into_iter().collect(), IN_FLIGHT, |(rank, parts)| {
            let (checkpoint, targets) = (Arc::clone(&self), Arc::clone(&targets));
            async move { read_parts(checkpoint.shard(rank).await?, parts, targets, verify).await }
        })
        .await?;
        Ok(())
    }

    async fn plan(
        &self,
        rank: u32,
        request: &Request,
        number: usize,
        parts: &mut BTreeMap<u32, Vec<Part>>,
    ) -> Result<()> {
        let bad = |detail: String| CheckpointError::invalid(self.base.uri(), detail);
        let name = &request.name;
        let (dtype, shape, pieces) = if request.global && !self.single {
            let whole = self.index.wholes.get(name).ok_or_else(|| bad(format!("no shard holds a tensor {name:?}")))?;
            (whole.dtype.clone(), whole.shape.clone(), whole.parts.clone())
        } else {
            let shard = self.shard(rank).await?;
            let tensor = shard.tensor(name).ok_or_else(|| bad(format!("rank {rank} has no tensor {name:?}")))?;
            let Tensor { spec, .. } = tensor;
            (spec.dtype.clone(), spec.shape.clone(), vec![(rank, Region::whole(&spec.shape))])
        };
        let wanted = request.region.clone().unwrap_or_else(|| Region::whole(&shape));
        let inside = crate::meta::Extent { global: shape.clone(), offsets: wanted.offsets.clone() };
        let width = dtype::width(&dtype).unwrap_or(1);
        let elements = wanted.elements().filter(|_| inside.holds(&wanted.lengths));
        let Some(elements) = elements else {
            return Err(bad(format!("tensor {name:?} has shape {shape:?}: {wanted:?} does not lie in it")));
        };
        if elements.checked_mul(width) != Some(request.target.length() as u64) {
            let found = request.target.length();
            return Err(bad(format!("tensor {name:?}: found memory of {found} bytes, expected {elements} x {width}")));
        }
        let mut held = 0;
        for (holder, piece) in &pieces {
            let found = runs(piece, &wanted, width);
            if found.is_empty() {
                continue;
            }
            let shard = self.shard(*holder).await?;
            let tensor = shard.tensor(name).filter(|tensor| tensor.spec.dtype == dtype);
            let tensor = tensor.filter(|tensor| tensor.spec.shape == piece.lengths);
            let Some(Tensor { range, .. }) = tensor else {
                return Err(CheckpointError::corrupt(
                    shard.input.uri(),
                    format!("tensor {name:?} is not as announced"),
                ));
            };
            let into = parts.entry(*holder).or_default();
            for run in found {
                held += run.source.end - run.source.start;
                let source = range.start + run.source.start..range.start + run.source.end;
                into.push(Part { source, target: number, at: run.target });
            }
        }
        if held == elements * width {
            return Ok(());
        }
        let detail = format!("of tensor {name:?} {held} bytes are there, expected {}", elements * width);
        Err(CheckpointError::incomplete(self.base.uri(), detail))
    }
}

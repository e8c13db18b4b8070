//! Checkpoints: the functions and the class behind `s3dlio.checkpoint`.

use std::sync::Arc;
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};
use s3dlio_checkpoint::boxes::Region;
use s3dlio_checkpoint::commit::{self, CommitOptions, ShardOptions};
use s3dlio_checkpoint::header::Spec;
use s3dlio_checkpoint::layout::{self, Attempt, Strategy};
use s3dlio_checkpoint::manifest::{self, Manifest, ShardMeta};
use s3dlio_checkpoint::meta::Extent;
use s3dlio_checkpoint::open::{self, Request};
use s3dlio_checkpoint::retention::{self, Keep};
use s3dlio_checkpoint::save::{self, Identity, Item};
use s3dlio_checkpoint::tree::Tree;
use s3dlio_checkpoint::{CheckpointError, FormatError, Result, gc, older, seed, verify};
use s3dlio_store::Work;

use crate::buffer;
use crate::bytes_view::BytesView;
use crate::errors::Failure;
use crate::operation::{Operation, Progress, operation};
use crate::verbs::{none, parse};

/// Name, type and shape of a tensor, its memory, shape of the whole and place in it, and whether it is everybody's.
type Given<'py> = (String, String, Vec<u64>, Bound<'py, PyAny>, Option<(Vec<u64>, Vec<u64>)>, bool);

/// Name, whether of all ranks, first element and lengths of the part, and the memory to fill.
type Wanted<'py> = (String, bool, Option<(Vec<u64>, Vec<u64>)>, Bound<'py, PyAny>);

fn checked<T>(result: std::result::Result<T, FormatError>, uri: &str) -> PyResult<T> {
    let invalid = |error: FormatError| CheckpointError::Invalid { uri: uri.to_owned(), detail: error.0 };
    Ok(result.map_err(invalid).map_err(Failure::from)?)
}

fn items(given: Vec<Given<'_>>) -> PyResult<Vec<Item>> {
    let item = |(name, dtype, shape, memory, place, shared): Given<'_>| {
        let extent = place.map(|(global, offsets)| Extent { global, offsets });
        Ok(Item { spec: Spec { name, dtype, shape }, data: buffer::lend(&memory)?, extent, shared })
    };
    given.into_iter().map(item).collect()
}

/// Writes values as one object.
#[pyfunction]
fn checkpoint_save(
    uri: &str,
    given: Vec<Given<'_>>,
    tree: &str,
    level: Option<i32>,
    progress: &Progress,
) -> PyResult<Operation> {
    let identity = Identity { save_id: String::new(), rank: 0, world_size: 1 };
    let tree = checked(Tree::parse(tree), uri)?;
    operation(save::save(&parse(uri)?, items(given)?, tree, identity, level, Arc::clone(&progress.0)), none)
}

/// Writes the shard of a rank under a name of the user's.
#[pyfunction]
#[allow(clippy::too_many_arguments, reason = "one for each option")]
fn checkpoint_save_beside(
    uri: &str,
    given: Vec<Given<'_>>,
    tree: &str,
    level: Option<i32>,
    save_id: String,
    rank: u32,
    world_size: u32,
    overwrite: bool,
) -> PyResult<Operation> {
    let identity = Identity { save_id, rank, world_size };
    let tree = checked(Tree::parse(tree), uri)?;
    operation(seed::save_shard(&parse(uri)?, items(given)?, tree, identity, level, overwrite), none)
}

/// Makes the shards beside each other a checkpoint; gives the URI of its manifest.
#[pyfunction]
fn checkpoint_finalize(uri: &str, world_size: u32) -> PyResult<Operation> {
    operation(seed::finalize(&parse(uri)?, world_size), text)
}

fn text(py: Python<'_>, text: String) -> PyResult<Py<PyAny>> {
    Ok(text.into_pyobject(py)?.into_any().unbind())
}

/// Writes the shard of a rank of an attempt; gives what the manifest will say of it, as a dict.
#[pyfunction]
#[allow(clippy::too_many_arguments, reason = "one for each option")]
fn checkpoint_save_shard(
    uri: &str,
    given: Vec<Given<'_>>,
    tree: &str,
    level: Option<i32>,
    step: u64,
    attempt: &str,
    rank: u32,
    world_size: u32,
    nonce: u64,
    strategy: &str,
    announce: bool,
    progress: &Progress,
) -> PyResult<Operation> {
    let unknown = || FormatError(format!("strategy: found {strategy:?}, expected flat, round_robin or binary"));
    let options = ShardOptions {
        attempt: checked(Attempt::new(step, attempt), uri)?,
        rank,
        world_size,
        nonce,
        strategy: checked(Strategy::parse(strategy).ok_or_else(unknown), uri)?,
        level,
        announce,
        progress: Arc::clone(&progress.0),
    };
    let tree = checked(Tree::parse(tree), uri)?;
    operation(commit::save_shard(&parse(uri)?, items(given)?, tree, options), |py, meta| {
        let dict = PyDict::new(py);
        dict.set_item("rank", meta.rank)?;
        dict.set_item("key", &meta.key)?;
        dict.set_item("size", meta.size)?;
        dict.set_item("etag", (!meta.etag.is_empty()).then_some(meta.etag.as_str()))?;
        let encoded = manifest::encode(&meta);
        dict.set_item("description", PyBytes::new(py, &checked(encoded, &meta.key)?))?;
        Ok(dict.into_any().unbind())
    })
}

/// Commits an attempt; gives the key of its manifest.
#[pyfunction]
#[allow(clippy::too_many_arguments, reason = "one for each option")]
fn checkpoint_commit(
    uri: &str,
    step: u64,
    attempt: &str,
    world_size: u32,
    timeout: f64,
    overwrite: bool,
    framework: String,
    name: String,
    epoch: u64,
    user_meta: String,
    metrics: String,
    shards: Option<Vec<Vec<u8>>>,
) -> PyResult<Operation> {
    let decode = |shard: Vec<u8>| checked(manifest::decode::<ShardMeta>(&shard), uri);
    let shards = shards.map(|shards| shards.into_iter().map(decode).collect::<PyResult<_>>()).transpose()?;
    let timeout = Duration::try_from_secs_f64(timeout)
        .map_err(|_| FormatError(format!("timeout: found {timeout}, expected seconds of at least 0")));
    let options = CommitOptions {
        attempt: checked(Attempt::new(step, attempt), uri)?,
        world_size,
        timeout: checked(timeout, uri)?,
        overwrite,
        shards,
        describe: Manifest { framework, name, epoch, user_meta, metrics, ..Manifest::default() },
    };
    operation(commit::commit(&parse(uri)?, options), text)
}

/// The committed steps, in order.
#[pyfunction]
fn checkpoint_steps(uri: &str) -> PyResult<Operation> {
    operation(open::steps(&parse(uri)?), |py, steps| Ok(PyList::new(py, steps)?.into_any().unbind()))
}

/// The newest committed step, or none.
#[pyfunction]
fn checkpoint_latest(uri: &str) -> PyResult<Operation> {
    operation(open::latest_step(&parse(uri)?), |py, step| Ok(step.into_pyobject(py)?.into_any().unbind()))
}

/// Removes steps, and attempts that were given up; gives the steps and the number of objects.
#[pyfunction]
fn checkpoint_gc(uri: &str, steps: Vec<u64>, grace: f64) -> PyResult<Operation> {
    let grace = Duration::try_from_secs_f64(grace)
        .map_err(|_| FormatError(format!("grace: found {grace}, expected seconds of at least 0")));
    let steps = steps.into_iter().collect();
    operation(gc::collect(&parse(uri)?, steps, checked(grace, uri)?, false), |py, removed| {
        Ok((removed.steps, removed.objects).into_pyobject(py)?.into_any().unbind())
    })
}

/// The committed steps that stay for none of these reasons, in order.
#[pyfunction]
fn checkpoint_unwanted(
    uri: &str,
    last: Option<usize>,
    every: Option<u64>,
    best: Option<(String, usize)>,
) -> PyResult<Operation> {
    let keep = Keep { last, every, best };
    operation(retention::unwanted(&parse(uri)?, keep), |py, steps| Ok(PyList::new(py, steps)?.into_any().unbind()))
}

/// The checkpoints of the earlier store, each as JSON, the oldest first.
#[pyfunction]
fn checkpoint_older(uri: &str) -> PyResult<Operation> {
    operation(older::list(&parse(uri)?), |py, manifests| {
        let texts = manifests.iter().map(json).collect::<PyResult<Vec<String>>>()?;
        Ok(PyList::new(py, texts)?.into_any().unbind())
    })
}

/// The newest checkpoint of the earlier store, as JSON, or none.
#[pyfunction]
fn checkpoint_older_latest(uri: &str) -> PyResult<Operation> {
    operation(older::latest(&parse(uri)?), |py, manifest| {
        Ok(manifest.as_ref().map(json).transpose()?.into_pyobject(py)?.into_any().unbind())
    })
}

/// The bytes of a shard of the earlier store, which its manifest describes as JSON.
#[pyfunction]
fn checkpoint_older_shard(uri: &str, shard: &str) -> PyResult<Operation> {
    let shard = serde_json::from_str(shard).map_err(|error| FormatError(error.to_string()));
    operation(older::shard(&parse(uri)?, checked(shard, uri)?), |py, bytes| {
        Ok(Py::new(py, BytesView(bytes))?.into_any())
    })
}

fn json(manifest: &older::Manifest) -> PyResult<String> {
    let text = serde_json::to_string(manifest).map_err(|error| FormatError(error.to_string()));
    checked(text, &manifest.global_step.to_string())
}

/// The rank that stores each of these tensors, which all ranks have.
#[pyfunction]
fn checkpoint_balance(sizes: Vec<(String, u64)>, world_size: u32) -> Vec<u32> {
    layout::balance(&sizes, world_size)
}

/// An open checkpoint.
#[pyclass(frozen, module = "s3dlio._s3dlio")]
pub struct Checkpoint(Arc<open::Checkpoint>);

fn opened(work: Result<Work<Result<open::Checkpoint>>>) -> PyResult<Operation> {
    operation(work, |py, checkpoint| Ok(Py::new(py, Checkpoint(Arc::new(checkpoint)))?.into_any()))
}

#[pymethods]
impl Checkpoint {
    /// Opens one object; an operation that gives a `Checkpoint`.
    #[staticmethod]
    fn object(uri: &str) -> PyResult<Operation> {
        opened(open::open_object(&parse(uri)?))
    }

    /// Opens a step; the newest if it is `None`.
    #[staticmethod]
    fn step(uri: &str, step: Option<u64>) -> PyResult<Operation> {
        opened(open::open_step(&parse(uri)?, step))
    }

    /// Opens shards beside each other.
    #[staticmethod]
    fn beside(uri: &str) -> PyResult<Operation> {
        opened(seed::open(&parse(uri)?))
    }

    /// What the manifest says, as a dict.
    fn manifest<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let manifest = &self.0.manifest;
        let dict = PyDict::new(py);
        dict.set_item("step", manifest.step)?;
        dict.set_item("attempt", &manifest.attempt)?;
        dict.set_item("world_size", manifest.world_size)?;
        dict.set_item("framework", &manifest.framework)?;
        dict.set_item("name", &manifest.name)?;
        dict.set_item("epoch", manifest.epoch)?;
        dict.set_item("wall_time", manifest.wall_time)?;
        dict.set_item("user_meta", &manifest.user_meta)?;
        dict.set_item("metrics", &manifest.metrics)?;
        dict.set_item("has_pickle", manifest.shards.iter().any(|shard| shard.has_pickle))?;
        let shards: Vec<(u32, &str, u64)> =
            manifest.shards.iter().map(|shard| (shard.rank, shard.key.as_str(), shard.size)).collect();
        dict.set_item("shards", shards)?;
        Ok(dict)
    }

    /// The tree of a rank, and name, type and shape of each tensor of its shard.
    fn tree(&self, rank: u32) -> PyResult<Operation> {
        let checkpoint = Arc::clone(&self.0);
        let work = Work::network(async move { Ok(checkpoint.tree(rank).await) });
        Ok(Operation::ending(work, |py, (tree, specs)| {
            let specs: Vec<(String, String, Vec<u64>)> =
                specs.into_iter().map(|spec| (spec.name, spec.dtype, spec.shape)).collect();
            Ok((tree.to_text(), specs).into_pyobject(py)?.into_any().unbind())
        }))
    }

    /// Type and shape of a tensor that several shards make up.
    fn whole(&self, name: &str) -> Option<(String, Vec<u64>)> {
        self.0.whole(name).map(|(dtype, shape)| (dtype.to_owned(), shape.to_vec()))
    }

    /// Reads tensors of a rank, and of all, into memory.
    fn read(&self, rank: u32, wanted: Vec<Wanted<'_>>, verify: bool, progress: &Progress) -> PyResult<Operation> {
        let request = |(name, global, region, memory): Wanted<'_>| {
            let region = region.map(|(offsets, lengths)| Region { offsets, lengths });
            Ok(Request { name, global, region, target: buffer::lend_mut(&memory)? })
        };
        let requests = wanted.into_iter().map(request).collect::<PyResult<_>>()?;
        let (checkpoint, progress) = (Arc::clone(&self.0), Arc::clone(&progress.0));
        let work = Work::network(async move { Ok(checkpoint.read(rank, requests, verify, progress).await) });
        Ok(Operation::ending(work, none))
    }

    /// Reads everything and compares it with its checksums; gives the number of bytes.
    fn verify(&self) -> PyResult<Operation> {
        let work = verify::verify(Arc::clone(&self.0));
        Ok(Operation::ending(work, |py, bytes| Ok(bytes.into_pyobject(py)?.into_any().unbind())))
    }
}

/// Adds the functions and the class to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Checkpoint>()?;
    module.add_function(wrap_pyfunction!(checkpoint_save, module)?)?;
    module.add_function(wrap_pyfunction!(checkpoint_save_beside, module)?)?;
    module.add_function(wrap_pyfunction!(checkpoint_finalize, module)?)?;
    module.add_function(wrap_pyfunction!(checkpoint_save_shard, module)?)?;
    module.add_function(wrap_pyfunction!(checkpoint_commit, module)?)?;
    module.add_function(wrap_pyfunction!(checkpoint_steps, module)?)?;
    module.add_function(wrap_pyfunction!(checkpoint_latest, module)?)?;
    module.add_function(wrap_pyfunction!(checkpoint_gc, module)?)?;
    module.add_function(wrap_pyfunction!(checkpoint_unwanted, module)?)?;
    module.add_function(wrap_pyfunction!(checkpoint_older, module)?)?;
    module.add_function(wrap_pyfunction!(checkpoint_older_latest, module)?)?;
    module.add_function(wrap_pyfunction!(checkpoint_older_shard, module)?)?;
    module.add_function(wrap_pyfunction!(checkpoint_balance, module)?)
}

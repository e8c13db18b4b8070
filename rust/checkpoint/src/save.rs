//! Writing one shard: tensors from their own memory, with a checksum of every chunk.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use s3dlio_records::Output;
use s3dlio_store::local::Create;
use s3dlio_store::ops::{self, within};
use s3dlio_store::progress::Progress;
use s3dlio_store::registry::{self, Backend};
use s3dlio_store::{Uri, Work};

use crate::container::{self, ContainerHeader, Frame};
use crate::error::{CheckpointError, Result};
use crate::header::{self, CRC_TENSOR, Checksums, META_KEY, Spec, Tensor};
use crate::manifest::{ShardMeta, TensorMeta};
use crate::meta::{CHUNK, Extent, Meta, VERSION};
use crate::task;
use crate::tree::Tree;

/// Chunks that are compressed before they are written: 64 MiB, twice what a pool of usual size works on.
const WINDOW: usize = 16;

/// A tensor to be saved.
#[derive(Debug, Clone)]
pub struct Item {
    /// Name, type and shape of what this shard holds.
    pub spec: Spec,
    /// Its elements, row-major, little-endian.
    pub data: Bytes,
    /// Its place in a whole that several shards make up.
    pub extent: Option<Extent>,
    /// Whether all ranks have it, and this one stores it for them.
    pub shared: bool,
}

/// What the shards of one save have in common, and which one this is.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The same for all shards of a save.
    pub save_id: String,
    /// Number of this shard.
    pub rank: u32,
    /// Number of shards.
    pub world_size: u32,
}

/// Saves values as one object, which appears whole or not at all; with a `level` of zstd it is compressed. `progress`
/// counts bytes of tensors, and some of what surrounds them.
///
/// # Errors
/// At once: a URI or settings that cannot work. From the work: values that cannot be written, and those of the store.
pub fn save(
    uri: &Uri,
    items: Vec<Item>,
    tree: Tree,
    identity: Identity,
    level: Option<i32>,
    progress: Arc<Progress>,
) -> Result<Work<Result<ShardMeta>>> {
    let backend = registry::open(uri)?;
    let uri = uri.clone();
    Ok(task::work(async move { write(&backend, &uri, items, tree, identity, level, &progress).await }))
}

pub(crate) async fn write(
    backend: &Backend,
    uri: &Uri,
    items: Vec<Item>,
    tree: Tree,
    identity: Identity,
    level: Option<i32>,
    progress: &Arc<Progress>,
) -> Result<ShardMeta> {
    let failed = |error: crate::FormatError| CheckpointError::invalid(uri, error.0);
    let mut boxes = BTreeMap::new();
    for Item { spec, data, extent, .. } in &items {
        if crate::dtype::size(&spec.dtype, &spec.shape) != Some(data.len() as u64) || spec.name == CRC_TENSOR {
            let Spec { name, dtype, shape } = spec;
            let detail = format!("tensor {name:?} has {} bytes, which {dtype} of shape {shape:?} has not", data.len());
            return Err(CheckpointError::invalid(uri, detail));
        }
        if let Some(extent) = extent {
            if !extent.holds(&spec.shape) {
                let detail = format!("tensor {:?} does not lie in the whole: {extent:?}", spec.name);
                return Err(CheckpointError::invalid(uri, detail));
            }
            boxes.insert(spec.name.clone(), extent.clone());
        }
    }
    let shared = items.iter().filter(|item| item.shared).map(|item| item.spec.name.clone()).collect();
    let Identity { save_id, rank, world_size } = identity;
    let meta = Meta {
        v: VERSION,
        writer: concat!("s3dlio ", env!("CARGO_PKG_VERSION")).into(),
        save_id,
        rank,
        world_size,
        chunk: CHUNK,
        pickle: tree.has_pickle(),
        boxes,
        shared,
        tree,
    };
    let placed = header::lay_out(items.iter().map(|item| item.spec.clone()).collect()).map_err(failed)?;
    let (order, tensors): (Vec<usize>, Vec<Tensor>) = placed.into_iter().unzip();
    let text = serde_json::to_string(&meta).map_err(|error| CheckpointError::invalid(uri, error.to_string()))?;
    let plan = Plan {
        pieces: order.iter().map(|&at| items[at].data.clone()).collect(),
        starts: tensors.iter().map(|tensor| tensor.range.start).collect(),
        length: tensors.last().map_or(0, |tensor| tensor.range.end),
    };
    let metadata = vec![("format".to_owned(), "pt".to_owned()), (META_KEY.to_owned(), text)];
    let written = match level {
        None => plain(backend, uri, tensors, &metadata, plan, progress).await?,
        Some(level) => packed(backend, uri, &tensors, &metadata, plan, level, progress).await?,
    };
    Ok(describe(&meta, &items, written))
}

/// What is known of a shard that was written.
struct Written {
    size: u64,
    etag: Option<String>,
    header_crc: u32,
    table_crc: u32,
}

fn describe(meta: &Meta, items: &[Item], written: Written) -> ShardMeta {
    let tensor = |item: &Item| {
        let extent = item.extent.clone().or_else(|| {
            item.shared.then(|| Extent { global: item.spec.shape.clone(), offsets: vec![0; item.spec.shape.len()] })
        });
        let (global, offsets) = extent.clone().map(|extent| (extent.global, extent.offsets)).unwrap_or_default();
        TensorMeta {
            name: item.spec.name.clone(),
            dtype: item.spec.dtype.clone(),
            shape: item.spec.shape.clone(),
            shared: extent.is_some(),
            global,
            offsets,
        }
    };
    ShardMeta {
        rank: meta.rank,
        world_size: meta.world_size,
        save_id: meta.save_id.clone(),
        key: String::new(),
        size: written.size,
        etag: written.etag.unwrap_or_default(),
        header_crc: written.header_crc,
        table_crc: written.table_crc,
        has_pickle: meta.pickle,
        tensors: items.iter().map(tensor).collect(),
    }
}

/// The bytes of all tensors, in their order in the file.
struct Plan {
    pieces: Vec<Bytes>,
    starts: Vec<u64>,
    length: u64,
}

impl Plan {
    fn chunks(&self) -> u64 {
        self.length.div_ceil(CHUNK)
    }

    /// The slices of memory that make up a chunk.
    fn slices(&self, number: u64) -> Vec<Bytes> {
        let (begin, end) = (number * CHUNK, ((number + 1) * CHUNK).min(self.length));
        // The last tensor that begins at or before the chunk; empty ones before it do not matter.
        let mut at = self.starts.partition_point(|start| *start <= begin).saturating_sub(1);
        let mut found = Vec::new();
        while at < self.pieces.len() && self.starts[at] < end {
            let (piece, start) = (&self.pieces[at], self.starts[at]);
            let from = begin.max(start) - start;
            let to = (end - start).min(piece.len() as u64);
            if from < to {
                found.push(piece.slice(from as usize..to as usize));
            }
            at += 1;
        }
        found
    }
}

async fn plain(
    backend: &Backend,
    uri: &Uri,
    mut tensors: Vec<Tensor>,
    metadata: &[(String, String)],
    plan: Plan,
    progress: &Arc<Progress>,
) -> Result<Written> {
    let plan = Arc::new(plan);
    let chunks = ops::each((0..plan.chunks()).collect(), s3dlio_runtime::pool::decode().threads() * 2, |number| {
        let plan = Arc::clone(&plan);
        task::compute(move || plan.slices(number).iter().fold(0, |crc, piece| crc32c::crc32c_append(crc, piece)))
    })
    .await?;
    let elements = Checksums::elements(plan.length, CHUNK);
    let spec = Spec { name: CRC_TENSOR.into(), dtype: "U32".into(), shape: vec![elements] };
    tensors.push(Tensor { spec, range: plan.length..plan.length + elements * 4 });
    let head = header::write(&tensors, metadata).map_err(|error| CheckpointError::invalid(uri, error.0))?;
    let header_crc = crc32c::crc32c(&head);
    let table = Checksums { chunks, header: header_crc }.to_bytes();
    let table_crc = crc32c::crc32c(&table);
    let size = head.len() as u64 + plan.length + table.len() as u64;
    let mut pieces = vec![Bytes::from(head)];
    pieces.extend(plan.pieces.iter().filter(|piece| !piece.is_empty()).cloned());
    pieces.push(table.into());
    let etag = within::put_watched(backend, uri, pieces, Create::Overwrite, progress).await?;
    Ok(Written { size, etag, header_crc, table_crc })
}

async fn packed(
    backend: &Backend,
    uri: &Uri,
    tensors: &[Tensor],
    metadata: &[(String, String)],
    plan: Plan,
    level: i32,
    progress: &Arc<Progress>,
) -> Result<Written> {
    let failed = |error: crate::FormatError| CheckpointError::invalid(uri, error.0);
    let text = header::write(tensors, metadata).map_err(failed)?.split_off(8);
    let head = container::write_head(&ContainerHeader { text, raw: plan.length, chunk: CHUNK });
    let output = Output::create_in(backend.clone(), uri)?;
    output.write(head.clone().into())?.into_future().await?;
    let (mut at, mut frames) = (head.len() as u64, Vec::new());
    let plan = Arc::new(plan);
    let numbers: Vec<u64> = (0..plan.chunks()).collect();
    for window in numbers.chunks(WINDOW) {
        let packed = ops::each(window.to_vec(), WINDOW, |number| {
            let plan = Arc::clone(&plan);
            task::compute(move || {
                let slices = plan.slices(number);
                match slices.as_slice() {
                    [one] => container::pack(one, level),
                    many => container::pack(&many.concat(), level),
                }
            })
        });
        for (number, packed) in window.iter().zip(packed.await?) {
            let (bytes, frame) = packed.map_err(failed)?;
            frames.push(Frame { offset: at, ..frame });
            at += bytes.len() as u64;
            output.write(bytes.into())?.into_future().await?;
            progress.add(CHUNK.min(plan.length - number * CHUNK));
        }
    }
    let tail = container::write_tail(&frames, at, &head);
    let table = &tail[..tail.len() - container::FOOTER as usize];
    let (header_crc, table_crc) = (crc32c::crc32c(&head), crc32c::crc32c(table));
    let size = at + tail.len() as u64;
    output.write(BytesMut::from(tail.as_slice()).freeze())?.into_future().await?;
    let etag = output.finish()?.into_future().await?.etag;
    Ok(Written { size, etag, header_crc, table_crc })
}

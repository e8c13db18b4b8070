//! Export: the tensors of a checkpoint as one plain safetensors file, without the rest.

use std::sync::Arc;

use bytes::Bytes;
use s3dlio_records::{Output, Progress};
use s3dlio_store::{Uri, Work};

use crate::boxes::Region;
use crate::contents::{Contents, Entry, Stored, contents, read_box, windows};
use crate::dtype;
use crate::error::{CheckpointError, Result};
use crate::header::{self, Spec, Tensor};
use crate::open::Checkpoint;
use crate::task;
use crate::view::View;

/// Bytes that are read before they are written.
const WINDOW: u64 = 64 << 20;

/// What was exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exported {
    /// Tensors.
    pub tensors: usize,
    /// Bytes of the file.
    pub bytes: u64,
    /// Values that are no tensors, which the file cannot hold.
    pub left_out: usize,
}

/// Writes the tensors below a path, all of them if it is empty, under their paths below it.
///
/// Tensors that share memory are written each for itself. Memory is bounded, but for views that lie scattered in their
/// storage: of these the whole storage is read.
///
/// # Errors
/// At once: a destination that cannot work. From the work: [`CheckpointError::Invalid`] where no tensor is below the path;
/// those of reading and writing.
pub fn export(
    checkpoint: Arc<Checkpoint>,
    dest: &Uri,
    below: &str,
    progress: Arc<Progress>,
) -> Result<Work<Result<Exported>>> {
    let output = Output::create(dest)?;
    let below = below.to_owned();
    Ok(task::work(async move {
        let all = contents(&checkpoint).await?;
        let (chosen, left_out) = choose(all, &below)?;
        if chosen.is_empty() {
            return Err(CheckpointError::invalid(checkpoint.uri(), format!("no tensors are below the path {below:?}")));
        }
        let tensors = chosen.len();
        let bytes = write(&checkpoint, &output, chosen, &progress).await?;
        Ok(Exported { tensors, bytes, left_out })
    }))
}

/// A tensor of the file, where it comes from, and which view of it.
struct Chosen {
    spec: Spec,
    stored: Stored,
    view: Option<View>,
}

fn choose(all: Contents, below: &str) -> Result<(Vec<Chosen>, usize)> {
    let (mut chosen, mut left_out) = (Vec::new(), 0);
    for (path, entry) in all {
        let name = match path.strip_prefix(below) {
            Some(rest) if below.is_empty() => rest,
            Some(rest) if rest.starts_with('.') => &rest[1..],
            _ => continue,
        };
        match entry {
            Entry::Tensor(stored) if stored.is_array() => {
                let view = View::of(&stored)?;
                let shape = view.as_ref().map_or_else(|| stored.shape.clone(), View::shape);
                let name = if name.is_empty() { "data" } else { name };
                let spec = Spec { name: name.to_owned(), dtype: stored.dtype.clone(), shape };
                chosen.push(Chosen { spec, stored, view });
            }
            Entry::Container(_) => {}
            _ => left_out += 1,
        }
    }
    Ok((chosen, left_out))
}

async fn write(checkpoint: &Arc<Checkpoint>, output: &Output, chosen: Vec<Chosen>, progress: &Progress) -> Result<u64> {
    let failed = |error: crate::FormatError| CheckpointError::invalid(checkpoint.uri(), error.0);
    let placed = header::lay_out(chosen.iter().map(|one| one.spec.clone()).collect()).map_err(failed)?;
    let (order, tensors): (Vec<usize>, Vec<Tensor>) = placed.into_iter().unzip();
    progress.of(tensors.last().map_or(0, |tensor| tensor.range.end));
    let head = header::write(&tensors, &[("format".to_owned(), "pt".to_owned())]).map_err(failed)?;
    output.write(Bytes::from(head))?.into_future().await?;
    for Chosen { stored, view, .. } in order.iter().map(|at| &chosen[*at]) {
        match view {
            Some(view) => {
                let storage = read_box(checkpoint, stored, Region::whole(&stored.shape)).await?;
                let view = view.clone();
                send(output, task::compute(move || view.gather(&storage)).await?, progress).await?;
            }
            None => {
                let width = dtype::width(&stored.dtype).unwrap_or(1);
                for region in windows(&stored.shape, width, WINDOW) {
                    send(output, read_box(checkpoint, stored, region).await?, progress).await?;
                }
            }
        }
    }
    let bytes = output.position();
    output.finish()?.into_future().await?;
    Ok(bytes)
}

async fn send(output: &Output, bytes: Vec<u8>, progress: &Progress) -> Result<()> {
    let length = bytes.len() as u64;
    output.write(Bytes::from(bytes))?.into_future().await?;
    progress.add(length);
    Ok(())
}

//! What two checkpoints do not have in common: paths, scalars, and single elements of tensors.

use std::collections::BTreeSet;
use std::sync::Arc;

use s3dlio_records::Progress;
use s3dlio_store::Work;

use crate::contents::{Contents, Entry, Stored, contents, read_box, windows};
use crate::dtype;
use crate::error::Result;
use crate::open::Checkpoint;
use crate::task;

/// Bytes of each of two tensors that are compared together.
const WINDOW: u64 = 32 << 20;

/// One difference.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// Where.
    pub path: String,
    /// What the first has there.
    pub first: Option<Entry>,
    /// What the second has there.
    pub second: Option<Entry>,
    /// For tensors of one type and shape: how many elements differ.
    pub elements: Option<u64>,
}

/// Compares all of two checkpoints, whatever their sharding, in the order of paths.
///
/// # Errors
/// Those of reading: what is damaged is not compared.
pub fn diff(first: Arc<Checkpoint>, second: Arc<Checkpoint>, progress: Arc<Progress>) -> Work<Result<Vec<Difference>>> {
    task::work(async move {
        let (a, b) = (contents(&first).await?, contents(&second).await?);
        progress.of(a.iter().filter_map(|(path, entry)| comparable(entry, b.get(path))).map(|(x, _)| x.bytes()).sum());
        let paths: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
        let mut found = Vec::new();
        for path in paths {
            let elements = match a.get(path).and_then(|entry| comparable(entry, b.get(path))) {
                Some((x, y)) => Some(differing((&first, x), (&second, y), &progress).await?),
                None => None,
            };
            let same = match elements {
                Some(elements) => elements == 0 && node(&a, path) == node(&b, path),
                None => a.get(path) == b.get(path),
            };
            if !same {
                let (first, second) = (a.get(path).cloned(), b.get(path).cloned());
                found.push(Difference { path: path.clone(), first, second, elements });
            }
        }
        Ok(found)
    })
}

/// What the tree says of a tensor.
fn node<'a>(contents: &'a Contents, path: &str) -> Option<&'a serde_json::Map<String, serde_json::Value>> {
    match contents.get(path)? {
        Entry::Tensor(stored) => Some(&stored.node),
        _ => None,
    }
}

/// Two tensors whose elements can be compared.
fn comparable<'a>(first: &'a Entry, second: Option<&'a Entry>) -> Option<(&'a Stored, &'a Stored)> {
    match (first, second?) {
        (Entry::Tensor(x), Entry::Tensor(y)) if x.dtype == y.dtype && x.shape == y.shape => Some((x, y)),
        _ => None,
    }
}

async fn differing(
    (first, x): (&Arc<Checkpoint>, &Stored),
    (second, y): (&Arc<Checkpoint>, &Stored),
    progress: &Progress,
) -> Result<u64> {
    let width = dtype::width(&x.dtype).unwrap_or(1);
    let mut differing = 0;
    for region in windows(&x.shape, width, WINDOW) {
        let a = read_box(first, x, region.clone()).await?;
        let b = read_box(second, y, region).await?;
        let counted = move || {
            let width = usize::try_from(width).unwrap_or(1);
            let pairs = a.chunks_exact(width).zip(b.chunks_exact(width));
            (if a == b { 0 } else { pairs.filter(|(a, b)| a != b).count() as u64 }, a.len() as u64)
        };
        let (found, bytes) = task::compute(counted).await?;
        differing += found;
        progress.add(bytes);
    }
    Ok(differing)
}

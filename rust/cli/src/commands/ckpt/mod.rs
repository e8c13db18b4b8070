//! `ckpt`: checkpoints.

mod diff;
mod export;
mod gc;
mod inspect;
mod ls;
mod verify;

use std::sync::Arc;

use clap::{Args, Subcommand};
use s3dlio_checkpoint::find::find;
use s3dlio_checkpoint::manifest::Manifest;
use s3dlio_checkpoint::open::Checkpoint;
use s3dlio_checkpoint::retention;
use s3dlio_store::{Uri, transfer};
use serde_json::{Value, json};

use crate::exit::Failure;
use crate::session::Session;

/// Arguments of `ckpt`.
#[derive(Debug, Args)]
pub struct Ckpt {
    #[command(subcommand)]
    command: Which,
}

#[derive(Debug, Subcommand)]
enum Which {
    /// List the steps below a URI
    Ls(ls::Ls),
    /// Tell what is in a checkpoint
    Inspect(inspect::Inspect),
    /// Read all of a checkpoint and compare it with its checksums
    Verify(verify::Verify),
    /// Tell what two checkpoints do not have in common
    Diff(diff::Diff),
    /// Remove steps, and what unfinished saves have left; without --delete only tell what would be removed
    Gc(gc::Gc),
    /// Write the tensors of a checkpoint as one plain safetensors file
    Export(export::Export),
}

impl Ckpt {
    /// Runs the command.
    pub fn run(self, session: &mut Session<'_>) -> Result<(), Failure> {
        match self.command {
            Which::Ls(command) => command.run(session),
            Which::Inspect(command) => command.run(session),
            Which::Verify(command) => command.run(session),
            Which::Diff(command) => command.run(session),
            Which::Gc(command) => command.run(session),
            Which::Export(command) => command.run(session),
        }
    }
}

/// Opens whatever lies at a URI or local path.
fn open(session: &mut Session<'_>, text: &str, step: Option<u64>) -> Result<(Uri, Arc<Checkpoint>), Failure> {
    let uri = transfer::destination(text)?;
    let checkpoint = session.told(find(&uri, step), || {})?;
    Ok((uri, Arc::new(checkpoint)))
}

/// What a manifest says of a step, as JSON.
fn document(uri: &Uri, manifest: &Manifest) -> Value {
    let Manifest { step, attempt, world_size, epoch, name, framework, wall_time, .. } = manifest;
    json!({
        "uri": uri.to_string(), "step": step, "attempt": attempt, "world_size": world_size, "epoch": epoch,
        "name": name, "framework": framework, "wall_time": wall_time,
        "metrics": retention::metrics(manifest).unwrap_or_default(), "has_pickle": has_pickle(manifest),
        "size": size(manifest),
    })
}

fn has_pickle(manifest: &Manifest) -> bool {
    manifest.shards.iter().any(|shard| shard.has_pickle)
}

/// Bytes of the shards.
fn size(manifest: &Manifest) -> u64 {
    manifest.shards.iter().map(|shard| shard.size).sum()
}

/// The name of a path; that of the value as a whole is empty.
fn named(path: &str) -> &str {
    if path.is_empty() { "data" } else { path }
}

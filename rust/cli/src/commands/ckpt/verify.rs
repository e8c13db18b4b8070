//! `ckpt verify`: whether checkpoints are as they were saved.

use std::sync::Arc;

use clap::Args;
use s3dlio_checkpoint::open::Checkpoint;
use s3dlio_checkpoint::verify::report;
use s3dlio_checkpoint::{CheckpointError, open as steps};
use s3dlio_records::Progress;
use s3dlio_store::{StoreError, Uri, transfer};
use serde_json::{Value, json};

use super::open;
use crate::bar::{bar, draw};
use crate::exit::{Failure, code};
use crate::session::Session;

/// Arguments of `ckpt verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// Places of managers, directories of shards or single objects: URIs or local paths
    #[arg(required = true, value_name = "URI")]
    uris: Vec<String>,

    /// The step; the newest if not given
    #[arg(long, conflicts_with = "all")]
    step: Option<u64>,

    /// All steps of a manager
    #[arg(long)]
    all: bool,

    /// No progress bar; there is none either where standard error is no terminal
    #[arg(long)]
    no_progress: bool,
}

impl Verify {
    /// Runs the command; a checkpoint that is not sound is a failure.
    pub fn run(self, session: &mut Session<'_>) -> Result<(), Failure> {
        let mut damaged = false;
        session.each_of(&self.uris, |session, text| {
            if !self.all {
                return self.one(session, text, self.step, &mut damaged);
            }
            let uri = transfer::destination(text)?;
            let steps = session.told(steps::steps(&uri), || {})?;
            if steps.is_empty() {
                let detail = "no checkpoint is committed here".into();
                return Err(StoreError::NotFound { uri: uri.to_string(), detail }.into());
            }
            session.each_of(&steps, |session, step| self.one(session, text, Some(*step), &mut damaged))
        })?;
        if damaged { Err(Failure::Reported(code::FAILURE)) } else { Ok(()) }
    }

    fn one(&self, session: &mut Session<'_>, text: &str, step: Option<u64>, damaged: &mut bool) -> Result<(), Failure> {
        let (uri, checkpoint) = match open(session, text, step) {
            // What cannot be opened because it is damaged has no shards to be read.
            Err(failure @ (Failure::Store(StoreError::Corrupt { .. }) | Failure::Checkpoint(_))) => {
                *damaged = true;
                let uri = transfer::destination(text)?;
                let faults = vec![json!({"rank": null, "detail": failure.message()})];
                let line = || format!("{uri}: damaged\n  {}", failure.message().unwrap_or_default());
                return session.say(line, || told(&uri, step, 0, &faults));
            }
            opened => opened?,
        };
        let progress = Arc::new(Progress::default());
        let bar = bar(self.no_progress);
        let work = Ok::<_, Failure>(report(Arc::clone(&checkpoint), Arc::clone(&progress)));
        let found = session.told(work, || draw(&bar, &progress));
        bar.finish_and_clear();
        let found = found?;
        *damaged |= !found.faults.is_empty();
        let name = named(&uri, &checkpoint);
        let line = || match found.faults.as_slice() {
            [] => format!("{name}: sound: {} bytes of tensors", found.bytes),
            faults => {
                let faults = faults.iter().map(|(rank, error)| format!("\n  rank {rank}: {error}"));
                format!("{name}: damaged{}", faults.collect::<String>())
            }
        };
        let fault = |(rank, error): &(u32, CheckpointError)| json!({"rank": rank, "detail": error.to_string()});
        let faults: Vec<Value> = found.faults.iter().map(fault).collect();
        let step = (!checkpoint.manifest.attempt.is_empty()).then_some(checkpoint.manifest.step);
        session.say(line, || told(&uri, step, found.bytes, &faults))
    }
}

fn named(uri: &Uri, checkpoint: &Checkpoint) -> String {
    if checkpoint.manifest.attempt.is_empty() {
        uri.to_string()
    } else {
        format!("{uri}: step {}", checkpoint.manifest.step)
    }
}

fn told(uri: &Uri, step: Option<u64>, bytes: u64, faults: &[Value]) -> Value {
    json!({"uri": uri.to_string(), "step": step, "ok": faults.is_empty(), "bytes": bytes, "faults": faults})
}

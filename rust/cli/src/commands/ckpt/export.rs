//! `ckpt export`: the tensors of a checkpoint for other programs.

use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use indicatif::BinaryBytes;
use s3dlio_checkpoint::export::{Exported, export};
use s3dlio_records::Progress;
use s3dlio_store::transfer;
use serde_json::json;

use super::open;
use crate::bar::{bar, draw};
use crate::exit::Failure;
use crate::session::Session;

/// Arguments of `ckpt export`.
#[derive(Debug, Args)]
pub struct Export {
    /// A place of a manager, a directory of shards or a single object: URI or local path
    #[arg(value_name = "URI")]
    uri: String,

    /// The file to write: URI or local path
    #[arg(value_name = "DESTINATION")]
    dest: String,

    /// The step; the newest if not given
    #[arg(long)]
    step: Option<u64>,

    /// Only what is below this path, under its path below it: `--below model` for a model's own names
    #[arg(long, value_name = "PATH", default_value = "")]
    below: String,

    /// No progress bar; there is none either where standard error is no terminal
    #[arg(long)]
    no_progress: bool,
}

impl Export {
    /// Runs the command.
    pub fn run(self, session: &mut Session<'_>) -> Result<(), Failure> {
        let dest = transfer::destination(&self.dest)?;
        let (uri, checkpoint) = open(session, &self.uri, self.step)?;
        let (began, progress) = (Instant::now(), Arc::new(Progress::default()));
        let bar = bar(self.no_progress);
        let work = export(checkpoint, &dest, &self.below, Arc::clone(&progress));
        let done = session.told(work, || draw(&bar, &progress));
        bar.finish_and_clear();
        let Exported { tensors, bytes, left_out } = done?;
        let seconds = began.elapsed().as_secs_f64();
        let text = || {
            let rest = if left_out > 0 { format!(", {left_out} other values left out") } else { String::new() };
            format!("{dest}: {tensors} tensors, {} in {seconds:.2} s{rest}", BinaryBytes(bytes))
        };
        session.say(text, || {
            json!({
                "source": uri.to_string(), "uri": dest.to_string(), "tensors": tensors, "bytes": bytes,
                "left_out": left_out, "seconds": seconds,
            })
        })
    }
}

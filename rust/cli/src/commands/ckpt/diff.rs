//! `ckpt diff`: what two checkpoints do not have in common.

use std::sync::Arc;

use clap::Args;
use s3dlio_checkpoint::contents::Entry;
use s3dlio_checkpoint::diff::{Difference, diff};
use s3dlio_records::Progress;
use serde_json::json;

use super::{named, open};
use crate::bar::{bar, draw};
use crate::exit::{Failure, code};
use crate::session::Session;

/// Arguments of `ckpt diff`.
#[derive(Debug, Args)]
pub struct Diff {
    /// A checkpoint: URI or local path
    #[arg(value_name = "FIRST")]
    first: String,

    /// Another one, of any sharding; the same place if not given, which takes steps
    #[arg(value_name = "SECOND", required_unless_present = "second_step")]
    second: Option<String>,

    /// The step of the first; the newest if not given
    #[arg(long, value_name = "STEP")]
    step: Option<u64>,

    /// The step of the second; the newest if not given
    #[arg(long, value_name = "STEP")]
    second_step: Option<u64>,

    /// No progress bar; there is none either where standard error is no terminal
    #[arg(long)]
    no_progress: bool,
}

impl Diff {
    /// Runs the command; a difference is a failure.
    pub fn run(self, session: &mut Session<'_>) -> Result<(), Failure> {
        let (_, first) = open(session, &self.first, self.step)?;
        let (_, second) = open(session, self.second.as_ref().unwrap_or(&self.first), self.second_step)?;
        let progress = Arc::new(Progress::default());
        let bar = bar(self.no_progress);
        let work = Ok::<_, Failure>(diff(first, second, Arc::clone(&progress)));
        let found = session.told(work, || draw(&bar, &progress));
        bar.finish_and_clear();
        let found = found?;
        for difference in &found {
            let Difference { path, first, second, elements } = difference;
            let document = |entry: &Option<Entry>| entry.as_ref().map(Entry::document);
            session.say(
                || line(difference),
                || json!({"path": path, "first": document(first), "second": document(second), "elements": elements}),
            )?;
        }
        if found.is_empty() { Ok(()) } else { Err(Failure::Reported(code::FAILURE)) }
    }
}

fn line(Difference { path, first, second, elements }: &Difference) -> String {
    let path = named(path);
    let text = |entry: &Option<Entry>| entry.as_ref().map_or_else(|| "nothing".to_owned(), Entry::line);
    match elements {
        Some(0) => format!("{path}: another kind, the same elements: {}", text(first)),
        Some(elements) => format!("{path}: {elements} elements differ: {}", text(first)),
        None => format!("{path}: {}, then {}", text(first), text(second)),
    }
}

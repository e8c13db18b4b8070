//! `cp`: copies between stores and local paths.

use std::sync::Arc;

use clap::Args;
use indicatif::{BinaryBytes, ProgressBar};
use s3dlio_store::pattern::Pattern;
use s3dlio_store::transfer::{self, Depth, Existing, Options, Progress, Source, Summary};
use serde_json::json;

use crate::bar::bar;
use crate::exit::Failure;
use crate::session::Session;

/// Arguments of `cp`.
#[derive(Debug, Args)]
pub struct Cp {
    /// URIs or local paths; a `*` selects, in a URI with `**` also below
    #[arg(required = true, value_name = "SOURCE")]
    sources: Vec<String>,

    /// URI or local path; a directory if it ends in `/`, exists as one, or if the sources are more than one object
    #[arg(value_name = "DESTINATION")]
    dest: String,

    /// Also directories, which keep their layout
    #[arg(short, long)]
    recursive: bool,

    /// Leave alone what is there with the same size and no older than its source
    #[arg(long)]
    resume: bool,

    /// Copy nothing if anything would be replaced
    #[arg(long)]
    no_overwrite: bool,

    /// Only what matches, by the path below a source: a glob
    #[arg(long)]
    pattern: Option<String>,

    /// Objects copied at the same time
    #[arg(short, long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
    jobs: u16,

    /// No progress bar; there is none either where standard error is no terminal
    #[arg(long)]
    no_progress: bool,
}

impl Cp {
    /// Runs the command.
    pub fn run(self, session: &mut Session<'_>) -> Result<(), Failure> {
        let sources = self.sources.iter().map(|text| Source::parse(text)).collect::<Result<Vec<_>, _>>()?;
        let dest = transfer::destination(&self.dest)?;
        let options = Options {
            depth: if self.recursive { Depth::All } else { Depth::Object },
            pattern: self.pattern.as_deref().map(Pattern::glob).transpose()?,
            in_flight: usize::from(self.jobs),
            resume: self.resume,
            existing: if self.no_overwrite { Existing::Refuse } else { Existing::Replace },
            into_directory: sources.len() > 1,
        };
        let progress = Arc::new(Progress::default());
        let work = transfer::transfer(&sources, &dest, options, Arc::clone(&progress));
        let bar = bar(self.no_progress);
        let done = session.wait_with(work, || draw(&bar, &progress));
        bar.finish_and_clear();
        let done = done?;
        session.say(|| text(&done), || document(&done))
    }
}

fn draw(bar: &ProgressBar, progress: &Progress) {
    bar.set_length(progress.bytes_total());
    bar.set_position(progress.bytes());
    bar.set_message(format!("{}/{} objects", progress.objects(), progress.objects_total()));
}

fn text(done: &Summary) -> String {
    let seconds = done.took.as_secs_f64();
    let plural = if done.objects == 1 { "" } else { "s" };
    let skipped = if done.skipped > 0 { format!(", {} left alone", done.skipped) } else { String::new() };
    format!("{} object{plural}, {} in {seconds:.2} s{skipped}", done.objects, BinaryBytes(done.bytes))
}

fn document(done: &Summary) -> serde_json::Value {
    json!({
        "objects": done.objects,
        "bytes": done.bytes,
        "skipped": done.skipped,
        "seconds": done.took.as_secs_f64(),
    })
}

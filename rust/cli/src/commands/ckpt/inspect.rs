//! `ckpt inspect`: what is in a checkpoint.

use clap::Args;
use indicatif::BinaryBytes;
use s3dlio_checkpoint::contents::{Contents, Entry, contents};
use s3dlio_checkpoint::open::Checkpoint;
use s3dlio_store::{Uri, Work};
use serde_json::{Map, Value, json};

use super::{document, has_pickle, named, open, size};
use crate::exit::Failure;
use crate::session::Session;

/// Arguments of `ckpt inspect`.
#[derive(Debug, Args)]
pub struct Inspect {
    /// A place of a manager, a directory of shards or a single object: URI or local path
    #[arg(value_name = "URI")]
    uri: String,

    /// The step; the newest if not given
    #[arg(long)]
    step: Option<u64>,

    /// Also what is no tensor
    #[arg(long)]
    values: bool,
}

impl Inspect {
    /// Runs the command.
    pub fn run(self, session: &mut Session<'_>) -> Result<(), Failure> {
        let (uri, checkpoint) = open(session, &self.uri, self.step)?;
        let inside = checkpoint.clone();
        let work = Work::network(async move { Ok(contents(&inside).await) });
        let found = session.told(Ok::<_, Failure>(work), || {})?;
        session.say(|| self.text(&uri, &checkpoint, &found), || self.document(&uri, &checkpoint, &found))
    }

    fn text(&self, uri: &Uri, checkpoint: &Checkpoint, found: &Contents) -> String {
        let manifest = &checkpoint.manifest;
        let line = |name: &str, value: String| (!value.is_empty()).then(|| format!("  {name:<14} {value}"));
        let mut lines = vec![uri.to_string()];
        if !checkpoint.is_single() {
            let attempt = (!manifest.attempt.is_empty()).then(|| format!("{} ({})", manifest.step, manifest.attempt));
            lines.extend(line("step", attempt.unwrap_or_default()));
            lines.extend(line("ranks", manifest.world_size.to_string()));
            lines.extend(line("size", format!("{} bytes ({})", size(manifest), BinaryBytes(size(manifest)))));
            lines.extend(line("framework", manifest.framework.clone()));
            lines.extend(line("name", manifest.name.clone()));
            lines.extend(line("pickled", if has_pickle(manifest) { "yes".into() } else { String::new() }));
        }
        let bytes = |entry: &Entry| if let Entry::Tensor(stored) = entry { stored.bytes() } else { 0 };
        let tensors = found.values().filter(|entry| matches!(entry, Entry::Tensor(_))).count();
        let scalars = found.values().filter(|entry| matches!(entry, Entry::Scalar(_))).count();
        let total: u64 = found.values().map(bytes).sum();
        lines.extend(line("tensors", format!("{tensors}, {total} bytes ({})", BinaryBytes(total))));
        lines.extend(line("other values", scalars.to_string()));
        for (path, entry) in found {
            if matches!(entry, Entry::Tensor(_)) || self.values {
                lines.push(format!("  {}: {}", named(path), entry.line()));
            }
        }
        lines.join("\n")
    }

    fn document(&self, uri: &Uri, checkpoint: &Checkpoint, found: &Contents) -> Value {
        let pick = |tensors: bool| -> Map<String, Value> {
            let wanted = |entry: &Entry| matches!(entry, Entry::Tensor(_)) == tensors;
            let chosen = found.iter().filter(|(_, entry)| wanted(entry));
            chosen.map(|(path, entry)| (path.clone(), entry.document())).collect()
        };
        let mut document = document(uri, &checkpoint.manifest);
        document["kind"] = json!(match (checkpoint.is_single(), checkpoint.manifest.attempt.is_empty()) {
            (true, _) => "object",
            (false, true) => "shards",
            (false, false) => "step",
        });
        document["user_meta"] = serde_json::from_str(&checkpoint.manifest.user_meta).unwrap_or_default();
        document["tensors"] = pick(true).into();
        if self.values {
            document["values"] = pick(false).into();
        }
        document
    }
}

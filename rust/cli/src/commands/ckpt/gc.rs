//! `ckpt gc`: removes steps and leftovers, when told to.

use std::time::Duration;

use clap::Args;
use indicatif::BinaryBytes;
use s3dlio_checkpoint::gc::collect;
use s3dlio_checkpoint::retention::{Keep, unwanted};
use s3dlio_store::transfer;
use serde_json::json;

use crate::exit::Failure;
use crate::session::Session;

/// Arguments of `ckpt gc`.
#[derive(Debug, Args)]
pub struct Gc {
    /// A place of a manager: URI or local path
    #[arg(value_name = "URI")]
    uri: String,

    /// So many of the newest steps stay
    #[arg(long, value_name = "N")]
    keep_last: Option<usize>,

    /// Steps that are multiples of it stay
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    keep_every: Option<u64>,

    /// So many steps stay for the largest values of a metric; `-loss:3` means the smallest
    #[arg(long, value_name = "METRIC:N", value_parser = best, allow_hyphen_values = true)]
    keep_best: Option<(String, usize)>,

    /// Seconds, by the times of the store, after which an unfinished save counts as given up
    #[arg(long, value_name = "SECONDS", default_value_t = 86_400)]
    grace: u64,

    /// Remove; otherwise what would be removed is told
    #[arg(long)]
    delete: bool,
}

fn best(text: &str) -> Result<(String, usize), String> {
    let (metric, number) = text.rsplit_once(':').unwrap_or((text, ""));
    match number.parse() {
        Ok(number) if number > 0 && !metric.is_empty() => Ok((metric.to_owned(), number)),
        _ => Err("expected a metric, a colon and a number of at least 1".into()),
    }
}

impl Gc {
    /// Runs the command; without a reason to keep, no committed step goes.
    pub fn run(self, session: &mut Session<'_>) -> Result<(), Failure> {
        let uri = transfer::destination(&self.uri)?;
        let keep = Keep { last: self.keep_last, every: self.keep_every, best: self.keep_best };
        let steps = session.told(unwanted(&uri, keep), || {})?;
        let grace = Duration::from_secs(self.grace);
        let removed = session.told(collect(&uri, steps, grace, !self.delete), || {})?;
        let word = if self.delete { "removed" } else { "would remove" };
        let text = || {
            let given_up = removed.attempts.iter().filter(|attempt| !removed.steps.contains(&attempt.step)).count();
            let steps = removed.steps.iter().map(|step| format!("{word} step {step}\n")).collect::<String>();
            let (objects, bytes) = (removed.objects, BinaryBytes(removed.bytes));
            format!("{steps}{word} {objects} objects, {bytes}; unfinished saves: {given_up}")
        };
        session.say(text, || {
            json!({
                "uri": uri.to_string(), "removed": self.delete, "steps": removed.steps,
                "attempts": removed.attempts.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "objects": removed.objects, "bytes": removed.bytes,
            })
        })
    }
}

//! `index`: the indexes of TFRecord files.

use clap::Args;
use s3dlio_formats::tfrecord::index::Verify;
use s3dlio_records::tfrecord::{Made, PrefixOptions, create_index, create_indexes};
use s3dlio_store::pattern::Pattern;
use s3dlio_store::{Uri, transfer};
use serde_json::json;

use crate::exit::Failure;
use crate::session::Session;

/// Arguments of `index`.
#[derive(Debug, Args)]
pub struct Index {
    /// TFRecord files, or with -r what is below: URIs or local paths
    #[arg(required = true, value_name = "URI")]
    files: Vec<String>,

    /// Where the index goes: with -r or several files a directory; beside each file if not given
    #[arg(short, long, value_name = "URI")]
    output: Option<String>,

    /// Index all files below; they keep their layout
    #[arg(short, long)]
    recursive: bool,

    /// With -r, only what matches: a glob; all but *.idx if not given
    #[arg(long, requires = "recursive")]
    pattern: Option<String>,

    /// With -r, leave alone files whose index is there and no older than they are
    #[arg(long, requires = "recursive")]
    resume: bool,

    /// With -r, index only every N-th file, beginning with number R (from 0)
    #[arg(long, value_name = "R/N", requires = "recursive", value_parser = shard)]
    shard: Option<(u64, u64)>,

    /// With -r, files indexed at the same time
    #[arg(short, long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    jobs: u16,

    /// Refuse files without right checksums of all lengths, and bytes behind the last record
    #[arg(long)]
    verify: bool,
}

fn shard(text: &str) -> Result<(u64, u64), String> {
    let numbers = text.split_once('/').and_then(|(rank, world)| Some((rank.parse().ok()?, world.parse().ok()?)));
    numbers.filter(|(rank, world)| rank < world).ok_or_else(|| "expected R/N with R below N".to_owned())
}

impl Index {
    /// Runs the command.
    pub fn run(self, session: &mut Session<'_>) -> Result<(), Failure> {
        let files = self.files.iter().map(|text| transfer::destination(text)).collect::<Result<Vec<_>, _>>()?;
        let output = self.output.as_deref().map(transfer::destination).transpose()?;
        let verify = if self.verify { Verify::Always } else { Verify::Auto };
        if !self.recursive {
            let several = files.len() > 1;
            return session.each_of(&files, |session, file| {
                let index = place(file, output.as_ref(), several);
                let records = session.told(create_index(file, &index, verify), || {})?;
                say(session, &Made { file: file.clone(), index, records: Some(records) })
            });
        }
        let options = PrefixOptions {
            output,
            pattern: self.pattern.as_deref().map(Pattern::glob).transpose()?,
            shard: self.shard.unwrap_or((0, 1)),
            resume: self.resume,
            in_flight: usize::from(self.jobs),
            verify,
        };
        session.each_of(&files, |session, prefix| {
            let made = session.told(create_indexes(prefix, options.clone()), || {})?;
            made.iter().try_for_each(|made| say(session, made))
        })
    }
}

fn place(file: &Uri, output: Option<&Uri>, several: bool) -> Uri {
    match output {
        None => file.with_key(format!("{}.idx", file.key)),
        Some(output) if several || output.is_directory() => {
            let name = file.key.rsplit('/').next().unwrap_or(&file.key);
            let base = output.key.trim_end_matches('/');
            let key = if output.key.is_empty() { format!("{name}.idx") } else { format!("{base}/{name}.idx") };
            output.with_key(key)
        }
        Some(output) => output.clone(),
    }
}

fn say(session: &mut Session<'_>, made: &Made) -> Result<(), Failure> {
    let Made { file, index, records } = made;
    let text = || match records {
        Some(records) => format!("{index}: {records} records"),
        None => format!("{index}: there already"),
    };
    session.say(text, || json!({"uri": file.to_string(), "index": index.to_string(), "records": records}))
}

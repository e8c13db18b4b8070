//! `put`: writes generated objects.

use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use s3dlio_formats::generate::{Content, Kind};
use s3dlio_store::{StoreError, Uri, naming, ops};
use serde_json::json;

use crate::exit::Failure;
use crate::generated::Generated;
use crate::session::Session;

/// Arguments of `put`.
#[derive(Debug, Args)]
pub struct Put {
    /// Where to; a `{}` in it stands for the number of the object
    #[arg(value_name = "URI")]
    uri: String,

    /// Objects to write
    #[arg(short, long, default_value_t = 1)]
    num: u64,

    /// Bytes of payload in each
    #[arg(short, long, default_value_t = 1 << 20)]
    size: u64,

    /// Names: the first `{}` is the number, the second the total
    #[arg(short, long)]
    template: Option<String>,

    /// What they are: zeros, random, npz, tfrecord
    #[arg(short = 'k', long, default_value = "random")]
    kind: String,

    /// One block of 4 KiB in so many is distinct
    #[arg(long, default_value_t = 1)]
    dedup: u64,

    /// Of each block the fraction (n-1)/n is zero
    #[arg(long, default_value_t = 1)]
    compress: u64,

    /// Objects of equal seeds are equal
    #[arg(long, default_value_t = 0)]
    seed: u64,

    /// Objects under way at any moment
    #[arg(short, long, default_value_t = 32)]
    jobs: usize,
}

/// Bytes made at a time.
const CHUNK: usize = 256 << 10;

impl Put {
    /// Runs the command.
    pub fn run(self, session: &mut Session<'_>) -> Result<(), Failure> {
        let kind = Kind::parse(&self.kind).ok_or_else(|| StoreError::Config {
            option: "--kind".into(),
            found: format!("{:?}", self.kind),
            expected: "zeros, random, npz or tfrecord".into(),
        })?;
        let name = |number| naming::expand(&self.uri, self.template.as_deref(), number, self.num);
        let uris = (0..self.num).map(|number| Uri::parse(&name(number))).collect::<Result<Vec<_>, _>>()?;
        let Self { size, dedup, compress, seed, .. } = self;
        let produce = Generated { content: Content { kind, size, dedup, compress, seed }, chunk: Some(CHUNK) };
        let began = Instant::now();
        session.wait(ops::put_produced(uris, self.jobs.max(1), Arc::new(produce)))?;
        let (seconds, bytes) = (began.elapsed().as_secs_f64(), self.num * size);
        let text = || format!("wrote {} objects, {bytes} bytes, in {seconds:.3} s", self.num);
        session.say(text, || json!({"objects": self.num, "bytes": bytes, "seconds": seconds}))
    }
}

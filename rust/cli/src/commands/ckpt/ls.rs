//! `ckpt ls`: the steps below a URI.

use chrono::DateTime;
use clap::Args;
use indicatif::BinaryBytes;
use s3dlio_checkpoint::manifest::Manifest;
use s3dlio_checkpoint::{open, retention};
use s3dlio_store::{StoreError, Uri, transfer};

use super::{document, size};
use crate::exit::Failure;
use crate::session::Session;

/// Arguments of `ckpt ls`.
#[derive(Debug, Args)]
pub struct Ls {
    /// Places of a manager: URIs or local paths
    #[arg(required = true, value_name = "URI")]
    uris: Vec<String>,
}

impl Ls {
    /// Runs the command; a step that cannot be read is reported, and the others are listed.
    pub fn run(self, session: &mut Session<'_>) -> Result<(), Failure> {
        session.each_of(&self.uris, |session, text| {
            let uri = transfer::destination(text)?;
            let steps = session.told(open::steps(&uri), || {})?;
            if steps.is_empty() {
                let detail = "no checkpoint is committed here".into();
                return Err(StoreError::NotFound { uri: uri.to_string(), detail }.into());
            }
            session.each_of(&steps, |session, step| {
                let checkpoint = session.told(open::open_step(&uri, Some(*step)), || {})?;
                session.say(|| line(&uri, &checkpoint.manifest), || document(&uri, &checkpoint.manifest))
            })
        })
    }
}

fn line(uri: &Uri, manifest: &Manifest) -> String {
    let at = i64::try_from(manifest.wall_time).ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    let at = at.map_or_else(|| "-".to_owned(), |at| at.format("%FT%TZ").to_string());
    let ranks = if manifest.world_size == 1 { "1 rank".into() } else { format!("{} ranks", manifest.world_size) };
    let size = BinaryBytes(size(manifest)).to_string();
    let metrics = retention::metrics(manifest).unwrap_or_default();
    let metrics = metrics.as_object().filter(|metrics| !metrics.is_empty());
    let metrics = metrics.map(|metrics| format!("  {}", serde_json::Value::from(metrics.clone()))).unwrap_or_default();
    format!("{:>12}  {at}  {ranks:>9}  {size:>12}  {uri}{metrics}", manifest.step)
}

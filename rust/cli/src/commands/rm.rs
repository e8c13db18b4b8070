//! `rm`: removes objects; whole directories only when told so.

use clap::Args;
use s3dlio_store::ops::{self, ListOptions};
use s3dlio_store::{StoreError, Uri, local};
use serde_json::json;

use crate::exit::Failure;
use crate::session::Session;

/// Arguments of `rm`.
#[derive(Debug, Args)]
pub struct Rm {
    /// Objects, or directories with --recursive; a `*` is part of a name and selects nothing
    #[arg(required = true, value_name = "URI")]
    uris: Vec<String>,

    /// Also everything below
    #[arg(short, long)]
    recursive: bool,

    /// What is not there is no error
    #[arg(short, long)]
    force: bool,

    /// Print what would be removed, and remove nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
}

impl Rm {
    /// Runs the command.
    pub fn run(self, session: &mut Session<'_>) -> Result<(), Failure> {
        session.each(&self.uris, |session, uri| self.remove(session, uri))
    }

    fn remove(&self, session: &mut Session<'_>, uri: &Uri) -> Result<(), Failure> {
        let directory =
            uri.is_directory() || uri.scheme.is_local() && local::metadata(&uri.key).is_ok_and(|meta| meta.is_dir());
        if directory && !self.recursive {
            return Err(Failure::Refused(format!("{uri}: is a directory: --recursive removes everything below it")));
        }
        if !self.force && !self.exists(session, uri)? {
            let detail = if uri.key.contains('*') { "a * selects nothing here" } else { "nothing is there" };
            return Err(StoreError::NotFound { uri: uri.to_string(), detail: detail.into() }.into());
        }
        if self.dry_run {
            return self.show(session, uri);
        }
        session.wait(ops::delete(uri, self.recursive))?;
        told(session, &uri.to_string(), true)
    }

    fn exists(&self, session: &mut Session<'_>, uri: &Uri) -> Result<bool, Failure> {
        if session.wait(ops::exists(uri))? {
            return Ok(true);
        }
        if !self.recursive || uri.is_directory() {
            return Ok(false);
        }
        session.wait(ops::exists(&uri.with_key(format!("{}/", uri.key))))
    }

    fn show(&self, session: &mut Session<'_>, uri: &Uri) -> Result<(), Failure> {
        if !uri.is_directory() && session.wait(ops::stat(uri)).is_ok() {
            told(session, &uri.to_string(), false)?;
        }
        if !self.recursive {
            return Ok(());
        }
        let base = if uri.is_directory() { uri.clone() } else { uri.with_key(format!("{}/", uri.key)) };
        let mut rest = Some(ops::list(&base, ListOptions { recursive: true, ..ListOptions::default() })?);
        while let Some(lister) = rest.take() {
            let Some((page, next)) = session.wait(Ok(lister.page()))? else { break };
            for entry in page {
                told(session, &uri.with_key(entry.key).to_string(), false)?;
            }
            rest = Some(next);
        }
        Ok(())
    }
}

fn told(session: &mut Session<'_>, uri: &str, removed: bool) -> Result<(), Failure> {
    let text = || if removed { format!("removed {uri}") } else { format!("would remove {uri}") };
    session.say(text, || json!({"uri": uri, "removed": removed}))
}

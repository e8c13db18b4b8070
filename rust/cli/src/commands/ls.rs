//! `ls`: what is below a URI.

use clap::Args;
use s3dlio_store::ops::{self, Entry, ListOptions};
use s3dlio_store::pattern::Pattern;
use s3dlio_store::{StoreError, Uri, local};
use serde_json::json;

use crate::exit::Failure;
use crate::session::Session;

/// Arguments of `ls`.
#[derive(Debug, Args)]
pub struct Ls {
    /// Directories, objects, or URIs with a `*`
    #[arg(required = true, value_name = "URI")]
    uris: Vec<String>,

    /// Everything below, not one level
    #[arg(short, long)]
    recursive: bool,

    /// Sizes in bytes and times
    #[arg(short, long)]
    long: bool,

    /// Only keys that match, by the key below the URI: a glob or a regular expression
    #[arg(long)]
    pattern: Option<String>,
}

impl Ls {
    /// Runs the command.
    pub fn run(self, session: &mut Session<'_>) -> Result<(), Failure> {
        session.each(&self.uris, |session, uri| self.list(session, uri))
    }

    fn list(&self, session: &mut Session<'_>, uri: &Uri) -> Result<(), Failure> {
        let pattern = self.pattern.as_deref().map(Pattern::detect).transpose()?;
        let empty_is_fine = pattern.is_some() || is_container(uri);
        let options = ListOptions { recursive: self.recursive, pattern, sizes: self.long || session.json };
        let mut rest = Some(ops::list(uri, options)?);
        let mut any = empty_is_fine;
        while let Some(lister) = rest.take() {
            let Some((page, next)) = session.wait(Ok(lister.page()))? else { break };
            any = true;
            for entry in &page {
                session.say(|| self.text(uri, entry), || document(uri, entry))?;
            }
            session.flush()?;
            rest = Some(next);
        }
        if any {
            return Ok(());
        }
        Err(StoreError::NotFound { uri: uri.to_string(), detail: "nothing is there".into() }.into())
    }

    fn text(&self, uri: &Uri, entry: &Entry) -> String {
        let name = format!("{}{}", uri.root(), entry.key);
        if !self.long {
            return name;
        }
        let size = entry.size.map_or_else(|| "-".to_owned(), |size| size.to_string());
        let time = entry.last_modified.map_or_else(|| "-".to_owned(), |time| time.format("%FT%TZ").to_string());
        format!("{size:>15}  {time:<20}  {name}")
    }
}

fn document(uri: &Uri, entry: &Entry) -> serde_json::Value {
    json!({
        "uri": format!("{}{}", uri.root(), entry.key),
        "directory": entry.key.ends_with('/'),
        "size": entry.size,
        "last_modified": entry.last_modified.map(|time| time.to_rfc3339()),
        "etag": entry.etag,
    })
}

/// Whether the URI names what exists also when it is empty: a bucket or a local directory.
fn is_container(uri: &Uri) -> bool {
    if uri.scheme.is_local() {
        return local::metadata(&uri.key).is_ok_and(|meta| meta.is_dir());
    }
    uri.key.is_empty()
}

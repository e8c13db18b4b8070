//! `stat`: metadata of objects.

use std::collections::BTreeMap;

use clap::Args;
use s3dlio_store::ops;
use serde_json::{Value, json};

use crate::exit::Failure;
use crate::session::Session;

/// Arguments of `stat`.
#[derive(Debug, Args)]
pub struct Stat {
    /// Objects
    #[arg(required = true, value_name = "URI")]
    uris: Vec<String>,
}

impl Stat {
    /// Runs the command.
    pub fn run(self, session: &mut Session<'_>) -> Result<(), Failure> {
        session.each(&self.uris, |session, uri| {
            let stat = session.wait(ops::stat(uri))?;
            let document = document(&uri.to_string(), &stat);
            session.say(|| text(&document), || document.clone())
        })
    }
}

fn document(uri: &str, stat: &ops::Stat) -> Value {
    json!({
        "uri": uri,
        "size": stat.size,
        "last_modified": stat.last_modified.to_rfc3339(),
        "etag": stat.etag,
        "content_type": stat.content_type,
        "content_language": stat.content_language,
        "content_encoding": stat.content_encoding,
        "cache_control": stat.cache_control,
        "content_disposition": stat.content_disposition,
        "storage_class": stat.storage_class,
        "version_id": stat.version,
        "metadata": stat.metadata.iter().cloned().collect::<BTreeMap<_, _>>(),
    })
}

/// What is known, a line for each.
fn text(document: &Value) -> String {
    let mut lines = Vec::new();
    for (name, value) in document.as_object().into_iter().flatten() {
        match value {
            Value::Null => {}
            Value::Object(inner) => {
                lines.extend(inner.iter().map(|(key, value)| line(&format!("{name}.{key}"), value)))
            }
            value => lines.push(line(name, value)),
        }
    }
    lines.join("\n")
}

fn line(name: &str, value: &Value) -> String {
    format!("{name:<20} {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

//! `verify`: whether record files and archives are as they were written.

use std::sync::Arc;

use clap::Args;
use s3dlio_records::verify::{Report, verify};
use s3dlio_records::{Kind, Progress};
use s3dlio_store::ops::{self, ListOptions};
use s3dlio_store::pattern::Pattern;
use s3dlio_store::{StoreError, Uri, transfer};
use serde_json::{Value, json};

use crate::bar::{bar, draw};
use crate::exit::{Failure, code};
use crate::session::Session;

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// Files of the formats array_record, disky, tfrecord, npz and npy, or with -r what is below: URIs or local paths
    #[arg(required = true, value_name = "URI")]
    files: Vec<String>,

    /// Their format; found out by content and name if not given
    #[arg(short, long)]
    format: Option<String>,

    /// Check all files below; those of other formats are told and left alone
    #[arg(short, long)]
    recursive: bool,

    /// With -r, only what matches, by the path below the URI: a glob
    #[arg(long, requires = "recursive")]
    pattern: Option<String>,

    /// No progress bar; there is none either where standard error is no terminal
    #[arg(long)]
    no_progress: bool,
}

impl Verify {
    /// Runs the command; a file that is not sound is a failure.
    pub fn run(self, session: &mut Session<'_>) -> Result<(), Failure> {
        let kind = self.format.as_deref().map(Kind::parse).transpose()?;
        let pattern = self.pattern.as_deref().map(Pattern::glob).transpose()?;
        let mut damaged = false;
        let one = |session: &mut Session<'_>, uri: &Uri| {
            let progress = Arc::new(Progress::default());
            let bar = bar(self.no_progress);
            let report = session.told(verify(uri, kind, Arc::clone(&progress)), || draw(&bar, &progress));
            bar.finish_and_clear();
            let report = match report {
                Err(Failure::Store(StoreError::Unsupported { .. })) if self.recursive => {
                    let document = || json!({"uri": uri.to_string(), "format": null, "ok": null});
                    return session.say(|| format!("{uri}: no known format, left alone"), document);
                }
                report => report?,
            };
            damaged |= !report.is_sound();
            session.say(|| text(&report), || document(&report))
        };
        let files = self.files.iter().map(|text| transfer::destination(text)).collect::<Result<Vec<_>, _>>()?;
        if !self.recursive {
            session.each_of(&files, one)?;
        } else {
            let mut all = Vec::new();
            let listed = session.each_of(&files, |session, uri| {
                all.extend(below(session, uri, pattern.clone())?);
                Ok(())
            });
            session.each_of(&all, one)?;
            listed?;
        }
        if damaged { Err(Failure::Reported(code::FAILURE)) } else { Ok(()) }
    }
}

/// All objects below a prefix, at least one.
fn below(session: &mut Session<'_>, uri: &Uri, pattern: Option<Pattern>) -> Result<Vec<Uri>, Failure> {
    let directory = uri.with_key(match uri.key.as_str() {
        key if key.is_empty() || key.ends_with('/') => key.to_owned(),
        key => format!("{key}/"),
    });
    let options = ListOptions { recursive: true, pattern, sizes: false };
    let entries = session.wait(Ok(ops::list(&directory, options)?.all()))?;
    let keys = entries.into_iter().map(|entry| entry.key).filter(|key| !key.ends_with('/'));
    let found: Vec<Uri> = keys.map(|key| uri.with_key(key)).collect();
    if found.is_empty() {
        return Err(StoreError::NotFound { uri: directory.to_string(), detail: "nothing is there".into() }.into());
    }
    Ok(found)
}

fn text(report: &Report) -> String {
    let Report { uri, kind, records, record_bytes, chunks, num_faults, .. } = report;
    let what = if report.kind.is_arrays() { "arrays" } else { "records" };
    let chunks = if *chunks > 0 { format!(" in {chunks} chunks") } else { String::new() };
    let whole = format!("{records} {what}{chunks}, {record_bytes} bytes");
    if report.is_sound() {
        return format!("{uri}: {kind}: sound: {whole}");
    }
    let plural = if *num_faults == 1 { "" } else { "s" };
    let mut lines = vec![format!("{uri}: {kind}: {num_faults} fault{plural}; whole are {whole}")];
    lines.extend(report.faults.iter().map(|fault| format!("  {fault}")));
    let more = *num_faults - report.faults.len() as u64;
    lines.extend((more > 0).then(|| format!("  and {more} more")));
    lines.join("\n")
}

fn document(report: &Report) -> Value {
    let faults = report.faults.iter().map(
        |fault| json!({"offset": fault.offset, "lost": [fault.lost.start, fault.lost.end], "detail": fault.detail}),
    );
    json!({
        "uri": report.uri.to_string(),
        "format": report.kind.name(),
        "ok": report.is_sound(),
        "size": report.size,
        "chunks": report.chunks,
        "records": report.records,
        "record_bytes": report.record_bytes,
        "num_faults": report.num_faults,
        "faults": faults.collect::<Vec<_>>(),
    })
}

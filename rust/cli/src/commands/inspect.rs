//! `inspect`: what is in record files and archives.

use std::sync::Arc;

use clap::Args;
use indicatif::BinaryBytes;
use s3dlio_records::inspect::{ArrayInfo, Contents, Detail, inspect};
use s3dlio_records::{Kind, Progress};
use s3dlio_store::transfer;
use serde_json::{Value, json};

use crate::bar::{bar, draw};
use crate::exit::{Failure, code};
use crate::session::Session;

/// Arguments of `inspect`.
#[derive(Debug, Args)]
pub struct Inspect {
    /// Files of the formats array_record, disky, tfrecord, npz and npy: URIs or local paths
    #[arg(required = true, value_name = "URI")]
    files: Vec<String>,

    /// Their format; found out by content and name if not given
    #[arg(short, long)]
    format: Option<String>,

    /// No progress bar; there is none either where standard error is no terminal
    #[arg(long)]
    no_progress: bool,
}

impl Inspect {
    /// Runs the command; a damaged file is a failure, what could be found out of it is told all the same.
    pub fn run(self, session: &mut Session<'_>) -> Result<(), Failure> {
        let kind = self.format.as_deref().map(Kind::parse).transpose()?;
        let mut damaged = false;
        session.each_of(&self.files, |session, file| {
            let (uri, progress) = (transfer::destination(file)?, Arc::new(Progress::default()));
            let bar = bar(self.no_progress);
            let found = session.told(inspect(&uri, kind, Arc::clone(&progress)), || draw(&bar, &progress));
            bar.finish_and_clear();
            let found = found?;
            damaged |= found.damage.is_some();
            session.say(|| text(&found), || document(&found))
        })?;
        if damaged { Err(Failure::Reported(code::FAILURE)) } else { Ok(()) }
    }
}

fn text(found: &Contents) -> String {
    let mut lines = vec![found.uri.to_string(), line("format", &found.kind), line("size", &size(found.size))];
    match &found.detail {
        Detail::Chunks { chunks, codecs, transposed, group_size, options } => {
            lines.extend(records(found));
            lines.push(line("chunks", chunks));
            lines.extend(group_size.map(|size| line("group size", &size)));
            let codecs = if codecs.is_empty() { "-".to_owned() } else { codecs.join(", ") };
            lines.push(line("compression", &if *transposed { format!("{codecs}, transposed") } else { codecs }));
            lines.extend(options.as_ref().map(|options| line("options", options)));
        }
        Detail::Records { compression, sizes: (least, most) } => {
            lines.extend(records(found));
            lines.push(line("record sizes", &format!("{least} to {most} bytes")));
            lines.push(line("compression", compression));
        }
        Detail::Arrays { arrays, others } => {
            lines.push(line("arrays", &found.records));
            lines.extend((*others > 0).then(|| line("other members", others)));
            lines.extend(arrays.iter().map(array));
        }
    }
    lines.extend(found.damage.as_ref().map(|damage| line("damage", damage)));
    lines.join("\n")
}

fn records(found: &Contents) -> Vec<String> {
    let bytes = found.record_bytes.map(|bytes| line("record bytes", &size(bytes)));
    [line("records", &found.records)].into_iter().chain(bytes).collect()
}

fn line(name: &str, value: &dyn std::fmt::Display) -> String {
    format!("  {name:<14} {value}")
}

fn size(bytes: u64) -> String {
    format!("{bytes} bytes ({})", BinaryBytes(bytes))
}

fn array(info: &ArrayInfo) -> String {
    let shape = info.shape.iter().map(u64::to_string).collect::<Vec<_>>().join(" x ");
    let order = if info.fortran_order { ", Fortran order" } else { "" };
    let what = match &info.descr {
        Some(descr) if info.shape.is_empty() => format!("{descr}, a scalar"),
        Some(descr) => format!("{descr}, {shape}{order}"),
        None => "a header that cannot be read".to_owned(),
    };
    let name = if info.name.is_empty() { "array" } else { &info.name };
    let stored = if info.stored_size == info.size { String::new() } else { format!(" in {}", info.stored_size) };
    line(name, &format!("{what}, {} bytes{stored}, {}", info.size, info.method))
}

fn document(found: &Contents) -> Value {
    let mut document = json!({
        "uri": found.uri.to_string(),
        "format": found.kind.name(),
        "size": found.size,
        "records": found.records,
        "record_bytes": found.record_bytes,
        "damage": found.damage.as_ref().map(ToString::to_string),
    });
    let more = match &found.detail {
        Detail::Chunks { chunks, codecs, transposed, group_size, options } => json!({
            "chunks": chunks, "compression": codecs, "transposed": transposed,
            "group_size": group_size, "writer_options": options,
        }),
        Detail::Records { compression, sizes: (least, most) } => json!({
            "compression": [compression], "smallest": least, "largest": most,
        }),
        Detail::Arrays { arrays, others } => json!({
            "arrays": arrays.iter().map(array_document).collect::<Vec<_>>(), "other_members": others,
        }),
    };
    if let (Value::Object(document), Value::Object(more)) = (&mut document, more) {
        document.extend(more);
    }
    document
}

fn array_document(info: &ArrayInfo) -> Value {
    json!({
        "name": info.name, "dtype": info.descr, "shape": info.shape, "fortran_order": info.fortran_order,
        "size": info.size, "stored_size": info.stored_size, "compression": info.method,
    })
}

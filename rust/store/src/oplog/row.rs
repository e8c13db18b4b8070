//! One line of the log: thirteen columns, separated by tabs, the layout that `warp` replays.
//!
//! `idx` counts the rows of a file from 0. `thread` is a hash, the same for all rows of a thread. `op` is the verb in
//! capitals. `endpoint` is `s3://bucket`, `az://container` or the scheme alone for local files; `file` is the path, with
//! the bucket before it where there is one. Times are UTC with nine digits; `first_byte` is empty for what has no body,
//! the start for PUT, and the end for reads that arrive in one piece. `end` is always `start` and `duration_ns`.

use std::io::Write;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, SecondsFormat, Utc};
use s3dlio_runtime::logging::redact;

use crate::Uri;
use crate::observe::Verb;

/// The first line of a log.
pub const HEADER: &str =
    "idx\tthread\top\tclient_id\tn_objects\tbytes\tendpoint\tfile\terror\tstart\tfirst_byte\tend\tduration_ns";

/// One operation.
#[derive(Debug, Clone)]
pub struct Row {
    /// What was done.
    pub verb: Verb,
    /// To what.
    pub uri: Uri,
    /// Number of objects.
    pub objects: u64,
    /// Bytes of content that were moved.
    pub bytes: u64,
    /// Why it failed.
    pub error: Option<String>,
    /// When it began, by the wall clock.
    pub start: SystemTime,
    /// How long after the start the first byte of an answer came.
    pub first_byte: Option<Duration>,
    /// How long it took.
    pub took: Duration,
    /// The thread that began it.
    pub thread: u64,
}

impl Row {
    /// Appends the line to `out`; `index` and `client` fill the columns of the log's own.
    pub fn line(&self, out: &mut Vec<u8>, index: u64, client: &str) {
        let Self { verb, uri, objects, bytes, thread, .. } = self;
        let op = verb.name().to_ascii_uppercase();
        let client = escape(client);
        let endpoint = escape(&format!("{}://{}", uri.scheme.name(), uri.bucket));
        let slash = if uri.bucket.is_empty() { "" } else { "/" };
        let file = escape(&format!("{}{slash}{}", uri.bucket, uri.key));
        let error = self.error.as_deref().map(|error| redact(&error.replace(['\t', '\r', '\n'], " ")));
        let error = error.unwrap_or_default();
        let (start, end) = (time(self.start), time(self.start + self.took));
        let first_byte = self.first_byte().map(|after| time(self.start + after)).unwrap_or_default();
        let nanos = self.took.as_nanos();
        // Writing to a vector cannot fail.
        let _ = writeln!(
            out,
            "{index}\t{thread}\t{op}\t{client}\t{objects}\t{bytes}\t{endpoint}\t{file}\t{error}\t{start}\t\
             {first_byte}\t{end}\t{nanos}"
        );
    }

    fn first_byte(&self) -> Option<Duration> {
        match self.verb {
            Verb::Put => Some(Duration::ZERO),
            Verb::Get | Verb::GetRange => self.first_byte.or_else(|| self.error.is_none().then_some(self.took)),
            _ => None,
        }
    }
}

/// Names of files may hold what separates columns and lines: those characters stand as in a URL.
fn escape(text: &str) -> String {
    text.replace('\t', "%09").replace('\n', "%0A").replace('\r', "%0D")
}

fn time(at: SystemTime) -> String {
    DateTime::<Utc>::from(at).to_rfc3339_opts(SecondsFormat::Nanos, true)
}

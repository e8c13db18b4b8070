//! What every operation reports: one span from its beginning to its end feeds the statistics, the operation log and
//! the debug log.
//!
//! With both logs off a span costs two looks at the clock and some atomic increments; only a log makes it keep the URI.

use std::fmt::Display;
use std::time::{Duration, Instant, SystemTime};

use s3dlio_runtime::stats;
pub use s3dlio_runtime::stats::Verb;

use crate::error::Result;
use crate::oplog::{self, Row};
use crate::{Scheme, Uri};

/// What the logs want to know of an operation.
#[derive(Debug)]
struct Detail {
    uri: Uri,
    /// The wall clock at the beginning; all later times are this one and what the steady clock says.
    start: SystemTime,
    first_byte: Option<Duration>,
    thread: u64,
}

/// One operation in progress.
///
/// Dropping a span that has not ended reports the operation as a failed one: its caller has given up.
#[derive(Debug)]
#[must_use = "a span that is dropped reports a failed operation"]
pub struct Span {
    verb: Verb,
    scheme: Scheme,
    began: Instant,
    objects: u64,
    ended: bool,
    detail: Option<Box<Detail>>,
}

/// Begins an operation about `uri`.
pub fn begin(verb: Verb, uri: &Uri) -> Span {
    let logged = oplog::is_active() || tracing::enabled!(tracing::Level::DEBUG);
    let detail = logged.then(|| {
        let (start, thread) = (SystemTime::now(), oplog::thread_number());
        Box::new(Detail { uri: uri.clone(), start, first_byte: None, thread })
    });
    Span { verb, scheme: uri.scheme, began: Instant::now(), objects: 1, ended: false, detail }
}

impl Span {
    /// Notes that the first byte of an answer is there; only the first call counts.
    pub fn first_byte(&mut self) {
        let began = self.began;
        if let Some(detail) = &mut self.detail {
            detail.first_byte.get_or_insert_with(|| began.elapsed());
        }
    }

    /// Says how many objects the operation was about, where it is not one.
    pub fn objects(&mut self, number: u64) {
        self.objects = number;
    }

    /// Ends the operation; `bytes` went over the wire or through the file system.
    pub fn end<T>(mut self, bytes: u64, result: &Result<T>) {
        self.finish(bytes, result.as_ref().err().map(|error| error as &dyn Display));
    }

    fn finish(&mut self, bytes: u64, error: Option<&dyn Display>) {
        self.ended = true;
        let took = self.began.elapsed();
        stats::record(self.scheme.name(), self.verb, took, bytes, error.is_some());
        if let Some(detail) = self.detail.take() {
            report(self.verb, *detail, took, bytes, self.objects, error);
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if !self.ended {
            self.finish(0, Some(&"broken off"));
        }
    }
}

fn report(verb: Verb, detail: Detail, took: Duration, bytes: u64, objects: u64, error: Option<&dyn Display>) {
    let error = error.map(ToString::to_string);
    let (uri, milliseconds) = (&detail.uri, took.as_secs_f64() * 1e3);
    match &error {
        None => tracing::debug!("{} {uri}: {objects} objects, {bytes} bytes in {milliseconds:.3} ms", verb.name()),
        Some(error) => tracing::debug!("{} {uri}: failed in {milliseconds:.3} ms: {error}", verb.name()),
    }
    let Detail { uri, start, first_byte, thread } = detail;
    oplog::push(Row { verb, uri, objects, bytes, error, start, first_byte, took, thread });
}

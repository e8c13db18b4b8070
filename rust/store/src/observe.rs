//! What every operation reports: one span from its beginning to its end feeds the statistics and the operation log.

use std::time::Instant;

use s3dlio_runtime::stats;
pub use s3dlio_runtime::stats::Verb;

use crate::Uri;
use crate::error::Result;

/// One operation in progress.
#[derive(Debug)]
pub struct Span {
    verb: Verb,
    uri: Uri,
    began: Instant,
    first_byte: Option<Instant>,
    objects: u64,
}

/// Begins an operation about `uri`.
#[must_use]
pub fn begin(verb: Verb, uri: &Uri) -> Span {
    Span { verb, uri: uri.clone(), began: Instant::now(), first_byte: None, objects: 1 }
}

impl Span {
    /// Notes that the first byte of an answer is there.
    pub fn first_byte(&mut self) {
        self.first_byte.get_or_insert_with(Instant::now);
    }

    /// Says how many objects the operation was about, where it is not one.
    pub fn objects(&mut self, number: u64) {
        self.objects = number;
    }

    /// Ends the operation; `bytes` went over the wire or through the file system.
    pub fn end<T>(self, bytes: u64, result: &Result<T>) {
        let failed = result.is_err();
        stats::record(self.uri.scheme.name(), self.verb, self.began.elapsed(), bytes, failed);
    }
}

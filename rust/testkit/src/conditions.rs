//! Conditions on reading and writing, and byte ranges.

use std::ops::Range;

use chrono::{DateTime, Utc};

use crate::bucket::Stored;
use crate::refusal::Refusal;
use crate::request::{Protocol, Request};

fn names(list: &str, etag: &str) -> bool {
    list.split(',')
        .map(|tag| tag.trim().trim_start_matches("W/").trim_matches('"'))
        .any(|tag| tag == "*" || tag == etag)
}

fn date(request: &Request, name: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc2822(request.header(name)?).ok().map(|date| date.with_timezone(&Utc))
}

fn not_modified(object: &Stored) -> Refusal {
    Refusal::new(304, "NotModified", "").with("etag", format!("\"{}\"", object.etag))
}

/// Whether an object may be read, in the order of RFC 9110: a date counts only where no tag is given.
pub(crate) fn readable(request: &Request, object: &Stored) -> Result<(), Refusal> {
    match (request.header("if-match"), date(request, "if-unmodified-since")) {
        (Some(tags), _) if !names(tags, &object.etag) => return Err(Refusal::precondition("If-Match")),
        (None, Some(date)) if object.modified > date => return Err(Refusal::precondition("If-Unmodified-Since")),
        _ => {}
    }
    match (request.header("if-none-match"), date(request, "if-modified-since")) {
        (Some(tags), _) if names(tags, &object.etag) => Err(not_modified(object)),
        (None, Some(date)) if object.modified <= date => Err(not_modified(object)),
        _ => Ok(()),
    }
}

/// Whether the object of a copy may be read.
pub(crate) fn copyable(request: &Request, object: &Stored) -> Result<(), Refusal> {
    match request.own_header("copy-source-if-match") {
        Some(tags) if !names(tags, &object.etag) => Err(Refusal::precondition("copy-source-if-match")),
        _ => Ok(()),
    }
}

/// Whether an object may be written over what is there.
pub(crate) fn writable(request: &Request, there: Option<&Stored>) -> Result<(), Refusal> {
    let (absent, matching) = (request.header("if-none-match"), request.header("if-match"));
    match request.protocol {
        Protocol::S3 => s3_writable(&request.key, absent, matching, there),
        Protocol::Gcs if absent.or(matching).is_some() => {
            Err(Refusal::invalid_argument("writing is conditional on generations, not on tags"))
        }
        Protocol::Gcs => gcs_writable(request, there),
    }
}

fn s3_writable(key: &str, absent: Option<&str>, matching: Option<&str>, there: Option<&Stored>) -> Result<(), Refusal> {
    match (absent, matching, there) {
        (Some("*"), None, Some(_)) => Err(Refusal::precondition("If-None-Match")),
        (Some("*"), None, None) | (None, None, _) => Ok(()),
        (None, Some(_), None) => Err(Refusal::no_key(key)),
        (None, Some(tags), Some(object)) if !names(tags, &object.etag) => Err(Refusal::precondition("If-Match")),
        (None, Some(_), Some(_)) => Ok(()),
        _ => Err(Refusal::new(501, "NotImplemented", "If-None-Match with anything but *")),
    }
}

fn gcs_writable(request: &Request, there: Option<&Stored>) -> Result<(), Refusal> {
    let Some(wanted) = request.own_header("if-generation-match") else { return Ok(()) };
    let wanted: u64 = wanted
        .parse()
        .map_err(|_| Refusal::invalid_argument(format!("x-goog-if-generation-match: found {wanted:?}")))?;
    let found = there.map_or(0, |object| object.generation);
    if found == wanted { Ok(()) } else { Err(Refusal::precondition("x-goog-if-generation-match")) }
}

/// The bytes that a request asks for; nothing where it wants all. As HTTP has it, a range that is no single range of
/// bytes is as good as none.
pub(crate) fn range(text: Option<&str>, size: u64) -> Result<Option<Range<u64>>, Refusal> {
    let Some(text) = text else { return Ok(None) };
    let parsed = |text: &str| -> Option<(Option<u64>, Option<u64>)> {
        let (start, end) = text.strip_prefix("bytes=")?.split_once('-')?;
        let number = |text: &str| if text.is_empty() { Some(None) } else { text.parse().ok().map(Some) };
        Some((number(start)?, number(end)?))
    };
    let found = match parsed(text) {
        Some((Some(start), end)) if end.is_none_or(|end| start <= end) => {
            start..end.map_or(size, |end| size.min(end.saturating_add(1)))
        }
        Some((None, Some(last))) => size.saturating_sub(last)..size,
        _ => return Ok(None),
    };
    if found.start >= found.end {
        let refusal = Refusal::new(416, "InvalidRange", format!("{text} of {size} bytes"));
        return Err(refusal.with("content-range", format!("bytes */{size}")));
    }
    Ok(Some(found))
}

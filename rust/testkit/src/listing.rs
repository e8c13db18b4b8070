//! Pages of a listing.

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use crate::bucket::{Bucket, Stored};
use crate::refusal::Refusal;

/// Keys are fetched from a bucket so many at a time.
const STRIDE: usize = 1000;

/// Comes after every key that starts with the text before it.
const LAST: char = char::MAX;

/// What a page is asked to hold.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) prefix: &'a str,
    pub(crate) delimiter: Option<&'a str>,
    /// Only keys behind this one.
    pub(crate) after: Option<&'a str>,
    pub(crate) token: Option<&'a str>,
    /// Keys and common prefixes together.
    pub(crate) most: usize,
}

/// A page.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) objects: Vec<(String, Arc<Stored>)>,
    pub(crate) prefixes: Vec<String>,
    /// Where the next page starts; nothing after the last.
    pub(crate) next: Option<String>,
}

impl Page {
    fn full(&self, most: usize) -> bool {
        self.objects.len() + self.prefixes.len() >= most
    }
}

fn token(start: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(start)
}

fn start_of(token: &str) -> Result<String, Refusal> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).ok();
    let start = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    start.ok_or_else(|| Refusal::invalid_argument(format!("continuation-token: found {token:?}, which is not ours")))
}

/// The first key that a page may hold.
fn first(wanted: &Wanted<'_>) -> Result<String, Refusal> {
    if let Some(token) = wanted.token {
        return start_of(token);
    }
    // The shortest text behind another is that text and the least character.
    let after = wanted.after.map(|after| format!("{after}\0")).unwrap_or_default();
    Ok(after.max(wanted.prefix.to_owned()))
}

/// The part of a key up to the delimiter, where there is one behind the prefix.
fn common<'a>(key: &'a str, wanted: &Wanted<'_>) -> Option<&'a str> {
    let delimiter = wanted.delimiter.filter(|delimiter| !delimiter.is_empty())?;
    let at = key[wanted.prefix.len()..].find(delimiter)?;
    Some(&key[..wanted.prefix.len() + at + delimiter.len()])
}

pub(crate) fn page(bucket: &Bucket, wanted: &Wanted<'_>) -> Result<Page, Refusal> {
    let mut start = first(wanted)?;
    let mut page = Page::default();
    if wanted.most == 0 {
        return Ok(page);
    }
    'strides: loop {
        let entries = bucket.entries(&start, STRIDE);
        let whole = entries.len() == STRIDE;
        for (key, object) in entries {
            if !key.starts_with(wanted.prefix) {
                return Ok(page);
            }
            if page.full(wanted.most) {
                page.next = Some(token(&key));
                return Ok(page);
            }
            if let Some(prefix) = common(&key, wanted) {
                page.prefixes.push(prefix.to_owned());
                start = format!("{prefix}{LAST}");
                continue 'strides;
            }
            start = format!("{key}\0");
            page.objects.push((key, object));
        }
        if !whole {
            return Ok(page);
        }
    }
}

//! Objects whose names are counted up, so that nobody has to list or keep them.

use s3dlio_store::Uri;

use super::packing::Digest;
use crate::error::{LoaderError, Result};

/// Most objects of a template: beyond any data set, and small enough that no position overflows.
const MOST: u64 = 1 << 40;

/// Most digits that a number is filled up to.
const MOST_DIGITS: usize = 20;

/// Names with a number in them: `s3://bucket/train/img-{:06}.jpg`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
    root: String,
    before: String,
    digits: usize,
    after: String,
    start: u64,
    count: u64,
    size: Option<u64>,
    fingerprint: String,
}

impl Template {
    /// Reads a template with one `{}`, or `{:06}` for a number filled up with zeros to six digits, in its key; `{{` and
    /// `}}` stand for braces. The numbers are `start` and the `count - 1` that follow. `size` are the bytes of each
    /// object, where all have the same; nobody asks for it otherwise.
    ///
    /// # Errors
    /// [`LoaderError::Config`] for another template, no object, or more than 2^40; [`LoaderError::Store`] for a text that
    /// is no URI.
    pub fn parse(text: &str, start: u64, count: u64, size: Option<u64>) -> Result<Self> {
        let expected = "one {}, or {:06} for six digits, in the key (a brace is written {{ or }})";
        let wrong = || LoaderError::config("template", format!("{text:?}"), expected);
        if count == 0 || count > MOST || start > MOST {
            let found = format!("{count} from {start} on");
            return Err(LoaderError::config("count", found, format!("1 to {MOST} objects, from 0 to {MOST} on")));
        }
        let uri = Uri::parse(text)?;
        let (before, digits, after) = parts(&uri.key).ok_or_else(wrong)?;
        let mut template = Self {
            text: text.to_owned(),
            root: uri.root(),
            before,
            digits,
            after,
            start,
            count,
            size,
            fingerprint: String::new(),
        };
        // The folder is left out, so that a data set that was copied elsewhere still resumes.
        let folder = template.before.rfind('/').map_or(0, |slash| slash + 1);
        let mut digest = Digest::new([""].into_iter());
        let numbers = [start, count, digits as u64, size.unwrap_or(u64::MAX)];
        digest.add(&template.before[folder..], &numbers);
        digest.add(&template.after, &[]);
        template.fingerprint = digest.finish();
        Ok(template)
    }

    /// The template as it was given, the first number, how many there are, and the bytes of each object.
    #[must_use]
    pub fn parts(&self) -> (&str, u64, u64, Option<u64>) {
        (&self.text, self.start, self.count, self.size)
    }

    pub(super) fn root(&self) -> &str {
        &self.root
    }

    pub(super) fn len(&self) -> u64 {
        self.count
    }

    pub(super) fn size(&self) -> Option<u64> {
        self.size
    }

    pub(super) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The key of an object; `None` behind the end.
    #[must_use]
    pub fn key(&self, index: u64) -> Option<String> {
        let Self { before, digits, after, .. } = self;
        (index < self.count).then(|| format!("{before}{:0digits$}{after}", self.start + index))
    }
}

/// What is before the number, its digits, and what is behind it.
fn parts(key: &str) -> Option<(String, usize, String)> {
    let mut texts = vec![String::new()];
    let mut digits = 0;
    let mut rest = key.chars().peekable();
    while let Some(next) = rest.next() {
        match next {
            '{' | '}' if rest.next_if_eq(&next).is_some() => texts.last_mut()?.push(next),
            '{' => {
                let inner: String = rest.by_ref().take_while(|&c| c != '}').collect();
                digits = width(&inner)?;
                texts.push(String::new());
            }
            '}' => return None,
            other => texts.last_mut()?.push(other),
        }
    }
    let [before, after] = <[String; 2]>::try_from(texts).ok()?;
    Some((before, digits, after))
}

fn width(inner: &str) -> Option<usize> {
    if inner.is_empty() {
        return Some(0);
    }
    let digits = inner.strip_prefix(":0").filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    digits.parse().ok().filter(|width| (1..=MOST_DIGITS).contains(width))
}

//! Patterns that select keys below a listing base.

use globset::{GlobBuilder, GlobMatcher};
use regex::Regex;

use crate::error::{Result, StoreError};

/// A compiled pattern.
#[derive(Debug, Clone)]
pub enum Pattern {
    /// Matches the key relative to the base, or its last segment.
    Glob(GlobMatcher),
    /// Searched for, unanchored, in the key relative to the base.
    Regex(Regex),
}

impl Pattern {
    /// A shell pattern (`*`, `?`, `[...]`, `{a,b}`).
    ///
    /// # Errors
    /// [`StoreError::Config`] when the text is not one.
    pub fn glob(text: &str) -> Result<Self> {
        GlobBuilder::new(text)
            .literal_separator(false)
            .build()
            .map(|glob| Self::Glob(glob.compile_matcher()))
            .map_err(|source| bad(text, &source))
    }

    /// A regular expression.
    ///
    /// # Errors
    /// [`StoreError::Config`] when the text is not one.
    pub fn regex(text: &str) -> Result<Self> {
        Regex::new(text).map(Self::Regex).map_err(|source| bad(text, &source))
    }

    /// A glob where the text looks like one, else a regular expression.
    ///
    /// Listings have long taken regular expressions while their guides show globs: `*.npz` is no valid expression and
    /// `shard-?.npz` is hardly meant as one, whereas `\.npz$` and `a.*b` can only be expressions.
    ///
    /// # Errors
    /// [`StoreError::Config`] when the text is neither.
    pub fn detect(text: &str) -> Result<Self> {
        // No expression begins with `*`, whatever follows it.
        let regex_only =
            !text.starts_with('*') && (text.contains(['\\', '^', '$', '|', '(', ')', '+']) || text.contains(".*"));
        if text.contains(['*', '?', '[']) && !regex_only {
            return Self::glob(text);
        }
        // Braces alone stand for a choice in a glob and for a count in an expression, which must follow something.
        Self::regex(text).or_else(|error| if text.contains('{') { Self::glob(text) } else { Err(error) })
    }

    /// Whether the key, relative to the listing base, is selected.
    #[must_use]
    pub fn matches(&self, relative: &str) -> bool {
        match self {
            Self::Regex(regex) => regex.is_match(relative),
            Self::Glob(glob) => {
                glob.is_match(relative) || relative.rsplit('/').next().is_some_and(|name| glob.is_match(name))
            }
        }
    }
}

fn bad(text: &str, source: &dyn std::error::Error) -> StoreError {
    StoreError::Config {
        option: "pattern".into(),
        found: format!("{text:?}"),
        expected: format!("a glob or a regular expression ({source})"),
    }
}

/// Splits a key with a `*` into the directory before the first such segment and the pattern below it.
///
/// Only `*` makes a pattern of a URI: `?` and `[` are legal in keys and common in file names.
#[must_use]
pub fn split_glob(key: &str) -> Option<(&str, &str)> {
    let star = key.find('*')?;
    let base = key[..star].rfind('/').map_or(0, |slash| slash + 1);
    Some((&key[..base], &key[base..]))
}

//! Paths and shell patterns of local files.

use glob::{MatchOptions, Pattern};

use super::options::Depth;
use super::plan::Found;
use crate::error::{Result, StoreError};
use crate::local;

/// As a shell matches: `*` stays inside a directory and passes over hidden files.
const LIKE_A_SHELL: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// A pattern with the directory that was current when it was given.
#[derive(Debug, Clone)]
pub(super) struct Local {
    text: String,
    directory: std::path::PathBuf,
}

impl Local {
    pub fn new(text: &str) -> Result<Self> {
        let directory = std::env::current_dir().map_err(|source| StoreError::io(format!("file://{text}"), &source))?;
        if text.is_empty() {
            return Err(StoreError::InvalidUri { uri: String::new(), reason: "no path".into() });
        }
        Ok(Self { text: text.to_owned(), directory })
    }

    fn uri(&self) -> String {
        format!("file://{}", self.text)
    }

    fn failed(&self, source: &std::io::Error) -> StoreError {
        StoreError::io(self.uri(), source)
    }

    fn utf8(&self, path: &std::path::Path) -> Result<String> {
        path.to_str().map(str::to_owned).ok_or_else(|| StoreError::Unsupported {
            uri: self.uri(),
            detail: format!("file name is not UTF-8: {}", path.display()),
        })
    }

    /// The files, and whether the text names just one; a name that exists is never read as a pattern.
    pub fn find(&self, depth: Depth) -> Result<(Vec<Found>, bool)> {
        let path = self.utf8(&self.directory.join(&self.text))?;
        match std::fs::metadata(&path) {
            Ok(meta) if meta.is_dir() => return Ok((self.below(&path, "", depth)?, false)),
            Ok(meta) => return Ok((vec![file(&path, last(&path), &meta)], true)),
            Err(_) => {}
        }
        let mut found = Vec::new();
        for path in self.matches()? {
            let path = self.utf8(&path)?;
            let meta = std::fs::metadata(&path).map_err(|source| StoreError::io(format!("file://{path}"), &source))?;
            let name = last(&path);
            if !meta.is_dir() {
                if !local::is_temporary(name) {
                    found.push(file(&path, name, &meta));
                }
            } else if depth == Depth::All {
                found.extend(self.below(&path, &format!("{name}/"), depth)?);
            }
        }
        if found.is_empty() {
            let detail = if self.text.contains(['*', '?', '[']) { "nothing matches" } else { "no such file" };
            return Err(StoreError::NotFound { uri: self.uri(), detail: detail.into() });
        }
        Ok((found, false))
    }

    fn matches(&self) -> Result<Vec<std::path::PathBuf>> {
        let bad = |source: &dyn std::fmt::Display| StoreError::Config {
            option: "pattern".into(),
            found: format!("{:?}", self.text),
            expected: format!("a path or shell pattern ({source})"),
        };
        let text = if self.text.starts_with('/') {
            self.text.clone()
        } else {
            format!("{}/{}", Pattern::escape(&self.utf8(&self.directory)?), self.text)
        };
        let paths = glob::glob_with(&text, LIKE_A_SHELL).map_err(|source| bad(&source))?;
        paths.map(|path| path.map_err(|source| self.failed(source.error()))).collect()
    }

    fn below(&self, path: &str, prefix: &str, depth: Depth) -> Result<Vec<Found>> {
        if depth == Depth::Object {
            return Err(super::plan::is_directory(format!("file://{path}")));
        }
        let base = if path.ends_with('/') { path.to_owned() } else { format!("{path}/") };
        let found = if depth == Depth::All { local::walk(&base, true)? } else { local::directory(&base, true)? };
        let mut files: Vec<Found> = found
            .into_iter()
            .filter_map(|found| {
                let meta = found.meta?;
                Some(file(&format!("{base}{}", found.relative), &format!("{prefix}{}", found.relative), &meta))
            })
            .collect();
        files.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Ok(files)
    }
}

fn last(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or(path)
}

fn file(path: &str, relative: &str, meta: &std::fs::Metadata) -> Found {
    Found {
        key: path.to_owned(),
        relative: relative.to_owned(),
        size: meta.len(),
        modified: meta.modified().ok().map(Into::into),
    }
}

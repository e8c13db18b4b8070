//! URIs: what they mean, without asking any store.

use std::fmt;

use crate::error::{Result, StoreError};

/// The kinds of store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `file://`: local files.
    File,
    /// `memory://`: objects in this process, for tests and examples.
    Memory,
    /// `s3://`: Amazon S3 and servers that speak its protocol.
    S3,
}

impl Scheme {
    /// Names of all schemes, for messages.
    pub const NAMES: &'static str = "file://, memory://, s3://";

    fn parse(name: &str) -> Option<Self> {
        match name {
            "file" => Some(Self::File),
            "memory" => Some(Self::Memory),
            "s3" => Some(Self::S3),
            _ => None,
        }
    }

    /// The scheme as it stands in a URI, without `://`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Memory => "memory",
            Self::S3 => "s3",
        }
    }
}

/// A parsed URI.
///
/// Keys and paths are taken literally: no percent-decoding, so that what a listing returns can be read back.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Uri {
    /// The kind of store.
    pub scheme: Scheme,
    /// `host:port` of `s3://host:port/bucket/key`.
    pub endpoint: Option<String>,
    /// The bucket; empty for `file`.
    pub bucket: String,
    /// The key, or the path of a file.
    pub key: String,
}

impl Uri {
    /// Parses `scheme://...`.
    ///
    /// # Errors
    /// [`StoreError::InvalidUri`] for a text without a scheme, with an unknown one, or without a bucket.
    pub fn parse(text: &str) -> Result<Self> {
        let invalid = |reason: String| StoreError::InvalidUri { uri: text.to_owned(), reason };
        let (scheme, rest) = text.split_once("://").ok_or_else(|| {
            invalid(format!("no scheme: expected one of {} (for a local file write file:///path)", Scheme::NAMES))
        })?;
        let scheme = Scheme::parse(scheme)
            .ok_or_else(|| invalid(format!("unknown scheme {scheme:?}: expected one of {}", Scheme::NAMES)))?;
        if scheme == Scheme::File {
            if rest.is_empty() {
                return Err(invalid("no path".into()));
            }
            return Ok(Self { scheme, endpoint: None, bucket: String::new(), key: rest.to_owned() });
        }
        let (mut bucket, mut key) = rest.split_once('/').unwrap_or((rest, ""));
        let mut endpoint = None;
        if scheme == Scheme::S3 && bucket.contains(':') {
            endpoint = Some(bucket.to_owned());
            (bucket, key) = key.split_once('/').unwrap_or((key, ""));
        }
        if bucket.is_empty() {
            return Err(invalid("no bucket".into()));
        }
        Ok(Self { scheme, endpoint, bucket: bucket.to_owned(), key: key.to_owned() })
    }

    /// Parses what [`Uri::root`] returns; unlike a URI it may name no path.
    ///
    /// # Errors
    /// As [`Uri::parse`].
    pub fn parse_root(text: &str) -> Result<Self> {
        if text == "file://" {
            return Ok(Self { scheme: Scheme::File, endpoint: None, bucket: String::new(), key: String::new() });
        }
        Self::parse(text)
    }

    /// The same store with another key.
    #[must_use]
    pub fn with_key(&self, key: impl Into<String>) -> Self {
        Self { key: key.into(), ..self.clone() }
    }

    /// The text before the key: `root() + key` is the URI.
    #[must_use]
    pub fn root(&self) -> String {
        let scheme = self.scheme.name();
        match (&self.endpoint, self.scheme) {
            (_, Scheme::File) => format!("{scheme}://"),
            (Some(endpoint), _) => format!("{scheme}://{endpoint}/{}/", self.bucket),
            (None, _) => format!("{scheme}://{}/", self.bucket),
        }
    }

    /// Whether the URI names a directory by its trailing slash, or a whole bucket.
    #[must_use]
    pub fn is_directory(&self) -> bool {
        self.key.is_empty() || self.key.ends_with('/')
    }

    /// The key as the client of a network store wants it.
    ///
    /// # Errors
    /// [`StoreError::InvalidUri`] for keys that the client cannot address: empty, `.` or `..` segments, control
    /// characters.
    pub fn object_path(&self) -> Result<object_store::path::Path> {
        let invalid = |reason: String| StoreError::InvalidUri { uri: self.to_string(), reason };
        if self.key.starts_with('/') {
            return Err(invalid("the key begins with an empty segment".into()));
        }
        object_store::path::Path::parse(&self.key).map_err(|source| invalid(source.to_string()))
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.root(), self.key)
    }
}

//! URIs: what they mean, without asking any store.

use std::fmt;

use crate::error::{Result, StoreError};
use crate::settings;

/// The kinds of store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `file://`: local files.
    File,
    /// `direct://`: local files read and written past the page cache (`O_DIRECT`).
    Direct,
    /// `memory://`: objects in this process, for tests and examples.
    Memory,
    /// `s3://`: Amazon S3 and servers that speak its protocol.
    S3,
    /// `gs://` (also spelt `gcs://`): Google Cloud Storage.
    Gcs,
    /// `az://`: Azure Blob Storage.
    Azure,
}

impl Scheme {
    /// Names of all schemes, for messages.
    pub const NAMES: &'static str = "file://, direct://, memory://, s3://, gs://, az://";

    /// Every scheme.
    pub const ALL: [Self; 6] = [Self::File, Self::Direct, Self::Memory, Self::S3, Self::Gcs, Self::Azure];

    fn parse(name: &str) -> Option<Self> {
        match name {
            "file" => Some(Self::File),
            "direct" => Some(Self::Direct),
            "memory" => Some(Self::Memory),
            "s3" => Some(Self::S3),
            "gs" | "gcs" => Some(Self::Gcs),
            "az" => Some(Self::Azure),
            _ => None,
        }
    }

    /// The scheme as it stands in a URI, without `://`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Direct => "direct",
            Self::Memory => "memory",
            Self::S3 => "s3",
            Self::Gcs => "gs",
            Self::Azure => "az",
        }
    }

    /// Whether the URIs of this scheme are paths of the local file system.
    #[must_use]
    pub fn is_local(self) -> bool {
        matches!(self, Self::File | Self::Direct)
    }
}

/// A parsed URI.
///
/// Keys and paths are taken literally: no percent-decoding, so that what a listing returns can be read back.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Uri {
    /// The kind of store.
    pub scheme: Scheme,
    /// `host:port` of `s3://host:port/bucket/key`, or the account of `az://account/container/key`.
    pub authority: Option<String>,
    /// The bucket or container; empty for local files.
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
        if scheme.is_local() {
            if rest.is_empty() {
                return Err(invalid("no path".into()));
            }
            return Ok(Self { scheme, authority: None, bucket: String::new(), key: rest.to_owned() });
        }
        let (mut bucket, mut key) = rest.split_once('/').unwrap_or((rest, ""));
        let mut authority = None;
        let named = match scheme {
            Scheme::S3 => bucket.contains(':'),
            Scheme::Azure => names_account(bucket),
            _ => false,
        };
        if named {
            authority = Some(bucket.to_owned());
            (bucket, key) = key.split_once('/').unwrap_or((key, ""));
        }
        if bucket.is_empty() {
            return Err(invalid("no bucket".into()));
        }
        Ok(Self { scheme, authority, bucket: bucket.to_owned(), key: key.to_owned() })
    }

    /// Parses what [`Uri::root`] returns; unlike a URI it may name no path.
    ///
    /// # Errors
    /// As [`Uri::parse`].
    pub fn parse_root(text: &str) -> Result<Self> {
        match text.strip_suffix("://").and_then(Scheme::parse) {
            Some(scheme) if scheme.is_local() => {
                Ok(Self { scheme, authority: None, bucket: String::new(), key: String::new() })
            }
            _ => Self::parse(text),
        }
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
        match (&self.authority, self.scheme) {
            (_, Scheme::File | Scheme::Direct) => format!("{scheme}://"),
            (Some(authority), _) => format!("{scheme}://{authority}/{}/", self.bucket),
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
        if self.scheme == Scheme::Azure && self.key.contains('\\') {
            return Err(invalid("the key holds a backslash, which Azure turns into a slash".into()));
        }
        object_store::path::Path::parse(&self.key).map_err(|source| invalid(source.to_string()))
    }
}

/// Whether the first segment of an `az://` URI is an account: it is, unless the environment names another one and the
/// URI therefore begins with a container.
fn names_account(first: &str) -> bool {
    settings::azure_account().is_none_or(|account| account == first)
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.root(), self.key)
    }
}

//! What is copied and how, and what the caller learns about it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::error::{Result, StoreError};
use crate::pattern::Pattern;
use crate::{Scheme, Uri};

/// Something to copy.
#[derive(Debug, Clone)]
pub enum Source {
    /// An object, a directory (whose layout is kept) or a pattern with a `*` (layout kept from the directory before
    /// it).
    Uri(Uri),
    /// A path or shell pattern of local files. What a pattern matches goes by its last name, a directory given as a
    /// plain path keeps its layout.
    Local(String),
}

impl Source {
    /// A URI, or without `://` the path or pattern of local files.
    ///
    /// # Errors
    /// [`StoreError::InvalidUri`] for an unknown scheme.
    pub fn parse(text: &str) -> Result<Self> {
        if text.contains("://") { Uri::parse(text).map(Self::Uri) } else { Ok(Self::Local(text.to_owned())) }
    }
}

/// The URI of a destination: a URI, or without `://` a local path.
///
/// # Errors
/// [`StoreError::InvalidUri`] for an unknown scheme, an empty text, and for a path that begins like a mistyped URI
/// (`s3:/bucket`): it would quietly become a local directory.
pub fn destination(text: &str) -> Result<Uri> {
    if text.contains("://") {
        return Uri::parse(text);
    }
    let invalid = |reason: &str| StoreError::InvalidUri { uri: text.to_owned(), reason: reason.into() };
    if text.is_empty() {
        return Err(invalid("no path"));
    }
    if Scheme::ALL.iter().any(|scheme| text.strip_prefix(scheme.name()).is_some_and(|rest| rest.starts_with(':'))) {
        return Err(invalid("a scheme is followed by ://, and a local path of this name is written ./..."));
    }
    Ok(Uri { scheme: Scheme::File, authority: None, bucket: String::new(), key: text.to_owned() })
}

/// What a source that is a directory means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Depth {
    /// An error: only objects are copied.
    Object,
    /// The objects directly in it.
    Level,
    /// Everything below it.
    #[default]
    All,
}

/// What happens to objects that are already at the destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Existing {
    /// They are replaced.
    #[default]
    Replace,
    /// The transfer is an error, and nothing is written.
    Refuse,
}

/// How a transfer runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// What directories among the sources mean.
    pub depth: Depth,
    /// Selects by the path below a source, or by the last name of one object.
    pub pattern: Option<Pattern>,
    /// Objects copied at the same time; at least 1, default 32.
    pub in_flight: usize,
    /// Leaves alone what is at the destination with the same size and no older than its source. Times are compared to
    /// the second where the destination tells no more.
    pub resume: bool,
    /// What happens to objects that are at the destination and not left alone by `resume`.
    pub existing: Existing,
    /// Whether the destination is a directory even when a single object goes to a name without a trailing slash.
    pub into_directory: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            depth: Depth::default(),
            pattern: None,
            in_flight: 32,
            resume: false,
            existing: Existing::default(),
            into_directory: false,
        }
    }
}

/// How far a transfer is; any thread may look at it at any time.
#[derive(Debug, Default)]
pub struct Progress {
    objects: AtomicU64,
    objects_total: AtomicU64,
    bytes: AtomicU64,
    bytes_total: AtomicU64,
    skipped: AtomicU64,
}

impl Progress {
    /// Objects that are at the destination, those left alone included.
    #[must_use]
    pub fn objects(&self) -> u64 {
        self.objects.load(Ordering::Relaxed)
    }

    /// Objects of the whole transfer; 0 until the sources are listed.
    #[must_use]
    pub fn objects_total(&self) -> u64 {
        self.objects_total.load(Ordering::Relaxed)
    }

    /// Bytes that are at the destination, those left alone included.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Bytes of the whole transfer; 0 until the sources are listed.
    #[must_use]
    pub fn bytes_total(&self) -> u64 {
        self.bytes_total.load(Ordering::Relaxed)
    }

    /// Objects that were left alone.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }

    pub(super) fn planned(&self, objects: u64, bytes: u64) {
        self.objects_total.store(objects, Ordering::Relaxed);
        self.bytes_total.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn moved(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn copied(&self) {
        self.objects.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn left_alone(&self, bytes: u64) {
        self.moved(bytes);
        self.copied();
        self.skipped.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes a directory marker, which is no object, out of the count.
    pub(super) fn not_an_object(&self) {
        self.objects_total.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a transfer did.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Summary {
    /// Objects that were copied.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Objects that were left alone because they were already there.
    pub skipped: u64,
    /// Time from the first request to the last.
    pub took: Duration,
}

//! Local files as an object store, for the verbs that treat all stores alike.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, Error, GetOptions, GetRange, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions,
    RenameTargetMode, Result,
};

use super::read::Reader;
use super::temporary::Create;
use super::upload::Upload;
use super::{Mode, copy, directory, etag, is_temporary, walk, write};
use crate::error::StoreError;
use crate::work::on_pool;

/// Bytes of one item of a body: large beside the hop to the reading pool, small beside the memory of a process.
const CHUNK: u64 = 8 << 20;

/// Items of a body that are read ahead, so that reading and using them overlap.
const AHEAD: usize = 2;

/// Files that are removed at the same time.
const REMOVALS: usize = 8;

/// Files of this machine as an object store; all of its work runs on the reading pool.
///
/// A [`Path`] is the name of the file below the root as it is, with nothing encoded. Directories are made as needed and
/// never listed as objects; names under which writes are in progress are hidden. Links are followed. Attributes, tags
/// and versions do not exist here, and asking for them is an error.
#[derive(Debug, Clone)]
pub struct LocalStore {
    root: Arc<str>,
    mode: Mode,
}

impl LocalStore {
    /// All files: the path `a/b` is `/a/b`.
    #[must_use]
    pub fn new(mode: Mode) -> Self {
        Self { root: "".into(), mode }
    }

    /// The files below a directory.
    ///
    /// # Errors
    /// [`StoreError::Unsupported`] for a name that is not UTF-8.
    pub fn rooted(root: PathBuf, mode: Mode) -> crate::Result<Self> {
        let text = root.to_str().ok_or_else(|| StoreError::Unsupported {
            uri: format!("file://{}", root.display()),
            detail: "directory name is not UTF-8".into(),
        })?;
        Ok(Self { root: text.trim_end_matches('/').into(), mode })
    }

    fn directory(&self, prefix: Option<&Path>) -> String {
        match prefix.filter(|prefix| !prefix.is_root()) {
            Some(prefix) => format!("{}/{prefix}/", self.root),
            None => format!("{}/", self.root),
        }
    }

    fn file(&self, location: &Path) -> Result<String> {
        let path = format!("{}/{location}", self.root);
        if location.is_root() || is_temporary(&path) {
            let reason = if location.is_root() { "names no file" } else { "is kept for files that are being written" };
            return Err(failed(StoreError::InvalidUri { uri: self.mode.uri(&path), reason: reason.into() }));
        }
        Ok(path)
    }

    fn lacks(&self, operation: &str) -> Error {
        Error::NotImplemented { operation: operation.into(), implementer: self.to_string() }
    }

    fn found(&self, base: &str, found: super::Found) -> Result<Option<ObjectMeta>> {
        let Some(meta) = found.meta.filter(std::fs::Metadata::is_file) else { return Ok(None) };
        let location = self.location(&format!("{base}{}", found.relative))?;
        Ok(Some(object_meta(location, &meta)))
    }

    fn location(&self, path: &str) -> Result<Path> {
        Ok(Path::parse(path.strip_prefix(&*self.root).unwrap_or(path))?)
    }
}

impl fmt::Display for LocalStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LocalStore({})", self.mode.uri(&format!("{}/", self.root)))
    }
}

fn object_meta(location: Path, meta: &std::fs::Metadata) -> ObjectMeta {
    ObjectMeta {
        location,
        last_modified: meta.modified().map(Into::into).unwrap_or_default(),
        size: meta.len(),
        e_tag: Some(etag(meta)),
        version: None,
    }
}

/// The error of this crate as the trait has it; a directory is no object, so there is nothing of its name.
pub(super) fn failed(error: StoreError) -> Error {
    let path = error.uri().to_owned();
    match error {
        StoreError::NotFound { detail, .. } => Error::NotFound { path, source: detail.into() },
        StoreError::AlreadyExists { detail, .. } => Error::AlreadyExists { path, source: detail.into() },
        StoreError::PermissionDenied { detail, .. } => Error::PermissionDenied { path, source: detail.into() },
        StoreError::Precondition { detail, .. } => Error::Precondition { path, source: detail.into() },
        StoreError::Unsupported { detail, .. } if detail.starts_with("is a directory") => {
            Error::NotFound { path, source: detail.into() }
        }
        StoreError::Unsupported { .. } => Error::NotSupported { source: error.into() },
        other => Error::Generic { store: "file", source: other.into() },
    }
}

/// Runs a job of the trait's kind on the reading pool.
pub(super) async fn blocking<T: Send + 'static>(job: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    on_pool(move || Ok(job())).await.map_err(failed)?
}

fn span(range: Option<&GetRange>, size: u64) -> Result<Range<u64>> {
    let bad = |source| Error::Generic { store: "file", source };
    range.map_or(Ok(0..size), |range| range.as_range(size).map_err(|source| bad(Box::new(source))))
}

fn once(bytes: Bytes) -> BoxStream<'static, Result<Bytes>> {
    stream::once(async move { Ok(bytes) }).boxed()
}

fn body(reader: Reader<'static>, range: &Range<u64>) -> BoxStream<'static, Result<Bytes>> {
    let reader = Arc::new(reader);
    let end = range.end;
    let starts = (range.start..end).step_by(usize::try_from(CHUNK).unwrap_or(usize::MAX));
    let chunks = starts.map(move |start| {
        let reader = Arc::clone(&reader);
        blocking(move || reader.read(start, Some(CHUNK.min(end - start))).map_err(failed))
    });
    stream::iter(chunks).buffered(AHEAD).boxed()
}

#[async_trait]
impl ObjectStore for LocalStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        if !options.attributes.is_empty() || options.tags != Default::default() {
            return Err(self.lacks("attributes or tags of a file"));
        }
        let create = match options.mode {
            PutMode::Overwrite => Create::Overwrite,
            PutMode::Create => Create::New,
            PutMode::Update(version) => match (version.e_tag, version.version) {
                (Some(tag), None) => Create::Matching(tag),
                _ => return Err(self.lacks("an update without an entity tag, or of a version")),
            },
        };
        let (path, mode) = (self.file(location)?, self.mode);
        blocking(move || {
            let pieces: Vec<Bytes> = payload.into_iter().collect();
            let tag = write::write_pieces(&path, &pieces, mode, &create, |_| ()).map_err(failed)?;
            Ok(PutResult { e_tag: Some(tag), version: None, extensions: Default::default() })
        })
        .await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        if !options.attributes.is_empty() || options.tags != Default::default() {
            return Err(self.lacks("attributes or tags of a file"));
        }
        let (path, mode) = (self.file(location)?, self.mode);
        blocking(move || Ok(Box::new(Upload::begin(path, mode).map_err(failed)?) as Box<dyn MultipartUpload>)).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if options.version.is_some() {
            return Err(self.lacks("a version of a file"));
        }
        let (path, mode, location) = (self.file(location)?, self.mode, location.clone());
        blocking(move || {
            let reader = Reader::open(path, mode).map_err(failed)?;
            let mut meta = object_meta(location, &reader.metadata().map_err(failed)?);
            options.check_preconditions(&meta)?;
            let mut early = None;
            if meta.size == 0 && !options.head {
                // Files of /proc and the like say 0 and still have content.
                let bytes = reader.read(0, None).map_err(failed)?;
                meta.size = bytes.len() as u64;
                early = Some(bytes);
            }
            let range = if options.head { 0..0 } else { span(options.range.as_ref(), meta.size)? };
            let payload = match (early, range.end - range.start) {
                (_, 0) => stream::empty().boxed(),
                (Some(bytes), _) => {
                    let end = |at| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
                    once(bytes.slice(end(range.start)..end(range.end)))
                }
                // Read in this very job: a second hop would cost more than the read.
                (None, length) if length <= CHUNK => once(reader.read(range.start, Some(length)).map_err(failed)?),
                (None, _) => body(reader, &range),
            };
            let (attributes, extensions) = Default::default();
            Ok(GetResult { payload: GetResultPayload::Stream(payload), meta, range, attributes, extensions })
        })
        .await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let (path, mode, ranges) = (self.file(location)?, self.mode, ranges.to_vec());
        blocking(move || {
            let reader = Reader::open(path, mode).map_err(failed)?;
            let size = reader.metadata().map_err(failed)?.len();
            let read = |range| {
                let range = span(Some(&GetRange::Bounded(range)), size)?;
                reader.read(range.start, Some(range.end - range.start)).map_err(failed)
            };
            ranges.into_iter().map(read).collect()
        })
        .await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        let remove = move |location: Path| {
            let (path, mode) = (store.file(&location), store.mode);
            async move {
                let path = path?;
                blocking(move || {
                    // Unlike the verb, the trait may tell what was not there.
                    std::fs::remove_file(&path).map_err(|source| failed(StoreError::io(mode.uri(&path), &source)))
                })
                .await?;
                Ok(location)
            }
        };
        let removals = locations.map(move |location| {
            let removal = location.map(&remove);
            async move { removal?.await }
        });
        removals.buffered(REMOVALS).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (store, base) = (self.clone(), self.directory(prefix));
        let listed = blocking(move || {
            let found = walk(&base, true).map_err(failed)?;
            Ok(stream::iter(found.into_iter().filter_map(move |found| store.found(&base, found).transpose())))
        });
        stream::once(listed).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let (store, base) = (self.clone(), self.directory(prefix));
        blocking(move || {
            let (mut common_prefixes, mut objects) = (Vec::new(), Vec::new());
            for found in directory(&base, true).map_err(failed)? {
                match found.relative.strip_suffix('/') {
                    Some(name) => common_prefixes.push(store.location(&format!("{base}{name}"))?),
                    None => objects.extend(store.found(&base, found)?),
                }
            }
            common_prefixes.sort_unstable();
            objects.sort_unstable_by(|a, b| a.location.cmp(&b.location));
            Ok(ListResult { common_prefixes, objects, extensions: Default::default() })
        })
        .await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let (from, to) = (self.file(from)?, self.file(to)?);
        let create = match options.mode {
            CopyMode::Overwrite => Create::Overwrite,
            CopyMode::Create => Create::New,
        };
        blocking(move || copy::copy(&from, &to, &create, &mut |_| Ok(())).map(|_| ()).map_err(failed)).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let (from, to) = (self.file(from)?, self.file(to)?);
        let create = match options.target_mode {
            RenameTargetMode::Overwrite => Create::Overwrite,
            RenameTargetMode::Create => Create::New,
        };
        blocking(move || copy::rename(&from, &to, &create).map_err(failed)).await
    }
}

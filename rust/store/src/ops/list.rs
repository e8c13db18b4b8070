//! `list`: what is below a prefix, in pages.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures::StreamExt;
use futures::future::ready;
use futures::stream::{self, BoxStream};
use object_store::{ObjectMeta, ObjectStore};
use s3dlio_runtime::stats::{self, Counter};

use super::stat;
use crate::error::{Result, StoreError};
use crate::observe::{self, Span, Verb};
use crate::pattern::{self, Pattern};
use crate::registry::{self, Backend};
use crate::work::Work;
use crate::{Uri, local};

/// Entries of one page: what one request to an S3 server returns.
const PAGE: usize = 1000;

/// One listed object or directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Full key (or path); a directory ends in `/`.
    pub key: String,
    /// Bytes; `None` for directories and where sizes were not asked for.
    pub size: Option<u64>,
    /// Time of the last change, where the listing tells it.
    pub last_modified: Option<DateTime<Utc>>,
    /// Entity tag, where the listing tells it.
    pub etag: Option<String>,
}

/// What is listed.
#[derive(Debug, Clone, Default)]
pub struct ListOptions {
    /// Everything below, or one level with its directories.
    pub recursive: bool,
    /// Selects by the key relative to the base.
    pub pattern: Option<Pattern>,
    /// Whether sizes are needed: local files then cost one more system call each.
    pub sizes: bool,
}

/// A listing in progress; take page after page.
pub struct Lister {
    uri: Uri,
    base: String,
    patterns: Vec<Pattern>,
    store: Option<Arc<dyn ObjectStore>>,
    source: Source,
    empty: bool,
    span: Option<Span>,
    listed: u64,
}

enum Source {
    Files { recursive: bool, sizes: bool },
    Pages(BoxStream<'static, Result<Entry>>),
    Sorted(std::vec::IntoIter<Entry>),
    Level(Arc<dyn ObjectStore>),
}

/// Begins a listing below `uri`.
///
/// A directory is named with or without its trailing slash; a URI with a `*` lists its directory and selects by
/// what follows; the URI of one object lists that object. What does not exist lists as empty. Entries come in
/// ascending order of their keys' bytes where the store gives them so (S3 does) and always from local files.
///
/// # Errors
/// At once: a URI, pattern or settings that cannot work. From the pages: [`StoreError::NotFound`] for a bucket that
/// does not exist, and what else [`StoreError`] lists.
pub fn list(uri: &Uri, options: ListOptions) -> Result<Lister> {
    let backend = registry::open(uri)?;
    let (mut uri, mut options) = (uri.clone(), options);
    let mut patterns: Vec<Pattern> = options.pattern.take().into_iter().collect();
    if let Some((base, glob)) = pattern::split_glob(&uri.key) {
        patterns.push(Pattern::glob(glob)?);
        options.recursive |= glob.contains("**") || glob.contains('/');
        uri = uri.with_key(base);
    }
    let base = if uri.is_directory() { uri.key.clone() } else { format!("{}/", uri.key) };
    let (store, source) = match backend {
        Backend::Local(_) => (None, Source::Files { recursive: options.recursive, sizes: options.sizes }),
        Backend::Object(store) if options.recursive => {
            let pages = recursive(&store, &uri)?;
            (Some(store), Source::Pages(pages))
        }
        Backend::Object(store) => (Some(Arc::clone(&store)), Source::Level(store)),
    };
    let span = Some(observe::begin(Verb::List, &uri));
    Ok(Lister { uri, base, patterns, store, source, empty: true, span, listed: 0 })
}

fn recursive(store: &Arc<dyn ObjectStore>, uri: &Uri) -> Result<BoxStream<'static, Result<Entry>>> {
    let prefix = uri.object_path()?;
    let name = uri.to_string();
    let entries = store.list((!prefix.is_root()).then_some(&prefix));
    let marker = prefix.clone();
    Ok(entries
        // Some tools mark a directory by an empty object named like it, with a slash that the client cuts off.
        .filter(move |entry| ready(!entry.as_ref().is_ok_and(|meta| meta.location == marker)))
        .map(move |entry| entry.map(from_meta).map_err(|source| StoreError::object(name.clone(), source)))
        // The page behind the last one asks again, which the client's stream forbids.
        .fuse()
        .boxed())
}

fn from_meta(meta: ObjectMeta) -> Entry {
    Entry {
        key: meta.location.to_string(),
        size: Some(meta.size),
        last_modified: Some(meta.last_modified),
        etag: meta.e_tag,
    }
}

impl Lister {
    /// The next page, with the rest of the listing; `None` after the last.
    pub fn page(self) -> Work<Option<(Vec<Entry>, Self)>> {
        match self.source {
            Source::Sorted(_) => Work::here(move || self.local_page()),
            Source::Files { .. } => Work::pool(move || self.local_page()),
            Source::Pages(_) | Source::Level(_) => Work::network(self.network_page()),
        }
    }

    /// Reports the listing when it ends, and hands the page on.
    fn pass(mut self, page: Result<Vec<Entry>>) -> Result<Option<(Vec<Entry>, Self)>> {
        let number = page.as_ref().map_or(0, Vec::len);
        self.listed += number as u64;
        if number > 0 {
            return page.map(|page| Some((page, self)));
        }
        if let Some(mut span) = self.span.take() {
            span.objects(self.listed);
            span.end(0, &page);
        }
        page.map(|_| None)
    }

    fn local_page(mut self) -> Result<Option<(Vec<Entry>, Self)>> {
        let page = self.next_local();
        self.pass(page)
    }

    fn next_local(&mut self) -> Result<Vec<Entry>> {
        if let Source::Files { recursive, sizes } = self.source {
            let found = self.files(recursive, sizes)?;
            self.source = Source::Sorted(found.into_iter());
        }
        let Source::Sorted(entries) = &mut self.source else { return Ok(Vec::new()) };
        Ok(entries.by_ref().take(PAGE).collect())
    }

    fn files(&self, recursive: bool, sizes: bool) -> Result<Vec<Entry>> {
        stats::add(Counter::ListRequests, 1);
        let path = &self.uri.key;
        let is_file = !path.ends_with('/') && local::metadata(path).is_ok_and(|meta| !meta.is_dir());
        if is_file {
            let meta = local::metadata(path)?;
            return Ok(vec![file_entry(path.clone(), Some(&meta))]);
        }
        let found = if recursive { local::walk(&self.base, sizes)? } else { local::directory(&self.base, sizes)? };
        let mut entries: Vec<Entry> = found
            .into_iter()
            .filter(|found| self.chosen(&found.relative))
            .map(|found| file_entry(format!("{}{}", self.base, found.relative), found.meta.as_ref()))
            .collect();
        entries.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Ok(entries)
    }

    fn chosen(&self, relative: &str) -> bool {
        self.patterns.iter().all(|pattern| pattern.matches(relative))
    }

    /// Whether the patterns let a key pass.
    #[must_use]
    pub fn selects(&self, key: &str) -> bool {
        self.chosen(key.strip_prefix(&self.base).unwrap_or(key))
    }

    /// The directory that is listed; it ends in `/`, or is empty for a whole bucket.
    #[must_use]
    pub fn directory(&self) -> String {
        if self.uri.is_directory() { self.uri.key.clone() } else { format!("{}/", self.uri.key) }
    }

    /// A listing of this directory's own level, whatever the patterns say, by the same client; on any thread. `None` of
    /// local files. It counts as a part of this listing.
    #[must_use]
    pub fn level(&self) -> Option<Self> {
        let source = Source::Level(self.store.clone()?);
        Some(Self { patterns: Vec::new(), ..self.part(self.uri.with_key(self.directory()), source) })
    }

    /// A listing of everything below a directory of this one, by the same client and patterns; on any thread. It counts
    /// as a part of this listing.
    ///
    /// # Errors
    /// [`StoreError::Unsupported`] of local files; a key that the client cannot address.
    pub fn within(&self, directory: &str) -> Result<Self> {
        let uri = self.uri.with_key(directory);
        let Some(store) = &self.store else {
            let detail = "local directories are listed as a whole".into();
            return Err(StoreError::Unsupported { uri: uri.to_string(), detail });
        };
        let pages = recursive(store, &uri)?;
        Ok(self.part(uri, Source::Pages(pages)))
    }

    fn part(&self, uri: Uri, source: Source) -> Self {
        let (base, patterns, store) = (self.base.clone(), self.patterns.clone(), self.store.clone());
        Self { uri, base, patterns, store, source, empty: true, span: None, listed: 0 }
    }

    /// Reports a listing as complete whose rest was listed in parts; there are `objects` in all.
    pub fn complete(mut self, objects: u64) {
        if let Some(mut span) = self.span.take() {
            span.objects(objects);
            span.end(0, &Ok::<(), StoreError>(()));
        }
    }

    async fn network_page(mut self) -> Result<Option<(Vec<Entry>, Self)>> {
        let page = self.next_network().await;
        self.pass(page)
    }

    async fn next_network(&mut self) -> Result<Vec<Entry>> {
        if let Source::Level(store) = &self.source {
            let level = level(Arc::clone(store), self.uri.clone()).await?;
            self.source = Source::Pages(stream::iter(level.into_iter().map(Ok)).fuse().boxed());
        }
        let mut page = Vec::new();
        while page.len() < PAGE {
            let Source::Pages(entries) = &mut self.source else { break };
            let Some(entry) = entries.next().await else { break };
            let entry = entry?;
            if self.selects(&entry.key) {
                page.push(entry);
            }
        }
        stats::add(Counter::ListRequests, 1);
        if page.is_empty() && self.empty {
            if let Some(store) = self.store.clone().filter(|_| !self.uri.is_directory() && self.patterns.is_empty()) {
                page.extend(itself(store, self.uri.clone()).await?);
            }
            self.source = Source::Sorted(Vec::new().into_iter());
        }
        self.empty = false;
        Ok(page)
    }

    /// All remaining pages in one vector.
    pub fn all(self) -> Work<Vec<Entry>> {
        match self.source {
            Source::Files { .. } | Source::Sorted(_) => Work::pool(move || {
                let (mut all, mut rest) = (Vec::new(), Some(self));
                while let Some(lister) = rest.take() {
                    if let Some((page, next)) = lister.local_page()? {
                        all.extend(page);
                        rest = Some(next);
                    }
                }
                Ok(all)
            }),
            Source::Pages(_) | Source::Level(_) => Work::network(async move {
                let (mut all, mut rest) = (Vec::new(), Some(self));
                while let Some(lister) = rest.take() {
                    if let Some((page, next)) = lister.network_page().await? {
                        all.extend(page);
                        rest = Some(next);
                    }
                }
                Ok(all)
            }),
        }
    }
}

async fn level(store: Arc<dyn ObjectStore>, uri: Uri) -> Result<Vec<Entry>> {
    let prefix = uri.object_path()?;
    let listed = store
        .list_with_delimiter((!prefix.is_root()).then_some(&prefix))
        .await
        .map_err(|source| StoreError::object(uri.to_string(), source))?;
    let directory = |prefix| Entry { key: format!("{prefix}/"), size: None, last_modified: None, etag: None };
    let objects = listed.objects.into_iter().filter(|meta| meta.location != prefix);
    let directories = listed.common_prefixes.into_iter().map(directory);
    let mut entries: Vec<Entry> = directories.chain(objects.map(from_meta)).collect();
    entries.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    Ok(entries)
}

/// Nothing is below the URI: it may name one object.
async fn itself(store: Arc<dyn ObjectStore>, uri: Uri) -> Result<Option<Entry>> {
    match stat::head(&*store, &uri).await {
        Ok(stat) => Ok(Some(Entry {
            key: uri.key,
            size: Some(stat.size),
            last_modified: Some(stat.last_modified),
            etag: stat.etag,
        })),
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn file_entry(key: String, meta: Option<&std::fs::Metadata>) -> Entry {
    Entry {
        key,
        size: meta.map(std::fs::Metadata::len),
        last_modified: meta.and_then(|meta| meta.modified().ok()).map(DateTime::from),
        etag: meta.map(local::etag),
    }
}

impl std::fmt::Debug for Lister {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lister").field("uri", &self.uri.to_string()).finish_non_exhaustive()
    }
}

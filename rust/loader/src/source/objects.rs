//! One object is one record.

use std::sync::Arc;

use bytes::Bytes;
use s3dlio_store::ops::{self, GetOptions, ListOptions};
use s3dlio_store::pattern::Pattern;
use s3dlio_store::registry::{self, Backend};
use s3dlio_store::{StoreError, Uri, Work};

use super::{Access, ObjectTable, RecordReader, RecordSource};
use crate::error::{LoaderError, Result};

/// Which objects a data set consists of.
#[derive(Debug, Clone)]
pub enum Selection {
    /// Everything below a prefix (or the one object it names), narrowed by a pattern; in ascending order of keys.
    Prefix {
        /// `s3://bucket/train/`, `file:///data/train`, or with a `*` in it.
        uri: String,
        /// A glob on the key below the prefix, or on its last segment.
        pattern: Option<String>,
    },
    /// These objects in this order.
    Uris(Vec<String>),
}

/// A data set whose records are whole objects.
#[derive(Debug, Clone)]
pub struct ObjectSource {
    table: Arc<ObjectTable>,
    roots: Vec<Uri>,
    fingerprint: String,
    get: GetOptions,
}

impl ObjectSource {
    /// Finds the objects of a data set; a listing runs when the work does.
    ///
    /// # Errors
    /// At once: URIs, patterns or settings that cannot work. From the work: [`StoreError::NotFound`] when nothing is
    /// found, naming the URI, and what a listing can raise.
    pub fn discover(selection: Selection) -> Result<Work<ObjectTable>> {
        match selection {
            Selection::Prefix { uri, pattern } => discover_prefix(&uri, pattern.as_deref()),
            Selection::Uris(uris) if uris.is_empty() => {
                Err(LoaderError::config("uris", "an empty list", "at least one URI"))
            }
            Selection::Uris(uris) => {
                let uris = uris.iter().map(|uri| Uri::parse(uri)).collect::<s3dlio_store::Result<Vec<_>>>()?;
                Ok(Work::pool(move || Ok(named(&uris))))
            }
        }
    }

    /// A source over the objects of a table.
    ///
    /// # Errors
    /// [`StoreError::InvalidUri`] for a table whose roots are no URIs.
    pub fn new(table: ObjectTable, get: GetOptions) -> Result<Self> {
        let roots = table.roots().iter().map(|root| Uri::parse_root(root)).collect::<s3dlio_store::Result<_>>()?;
        Ok(Self { fingerprint: table.fingerprint(), table: Arc::new(table), roots, get })
    }

    /// The objects.
    #[must_use]
    pub fn table(&self) -> &ObjectTable {
        &self.table
    }

    /// Reads some records, `in_flight` at a time; results in the order of `indices`.
    ///
    /// # Errors
    /// As [`ops::get_many`].
    pub fn read(&self, indices: &[u64], in_flight: usize) -> Result<Work<Vec<Bytes>>> {
        let uris = indices.iter().map(|&index| self.uri(index));
        Ok(ops::get_many(uris.collect::<s3dlio_store::Result<_>>()?, in_flight, self.get)?)
    }

    fn uri(&self, index: u64) -> s3dlio_store::Result<Uri> {
        uri(&self.table, &self.roots, index)
    }
}

fn uri(table: &ObjectTable, roots: &[Uri], index: u64) -> s3dlio_store::Result<Uri> {
    let place = table.place(to_usize(index));
    place.and_then(|(root, key)| Some(roots.get(root)?.with_key(key))).ok_or_else(|| StoreError::InvalidUri {
        uri: format!("record {index}"),
        reason: format!("the data set has {} records", table.len()),
    })
}

/// Sizes of local files are looked up, at a microsecond each, so that the memory budget knows them; a file that is
/// missing is an error when it is read, where `on_error` holds.
fn named(uris: &[Uri]) -> ObjectTable {
    let mut table = ObjectTable::default();
    for uri in uris {
        let meta = (uri.scheme.is_local()).then(|| s3dlio_store::local::metadata(&uri.key).ok()).flatten();
        table.push(&uri.root(), &uri.key, meta.map(|meta| meta.len()));
    }
    table
}

fn discover_prefix(text: &str, pattern: Option<&str>) -> Result<Work<ObjectTable>> {
    let uri = Uri::parse(text)?;
    let pattern = pattern.map(Pattern::glob).transpose()?;
    let selected = pattern.as_ref().map_or_else(String::new, |_| " that matches the pattern".into());
    let lister = ops::list(&uri, ListOptions { recursive: true, pattern, sizes: true })?;
    let (root, text) = (uri.root(), text.to_owned());
    let missing = move || missing(&uri, &text, &selected);
    let collect = move |mut entries: Vec<ops::Entry>| {
        let mut table = ObjectTable::default();
        entries.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        for entry in entries.iter().filter(|entry| !is_marker(entry, &entries)) {
            table.push(&root, &entry.key, entry.size);
        }
        if table.is_empty() { Err(missing()) } else { Ok(table) }
    };
    Ok(lister.all().and_then(collect))
}

/// Whether an entry is the empty object by which other tools mark a directory. Its key ends in a slash, which the
/// client cuts off, so that it looks like an object with others below it; reading it would give "not found".
fn is_marker(entry: &ops::Entry, sorted: &[ops::Entry]) -> bool {
    if entry.size != Some(0) {
        return false;
    }
    let below = format!("{}/", entry.key);
    sorted.get(sorted.partition_point(|other| other.key < below)).is_some_and(|next| next.key.starts_with(&below))
}

fn missing(uri: &Uri, text: &str, selected: &str) -> StoreError {
    let absent = uri.scheme.is_local()
        && !text.contains('*')
        && matches!(s3dlio_store::local::metadata(&uri.key), Err(StoreError::NotFound { .. }));
    let detail = if absent {
        "Path does not exist".to_owned()
    } else {
        format!("the data set is empty: no object below this prefix{selected}")
    };
    StoreError::NotFound { uri: text.to_owned(), detail }
}

fn to_usize(index: u64) -> usize {
    usize::try_from(index).unwrap_or(usize::MAX)
}

impl RecordSource for ObjectSource {
    fn len(&self) -> u64 {
        self.table.len() as u64
    }

    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    fn name(&self, index: u64) -> String {
        self.table
            .entry(to_usize(index))
            .map_or_else(|| format!("record {index}"), |(root, key)| format!("{root}{key}"))
    }

    fn bytes(&self, index: u64) -> Option<u64> {
        self.table.size(to_usize(index))
    }

    fn objects(&self, indices: &[u64], in_flight: usize) -> Option<Result<Work<Vec<Bytes>>>> {
        Some(self.read(indices, in_flight))
    }

    fn reader(&self) -> s3dlio_store::Result<Box<dyn RecordReader>> {
        let backends = self.roots.iter().map(registry::open).collect::<s3dlio_store::Result<_>>()?;
        let (table, roots) = (Arc::clone(&self.table), self.roots.clone());
        Ok(Box::new(ObjectReader { table, roots, backends, get: self.get }))
    }
}

struct ObjectReader {
    table: Arc<ObjectTable>,
    roots: Vec<Uri>,
    backends: Vec<Backend>,
    get: GetOptions,
}

impl RecordReader for ObjectReader {
    fn access(&self, index: u64) -> s3dlio_store::Result<Access> {
        let uri = uri(&self.table, &self.roots, index)?;
        let root = self.table.place(to_usize(index)).map_or(0, |(root, _)| root);
        match &self.backends[root] {
            Backend::Local(mode) => Ok(Access::File(uri.key, *mode)),
            Backend::Object(store) => {
                let (store, get) = (Arc::clone(store), self.get);
                let size = self.table.size(to_usize(index));
                Ok(Access::Network(Box::pin(async move { ops::fetch(&store, &uri, GetOptions { size, ..get }).await })))
            }
        }
    }
}

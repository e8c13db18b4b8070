//! One object is one record.

use std::sync::Arc;

use bytes::Bytes;
use s3dlio_store::ops::{self, GetOptions};
use s3dlio_store::registry::{self, Backend};
use s3dlio_store::{StoreError, Uri, Work};

use super::{Access, Names, RecordReader, RecordSource};
use crate::error::Result;

/// A data set whose records are whole objects.
#[derive(Debug, Clone)]
pub struct ObjectSource {
    names: Arc<Names>,
    roots: Vec<Uri>,
    fingerprint: String,
    get: GetOptions,
}

impl ObjectSource {
    /// A source over the objects of a table, or of a template.
    ///
    /// # Errors
    /// [`StoreError::InvalidUri`] for a table whose roots are no URIs.
    pub fn new(names: impl Into<Names>, get: GetOptions) -> Result<Self> {
        let names = names.into();
        let roots = names.roots().into_iter().map(Uri::parse_root).collect::<s3dlio_store::Result<_>>()?;
        Ok(Self { fingerprint: names.fingerprint(), names: Arc::new(names), roots, get })
    }

    /// The objects.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.names
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
        Ok(uri(&self.names, &self.roots, index)?.1)
    }
}

/// The number of an object's root, and its URI.
fn uri(names: &Names, roots: &[Uri], index: u64) -> s3dlio_store::Result<(usize, Uri)> {
    let place = names.place(index);
    place.and_then(|(root, key)| Some((root, roots.get(root)?.with_key(key)))).ok_or_else(|| StoreError::InvalidUri {
        uri: format!("record {index}"),
        reason: format!("the data set has {} records", names.len()),
    })
}

impl RecordSource for ObjectSource {
    fn len(&self) -> u64 {
        self.names.len()
    }

    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    fn name(&self, index: u64) -> String {
        self.uri(index).map_or_else(|_| format!("record {index}"), |uri| uri.to_string())
    }

    fn bytes(&self, index: u64) -> Option<u64> {
        self.names.size(index)
    }

    fn objects(&self, indices: &[u64], in_flight: usize) -> Option<Result<Work<Vec<Bytes>>>> {
        Some(self.read(indices, in_flight))
    }

    fn reader(&self) -> s3dlio_store::Result<Box<dyn RecordReader>> {
        let backends = self.roots.iter().map(registry::open).collect::<s3dlio_store::Result<_>>()?;
        let (names, roots) = (Arc::clone(&self.names), self.roots.clone());
        Ok(Box::new(ObjectReader { names, roots, backends, get: self.get }))
    }
}

struct ObjectReader {
    names: Arc<Names>,
    roots: Vec<Uri>,
    backends: Vec<Backend>,
    get: GetOptions,
}

impl RecordReader for ObjectReader {
    fn access(&self, index: u64) -> s3dlio_store::Result<Access> {
        let (root, uri) = uri(&self.names, &self.roots, index)?;
        match &self.backends[root] {
            Backend::Local(mode) => Ok(Access::File(uri.key, *mode)),
            Backend::Object(store) => {
                let (store, get) = (Arc::clone(store), self.get);
                let size = self.names.size(index);
                Ok(Access::Network(Box::pin(async move { ops::fetch(&store, &uri, GetOptions { size, ..get }).await })))
            }
        }
    }
}

//! Finding the objects of a data set: by a listing, by name, from a manifest, or from the index of an earlier run.

mod index;
mod listing;
mod manifest;

use s3dlio_store::local;
use s3dlio_store::{Uri, Work};

use super::ObjectTable;
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
        /// Where what was found is kept, and looked for before anything is listed.
        index: Option<String>,
    },
    /// These objects in this order.
    Uris(Vec<String>),
    /// The objects that a text names, one in each line, in its order.
    Manifest(String),
}

impl Selection {
    /// Everything below a prefix.
    #[must_use]
    pub fn below(uri: impl Into<String>) -> Self {
        Self::Prefix { uri: uri.into(), pattern: None, index: None }
    }
}

/// Finds the objects of a data set; a listing runs when the work does.
///
/// # Errors
/// At once: URIs, patterns or settings that cannot work. From the work: [`StoreError::NotFound`] when nothing is
/// found, naming the URI, [`StoreError::Corrupt`] for a manifest that is none, naming the line, and what a listing can
/// raise.
///
/// [`StoreError::NotFound`]: s3dlio_store::StoreError::NotFound
/// [`StoreError::Corrupt`]: s3dlio_store::StoreError::Corrupt
pub fn discover(selection: Selection) -> Result<Work<ObjectTable>> {
    match selection {
        Selection::Prefix { uri, pattern, index: None } => Ok(Work::network(listing::below(&uri, pattern.as_deref())?)),
        Selection::Prefix { uri, pattern, index: Some(place) } => index::below(&uri, pattern.as_deref(), &place),
        Selection::Manifest(uri) => manifest::read(&Uri::parse(&uri)?),
        Selection::Uris(uris) => {
            let mut named = Named::default();
            uris.iter().try_for_each(|uri| named.push(uri))?;
            named.finish()
        }
    }
}

/// Objects that are named one by one, in this order.
#[derive(Debug, Default)]
pub struct Named(ObjectTable);

impl Named {
    /// Adds an object.
    ///
    /// # Errors
    /// [`StoreError::InvalidUri`](s3dlio_store::StoreError::InvalidUri) for a text that is no URI.
    pub fn push(&mut self, uri: &str) -> Result<()> {
        let uri = Uri::parse(uri)?;
        self.0.push(&uri.root(), &uri.key, None);
        Ok(())
    }

    /// The table of the objects.
    ///
    /// # Errors
    /// [`LoaderError::Config`] where there is none.
    pub fn finish(self) -> Result<Work<ObjectTable>> {
        if self.0.is_empty() {
            return Err(LoaderError::config("uris", "an empty list", "at least one URI"));
        }
        Ok(Work::pool(move || Ok(measured(self.0))))
    }
}

/// Looks up the sizes of local files, at a microsecond each, so that the memory budget knows them; a file that is missing
/// is an error when it is read, where `on_error` holds.
fn measured(mut table: ObjectTable) -> ObjectTable {
    let is_local = |root: &str| Uri::parse_root(root).is_ok_and(|root| root.scheme.is_local());
    if table.roots().iter().any(|root| is_local(root)) {
        table.fill_sizes(|root, key| is_local(root).then(|| local::metadata(key).ok())?.map(|meta| meta.len()));
    }
    table
}

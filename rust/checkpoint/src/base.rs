//! The place of a checkpoint in a store, opened once: protocols of several steps read the environment only here.

use std::time::Duration;

use bytes::Bytes;
use s3dlio_store::local::Create;
use s3dlio_store::ops::{self, Entry, ListOptions, Lister, within};
use s3dlio_store::registry::{self, Backend};
use s3dlio_store::{StoreError, Uri};

use crate::error::Result;

/// Milliseconds between a refusal that left nothing behind and the next try: together longer than a small write takes.
const CONFLICT_PAUSES: [u64; 5] = [50, 100, 200, 400, 800];

/// A directory of a store.
#[derive(Debug, Clone)]
pub struct Base {
    uri: Uri,
    backend: Backend,
}

impl Base {
    /// Opens a directory, named with or without its slash; on the calling thread.
    ///
    /// # Errors
    /// A URI or settings that cannot work.
    pub fn open(uri: &Uri) -> Result<Self> {
        let backend = registry::open(uri)?;
        let mut uri = uri.clone();
        if !uri.key.is_empty() && !uri.key.ends_with('/') {
            uri.key.push('/');
        }
        Ok(Self { uri, backend })
    }

    /// The directory, with its slash.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The store.
    #[must_use]
    pub fn backend(&self) -> &Backend {
        &self.backend
    }

    /// An object of the directory.
    #[must_use]
    pub fn at(&self, key: &str) -> Uri {
        self.uri.with_key(format!("{}{key}", self.uri.key))
    }

    pub(crate) async fn get(&self, key: &str, most: u64) -> Result<(Bytes, Option<String>)> {
        Ok(within::read_small(&self.backend, &self.at(key), most).await?)
    }

    /// As [`get`](Self::get); `None` where there is nothing.
    pub(crate) async fn find(&self, key: &str, most: u64) -> Result<Option<(Bytes, Option<String>)>> {
        match within::read_small(&self.backend, &self.at(key), most).await {
            Ok(found) => Ok(Some(found)),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) async fn put(&self, key: &str, content: Vec<u8>, condition: Create) -> Result<Option<String>> {
        Ok(within::put_pieces(&self.backend, &self.at(key), vec![content.into()], condition).await?)
    }

    /// Writes an object that must not be there.
    ///
    /// S3 refuses a write (409) while another one of the same name is under way, whether that one succeeds or not: where
    /// nothing is found after a refusal, the write is tried again. In a store without conditional writes it looks first,
    /// which is safe as long as nobody else writes the same name.
    pub(crate) async fn create(&self, key: &str, content: Vec<u8>) -> std::result::Result<Option<String>, StoreError> {
        let uri = self.at(key);
        let content = Bytes::from(content);
        let mut pauses = CONFLICT_PAUSES.into_iter();
        loop {
            let refusal = match within::put_pieces(&self.backend, &uri, vec![content.clone()], Create::New).await {
                Err(StoreError::Unsupported { detail, .. }) => {
                    tracing::warn!(%uri, detail, "no conditional writes: safe with a single writer only");
                    return self.look_and_create(&uri, content).await;
                }
                Err(refusal @ StoreError::AlreadyExists { .. }) => refusal,
                written => return written,
            };
            let Some(pause) = pauses.next() else { return Err(refusal) };
            match within::look(&self.backend, &uri).await {
                Err(StoreError::NotFound { .. }) => tokio::time::sleep(Duration::from_millis(pause)).await,
                _ => return Err(refusal),
            }
        }
    }

    async fn look_and_create(&self, uri: &Uri, content: Bytes) -> std::result::Result<Option<String>, StoreError> {
        match within::look(&self.backend, uri).await {
            Ok(_) => Err(StoreError::AlreadyExists { uri: uri.to_string(), detail: "found it there".into() }),
            Err(StoreError::NotFound { .. }) => {
                within::put_pieces(&self.backend, uri, vec![content], Create::Overwrite).await
            }
            Err(error) => Err(error),
        }
    }

    pub(crate) async fn remove(&self, key: &str) -> Result<()> {
        Ok(within::remove(&self.backend, &self.at(key)).await?)
    }

    /// Begins a listing below the directory; on the calling thread.
    pub(crate) fn list(&self, directory: &str, recursive: bool) -> Result<Lister> {
        Ok(ops::list(&self.at(directory), ListOptions { recursive, pattern: None, sizes: true })?)
    }

    /// The key of an entry, relative to the directory.
    pub(crate) fn relative<'a>(&self, entry: &'a Entry) -> Option<&'a str> {
        entry.key.strip_prefix(&self.uri.key)
    }
}

/// All entries of a listing; none for a directory that does not exist.
pub(crate) async fn entries(lister: Lister) -> Result<Vec<Entry>> {
    let mut found = Vec::new();
    let mut next = Some(lister);
    while let Some(lister) = next.take() {
        match lister.page().into_future().await {
            Ok(Some((page, rest))) => {
                found.extend(page);
                next = Some(rest);
            }
            Ok(None) => {}
            // A bucket that is missing is an error of its own; a directory that is missing has no entries.
            Err(error) => return Err(error.into()),
        }
    }
    Ok(found)
}

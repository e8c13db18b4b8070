//! Looking at what was written, for those who want more than the store's word.

use super::within::look;
use crate::Uri;
use crate::error::{Result, StoreError};
use crate::registry::Backend;
use crate::work::Work;

/// Has the work of a write look at the object of `length` bytes once it is written: length and, where both are told, entity
/// tag. The object stays as it is whatever is found.
///
/// # Errors
/// From the work: [`StoreError::Length`] and [`StoreError::Corrupt`] for another object than was written, and what a
/// [`stat`](super::stat()) can raise.
pub(super) fn verified(
    work: Work<Option<String>>,
    backend: Backend,
    uri: Uri,
    length: Option<u64>,
) -> Work<Option<String>> {
    let work = work.into_future();
    Work::network(async move {
        let etag = work.await?;
        compare(&backend, &uri, length, etag.as_deref()).await?;
        Ok(etag)
    })
}

/// Compares the object with what was written.
///
/// # Errors
/// As the work of [`verified`].
pub async fn compare(backend: &Backend, uri: &Uri, length: Option<u64>, etag: Option<&str>) -> Result<()> {
    let found = look(backend, uri).await?;
    if let Some(expected) = length.filter(|&expected| expected != found.size) {
        return Err(StoreError::Length { uri: uri.to_string(), found: found.size, expected });
    }
    match (etag, found.etag.as_deref()) {
        (Some(written), Some(stored)) if written != stored => {
            let detail = format!("after the write found the entity tag {stored}, expected {written}");
            Err(StoreError::Corrupt { uri: uri.to_string(), detail })
        }
        _ => Ok(()),
    }
}

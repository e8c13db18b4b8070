//! Buckets, containers and directories themselves.

use crate::error::{Result, StoreError};
use crate::observe::{self, Verb};
use crate::uri::Scheme;
use crate::work::Work;
use crate::{Uri, bucket, local};

/// Makes a bucket or container, or for local URIs a directory and those above it. One that is there already, and belongs
/// to the caller, is no error; a key behind the bucket is passed over.
///
/// # Errors
/// At once: settings that cannot work. From the work: what [`StoreError`] lists.
pub fn create_bucket(uri: &Uri) -> Result<Work<()>> {
    let work = match uri.scheme {
        Scheme::File | Scheme::Direct => directory(uri),
        Scheme::Memory => Work::here(|| Ok(())),
        Scheme::S3 | Scheme::Gcs | Scheme::Azure => bucket::create(&uri.with_key(""))?,
    };
    Ok(watched(Verb::CreateContainer, uri, work, |result| match result {
        Err(StoreError::AlreadyExists { detail, .. }) if owned(&detail) => Ok(()),
        other => other,
    }))
}

/// Whether a refusal says that the bucket is there and the caller's own. Google's has one code for own buckets and those
/// of others, and names them in its text.
fn owned(detail: &str) -> bool {
    ["BucketAlreadyOwnedByYou", "ContainerAlreadyExists", "already own"].iter().any(|said| detail.contains(said))
}

/// Removes a bucket or container, or for local URIs an empty directory.
///
/// # Errors
/// At once: settings that cannot work. From the work: [`StoreError::NotFound`], [`StoreError::Precondition`] where
/// something is still in it (Azure removes that as well), and what else [`StoreError`] lists.
pub fn delete_bucket(uri: &Uri) -> Result<Work<()>> {
    let path = uri.key.clone();
    let work = match uri.scheme {
        Scheme::File | Scheme::Direct => Work::here(move || local::remove_directory(&path)),
        Scheme::Memory => Work::here(|| Ok(())),
        Scheme::S3 | Scheme::Gcs | Scheme::Azure => bucket::delete(&uri.with_key(""))?,
    };
    Ok(watched(Verb::DeleteContainer, uri, work, |result| result))
}

/// Makes a local directory and those above it; network stores have none, so there nothing is done.
///
/// # Errors
/// From the work: [`StoreError::AlreadyExists`] where a file has the name, and what else [`StoreError`] lists.
pub fn make_directory(uri: &Uri) -> Work<()> {
    if !uri.scheme.is_local() {
        return Work::here(|| Ok(()));
    }
    watched(Verb::CreateContainer, uri, directory(uri), |result| result)
}

fn directory(uri: &Uri) -> Work<()> {
    let path = uri.key.clone();
    Work::here(move || local::make_directory(&path))
}

fn watched(
    verb: Verb,
    uri: &Uri,
    work: Work<()>,
    judge: impl FnOnce(Result<()>) -> Result<()> + Send + 'static,
) -> Work<()> {
    let uri = uri.clone();
    let work = work.into_future();
    Work::network(async move {
        let span = observe::begin(verb, &uri);
        let result = judge(work.await);
        span.end(0, &result);
        result
    })
}

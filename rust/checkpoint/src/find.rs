//! Opening whatever lies at a URI.

use s3dlio_store::ops::within;
use s3dlio_store::{StoreError, Uri, Work, registry};

use crate::commit::is_missing;
use crate::error::Result;
use crate::open::{self, Checkpoint};
use crate::{seed, task};

/// Opens a single object, a step of a manager (the newest, or the one that is asked for), or shards beside each other,
/// whichever is there.
///
/// # Errors
/// At once: a URI or settings that cannot work. From the work: `NotFound` where there is none of them, and those of
/// [`open`].
pub fn find(uri: &Uri, step: Option<u64>) -> Result<Work<Result<Checkpoint>>> {
    let backend = registry::open(uri)?;
    let object = (step.is_none() && !uri.is_directory()).then(|| open::open_object(uri)).transpose()?;
    let managed = open::open_step(uri, step)?;
    let beside = step.is_none().then(|| seed::open(uri)).transpose()?;
    let uri = uri.clone();
    Ok(task::work(async move {
        if let Some(object) = object {
            match within::look(&backend, &uri).await {
                Ok(_) => return object.into_future().await?,
                // A directory, or no object of this very name.
                Err(StoreError::NotFound { .. } | StoreError::Unsupported { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let missing = match managed.into_future().await? {
            Err(error) if is_missing(&error) => error,
            found => return found,
        };
        let Some(beside) = beside else { return Err(missing) };
        match beside.into_future().await? {
            Err(error) if is_missing(&error) => Err(missing),
            found => found,
        }
    }))
}

//! Reading archives and NPY files in one go.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use s3dlio_formats::npz::Limits;
use s3dlio_formats::{Array, npy};
use s3dlio_store::local::{Arena, Mode};
use s3dlio_store::ops::{self, GetOptions};
use s3dlio_store::registry::{Backend, Opener};
use s3dlio_store::work::Step;
use s3dlio_store::{StoreError, Uri, Work, registry};

use super::archive::Archive;
use super::{Arrays, decode, wrong};
use crate::Result;
use crate::error::RecordError;
use crate::jobs::{self, Stop};

/// Reads all arrays of an archive.
///
/// # Errors
/// At once: a URI or settings that cannot work. From the work: what [`StoreError`](s3dlio_store::StoreError) lists. As its
/// result: [`RecordError::Format`] for an archive that is damaged or not supported.
pub fn read(uri: &Uri, limits: Limits) -> s3dlio_store::Result<Work<Result<Arrays>>> {
    let work = ops::get(uri, GetOptions::default())?;
    let uri = uri.clone();
    let later = async move |uri: Uri, bytes: Bytes| match decode::open(&uri, &bytes, limits) {
        Ok(parts) => decode::task(&uri, parts, limits, decode::named).await,
        Err(error) => Err(error),
    };
    Ok(match work {
        Work::Here(job) => Work::stepped(move || match job()? {
            Step::Done(bytes) => Ok(match decode::open(&uri, &bytes, limits) {
                Ok(parts) => decode::step(&uri, parts, limits, decode::named),
                Err(error) => Step::Done(Err(error)),
            }),
            Step::Later(rest) => Ok(Step::Later(Box::pin(async move { Ok(later(uri, rest.await?).await) }))),
        }),
        Work::Request(rest) | Work::Network(rest) => Work::network(async move { Ok(later(uri, rest.await?).await) }),
    })
}

/// Reads some arrays of an archive, by their names and in that order, and fetches no others.
///
/// # Errors
/// As [`read`]; [`RecordError::Format`] also for a name that the archive does not have.
pub fn read_selected(uri: &Uri, names: Vec<String>, limits: Limits) -> s3dlio_store::Result<Work<Result<Arrays>>> {
    let uri = uri.clone();
    Ok(match registry::open(&uri)? {
        Backend::Local(mode) => Work::stepped(move || {
            let archive = match Archive::open_now(uri, mode, limits) {
                Ok(archive) => archive,
                Err(error) => return Ok(Step::Done(Err(error))),
            };
            let work = archive.read(names.clone())?;
            match work.map(move |arrays| arrays.map(|arrays| label(&names, arrays))) {
                Work::Here(job) => job(),
                Work::Request(rest) | Work::Network(rest) => Ok(Step::Later(rest)),
            }
        }),
        network @ Backend::Object(_) => {
            Work::network(async move { Ok(task(uri, network, Some(&names), limits).await) })
        }
    })
}

/// Reads many archives, of which `names` (all arrays, if `None`); the results stand in the order of `uris`.
///
/// Local archives are read and decoded by the threads that decode, one by one each, small ones into memory that they
/// share: whoever keeps an array of one keeps at most 1 MiB. Of those in network stores `in_flight` are fetched at a
/// time. The first failure ends the whole call.
///
/// # Errors
/// As [`read_selected`].
pub fn read_many(
    uris: Vec<Uri>,
    names: Option<Vec<String>>,
    in_flight: usize,
    limits: Limits,
) -> s3dlio_store::Result<Work<Result<Vec<Arrays>>>> {
    let mut stores = Opener::default();
    let (mut files, mut objects) = (Vec::new(), Vec::new());
    let total = uris.len();
    for (at, uri) in uris.into_iter().enumerate() {
        match stores.open(&uri)? {
            Backend::Local(mode) => files.push((at, uri, mode)),
            network @ Backend::Object(_) => objects.push((at, uri, network)),
        }
    }
    Ok(Work::network(async move {
        let mut results: Vec<Arrays> = (0..total).map(|_| Arrays::new()).collect();
        let wanted = names.clone();
        let reading = jobs::stoppable(move |stop| read_files(files, wanted, limits, stop.clone()));
        let fetched = ops::each(objects, in_flight, |(at, uri, network)| {
            let names = names.clone();
            async move { Ok::<_, StoreError>(task(uri, network, names.as_deref(), limits).await.map(|arrays| (at, arrays))) }
        });
        for one in fetched.await? {
            match one {
                Ok((at, arrays)) => results[at] = arrays,
                Err(error) => return Ok(Err(error)),
            }
        }
        Ok(reading.await?.map(|read| {
            read.into_iter().for_each(|(at, arrays)| results[at] = arrays);
            results
        }))
    }))
}

type Numbered = (usize, Uri, Mode);

fn read_files(
    files: Vec<Numbered>,
    names: Option<Vec<String>>,
    limits: Limits,
    stop: Stop,
) -> Result<Vec<(usize, Arrays)>> {
    // One for each thread at work; a thread takes the one that was last put back, which is still in its cache.
    let arenas = Mutex::new(Vec::<Arena>::new());
    jobs::each(files, move |(at, uri, mode)| {
        if stop.is_set() {
            return Ok((*at, Arrays::new()));
        }
        let arrays = match &names {
            None => {
                let kept = || arenas.lock().unwrap_or_else(PoisonError::into_inner);
                let mut arena = kept().pop().unwrap_or_default();
                let bytes = ops::read_into_arena(uri, &mut arena, *mode);
                kept().push(arena);
                decode::whole(uri, &bytes?, limits)?
            }
            Some(names) => label(names, Archive::open_now(uri.clone(), *mode, limits)?.read_now(names)?),
        };
        Ok::<_, RecordError>((*at, arrays))
    })
}

/// One archive of a network store.
async fn task(uri: Uri, network: Backend, names: Option<&[String]>, limits: Limits) -> Result<Arrays> {
    if let Some(names) = names {
        let archive = Archive::open_task(uri, network, limits).await?;
        return Ok(label(names, archive.read_task(names).await?));
    }
    let Backend::Object(store) = network else { return Ok(Arrays::new()) };
    let bytes = ops::fetch(&store, &uri, GetOptions::default()).await?;
    decode::task(&uri, decode::open(&uri, &bytes, limits)?, limits, decode::named).await
}

fn label(names: &[String], arrays: Vec<Array>) -> Arrays {
    names.iter().cloned().zip(arrays).collect()
}

/// Reads an NPY file. The items are those bytes of the file, uncopied.
///
/// # Errors
/// As [`read`].
pub fn read_npy(uri: &Uri) -> s3dlio_store::Result<Work<Result<Array>>> {
    let work = ops::get(uri, GetOptions::default())?;
    let uri = uri.clone();
    Ok(work.map(move |bytes| npy::parse(&bytes).map_err(|error| wrong(&uri, error))))
}

//! The footers that a process has read, for calls that name a file and a row group.

use std::sync::Arc;

use bytes::Bytes;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use s3dlio_runtime::fork::ForkLocal;
use s3dlio_store::registry::{self, Backend};
use s3dlio_store::{StoreError, Uri, Work, local};

use super::file::{Column, Decode, File};
use super::footer::Footer;
use crate::error::{RecordError, Result};
use crate::{Input, jobs};

/// Bytes of footers that a process keeps: little beside a trainer, and as much as one footer may be long.
const KEPT: u64 = 256 << 20;

/// Footers that the cache begins with room for.
const USUAL: usize = 1024;

/// The footer of one version of a file.
#[derive(Debug, Clone)]
struct Known {
    footer: Arc<Footer>,
    size: u64,
    version: String,
}

#[derive(Debug, Clone)]
struct ByMemory;

impl Weighter<String, Known> for ByMemory {
    fn weight(&self, name: &String, known: &Known) -> u64 {
        name.len() as u64 + known.footer.memory()
    }
}

static FOOTERS: ForkLocal<Cache<String, Known, ByMemory>> = ForkLocal::new();

fn footers() -> &'static Cache<String, Known, ByMemory> {
    FOOTERS.get_or_init(|| Cache::with_weighter(USUAL, KEPT, ByMemory))
}

/// Footers that are kept.
#[must_use]
pub fn len() -> usize {
    footers().len()
}

/// Forgets all footers.
pub fn clear() {
    footers().clear();
}

/// Forgets the footer of a file; whether there was one.
pub fn forget(uri: &Uri) -> bool {
    footers().remove(&uri.to_string()).is_some()
}

/// Opens a file as [`File::open`] does, where its footer is known without reading it. That of a local file is known as long
/// as the file has not changed; that an object was replaced shows when it is read.
///
/// # Errors
/// As [`File::open`].
pub fn open(uri: &Uri, footer_cap: u64) -> s3dlio_store::Result<Work<Result<File>>> {
    let backend = registry::open(uri)?;
    let uri = uri.clone();
    Ok(Work::request(async move { Ok(find(&uri, backend, footer_cap).await) }))
}

/// Fetches a row group, or some columns of it.
///
/// # Errors
/// As [`File::open`], [`File::columns`] and [`File::group`]. An object that was replaced since its footer was read is
/// opened anew, once.
pub fn group(
    uri: &Uri,
    number: usize,
    columns: Option<Vec<Column>>,
    footer_cap: u64,
    decode: Decode,
) -> s3dlio_store::Result<Work<Result<Bytes>>> {
    let backend = registry::open(uri)?;
    let uri = uri.clone();
    Ok(Work::request(async move {
        let mut again = true;
        loop {
            let read = async {
                let file = find(&uri, backend.clone(), footer_cap).await?;
                let columns = columns.as_deref().map(|columns| file.columns(columns)).transpose()?;
                file.group(number, columns, decode).await
            };
            match read.await {
                Err(RecordError::Store(StoreError::Precondition { .. })) if again => {
                    forget(&uri);
                    again = false;
                }
                read => return Ok(read),
            }
        }
    }))
}

async fn find(uri: &Uri, backend: Backend, footer_cap: u64) -> Result<File> {
    let name = uri.to_string();
    let known = footers().get(&name);
    let file = match &backend {
        Backend::Local(mode) => {
            let (mode, uri) = (*mode, uri.clone());
            jobs::read(move || {
                let version = local::etag(&local::metadata(&uri.key)?);
                let file = match known.filter(|known| known.version == version) {
                    Some(known) => return Ok((File::known(Input::open_now(uri, mode)?, known.footer), None)),
                    None => File::open_now(uri, mode, footer_cap)?,
                };
                Ok::<_, RecordError>((file, Some(version)))
            })
            .await?
        }
        Backend::Object(_) => match known {
            Some(Known { footer, size, version }) => {
                let input = Input::listed(uri.clone(), backend, size, Some(version))?;
                return Ok(File::known(input, footer));
            }
            None => {
                let file = File::fetch(uri.clone(), backend, footer_cap).await?;
                let version = file.version().map(str::to_owned);
                Ok((file, version))
            }
        },
    };
    let (file, version) = file?;
    // Without a tag that stands in conditions nothing would tell that an object was replaced.
    if let Some(version) = version {
        footers().insert(name, Known { footer: Arc::clone(file.footer()), size: file.size(), version });
    }
    Ok(file)
}

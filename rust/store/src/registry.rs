//! From a URI to the store behind it; clients are kept per process and per settings.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use object_store::ObjectStore;
use object_store::memory::InMemory;
use s3dlio_runtime::fork::{self, ForkLocal};

use crate::cache::Cached;
use crate::error::{Result, StoreError};
use crate::local::{LocalStore, Mode};
use crate::settings::{self, ReadCache, Settings};
use crate::uri::{Scheme, Uri};

/// The store behind a URI.
#[derive(Debug, Clone)]
pub enum Backend {
    /// Local files; see [`crate::local`].
    Local(Mode),
    /// A network store, or the one in memory.
    Object(Arc<dyn ObjectStore>),
}

type Clients = RwLock<HashMap<(Settings, Option<ReadCache>), Arc<dyn ObjectStore>>>;

/// Clients that are kept at most. A program that changes its credentials every hour would otherwise keep one for
/// each; what is thrown away is built anew within a millisecond, with the same connections.
const MOST_CLIENTS: usize = 256;

/// Connections do not survive a fork, so neither do the clients that own them.
static CLIENTS: ForkLocal<Clients> = ForkLocal::new();

/// The store that serves `uri` under the present environment.
///
/// Call it on the thread that asks for the operation: it reads environment variables.
///
/// # Errors
/// [`StoreError::Config`], [`StoreError::PermissionDenied`] for settings that cannot work;
/// [`StoreError::Forked`] for `memory://` in a forked child.
pub fn open(uri: &Uri) -> Result<Backend> {
    match uri.scheme {
        Scheme::File => Ok(Backend::Local(Mode::Buffered)),
        Scheme::Direct => Ok(Backend::Local(Mode::Direct { fallback: settings::direct_fallback()? })),
        Scheme::Memory => memory(uri).map(Backend::Object),
        Scheme::S3 | Scheme::Gcs | Scheme::Azure => network(uri).map(Backend::Object),
    }
}

/// How long a client is found again without another look at the settings: the files that they may come from are looked
/// at no more often than once in a second anyway.
const RECENTLY: Duration = Duration::from_millis(100);

/// A client and the environment under which it was found.
struct Recent {
    environment: u64,
    at: Instant,
    client: Arc<dyn ObjectStore>,
}

/// Resolving the settings takes as long as a tenth of a small request, and most requests follow one like them.
static RECENT: ForkLocal<RwLock<HashMap<Place, Recent>>> = ForkLocal::new();

fn network(uri: &Uri) -> Result<Arc<dyn ObjectStore>> {
    let environment = settings::fingerprint();
    let recent = RECENT.get_or_init(RwLock::default);
    let place = (uri.scheme, uri.authority.clone(), uri.bucket.clone());
    if let Some(found) = recent.read().unwrap_or_else(PoisonError::into_inner).get(&place)
        && found.environment == environment
        && found.at.elapsed() < RECENTLY
    {
        return Ok(Arc::clone(&found.client));
    }
    let client = client(Settings::resolve(uri)?)?;
    let mut recent = recent.write().unwrap_or_else(PoisonError::into_inner);
    if recent.len() >= MOST_CLIENTS {
        recent.clear();
    }
    recent.insert(place, Recent { environment, at: Instant::now(), client: Arc::clone(&client) });
    Ok(client)
}

/// Opens the stores of many URIs under one look at the environment: settings are resolved once for each bucket.
#[derive(Debug, Default)]
pub struct Opener {
    opened: HashMap<Place, Backend>,
}

/// Scheme, authority and bucket: what [`open`] depends on.
type Place = (Scheme, Option<String>, String);

impl Opener {
    /// As [`open`].
    ///
    /// # Errors
    /// As [`open`].
    pub fn open(&mut self, uri: &Uri) -> Result<Backend> {
        let place = (uri.scheme, uri.authority.clone(), uri.bucket.clone());
        if let Some(backend) = self.opened.get(&place) {
            return Ok(backend.clone());
        }
        let backend = open(uri)?;
        self.opened.insert(place, backend.clone());
        Ok(backend)
    }
}

/// The store behind `uri` as the common trait, and the object's place in it: for verbs that need no fast path of their
/// own for local files.
///
/// # Errors
/// As [`open`]; [`StoreError::InvalidUri`] for keys that the trait cannot address.
pub fn object_store(uri: &Uri) -> Result<(Arc<dyn ObjectStore>, object_store::path::Path)> {
    object_store_in(open(uri)?, uri)
}

/// As [`object_store()`], for a backend that [`open`] has found for this URI or another one of its bucket; this may be
/// called on any thread.
///
/// # Errors
/// [`StoreError::InvalidUri`] for keys that the trait cannot address.
pub fn object_store_in(backend: Backend, uri: &Uri) -> Result<(Arc<dyn ObjectStore>, object_store::path::Path)> {
    match backend {
        Backend::Object(store) => Ok((store, uri.object_path()?)),
        Backend::Local(mode) => {
            let failed = |reason: String| StoreError::InvalidUri { uri: uri.to_string(), reason };
            let path = std::path::absolute(&uri.key).map_err(|source| StoreError::io(uri.to_string(), &source))?;
            let path =
                object_store::path::Path::from_absolute_path(path).map_err(|source| failed(source.to_string()))?;
            Ok((Arc::new(LocalStore::new(mode)), path))
        }
    }
}

fn client(settings: Settings) -> Result<Arc<dyn ObjectStore>> {
    let clients = CLIENTS.get_or_init(Clients::default);
    let settings = (settings, ReadCache::resolve()?);
    if let Some(client) = clients.read().unwrap_or_else(PoisonError::into_inner).get(&settings) {
        return Ok(Arc::clone(client));
    }
    let client = match &settings {
        (settings, None) => settings.build()?,
        (settings, Some(cache)) => Arc::new(Cached::new(settings.build()?, settings.url(), cache)),
    };
    let mut clients = clients.write().unwrap_or_else(PoisonError::into_inner);
    if clients.len() >= MOST_CLIENTS {
        clients.clear();
    }
    Ok(Arc::clone(clients.entry(settings).or_insert(client)))
}

struct Memory {
    generation: u64,
    buckets: RwLock<HashMap<String, Arc<dyn ObjectStore>>>,
}

/// The objects live in the process that wrote them. A forked child sees a frozen copy whose locks may be held by
/// threads it does not have, and a spawned one sees nothing, so both are refused rather than half-working.
fn memory(uri: &Uri) -> Result<Arc<dyn ObjectStore>> {
    static MEMORY: OnceLock<Memory> = OnceLock::new();
    let memory = MEMORY.get_or_init(|| Memory { generation: fork::generation(), buckets: RwLock::default() });
    if memory.generation != fork::generation() {
        return Err(StoreError::Forked {
            uri: uri.to_string(),
            detail: "memory:// belongs to the process that first used it, and this is a forked child of it; use \
                     file:// or s3:// with worker processes"
                .into(),
        });
    }
    if let Some(store) = memory.buckets.read().unwrap_or_else(PoisonError::into_inner).get(&uri.bucket) {
        return Ok(Arc::clone(store));
    }
    let mut buckets = memory.buckets.write().unwrap_or_else(PoisonError::into_inner);
    let store = buckets.entry(uri.bucket.clone()).or_insert_with(|| Arc::new(InMemory::new()));
    Ok(Arc::clone(store))
}

//! Sizes of network objects that an earlier answer told, so that a later read knows at once how to split its requests.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use object_store::ObjectStore;
use s3dlio_runtime::fork::ForkLocal;

use crate::Uri;
use crate::settings::size_cache_limits;

struct Sizes {
    kept: HashMap<(usize, Uri), (u64, Instant)>,
    ttl: Duration,
    entries: usize,
}

static SIZES: ForkLocal<RwLock<Sizes>> = ForkLocal::new();

/// One URI means another object under other settings, and so through another client.
fn key(store: &Arc<dyn ObjectStore>, uri: &Uri) -> (usize, Uri) {
    (Arc::as_ptr(store).cast::<()>() as usize, uri.clone())
}

fn sizes() -> &'static RwLock<Sizes> {
    SIZES.get_or_init(|| {
        // Whoever has a client has had these checked.
        let (ttl, entries) = size_cache_limits().unwrap_or_default();
        RwLock::new(Sizes { kept: HashMap::new(), ttl, entries })
    })
}

/// The size of an object, if it was seen within the time to live (`S3DLIO_SIZE_CACHE_TTL_SECS`, 60 s).
///
/// It may be out of date: use it to choose how to ask, never as the answer.
#[must_use]
pub fn get(store: &Arc<dyn ObjectStore>, uri: &Uri) -> Option<u64> {
    let sizes = sizes().read().unwrap_or_else(PoisonError::into_inner);
    if sizes.kept.is_empty() {
        return None;
    }
    let (size, seen) = sizes.kept.get(&key(store, uri))?;
    (seen.elapsed() < sizes.ttl).then_some(*size)
}

/// Remembers a size; beyond `S3DLIO_SIZE_CACHE_MAX_ENTRIES` (100,000) the cache starts anew.
pub fn put(store: &Arc<dyn ObjectStore>, uri: &Uri, size: u64) {
    let key = key(store, uri);
    let mut sizes = sizes().write().unwrap_or_else(PoisonError::into_inner);
    if sizes.ttl.is_zero() || sizes.entries == 0 {
        return;
    }
    if sizes.kept.len() >= sizes.entries && !sizes.kept.contains_key(&key) {
        // Starting anew costs a request each for what is still in use; ordering the entries would cost every read.
        sizes.kept.clear();
    }
    sizes.kept.insert(key, (size, Instant::now()));
}

/// Forgets an object that was written or removed by this process.
pub fn forget(store: &Arc<dyn ObjectStore>, uri: &Uri) {
    if let Some(sizes) = SIZES.get() {
        sizes.write().unwrap_or_else(PoisonError::into_inner).kept.remove(&key(store, uri));
    }
}

//! Buckets and their objects, in memory.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use chrono::{DateTime, SubsecRound, Utc};
use http::{HeaderName, HeaderValue};

use crate::content::Content;
use crate::refusal::Refusal;
use crate::synthetic::Synthetic;
use crate::upload::Uploads;

/// Headers that are stored with an object and come back with it.
pub(crate) type Attributes = Vec<(HeaderName, HeaderValue)>;

/// An object.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) content: Content,
    /// Without quotes.
    pub(crate) etag: String,
    /// Whole seconds, as the protocols' dates have no finer ones.
    pub(crate) modified: DateTime<Utc>,
    pub(crate) generation: u64,
    pub(crate) attributes: Attributes,
    pub(crate) checksum: Option<(HeaderName, HeaderValue)>,
}

pub(crate) fn now() -> DateTime<Utc> {
    DateTime::<Utc>::from(std::time::SystemTime::now()).trunc_subsecs(0)
}

/// Numbers that grow with every object written, unique in the process.
pub(crate) fn next_generation() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1_700_000_000_000_000);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// What is in a bucket.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    pub(crate) objects: BTreeMap<String, Arc<Stored>>,
    /// Objects that were replaced or deleted, where the bucket keeps them.
    older: HashMap<(String, u64), Arc<Stored>>,
    pub(crate) versioning: bool,
    pub(crate) uploads: Uploads,
}

impl Contents {
    pub(crate) fn put(&mut self, key: &str, object: Stored) {
        let replaced = self.objects.insert(key.into(), Arc::new(object));
        self.keep(key, replaced);
    }

    /// Whether there was something to delete.
    pub(crate) fn delete(&mut self, key: &str) -> bool {
        let removed = self.objects.remove(key);
        let found = removed.is_some();
        self.keep(key, removed);
        found
    }

    fn keep(&mut self, key: &str, object: Option<Arc<Stored>>) {
        if let Some(object) = object.filter(|_| self.versioning) {
            self.older.insert((key.into(), object.generation), object);
        }
    }

    pub(crate) fn get(&self, key: &str, version: Option<u64>) -> Option<Arc<Stored>> {
        let present = self.objects.get(key);
        match version {
            None => present.cloned(),
            Some(version) => present
                .filter(|object| object.generation == version)
                .or_else(|| self.older.get(&(key.to_owned(), version)))
                .cloned(),
        }
    }
}

/// A bucket.
#[derive(Debug)]
pub(crate) struct Bucket {
    pub(crate) created: DateTime<Utc>,
    pub(crate) synthetic: Option<Synthetic>,
    contents: Mutex<Contents>,
}

impl Bucket {
    pub(crate) fn new(synthetic: Option<Synthetic>) -> Self {
        Self { created: now(), synthetic, contents: Mutex::default() }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The contents, to be changed.
    pub(crate) fn write(&self) -> Result<MutexGuard<'_, Contents>, Refusal> {
        match &self.synthetic {
            None => Ok(self.lock()),
            Some(_) => Err(Refusal::new(405, "MethodNotAllowed", "the objects of this bucket are computed")),
        }
    }

    pub(crate) fn object(&self, key: &str, version: Option<u64>) -> Result<Arc<Stored>, Refusal> {
        let found = match &self.synthetic {
            Some(synthetic) => synthetic.number(key).map(|number| Arc::new(self.computed(synthetic, number))),
            None => self.lock().get(key, version),
        };
        found.ok_or_else(|| Refusal::no_key(key))
    }

    fn computed(&self, synthetic: &Synthetic, number: u64) -> Stored {
        Stored {
            content: Content::Pattern { seed: number, length: synthetic.size },
            etag: format!("{number:016x}{:016x}", synthetic.size),
            modified: self.created,
            generation: 1,
            attributes: Attributes::new(),
            checksum: None,
        }
    }

    /// Up to `most` keys with their objects, in order, from `start` on.
    pub(crate) fn entries(&self, start: &str, most: usize) -> Vec<(String, Arc<Stored>)> {
        match &self.synthetic {
            Some(synthetic) => {
                let numbers = synthetic.first(start)..synthetic.keys;
                let entry = |number| (synthetic.key(number), Arc::new(self.computed(synthetic, number)));
                numbers.take(most).map(entry).collect()
            }
            None => {
                let contents = self.lock();
                let entries = contents.objects.range::<str, _>((Bound::Included(start), Bound::Unbounded));
                entries.take(most).map(|(key, object)| (key.clone(), Arc::clone(object))).collect()
            }
        }
    }
}

/// All buckets of a server.
#[derive(Debug, Default)]
pub(crate) struct Buckets(RwLock<BTreeMap<String, Arc<Bucket>>>);

impl Buckets {
    pub(crate) fn get(&self, name: &str) -> Result<Arc<Bucket>, Refusal> {
        let buckets = self.0.read().unwrap_or_else(PoisonError::into_inner);
        buckets.get(name).cloned().ok_or_else(|| Refusal::new(404, "NoSuchBucket", format!("no bucket {name:?}")))
    }

    /// False where there is one of that name already.
    pub(crate) fn create(&self, name: &str, bucket: Bucket) -> bool {
        let mut buckets = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let free = !buckets.contains_key(name);
        if free {
            buckets.insert(name.into(), Arc::new(bucket));
        }
        free
    }

    pub(crate) fn delete(&self, name: &str) -> Result<(), Refusal> {
        let mut buckets = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let Some(bucket) = buckets.get(name) else {
            return Err(Refusal::new(404, "NoSuchBucket", format!("no bucket {name:?}")));
        };
        if bucket.synthetic.is_none() && !bucket.lock().objects.is_empty() {
            return Err(Refusal::new(409, "BucketNotEmpty", format!("bucket {name:?} holds objects")));
        }
        buckets.remove(name);
        Ok(())
    }

    pub(crate) fn clear(&self) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub(crate) fn all(&self) -> Vec<(String, Arc<Bucket>)> {
        let buckets = self.0.read().unwrap_or_else(PoisonError::into_inner);
        buckets.iter().map(|(name, bucket)| (name.clone(), Arc::clone(bucket))).collect()
    }
}

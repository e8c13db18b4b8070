//! What was asked of the server.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use serde::Serialize;
use serde_json::{Value, json};

use crate::request::Request;

/// Requests kept one by one; later ones are only counted.
const MOST: usize = 100_000;

/// A request as it came, and how it was answered as far as it was.
#[derive(Debug)]
pub(crate) struct Entry {
    request: Request,
    at: f64,
    fault: OnceLock<Value>,
    received: AtomicU64,
    status: AtomicU16,
}

impl Entry {
    pub(crate) fn hit(&self, fault: &impl Serialize) {
        let _ = self.fault.set(serde_json::to_value(fault).unwrap_or_default());
    }

    pub(crate) fn received(&self, bytes: u64) {
        self.received.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn answered(&self, status: u16) {
        self.status.store(status, Ordering::Relaxed);
    }

    fn json(&self) -> Value {
        let request = &self.request;
        let headers: BTreeMap<_, _> = request
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        let status = Some(self.status.load(Ordering::Relaxed)).filter(|status| *status != 0);
        json!({
            "at": self.at,
            "operation": request.operation.name(),
            "method": request.method.as_str(),
            "bucket": request.bucket,
            "key": request.key,
            "query": request.raw_query,
            "headers": headers,
            "received": self.received.load(Ordering::Relaxed),
            "status": status,
            "fault": self.fault.get(),
        })
    }
}

/// Numbers over all requests since the last reset.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// Requests.
    pub requests: u64,
    /// Requests by S3's name of the operation.
    pub operations: BTreeMap<String, u64>,
    /// Most requests that were being answered at one moment.
    pub most_at_once: u64,
    /// Connections accepted.
    pub connections: u64,
}

#[derive(Debug, Default)]
struct Inner {
    entries: Vec<Arc<Entry>>,
    counts: Counts,
    operations: BTreeMap<&'static str, u64>,
    now: u64,
}

/// The requests since the last reset.
#[derive(Debug)]
pub(crate) struct Log {
    inner: Mutex<Inner>,
    began: Instant,
}

impl Default for Log {
    fn default() -> Self {
        Self { inner: Mutex::default(), began: Instant::now() }
    }
}

impl Log {
    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn connected(&self) {
        self.lock().counts.connections += 1;
    }

    /// Notes a request; it counts as being answered until the guard goes.
    pub(crate) fn begin(self: &Arc<Self>, request: Request) -> (Arc<Entry>, Answering) {
        let name = request.operation.name();
        let entry = Arc::new(Entry {
            request,
            at: self.began.elapsed().as_secs_f64(),
            fault: OnceLock::new(),
            received: AtomicU64::new(0),
            status: AtomicU16::new(0),
        });
        let mut inner = self.lock();
        inner.counts.requests += 1;
        *inner.operations.entry(name).or_default() += 1;
        inner.now += 1;
        inner.counts.most_at_once = inner.counts.most_at_once.max(inner.now);
        if inner.entries.len() < MOST {
            inner.entries.push(Arc::clone(&entry));
        }
        (entry, Answering(Arc::clone(self)))
    }

    /// Forgets all requests.
    pub(crate) fn clear(&self) {
        let mut inner = self.lock();
        let now = inner.now;
        *inner = Inner { now, ..Inner::default() };
    }

    pub(crate) fn counts(&self) -> Counts {
        let inner = self.lock();
        let operations = inner.operations.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        Counts { operations, ..inner.counts.clone() }
    }

    pub(crate) fn entries(&self) -> Vec<Value> {
        let entries = self.lock().entries.clone();
        entries.iter().map(|entry| entry.json()).collect()
    }
}

/// A request is being answered.
#[derive(Debug)]
pub(crate) struct Answering(Arc<Log>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.lock().now -= 1;
    }
}

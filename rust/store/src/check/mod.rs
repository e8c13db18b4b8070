//! `check`: why a store can or cannot be used, step by step.

mod local;
mod network;
mod objects;

use std::future::Future;
use std::time::Instant;

use crate::error::{Result, StoreError};
use crate::uri::{Scheme, Uri};
use crate::work::Work;

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// What was looked at.
    pub name: &'static str,
    /// Whether it is as it should be; `None` where it was not looked at or cannot be told.
    pub ok: Option<bool>,
    /// What was found.
    pub detail: String,
    /// What to change; empty where nothing is to be changed.
    pub advice: String,
    /// How long it took.
    pub seconds: f64,
}

/// What a check found, in the order in which it looked.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The URI as it was given.
    pub uri: String,
    /// The steps; those after one that all others depend on are left out.
    pub steps: Vec<Step>,
}

impl Report {
    fn new(uri: &str) -> Self {
        Self { uri: uri.to_owned(), steps: Vec::new() }
    }

    /// Whether no step failed.
    #[must_use]
    pub fn ok(&self) -> bool {
        self.steps.iter().all(|step| step.ok != Some(false))
    }

    fn add(&mut self, name: &'static str, began: Instant, found: Found) -> bool {
        let Found { ok, detail, advice } = found;
        self.steps.push(Step { name, ok, detail, advice, seconds: began.elapsed().as_secs_f64() });
        ok != Some(false)
    }

    /// Looks and notes what was found; says whether to go on.
    async fn look(&mut self, name: &'static str, look: impl Future<Output = Found> + Send) -> bool {
        let began = Instant::now();
        let found = look.await;
        self.add(name, began, found)
    }
}

/// What one step found.
struct Found {
    ok: Option<bool>,
    detail: String,
    advice: String,
}

impl Found {
    fn good(detail: impl Into<String>) -> Self {
        Self { ok: Some(true), detail: detail.into(), advice: String::new() }
    }

    fn bad(detail: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { ok: Some(false), detail: detail.into(), advice: advice.into() }
    }

    fn unknown(detail: impl Into<String>) -> Self {
        Self { ok: None, detail: detail.into(), advice: String::new() }
    }

    /// A failed operation, with advice by its kind.
    fn failed(error: &StoreError) -> Self {
        let advice = match error {
            StoreError::PermissionDenied { .. } => "grant the credentials this right, or use others",
            StoreError::NotFound { .. } => "check the name, or create it",
            StoreError::Timeout { .. } => "check the network, or raise S3DLIO_OPERATION_TIMEOUT_SECS",
            StoreError::InvalidUri { .. } => "correct the URI",
            StoreError::Config { .. } => "correct the setting",
            _ => "see the message of the server",
        };
        Self::bad(error.to_string(), advice)
    }

    fn of<T>(result: Result<T>, detail: impl FnOnce(T) -> String) -> Self {
        match result {
            Ok(value) => Self::good(detail(value)),
            Err(error) => Self::failed(&error),
        }
    }
}

/// Looks at everything that reading from `uri` (and with `write` writing below it) depends on.
///
/// With `write`, one small object named `.s3dlio-check-` and a random text is written and removed again. What is wrong
/// is in the report; the work itself does not fail.
#[must_use]
pub fn check(uri: &str, write: bool) -> Work<Report> {
    let mut report = Report::new(uri);
    let began = Instant::now();
    let parsed = Uri::parse(uri);
    let found = Found::of(parsed.clone(), |uri| {
        let scheme = uri.scheme.name();
        if uri.scheme.is_local() {
            format!("{scheme}, path {:?}", uri.key)
        } else {
            format!("{scheme}, bucket {:?}, key {:?}", uri.bucket, uri.key)
        }
    });
    report.add("uri", began, found);
    let Ok(uri) = parsed else { return Work::here(move || Ok(report)) };
    match uri.scheme {
        Scheme::File | Scheme::Direct => Work::here(move || Ok(local::look(report, &uri, write))),
        Scheme::Memory => objects::of_memory(report, uri, write),
        Scheme::S3 | Scheme::Gcs | Scheme::Azure => network::look(report, uri, write),
    }
}

/// A name that nobody else uses.
fn unused_name() -> String {
    let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |time| time.as_nanos());
    format!(".s3dlio-check-{:x}-{nanos:x}", std::process::id())
}

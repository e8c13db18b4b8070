//! The environment belongs to the process: tests that change it take turns.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

static TURN: Mutex<()> = Mutex::new(());

/// Everything that the settings of a store look at.
const OURS: [&str; 9] =
    ["AWS_", "AZURE_", "AZURITE_", "GOOGLE_", "GCS_", "GCE_", "CLOUDSDK_", "S3DLIO_", "S3_ADDRESSING_STYLE"];
const MORE: [&str; 12] = [
    "STORAGE_EMULATOR_HOST",
    "CLOUD_STORAGE_EMULATOR_ENDPOINT",
    "IDENTITY_ENDPOINT",
    "SSL_CERT_FILE",
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
    "no_proxy",
];

/// An environment of just these variables, in a home without any files. The guard is to be held while requests run
/// that the environment is meant for.
pub fn environment(variables: &[(&str, &str)]) -> MutexGuard<'static, ()> {
    let guard = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: every test of the binary holds the lock while it or a request of it looks at the environment.
    unsafe {
        for (name, _) in std::env::vars() {
            if OURS.iter().any(|prefix| name.starts_with(prefix)) || MORE.contains(&name.as_str()) {
                std::env::remove_var(name);
            }
        }
        std::env::set_var("HOME", "/nonexistent");
        variables.iter().for_each(|(name, value)| std::env::set_var(name, value));
    }
    guard
}

/// A folder that goes with the value.
pub struct Folder(pub tempfile::TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Writes a file and returns its path.
    pub fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

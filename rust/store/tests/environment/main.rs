//! What depends on the environment of the process, which these tests change in turns.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/environment.rs"]
mod environment;

mod check;
mod credentials;
mod settings;
mod settings_azure;
mod settings_gcs;
mod transport;

//! Credentials from a program that a profile names (`credential_process`).

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use object_store::aws::AwsCredential;
use serde::Deserialize;

use super::aws::{credential, failed};
use super::cached::{Fetched, Source};
use crate::error::StoreError;
use crate::work::on_pool;

/// More output than any credential has.
const MOST: u64 = 64 << 10;

/// A program that prints credentials.
#[derive(Debug)]
pub(super) struct Process {
    /// The command line, for the shell.
    pub(super) command: String,
    /// How long the program may take.
    pub(super) limit: Duration,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Printed {
    version: u32,
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
    expiration: Option<String>,
}

#[async_trait]
impl Source for Process {
    type Credential = AwsCredential;

    async fn fetch(&self) -> object_store::Result<Fetched<AwsCredential>> {
        let mut child = Command::new("/bin/sh")
            .args(["-c", &self.command])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|source| failed(format!("credential_process does not start: {source}")))?;
        let output = child.stdout.take().ok_or_else(|| failed("credential_process has no output"))?;
        let reading = on_pool(move || {
            let mut text = String::new();
            let read = output.take(MOST).read_to_string(&mut text);
            read.map(|_| text).map_err(|source| StoreError::io("credential_process", &source))
        });
        let text = tokio::time::timeout(self.limit, reading).await;
        if text.is_err() {
            // It may have ended by itself in this moment.
            let _ = child.kill();
        }
        let status = child.wait().map_err(failed)?;
        let text = text.map_err(|_| failed(format!("credential_process took longer than {:?}", self.limit)))?;
        if !status.success() {
            return Err(failed(format!("credential_process ended with {status}")));
        }
        parse(&text.map_err(failed)?)
    }
}

fn parse(text: &str) -> object_store::Result<Fetched<AwsCredential>> {
    // The text holds a secret, so no message quotes it.
    let printed: Printed = serde_json::from_str(text)
        .map_err(|source| failed(format!("credential_process printed no credentials (line {})", source.line())))?;
    if printed.version != 1 {
        return Err(failed(format!("credential_process printed version {}, expected 1", printed.version)));
    }
    let expiry = printed.expiration.map(|text| {
        DateTime::parse_from_rfc3339(&text)
            .map(|expiry| expiry.with_timezone(&Utc))
            .map_err(|_| failed(format!("credential_process printed an Expiration of {text:?}")))
    });
    let token = printed.session_token.as_deref().filter(|token| !token.is_empty());
    Ok((credential(&printed.access_key_id, &printed.secret_access_key, token), expiry.transpose()?))
}

//! Time limits and retries.

use std::time::Duration;

use object_store::{BackoffConfig, ClientOptions, RetryConfig};

use super::{config, var};
use crate::error::Result;

/// Time limits and retries of every network request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Network {
    /// Longest wait for a connection; `S3DLIO_CONNECT_TIMEOUT_SECS`, 5 s.
    pub connect_timeout: Duration,
    /// Longest wait for the next byte of an answer, and the time after which no retry starts;
    /// `S3DLIO_OPERATION_TIMEOUT_SECS`, 60 s.
    pub operation_timeout: Duration,
    /// Retries of one request; `S3DLIO_MAX_RETRY_ATTEMPTS`, 10.
    pub max_retries: usize,
}

impl Network {
    pub(super) fn from_env() -> Result<Self> {
        Ok(Self {
            connect_timeout: seconds("S3DLIO_CONNECT_TIMEOUT_SECS", 5.0)?,
            operation_timeout: seconds("S3DLIO_OPERATION_TIMEOUT_SECS", 60.0)?,
            max_retries: match var("S3DLIO_MAX_RETRY_ATTEMPTS") {
                None => 10,
                Some(text) => {
                    text.parse().map_err(|_| config("S3DLIO_MAX_RETRY_ATTEMPTS", &text, "an integer of at least 0"))?
                }
            },
        })
    }

    pub(super) fn retry(&self) -> RetryConfig {
        RetryConfig {
            // First wait 50 to 100 ms, doubling with jitter, never above 5 s: a storm of 503 from a small server is
            // over in seconds, and a trainer that waits longer between tries has drained its prefetch anyway.
            backoff: BackoffConfig {
                init_backoff: Duration::from_millis(100),
                max_backoff: Duration::from_secs(5),
                base: 2.0,
            },
            max_retries: self.max_retries,
            retry_timeout: self.operation_timeout,
        }
    }

    pub(super) fn client(&self, allow_http: bool) -> ClientOptions {
        ClientOptions::new()
            .with_connect_timeout(self.connect_timeout)
            .with_read_timeout(self.operation_timeout)
            // A limit on the whole request would cut off large bodies on slow links; the read limit finds stalls.
            .with_timeout_disabled()
            // Many parallel HTTP/1.1 connections carry bulk reads faster than streams of one HTTP/2 connection.
            .with_http1_only()
            .with_allow_http(allow_http)
    }
}

fn seconds(name: &str, default: f64) -> Result<Duration> {
    let Some(text) = var(name) else { return Ok(Duration::from_secs_f64(default)) };
    // A day is beyond any useful time limit and far below what a Duration can hold.
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value <= 86_400.0 => Ok(Duration::from_secs_f64(value)),
        _ => Err(config(name, &text, "a number of seconds above 0 and up to 86400")),
    }
}

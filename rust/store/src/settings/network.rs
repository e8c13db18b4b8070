//! Time limits, retries, certificates and proxies: what every network store shares.

use std::fmt;
use std::time::Duration;

use object_store::{BackoffConfig, ClientOptions, RetryConfig};

use super::{Watched, config, first_of, var};
use crate::error::Result;

/// Time limits, retries, certificates and proxies of every network request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Network {
    /// Longest wait for a connection; `S3DLIO_CONNECT_TIMEOUT_SECS`, 5 s.
    pub connect_timeout: Duration,
    /// Longest wait for the next byte of an answer, and the time after which no retry starts;
    /// `S3DLIO_OPERATION_TIMEOUT_SECS`, 60 s.
    pub operation_timeout: Duration,
    /// Retries of one request; `S3DLIO_MAX_RETRY_ATTEMPTS`, 10.
    pub max_retries: usize,
    /// Certificates to trust instead of the system's, and the variable that names the file.
    pub(crate) authorities: Option<(&'static str, Watched)>,
    pub(crate) proxies: Proxies,
}

/// Which requests go through a proxy.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Proxies {
    /// For `http` URLs; variable and value.
    pub(crate) http: Option<(&'static str, String)>,
    /// For `https` URLs.
    pub(crate) https: Option<(&'static str, String)>,
    /// Hosts that are asked directly, as `NO_PROXY` lists them.
    pub(crate) except: Option<String>,
}

impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A proxy's URL may hold a password.
        let name = |proxy: &Option<(&'static str, String)>| proxy.as_ref().map(|(name, _)| *name);
        write!(f, "Proxies {{ http: {:?}, https: {:?} }}", name(&self.http), name(&self.https))
    }
}

impl Proxies {
    /// The names that curl and Python read, in their order: the lower-case spelling wins.
    fn from_env() -> Self {
        let all = ["all_proxy", "ALL_PROXY"];
        Self {
            http: first_of(&["http_proxy", "HTTP_PROXY"]).or_else(|| first_of(&all)),
            https: first_of(&["https_proxy", "HTTPS_PROXY"]).or_else(|| first_of(&all)),
            except: first_of(&["no_proxy", "NO_PROXY"]).map(|(_, hosts)| hosts),
        }
    }
}

impl Network {
    pub(crate) fn from_env() -> Result<Self> {
        Ok(Self {
            connect_timeout: seconds("S3DLIO_CONNECT_TIMEOUT_SECS", 5.0)?,
            operation_timeout: seconds("S3DLIO_OPERATION_TIMEOUT_SECS", 60.0)?,
            max_retries: match var("S3DLIO_MAX_RETRY_ATTEMPTS") {
                None => 10,
                Some(text) => {
                    text.parse().map_err(|_| config("S3DLIO_MAX_RETRY_ATTEMPTS", &text, "an integer of at least 0"))?
                }
            },
            authorities: first_of(&["AWS_CA_BUNDLE", "SSL_CERT_FILE"]).map(|(name, path)| (name, Watched::look(path))),
            proxies: Proxies::from_env(),
        })
    }

    pub(crate) fn retry(&self) -> RetryConfig {
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

    /// Retries of a request for credentials. The services that give them answer in milliseconds or are not there:
    /// someone without credentials is to learn it within seconds.
    pub(crate) fn credential_retry(&self) -> RetryConfig {
        let retry = self.retry();
        RetryConfig {
            max_retries: retry.max_retries.min(3),
            retry_timeout: retry.retry_timeout.min(Duration::from_secs(10)),
            ..retry
        }
    }

    /// The transport is built from these settings and not from the client's options, which only need to let `http`
    /// endpoints through: whether one is wanted is in its URL.
    pub(crate) fn options() -> ClientOptions {
        ClientOptions::new().with_allow_http(true)
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

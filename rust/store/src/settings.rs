//! Settings of the network stores, from the environment.
//!
//! They are read at each call and are part of the key under which a client is kept, so a change takes effect at
//! once and two settings never share connections.

use std::fmt;
use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::{BackoffConfig, ClientOptions, RetryConfig};

use crate::error::{Result, StoreError};
use crate::uri::Uri;

/// Variables handed on to the client as they are: where credentials come from.
const CREDENTIALS: [(&str, AmazonS3ConfigKey); 9] = [
    ("AWS_ACCESS_KEY_ID", AmazonS3ConfigKey::AccessKeyId),
    ("AWS_SECRET_ACCESS_KEY", AmazonS3ConfigKey::SecretAccessKey),
    ("AWS_SESSION_TOKEN", AmazonS3ConfigKey::Token),
    ("AWS_WEB_IDENTITY_TOKEN_FILE", AmazonS3ConfigKey::WebIdentityTokenFile),
    ("AWS_ROLE_ARN", AmazonS3ConfigKey::RoleArn),
    ("AWS_ROLE_SESSION_NAME", AmazonS3ConfigKey::RoleSessionName),
    ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", AmazonS3ConfigKey::ContainerCredentialsRelativeUri),
    ("AWS_CONTAINER_CREDENTIALS_FULL_URI", AmazonS3ConfigKey::ContainerCredentialsFullUri),
    ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", AmazonS3ConfigKey::ContainerAuthorizationTokenFile),
];

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
    fn from_env() -> Result<Self> {
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

    fn retry(&self) -> RetryConfig {
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

    fn client(&self, allow_http: bool) -> ClientOptions {
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

/// Everything an S3 client depends on; equal settings share one client.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct S3 {
    bucket: String,
    endpoint: Option<String>,
    /// Where the endpoint comes from, for messages.
    endpoint_from: &'static str,
    region: String,
    path_style: bool,
    skip_signature: bool,
    metadata_disabled: bool,
    credentials: Vec<(usize, String)>,
    network: Network,
}

impl S3 {
    /// The settings that hold for `uri` at this moment.
    ///
    /// # Errors
    /// [`StoreError::Config`] for a value out of range; [`StoreError::PermissionDenied`] when a private endpoint is
    /// set but no credentials are.
    pub fn resolve(uri: &Uri) -> Result<Self> {
        let from_env = |name| var(name).map(|endpoint| (endpoint, name));
        let (endpoint, endpoint_from) = uri
            .endpoint
            .as_ref()
            .map(|host| (format!("http://{host}"), "host of the URI"))
            .or_else(|| from_env("AWS_ENDPOINT_URL_S3"))
            .or_else(|| from_env("AWS_ENDPOINT_URL"))
            .unzip();
        let path_style = match var("S3_ADDRESSING_STYLE").or_else(|| var("AWS_S3_ADDRESSING_STYLE")).as_deref() {
            Some("path") => true,
            Some("virtual") => false,
            // A private endpoint rarely has a DNS name for every bucket.
            None | Some("auto") => endpoint.is_some(),
            Some(other) => return Err(config("S3_ADDRESSING_STYLE", other, "path, virtual or auto")),
        };
        let settings = Self {
            bucket: uri.bucket.clone(),
            endpoint,
            endpoint_from: endpoint_from.unwrap_or_default(),
            region: var("AWS_REGION").or_else(|| var("AWS_DEFAULT_REGION")).unwrap_or_else(|| "us-east-1".into()),
            path_style,
            skip_signature: flag("AWS_SKIP_SIGNATURE"),
            metadata_disabled: flag("AWS_EC2_METADATA_DISABLED"),
            credentials: CREDENTIALS
                .iter()
                .enumerate()
                .filter_map(|(at, (name, _))| var(name).map(|value| (at, value)))
                .collect(),
            network: Network::from_env()?,
        };
        settings.check_credentials(uri)?;
        Ok(settings)
    }

    /// Without any other source the client would ask the cloud's metadata service; on a private endpoint, or where
    /// that service is switched off, this is a long wait for nothing.
    fn check_credentials(&self, uri: &Uri) -> Result<()> {
        let has = |name: &str| self.credentials.iter().any(|(at, _)| CREDENTIALS[*at].0 == name);
        let key = has("AWS_ACCESS_KEY_ID") && has("AWS_SECRET_ACCESS_KEY");
        let other = has("AWS_WEB_IDENTITY_TOKEN_FILE")
            || has("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
            || has("AWS_CONTAINER_CREDENTIALS_FULL_URI");
        if key || other || self.skip_signature || !(self.endpoint.is_some() || self.metadata_disabled) {
            return Ok(());
        }
        Err(StoreError::PermissionDenied {
            uri: uri.to_string(),
            detail: "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_SKIP_SIGNATURE=true \
                     for anonymous access"
                .into(),
        })
    }

    /// Builds the client.
    ///
    /// # Errors
    /// [`StoreError::Config`] when the client refuses the settings.
    pub fn build(&self) -> Result<AmazonS3> {
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&self.bucket)
            .with_region(&self.region)
            .with_virtual_hosted_style_request(!self.path_style)
            .with_skip_signature(self.skip_signature)
            .with_retry(self.network.retry());
        let mut allow_http = false;
        if let Some(endpoint) = &self.endpoint {
            let endpoint = self.endpoint_for_style(endpoint)?;
            allow_http = endpoint.starts_with("http://");
            builder = builder.with_endpoint(endpoint);
        }
        for (at, value) in &self.credentials {
            builder = builder.with_config(CREDENTIALS[*at].1, value);
        }
        builder
            .with_client_options(self.network.client(allow_http))
            .build()
            .map_err(|source| config("s3", &format!("settings for bucket {:?}", self.bucket), &source.to_string()))
    }

    /// In virtual-host style the bucket is part of the host name, which the client leaves to the endpoint's URL.
    fn endpoint_for_style(&self, endpoint: &str) -> Result<String> {
        let bad = || config(self.endpoint_from, endpoint, "http://host:port or https://host:port");
        let mut url = url::Url::parse(endpoint).map_err(|_| bad())?;
        let host = url.host_str().filter(|_| ["http", "https"].contains(&url.scheme())).ok_or_else(bad)?;
        if !self.path_style {
            let host = format!("{}.{host}", self.bucket);
            url.set_host(Some(&host)).map_err(|_| bad())?;
        }
        Ok(url.as_str().trim_end_matches('/').to_owned())
    }
}

impl fmt::Debug for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Credentials never reach a log.
        f.debug_struct("S3")
            .field("bucket", &self.bucket)
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .field("path_style", &self.path_style)
            .finish_non_exhaustive()
    }
}

fn var(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn flag(name: &str) -> bool {
    var(name).is_some_and(|value| matches!(value.to_ascii_lowercase().as_str(), "1" | "true" | "yes" | "on"))
}

fn seconds(name: &str, default: f64) -> Result<Duration> {
    let Some(text) = var(name) else { return Ok(Duration::from_secs_f64(default)) };
    // A day is beyond any useful time limit and far below what a Duration can hold.
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value <= 86_400.0 => Ok(Duration::from_secs_f64(value)),
        _ => Err(config(name, &text, "a number of seconds above 0 and up to 86400")),
    }
}

fn config(option: &str, found: &str, expected: &str) -> StoreError {
    StoreError::Config { option: option.into(), found: format!("{found:?}"), expected: expected.into() }
}

//! Settings of Amazon S3 and servers that speak its protocol.

use std::fmt;

use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};

use super::{Network, config, flag, var};
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
            .authority
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

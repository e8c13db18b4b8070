//! Settings of Amazon S3 and servers that speak its protocol.

use std::sync::Arc;

use object_store::ObjectStore;
use object_store::aws::{
    AmazonS3Builder, AmazonS3ConfigKey, AwsCredential, Checksum, S3ConditionalPut, S3CopyIfNotExists,
};

use super::profile::{AwsProfile, Profile};
use super::{Network, ProfileFiles, Secret, config, endpoint, first_of, flag, var};
use crate::credentials::aws::{self, AwsPlace, AwsSignature};
use crate::credentials::{ANONYMOUS, Credentials, Remote};
use crate::error::{Result, StoreError};
use crate::transport::{self, Connector, Purpose};
use crate::uri::Uri;

/// Everything an S3 client depends on; equal settings share one client.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct S3 {
    bucket: String,
    endpoint: Option<String>,
    region: String,
    path_style: bool,
    checksum: UploadChecksum,
    login: AwsLogin,
    sts: Option<String>,
    network: Network,
}

/// The checksum that uploads carry and the server verifies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum UploadChecksum {
    None,
    Sha256,
    Crc64Nvme,
}

/// A key, its secret, and the token of a session.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct AwsKeys {
    pub(crate) id: String,
    pub(crate) secret: Secret,
    pub(crate) token: Option<Secret>,
}

/// A role that is assumed with other credentials.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct AwsRole {
    pub(crate) arn: String,
    pub(crate) session: String,
    pub(crate) external_id: Option<String>,
    pub(crate) seconds: Option<String>,
    pub(crate) base: AwsLogin,
}

/// The agent of a container that gives credentials.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum AwsContainer {
    /// Below the agent's fixed address.
    Relative(String),
    /// At this URL, with a token from this file.
    Full(String, String),
}

/// Where the credentials come from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum AwsLogin {
    /// None are sent.
    Anonymous,
    /// Keys as they stand in the environment or a file.
    Keys(AwsKeys),
    /// A token that the machine keeps in a file.
    WebIdentity { token_file: String, role: String, session: String },
    /// The agent of a container.
    Container(AwsContainer),
    /// A program that prints them.
    Process(String),
    /// A role.
    Role(Arc<AwsRole>),
    /// A profile, which says one of the others.
    Profile(AwsProfile),
    /// The metadata service of the machine.
    Instance,
}

impl AwsContainer {
    /// The agent that the environment names.
    pub(super) fn from_env() -> Result<Option<Self>> {
        if let Some(relative) = var("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
            return Ok(Some(Self::Relative(relative)));
        }
        let Some(full) = var("AWS_CONTAINER_CREDENTIALS_FULL_URI") else { return Ok(None) };
        let name = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";
        let file = var(name).ok_or_else(|| {
            config(name, "", "the file with the token for AWS_CONTAINER_CREDENTIALS_FULL_URI, which is set")
        })?;
        Ok(Some(Self::Full(full, file)))
    }
}

impl AwsLogin {
    /// The options of the client's builder for the logins that it knows by itself.
    pub(crate) fn options(&self) -> Vec<(AmazonS3ConfigKey, String)> {
        use AmazonS3ConfigKey as Key;
        match self {
            Self::WebIdentity { token_file, role, session } => vec![
                (Key::WebIdentityTokenFile, token_file.clone()),
                (Key::RoleArn, role.clone()),
                (Key::RoleSessionName, session.clone()),
            ],
            Self::Container(AwsContainer::Relative(uri)) => {
                vec![(Key::ContainerCredentialsRelativeUri, uri.clone())]
            }
            Self::Container(AwsContainer::Full(uri, file)) => vec![
                (Key::ContainerCredentialsFullUri, uri.clone()),
                (Key::ContainerAuthorizationTokenFile, file.clone()),
            ],
            _ => Vec::new(),
        }
    }

    /// The login in words.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Anonymous => ANONYMOUS.into(),
            Self::Keys(_) => "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY".into(),
            Self::WebIdentity { token_file, .. } => format!("web identity {token_file}"),
            Self::Container(_) => "container agent".into(),
            Self::Process(_) => "credential_process".into(),
            Self::Role(role) => format!("role {}", role.arn),
            Self::Profile(profile) => format!("profile {}", profile.name()),
            Self::Instance => "instance metadata".into(),
        }
    }

    /// Whether fresh credentials can be had after a refusal.
    fn renewable(&self) -> bool {
        !matches!(self, Self::Anonymous | Self::Keys(_))
    }
}

/// The keys of the environment, where both halves are set.
pub(super) fn keys_of_environment() -> Option<AwsKeys> {
    let (id, secret) = (var("AWS_ACCESS_KEY_ID")?, var("AWS_SECRET_ACCESS_KEY")?);
    Some(AwsKeys { id, secret: Secret(secret), token: var("AWS_SESSION_TOKEN").map(Secret) })
}

impl S3 {
    /// The settings that hold for `uri` at this moment.
    ///
    /// # Errors
    /// [`StoreError::Config`] for a value out of range, a missing profile or an incomplete login;
    /// [`StoreError::PermissionDenied`] when a private endpoint is set but no credentials are.
    pub fn resolve(uri: &Uri) -> Result<Self> {
        let named = first_of(&["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]);
        let host = uri.authority.as_ref().map(|host| ("host of the URI", format!("http://{host}")));
        let region = first_of(&["AWS_REGION", "AWS_DEFAULT_REGION"]).map(|(_, region)| region);
        let login = login_of_environment()?;
        let set = host.or(named);
        // The files are looked at only where something is missing that they could say.
        let wanted = login.is_none() || region.is_none() || set.is_none() || profile_is_named();
        let profile = if wanted { ProfileFiles::from_env().load()? } else { None };
        let set = match (set, &profile) {
            (None, Some(profile)) => endpoint_of_profile(profile)?,
            (set, _) => set,
        };
        let login = match (login, &profile) {
            (Some(login), _) => login,
            (None, Some(profile)) => profile.login()?.map_or_else(|| last_resort(uri, set.is_some()), Ok)?,
            (None, None) => last_resort(uri, set.is_some())?,
        };
        let of_profile = |key: &str| profile.as_ref().and_then(|profile| profile.get(key));
        let path_style = path_style(set.is_some(), of_profile("addressing_style"))?;
        let endpoint = match set {
            Some((name, text)) => Some(endpoint_for_style(name, &text, &uri.bucket, path_style)?),
            None => None,
        };
        Ok(Self {
            bucket: uri.bucket.clone(),
            endpoint,
            region: region.or_else(|| of_profile("region")).unwrap_or_else(|| "us-east-1".into()),
            path_style,
            checksum: UploadChecksum::from_env()?,
            login,
            sts: first_of(&["AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL"]).map(|(_, url)| url),
            network: Network::from_env()?,
        })
    }

    /// Builds the client.
    ///
    /// # Errors
    /// [`StoreError::Config`] when the client refuses the settings.
    pub fn build(&self) -> Result<Arc<dyn ObjectStore>> {
        let remote = self.remote()?;
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&self.bucket)
            .with_region(&self.region)
            .with_virtual_hosted_style_request(!self.path_style)
            .with_skip_signature(self.login == AwsLogin::Anonymous)
            .with_credentials(remote.credentials.provider())
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_copy_if_not_exists(S3CopyIfNotExists::Multipart)
            .with_retry(self.network.retry())
            .with_client_options(Network::options())
            .with_http_connector(Connector(remote.service.clone()));
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        // Over TLS a signed checksum protects the content as well as the signed hash does, for less time.
        let encrypted = self.endpoint.as_ref().is_none_or(|url| url.starts_with("https://"));
        builder = builder.with_unsigned_payload(encrypted && self.checksum == UploadChecksum::Crc64Nvme);
        match self.checksum {
            UploadChecksum::None => {}
            UploadChecksum::Sha256 => builder = builder.with_checksum_algorithm(Checksum::SHA256),
            UploadChecksum::Crc64Nvme => builder = builder.with_checksum_algorithm(Checksum::CRC64NVME),
        }
        Ok(Arc::new(builder.build().map_err(|source| self.refused(&source))?))
    }

    /// The URL of the bucket.
    pub(crate) fn url(&self) -> String {
        match (&self.endpoint, self.path_style) {
            (Some(endpoint), true) => format!("{endpoint}/{}", self.bucket),
            (Some(endpoint), false) => endpoint.clone(),
            (None, true) => format!("https://s3.{}.amazonaws.com/{}", self.region, self.bucket),
            (None, false) => format!("https://{}.s3.{}.amazonaws.com", self.bucket, self.region),
        }
    }

    /// The connection to the bucket for requests that the client has no verb for.
    pub(crate) fn remote(&self) -> Result<Remote<AwsSignature>> {
        let service = transport::shared(&self.network, Purpose::Objects)?;
        let signature = AwsSignature { service: "s3", region: self.region.clone() };
        Ok(Remote::new(self.url(), service, self.credentials()?, signature))
    }

    /// The settings of the network.
    pub(crate) fn network(&self) -> &Network {
        &self.network
    }

    /// The region that requests are signed for.
    pub(crate) fn region(&self) -> &str {
        &self.region
    }

    fn credentials(&self) -> Result<Credentials<AwsCredential>> {
        let place = AwsPlace { region: self.region.clone(), sts: self.sts.clone(), network: self.network.clone() };
        let (name, login) = (self.login.name(), self.login.clone());
        if login.renewable() {
            Credentials::renewable(name, move || aws::provider(&login, &place)).map_err(|source| self.refused(&source))
        } else {
            Ok(Credentials::fixed(&name, aws::fixed_credential(&login)))
        }
    }

    fn refused(&self, source: &object_store::Error) -> StoreError {
        config("s3", &format!("settings for bucket {:?}", self.bucket), &source.to_string())
    }
}

fn profile_is_named() -> bool {
    first_of(&["AWS_PROFILE", "AWS_DEFAULT_PROFILE"]).is_some()
}

/// The login that the environment names by itself.
fn login_of_environment() -> Result<Option<AwsLogin>> {
    if flag("AWS_SKIP_SIGNATURE")? {
        return Ok(Some(AwsLogin::Anonymous));
    }
    if let Some(keys) = keys_of_environment() {
        return Ok(Some(AwsLogin::Keys(keys)));
    }
    // A profile that someone named goes before what the machine offers.
    if profile_is_named() {
        return Ok(None);
    }
    if let Some(token_file) = var("AWS_WEB_IDENTITY_TOKEN_FILE") {
        let role = var("AWS_ROLE_ARN")
            .ok_or_else(|| config("AWS_ROLE_ARN", "", "the role for AWS_WEB_IDENTITY_TOKEN_FILE, which is set"))?;
        let session = var("AWS_ROLE_SESSION_NAME").unwrap_or_else(|| "s3dlio".into());
        return Ok(Some(AwsLogin::WebIdentity { token_file, role, session }));
    }
    Ok(AwsContainer::from_env()?.map(AwsLogin::Container))
}

/// Without any other source the cloud's metadata service is asked; on a private endpoint, or where that service is
/// switched off, this would be a long wait for nothing.
fn last_resort(uri: &Uri, private: bool) -> Result<AwsLogin> {
    if !private && !flag("AWS_EC2_METADATA_DISABLED")? && var("AWS_ACCESS_KEY_ID").is_none() {
        return Ok(AwsLogin::Instance);
    }
    Err(StoreError::PermissionDenied {
        uri: uri.to_string(),
        detail: "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or \
                 AWS_SKIP_SIGNATURE=true for anonymous access"
            .into(),
    })
}

fn endpoint_of_profile(profile: &Profile) -> Result<Option<(&'static str, String)>> {
    if let Some(url) = profile.get("endpoint_url") {
        return Ok(Some(("endpoint_url of the profile", url)));
    }
    if let Some(services) = profile.get("services") {
        // Going on to the public cloud would be to ask another server than the one that was meant.
        let found = format!("services = {services}");
        let expected = "endpoint_url in the profile itself, or AWS_ENDPOINT_URL_S3";
        return Err(config(&format!("profile {}", profile.name()), &found, expected));
    }
    Ok(None)
}

fn path_style(private: bool, of_profile: Option<String>) -> Result<bool> {
    let set = first_of(&["S3_ADDRESSING_STYLE", "AWS_S3_ADDRESSING_STYLE"]).map(|(_, style)| style);
    match set.or(of_profile).as_deref() {
        Some("path") => Ok(true),
        Some("virtual") => Ok(false),
        // A private endpoint rarely has a DNS name for every bucket.
        None | Some("auto") => Ok(private),
        Some(other) => Err(config("S3_ADDRESSING_STYLE", other, "path, virtual or auto")),
    }
}

/// In virtual-host style the bucket is part of the host name, which the client leaves to the endpoint's URL.
fn endpoint_for_style(option: &'static str, text: &str, bucket: &str, path_style: bool) -> Result<String> {
    let mut url = endpoint(option, text)?;
    if !path_style {
        let host = format!("{bucket}.{}", url.host_str().unwrap_or_default());
        let bad = || config(option, text, "the name of a host, below which the bucket can stand");
        // An address would swallow the bucket's name without an error.
        if !matches!(url.host(), Some(url::Host::Domain(_))) {
            return Err(bad());
        }
        url.set_host(Some(&host)).map_err(|_| bad())?;
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

impl UploadChecksum {
    /// SHA-256 unless the environment says otherwise: the signature needs that hash anyway, so it costs nothing, and
    /// servers have verified it for longer than any other.
    fn from_env() -> Result<Self> {
        let name = "S3DLIO_UPLOAD_CHECKSUM";
        match var(name).map(|text| text.to_ascii_lowercase()).as_deref() {
            Some("none") => Ok(Self::None),
            None | Some("sha256") => Ok(Self::Sha256),
            Some("crc64nvme") => Ok(Self::Crc64Nvme),
            Some(other) => Err(config(name, other, "none, sha256 or crc64nvme")),
        }
    }
}

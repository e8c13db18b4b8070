//! Settings of Google Cloud Storage and servers that speak its XML protocol.

use std::path::PathBuf;
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::gcp::{GcpCredential, GoogleCloudStorageBuilder};
use serde_json::Value;

use super::{Network, Secret, Watched, config, endpoint, first_of, flag, home, var};
use crate::credentials::gcs::{self, GcsSignature};
use crate::credentials::{Credentials, Remote};
use crate::error::{Result, StoreError};
use crate::transport::{self, Connector, Purpose};
use crate::uri::Uri;

const PUBLIC: &str = "https://storage.googleapis.com";

/// Everything a client of Google Cloud Storage depends on; equal settings share one client.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Gcs {
    bucket: String,
    endpoint: String,
    login: GcsLogin,
    network: Network,
}

/// Where the credentials come from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum GcsLogin {
    /// None are sent.
    Anonymous,
    /// A key file or what `gcloud` left, and the variable that names it.
    File(Watched, KeyFile, &'static str),
    /// A service account key in a variable.
    Key(Secret),
    /// The metadata server of the machine, under this name or address.
    Metadata(String),
}

/// The kinds of credential file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum KeyFile {
    /// The key of a service account.
    ServiceAccount,
    /// The login of a person, as `gcloud auth application-default login` writes it.
    AuthorizedUser,
}

/// What a credential says beside the secret itself.
struct Described {
    kind: KeyFile,
    anonymous: bool,
    base_url: Option<String>,
}

impl Gcs {
    /// The settings that hold for `uri` at this moment.
    ///
    /// # Errors
    /// [`StoreError::Config`] for a value out of range or a credential file that is missing or of an unknown kind.
    pub fn resolve(uri: &Uri) -> Result<Self> {
        let set = first_of(&["GCS_ENDPOINT_URL", "STORAGE_EMULATOR_HOST", "CLOUD_STORAGE_EMULATOR_ENDPOINT"]);
        let private = set.is_some();
        let mut endpoint_url = match set {
            Some((name, text)) => Some(emulator(name, &text)?),
            None => None,
        };
        let login = match explicit(&mut endpoint_url)? {
            Some(login) => login,
            // A server that is plainly another gets no token that is meant for Google.
            None if private => GcsLogin::Anonymous,
            None => implicit()?,
        };
        Ok(Self {
            bucket: uri.bucket.clone(),
            endpoint: endpoint_url.unwrap_or_else(|| PUBLIC.into()),
            login,
            network: Network::from_env()?,
        })
    }

    /// Builds the client.
    ///
    /// # Errors
    /// [`StoreError::Config`] when the client refuses the settings.
    pub fn build(&self) -> Result<Arc<dyn ObjectStore>> {
        let remote = self.remote()?;
        let client = GoogleCloudStorageBuilder::new()
            .with_bucket_name(&self.bucket)
            .with_base_url(&self.endpoint)
            .with_skip_signature(self.login == GcsLogin::Anonymous)
            .with_credentials(remote.credentials.provider())
            .with_retry(self.network.retry())
            .with_client_options(Network::options())
            .with_http_connector(Connector(remote.service.clone()))
            .build()
            .map_err(|source| self.refused(&source))?;
        Ok(Arc::new(client))
    }

    /// The URL of the bucket.
    pub(crate) fn url(&self) -> String {
        format!("{}/{}", self.endpoint, self.bucket)
    }

    /// The connection to the bucket for requests that the client has no verb for.
    pub(crate) fn remote(&self) -> Result<Remote<GcsSignature>> {
        // Before the credentials, whose errors would hide that of a certificate file.
        let service = transport::shared(&self.network, Purpose::Objects)?;
        Ok(Remote::new(self.url(), service, self.credentials()?, GcsSignature))
    }

    /// The settings of the network.
    pub(crate) fn network(&self) -> &Network {
        &self.network
    }

    fn credentials(&self) -> Result<Credentials<GcpCredential>> {
        let bare = || Credentials::fixed("anonymous", GcpCredential { bearer: String::new() });
        let (name, login, network) = match &self.login {
            GcsLogin::Anonymous => return Ok(bare()),
            login @ GcsLogin::File(file, ..) => (format!("file {}", file.path.display()), login.clone(), &self.network),
            login @ GcsLogin::Key(_) => ("GOOGLE_SERVICE_ACCOUNT_KEY".into(), login.clone(), &self.network),
            login @ GcsLogin::Metadata(host) => (format!("metadata server {host}"), login.clone(), &self.network),
        };
        let network = network.clone();
        Credentials::renewable(name, move || gcs::provider(&login, &network)).map_err(|source| self.refused(&source))
    }

    fn refused(&self, source: &object_store::Error) -> StoreError {
        config("gs", &format!("settings for bucket {:?}", self.bucket), &source.to_string())
    }
}

/// Google's own tools take `host:port` as well as a URL.
fn emulator(name: &'static str, text: &str) -> Result<String> {
    let url = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    Ok(endpoint(name, &url)?.as_str().trim_end_matches('/').to_owned())
}

/// Credentials that someone named; a key made for an emulator also says where that is.
fn explicit(endpoint_url: &mut Option<String>) -> Result<Option<GcsLogin>> {
    if flag("GOOGLE_SKIP_SIGNATURE")? {
        return Ok(Some(GcsLogin::Anonymous));
    }
    let named = ["GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_PATH"];
    let (described, login) = if let Some((name, path)) = first_of(&named) {
        let file = Watched::look(&path);
        let text =
            file.read().map_err(|source| config(name, &path, &format!("a readable credential file ({source})")))?;
        let described = describe(name, &path, &text)?;
        let kind = described.kind;
        (described, GcsLogin::File(file, kind, name))
    } else if let Some(key) = var("GOOGLE_SERVICE_ACCOUNT_KEY") {
        (describe("GOOGLE_SERVICE_ACCOUNT_KEY", "***", &key)?, GcsLogin::Key(Secret(key)))
    } else {
        return Ok(None);
    };
    if endpoint_url.is_none() {
        *endpoint_url = described.base_url.map(|url| emulator("gcs_base_url", &url)).transpose()?;
    }
    Ok(Some(if described.anonymous { GcsLogin::Anonymous } else { login }))
}

fn metadata() -> GcsLogin {
    GcsLogin::Metadata(var("GCE_METADATA_HOST").unwrap_or_else(|| "metadata.google.internal".into()))
}

/// Credentials that are there without anyone naming them.
fn implicit() -> Result<GcsLogin> {
    let folder = var("CLOUDSDK_CONFIG").map(PathBuf::from).or_else(|| home().map(|home| home.join(".config/gcloud")));
    let Some(file) = folder.map(|folder| Watched::look(folder.join("application_default_credentials.json"))) else {
        return Ok(metadata());
    };
    if !file.exists() {
        return Ok(metadata());
    }
    let path = file.path.to_string_lossy().into_owned();
    let text = file
        .read()
        .map_err(|source| config("CLOUDSDK_CONFIG", &path, &format!("a readable credential file ({source})")))?;
    let kind = describe("CLOUDSDK_CONFIG", &path, &text)?.kind;
    Ok(GcsLogin::File(file, kind, "CLOUDSDK_CONFIG"))
}

fn describe(option: &str, found: &str, text: &str) -> Result<Described> {
    let expected = |why: &str| config(option, found, &format!("a service account key or a login of gcloud ({why})"));
    let json: Value = serde_json::from_str(text).map_err(|_| expected("the content is no JSON"))?;
    let kind = match json.get("type").and_then(Value::as_str) {
        // Keys made for emulators leave the type out.
        Some("service_account") | None => KeyFile::ServiceAccount,
        Some("authorized_user") => KeyFile::AuthorizedUser,
        Some(other) => return Err(expected(&format!("the content is of type {other:?}"))),
    };
    Ok(Described {
        kind,
        anonymous: json.get("disable_oauth").and_then(Value::as_bool).unwrap_or(false),
        base_url: json.get("gcs_base_url").and_then(Value::as_str).map(str::to_owned),
    })
}

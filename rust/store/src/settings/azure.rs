//! Settings of Azure Blob Storage and its emulator.

use std::sync::Arc;

use object_store::ObjectStore;
use object_store::azure::{AzureAccessKey, AzureConfigKey, AzureCredential, MicrosoftAzureBuilder, split_sas};

use super::connection_string::ConnectionString;
use super::{Network, Secret, config, endpoint, first_of, flag, var};
use crate::credentials::azure::{self, AzureSignature};
use crate::credentials::{ANONYMOUS, Credentials, Remote};
use crate::error::{Result, StoreError};
use crate::layers::FilteredOffset;
use crate::transport::{self, Connector, Purpose};
use crate::uri::Uri;

/// The account of the emulator; its name and key are the same everywhere and part of the emulator's documentation.
pub(super) const EMULATOR_ACCOUNT: &str = "devstoreaccount1";
const EMULATOR_KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

const ACCOUNT: [&str; 3] = ["AZURE_STORAGE_ACCOUNT", "AZURE_BLOB_ACCOUNT", "AZURE_STORAGE_ACCOUNT_NAME"];
const KEY: [&str; 3] = ["AZURE_STORAGE_KEY", "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY"];
const SAS: [&str; 2] = ["AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_SAS_KEY"];
const CLIENT: [&str; 2] = ["AZURE_CLIENT_ID", "AZURE_STORAGE_CLIENT_ID"];
const TENANT: [&str; 2] = ["AZURE_TENANT_ID", "AZURE_STORAGE_TENANT_ID"];
const ENDPOINT: [&str; 2] = ["AZURE_STORAGE_ENDPOINT", "AZURE_BLOB_ENDPOINT_URL"];

/// Everything an Azure client depends on; equal settings share one client.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Azure {
    account: String,
    container: String,
    endpoint: String,
    /// Whether the account stands in the endpoint's path, as it does with the emulator only.
    emulated: bool,
    login: AzureLogin,
    network: Network,
}

type Options = Vec<(AzureConfigKey, Secret)>;

/// Where the credentials come from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum AzureLogin {
    /// None are sent.
    Anonymous,
    /// The key of the account.
    Key(Secret),
    /// A shared access signature.
    Sas(Secret),
    /// A token that someone else fetched.
    Token(Secret),
    /// An application and its secret.
    ClientSecret(Options),
    /// A token file that the machine keeps fresh.
    WorkloadIdentity(Options),
    /// The login of `az login`.
    Cli,
    /// The identity of the machine.
    ManagedIdentity(Options),
}

impl AzureLogin {
    /// The options of the client's builder for this login.
    pub(crate) fn options(&self) -> impl Iterator<Item = (AzureConfigKey, &str)> {
        let options = match self {
            Self::ClientSecret(options) | Self::WorkloadIdentity(options) | Self::ManagedIdentity(options) => {
                options.as_slice()
            }
            _ => &[],
        };
        options.iter().map(|(key, value)| (*key, value.0.as_str()))
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Anonymous => ANONYMOUS,
            Self::Key(_) => "account key",
            Self::Sas(_) => "shared access signature",
            Self::Token(_) => "AZURE_STORAGE_TOKEN",
            Self::ClientSecret(_) => "client secret",
            Self::WorkloadIdentity(_) => "workload identity",
            Self::Cli => "Azure CLI",
            Self::ManagedIdentity(_) => "managed identity",
        }
    }
}

/// The account of the environment: set by itself, in the connection string, or that of the emulator.
pub(super) fn account_of_environment() -> Option<String> {
    first_of(&ACCOUNT).map(|(_, account)| account).or_else(|| {
        let text = var("AZURE_STORAGE_CONNECTION_STRING");
        text.and_then(|text| ConnectionString::parse(&text).ok()?.account())
            // A word that is neither yes nor no is reported where the settings are resolved.
            .or_else(|| flag("AZURE_STORAGE_USE_EMULATOR").unwrap_or(false).then(|| EMULATOR_ACCOUNT.to_owned()))
    })
}

impl Azure {
    /// The settings that hold for `uri` at this moment.
    ///
    /// # Errors
    /// [`StoreError::Config`] for a value out of range, accounts that contradict each other or an incomplete login;
    /// [`StoreError::PermissionDenied`] when a private endpoint is set but no credentials are.
    pub fn resolve(uri: &Uri) -> Result<Self> {
        let connection = match var("AZURE_STORAGE_CONNECTION_STRING") {
            Some(text) => ConnectionString::parse(&text)?,
            None => ConnectionString::default(),
        };
        let account = uri.authority.clone().or_else(account_of_environment).ok_or_else(|| StoreError::Config {
            option: "AZURE_STORAGE_ACCOUNT".into(),
            found: "nothing".into(),
            expected: format!("the account of {uri}, or a URI of the form az://account/container/key"),
        })?;
        if let Some(other) = connection.account().filter(|other| *other != account) {
            let expected = format!("AccountName={account}, the account of {uri}");
            return Err(config("AZURE_STORAGE_CONNECTION_STRING", &format!("AccountName={other}"), &expected));
        }
        let emulator = flag("AZURE_STORAGE_USE_EMULATOR")? || connection.development;
        let (name, given) = match first_of(&ENDPOINT) {
            Some((name, url)) => (name, Some(url)),
            None if emulator => ("AZURITE_BLOB_STORAGE_URL", Some(emulator_url(&account))),
            None => ("AZURE_STORAGE_CONNECTION_STRING", connection.endpoint(&account)),
        };
        let public = format!("https://{account}.blob.core.windows.net");

        let url = endpoint(name, given.as_deref().unwrap_or(&public))?;
        // The clouds of some countries have their own domains, all of this form.
        let private = !url.host_str().is_some_and(|host| host.contains(".blob.core."));
        let emulated = url.path_segments().and_then(|mut segments| segments.next()) == Some(account.as_str());
        let login = match login(&connection, emulator)? {
            Some(login) => login,
            None if private => return Err(no_credentials(uri)),
            None => AzureLogin::ManagedIdentity(managed_identity()),
        };
        Ok(Self {
            account,
            container: uri.bucket.clone(),
            endpoint: url.as_str().trim_end_matches('/').to_owned(),
            emulated,
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
        let client = MicrosoftAzureBuilder::new()
            .with_account(&self.account)
            .with_container_name(&self.container)
            .with_endpoint(self.endpoint.clone())
            .with_skip_signature(self.login == AzureLogin::Anonymous)
            .with_credentials(remote.credentials.provider())
            .with_retry(self.network.retry())
            .with_client_options(Network::options())
            .with_http_connector(Connector(remote.service.clone()))
            .build()
            .map_err(|source| self.refused(&source))?;
        Ok(if self.emulated { Arc::new(FilteredOffset(Arc::new(client))) } else { Arc::new(client) })
    }

    /// The URL of the container.
    pub(crate) fn url(&self) -> String {
        format!("{}/{}", self.endpoint, self.container)
    }

    /// The connection to the container for requests that the client has no verb for.
    pub(crate) fn remote(&self) -> Result<Remote<AzureSignature>> {
        let service = transport::shared(&self.network, Purpose::Objects)?;
        let signature = AzureSignature { account: self.account.clone() };
        Ok(Remote::new(self.url(), service, self.credentials()?, signature))
    }

    /// The settings of the network.
    pub(crate) fn network(&self) -> &Network {
        &self.network
    }

    fn credentials(&self) -> Result<Credentials<AzureCredential>> {
        let fixed = |credential| Ok(Credentials::fixed(self.login.name(), credential));
        match &self.login {
            AzureLogin::Anonymous => fixed(AzureCredential::BearerToken(String::new())),
            AzureLogin::Token(token) => fixed(AzureCredential::BearerToken(token.0.clone())),
            AzureLogin::Key(key) => {
                let key = AzureAccessKey::try_new(&key.0)
                    .map_err(|_| config("AZURE_STORAGE_KEY", "***", "the base64 text of an account's key"))?;
                fixed(AzureCredential::AccessKey(key))
            }
            AzureLogin::Sas(signature) => {
                let pairs = split_sas(&signature.0)
                    .map_err(|_| config("AZURE_STORAGE_SAS_TOKEN", "***", "name=value pairs joined by &"))?;
                fixed(AzureCredential::SASToken(pairs))
            }
            login => {
                let (login, network) = (login.clone(), self.network.clone());
                let name = login.name().to_owned();
                Credentials::renewable(name, move || azure::provider(&login, &network))
                    .map_err(|source| self.refused(&source))
            }
        }
    }

    fn refused(&self, source: &object_store::Error) -> StoreError {
        config("az", &format!("settings for container {:?}", self.container), &source.to_string())
    }
}

fn emulator_url(account: &str) -> String {
    let url = var("AZURITE_BLOB_STORAGE_URL").unwrap_or_else(|| "http://127.0.0.1:10000".into());
    format!("{}/{account}", url.trim_end_matches('/'))
}

fn no_credentials(uri: &Uri) -> StoreError {
    StoreError::PermissionDenied {
        uri: uri.to_string(),
        detail:
            "no credentials: set AZURE_STORAGE_KEY, AZURE_STORAGE_SAS_TOKEN or AZURE_STORAGE_CONNECTION_STRING, or \
                 AZURE_SKIP_SIGNATURE=true for anonymous access"
                .into(),
    }
}

/// The login that the environment names, the more special before the more general.
fn login(connection: &ConnectionString, emulator: bool) -> Result<Option<AzureLogin>> {
    let secret = |names: &[&'static str]| first_of(names).map(|(_, value)| Secret(value));
    if flag("AZURE_SKIP_SIGNATURE")? {
        return Ok(Some(AzureLogin::Anonymous));
    }
    if let Some(token) = secret(&["AZURE_STORAGE_TOKEN"]) {
        return Ok(Some(AzureLogin::Token(token)));
    }
    if let Some(key) = secret(&KEY).or_else(|| connection.key.clone()) {
        return Ok(Some(AzureLogin::Key(key)));
    }
    if let Some(signature) = secret(&SAS).or_else(|| connection.signature.clone()) {
        return Ok(Some(AzureLogin::Sas(signature)));
    }
    if emulator {
        return Ok(Some(AzureLogin::Key(Secret(EMULATOR_KEY.into()))));
    }
    application()
}

/// An application's login: by a token file or by a secret.
fn application() -> Result<Option<AzureLogin>> {
    let file = first_of(&["AZURE_FEDERATED_TOKEN_FILE"]);
    let client_secret = first_of(&["AZURE_CLIENT_SECRET", "AZURE_STORAGE_CLIENT_SECRET"]);
    let Some((name, proof)) = file.clone().or(client_secret) else {
        return Ok(flag("AZURE_USE_AZURE_CLI")?.then_some(AzureLogin::Cli));
    };
    let needed = |names: &[&'static str]| {
        first_of(names).ok_or_else(|| config(names[0], "nothing", &format!("a value, because {name} is set")))
    };
    let mut options = vec![
        (AzureConfigKey::ClientId, Secret(needed(&CLIENT)?.1)),
        (AzureConfigKey::AuthorityId, Secret(needed(&TENANT)?.1)),
    ];
    if let Some((_, host)) = first_of(&["AZURE_AUTHORITY_HOST", "AZURE_STORAGE_AUTHORITY_HOST"]) {
        options.push((AzureConfigKey::AuthorityHost, Secret(host.trim_end_matches('/').to_owned())));
    }
    Ok(Some(if file.is_some() {
        options.push((AzureConfigKey::FederatedTokenFile, Secret(proof)));
        AzureLogin::WorkloadIdentity(options)
    } else {
        options.push((AzureConfigKey::ClientSecret, Secret(proof)));
        AzureLogin::ClientSecret(options)
    }))
}

fn managed_identity() -> Options {
    let named = [
        (AzureConfigKey::ClientId, &CLIENT[..]),
        (AzureConfigKey::ObjectId, &["AZURE_OBJECT_ID"]),
        (AzureConfigKey::MsiResourceId, &["AZURE_MSI_RESOURCE_ID"]),
        (AzureConfigKey::MsiEndpoint, &["IDENTITY_ENDPOINT", "AZURE_MSI_ENDPOINT"]),
    ];
    named.into_iter().filter_map(|(key, names)| Some((key, Secret(first_of(names)?.1)))).collect()
}

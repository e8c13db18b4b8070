//! Credentials of Azure Blob Storage.

use std::sync::Arc;

use http::header::AUTHORIZATION;
use object_store::azure::{AzureAuthorizer, AzureConfigKey, AzureCredential, MicrosoftAzureBuilder};
use object_store::client::HttpRequest;

use super::{Made, Signature, header};
use crate::settings::{AzureLogin, Network};
use crate::transport::{self, Connector, Purpose};

/// Requests are signed with the account's key or carry a token.
#[derive(Debug, Clone)]
pub(crate) struct AzureSignature {
    pub(crate) account: String,
}

impl Signature for AzureSignature {
    type Credential = AzureCredential;

    fn sign(&self, request: &mut HttpRequest, credential: &AzureCredential) -> object_store::Result<()> {
        request.headers_mut().remove(AUTHORIZATION);
        AzureAuthorizer::new(credential, &self.account).try_authorize(request)
    }

    fn made_with(&self, request: &HttpRequest, credential: &AzureCredential) -> bool {
        match credential {
            AzureCredential::BearerToken(token) => header(request, "authorization") == format!("Bearer {token}"),
            // Keys and shared access signatures are never fetched anew.
            AzureCredential::AccessKey(_) | AzureCredential::SASToken(_) => true,
        }
    }
}

/// A provider without anything cached: its first credential is a fresh one.
pub(crate) fn provider(login: &AzureLogin, network: &Network) -> object_store::Result<Made<AzureCredential>> {
    let purpose = match login {
        AzureLogin::ManagedIdentity(_) => Purpose::Metadata,
        _ => Purpose::Credentials,
    };
    let service = transport::shared(network, purpose)
        .map_err(|source| object_store::Error::Generic { store: "MicrosoftAzure", source: Box::new(source) })?;
    let mut builder = MicrosoftAzureBuilder::new()
        .with_account("credentials")
        .with_container_name("credentials")
        .with_retry(network.credential_retry())
        .with_http_connector(Connector(service));
    for (key, value) in login.options() {
        builder = builder.with_config(key, value);
    }
    if *login == AzureLogin::Cli {
        builder = builder.with_config(AzureConfigKey::UseAzureCli, "true");
    }
    Ok(Arc::clone(builder.build()?.credentials()).into())
}

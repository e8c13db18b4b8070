//! Credentials of Amazon S3 and servers that speak its protocol.

use std::sync::Arc;

use http::header::AUTHORIZATION;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, AwsAuthorizer, AwsCredential};
use object_store::client::{HttpRequest, StaticCredentialProvider};

use super::cached::Cached;
use super::process::Process;
use super::sts::AssumedRole;
use super::{Made, Provider, Signature, header};
use crate::settings::{AwsKeys, AwsLogin, Network};
use crate::transport::{self, Connector, Purpose};

/// Signature version 4.
#[derive(Debug, Clone)]
pub(crate) struct AwsSignature {
    pub(crate) service: &'static str,
    pub(crate) region: String,
}

impl Signature for AwsSignature {
    type Credential = AwsCredential;

    fn sign(&self, request: &mut HttpRequest, credential: &AwsCredential) -> object_store::Result<()> {
        // The payload was hashed for the first signature; a large part is not hashed again.
        let digest = from_hex(header(request, "x-amz-content-sha256"));
        let signed = header(request, "x-amz-content-sha256") != "UNSIGNED-PAYLOAD";
        request.headers_mut().remove(AUTHORIZATION);
        request.headers_mut().remove("x-amz-security-token");
        AwsAuthorizer::new(credential, self.service, &self.region)
            .with_sign_payload(signed)
            .try_authorize(request, digest.as_deref())
    }

    fn made_with(&self, request: &HttpRequest, credential: &AwsCredential) -> bool {
        header(request, "authorization").contains(&format!("Credential={}/", credential.key_id))
            && header(request, "x-amz-security-token") == credential.token.as_deref().unwrap_or_default()
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    (text.len() == 64).then(|| text.as_bytes().chunks(2).map(byte).collect())?
}

/// What the providers need beside the login itself.
#[derive(Debug, Clone)]
pub(crate) struct AwsPlace {
    pub(crate) region: String,
    /// The token service, where it is not the public one of the region.
    pub(crate) sts: Option<String>,
    pub(crate) network: Network,
}

impl AwsPlace {
    pub(crate) fn sts_url(&self) -> String {
        self.sts.clone().unwrap_or_else(|| format!("https://sts.{}.amazonaws.com", self.region))
    }
}

/// A provider without anything cached: its first credential is a fresh one.
pub(crate) fn provider(login: &AwsLogin, place: &AwsPlace) -> object_store::Result<Made<AwsCredential>> {
    let connected = |purpose| {
        transport::shared(&place.network, purpose)
            .map_err(|source| object_store::Error::Generic { store: "S3", source: Box::new(source) })
    };
    let purpose = match login {
        AwsLogin::Anonymous | AwsLogin::Keys(_) => {
            let provider: Provider<AwsCredential> = Arc::new(StaticCredentialProvider::new(fixed_credential(login)));
            return Ok(provider.into());
        }
        AwsLogin::Process(command) => {
            return Ok(Cached::made(Process { command: command.clone(), limit: place.network.operation_timeout }));
        }
        AwsLogin::Role(role) => {
            let base = provider(&role.base, place)?.provider;
            let service = connected(Purpose::Credentials)?;
            return Ok(Cached::made(AssumedRole::new(role.clone(), base, service, place)));
        }
        // The file may hold other keys than it did when the client was made.
        AwsLogin::Profile(profile) => return provider(&profile.login_of_now(), place),
        AwsLogin::WebIdentity { .. } => Purpose::Credentials,
        AwsLogin::Container(_) | AwsLogin::Instance => Purpose::Metadata,
    };
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name("credentials")
        .with_region(&place.region)
        .with_config(AmazonS3ConfigKey::StsEndpoint, place.sts_url())
        .with_retry(place.network.credential_retry())
        .with_http_connector(Connector(connected(purpose)?));
    for (key, value) in login.options() {
        builder = builder.with_config(key, value);
    }
    Ok(Arc::clone(builder.build()?.credentials()).into())
}

/// The credential of a login that is one itself; an empty one for others.
pub(crate) fn fixed_credential(login: &AwsLogin) -> AwsCredential {
    match login {
        AwsLogin::Keys(AwsKeys { id, secret, token }) => {
            credential(id, &secret.0, token.as_ref().map(|token| token.0.as_str()))
        }
        _ => credential("", "", None),
    }
}

pub(super) fn credential(id: &str, secret: &str, token: Option<&str>) -> AwsCredential {
    AwsCredential { key_id: id.to_owned(), secret_key: secret.to_owned(), token: token.map(str::to_owned) }
}

pub(super) fn failed(what: impl std::fmt::Display) -> object_store::Error {
    object_store::Error::Generic { store: "S3", source: what.to_string().into() }
}

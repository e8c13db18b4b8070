//! Credentials of Google Cloud Storage.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{TimeDelta, Utc};
use http::header::{AUTHORIZATION, HeaderValue};
use object_store::client::{HttpClient, HttpRequest, HttpRequestBody};
use object_store::gcp::{GcpCredential, GoogleCloudStorageBuilder, GoogleConfigKey};
use serde::Deserialize;

use super::cached::{Cached, Fetched, Source};
use super::{Made, Signature, header};
use crate::settings::{GcsLogin, KeyFile, Network};
use crate::transport::{self, Connector, Purpose};

/// Requests carry a token.
#[derive(Debug, Clone)]
pub(crate) struct GcsSignature;

impl Signature for GcsSignature {
    type Credential = GcpCredential;

    fn sign(&self, request: &mut HttpRequest, credential: &GcpCredential) -> object_store::Result<()> {
        let text = format!("Bearer {}", credential.bearer);
        let mut value = HeaderValue::from_str(&text).map_err(|source| failed("a token that is no header", source))?;
        value.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, value);
        Ok(())
    }

    fn made_with(&self, request: &HttpRequest, credential: &GcpCredential) -> bool {
        header(request, "authorization") == format!("Bearer {}", credential.bearer)
    }
}

/// A provider without anything cached: its first credential is a fresh one.
pub(crate) fn provider(login: &GcsLogin, network: &Network) -> object_store::Result<Made<GcpCredential>> {
    let connected = |purpose| transport::shared(network, purpose).map_err(|source| failed("no connection", source));
    if let GcsLogin::Metadata(host) = login {
        let service = connected(Purpose::Metadata)?;
        return Ok(Cached::made(Metadata { host: host.clone(), service }));
    }
    let builder = GoogleCloudStorageBuilder::new()
        .with_bucket_name("credentials")
        .with_retry(network.credential_retry())
        .with_http_connector(Connector(connected(Purpose::Credentials)?));
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let builder = match login {
        GcsLogin::File(file, KeyFile::AuthorizedUser, _) => builder.with_application_credentials(text(&file.path)),
        GcsLogin::File(file, KeyFile::ServiceAccount, _) => builder.with_service_account_path(text(&file.path)),
        GcsLogin::Key(key) => builder.with_config(GoogleConfigKey::ServiceAccountKey, &key.0),
        GcsLogin::Metadata(_) | GcsLogin::Anonymous => builder.with_bearer_token(""),
    };
    Ok(Arc::clone(builder.build()?.credentials()).into())
}

/// The metadata server of a machine in Google's cloud. Ours and not the client's, which would look into the home
/// directory first and so read the environment on a thread of the runtime.
#[derive(Debug)]
struct Metadata {
    host: String,
    service: HttpClient,
}

#[derive(Deserialize)]
struct Token {
    access_token: String,
    expires_in: i64,
}

#[async_trait]
impl Source for Metadata {
    type Credential = GcpCredential;

    async fn fetch(&self) -> object_store::Result<Fetched<GcpCredential>> {
        let url = format!("http://{}/computeMetadata/v1/instance/service-accounts/default/token", self.host);
        let request = http::Request::get(url)
            .header("Metadata-Flavor", "Google")
            .body(HttpRequestBody::empty())
            .map_err(|source| failed("the name of the metadata server", source))?;
        let answer = self.service.execute(request).await.map_err(|source| failed("no answer", source))?;
        let status = answer.status();
        let body = answer.into_body().bytes().await.map_err(|source| failed("no whole answer", source))?;
        let token: Token = serde_json::from_slice(&body)
            .map_err(|source| failed(&format!("an answer without a token, status {status}"), source))?;
        let expiry = Utc::now() + TimeDelta::seconds(token.expires_in);
        Ok((GcpCredential { bearer: token.access_token }, Some(expiry)))
    }
}

fn failed(what: &str, source: impl std::fmt::Display) -> object_store::Error {
    object_store::Error::Generic { store: "GCS", source: format!("{what}: {source}").into() }
}

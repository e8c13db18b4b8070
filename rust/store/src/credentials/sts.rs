//! Credentials of a role that a profile assumes.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use object_store::aws::AwsCredential;
use object_store::client::{HttpClient, HttpRequestBody};
use serde::Deserialize;
use url::form_urlencoded::Serializer;

use super::aws::{AwsPlace, AwsSignature, credential, failed};
use super::cached::{Fetched, Source};
use super::{Provider, Signature};
use crate::settings::AwsRole;

/// A role, and who asks for it.
#[derive(Debug)]
pub(super) struct AssumedRole {
    role: Arc<AwsRole>,
    base: Provider<AwsCredential>,
    service: HttpClient,
    url: String,
    signature: AwsSignature,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Response {
    assume_role_result: Assumed,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Assumed {
    credentials: Issued,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Issued {
    access_key_id: String,
    secret_access_key: String,
    session_token: String,
    expiration: DateTime<Utc>,
}

impl AssumedRole {
    pub(super) fn new(
        role: Arc<AwsRole>,
        base: Provider<AwsCredential>,
        service: HttpClient,
        place: &AwsPlace,
    ) -> Self {
        let signature = AwsSignature { service: "sts", region: place.region.clone() };
        Self { role, base, service, url: format!("{}/", place.sts_url().trim_end_matches('/')), signature }
    }

    fn form(&self) -> String {
        let mut form = Serializer::new(String::new());
        form.append_pair("Action", "AssumeRole")
            .append_pair("Version", "2011-06-15")
            .append_pair("RoleArn", &self.role.arn)
            .append_pair("RoleSessionName", &self.role.session);
        if let Some(external) = &self.role.external_id {
            form.append_pair("ExternalId", external);
        }
        if let Some(seconds) = &self.role.seconds {
            form.append_pair("DurationSeconds", seconds);
        }
        form.finish()
    }
}

#[async_trait]
impl Source for AssumedRole {
    type Credential = AwsCredential;

    async fn fetch(&self) -> object_store::Result<Fetched<AwsCredential>> {
        let base = self.base.get_credential().await?;
        let form = self.form();
        let mut request = http::Request::post(&self.url)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(CONTENT_LENGTH, form.len())
            .body(HttpRequestBody::from(form))
            .map_err(failed)?;
        self.signature.sign(&mut request, &base)?;
        let answer = self.service.execute(request).await.map_err(failed)?;
        let status = answer.status();
        let body = answer.into_body().bytes().await.map_err(failed)?;
        let text = String::from_utf8_lossy(&body);
        if !status.is_success() {
            return Err(failed(format!("cannot assume role {}: status {status}: {text}", self.role.arn)));
        }
        let Response { assume_role_result: Assumed { credentials: issued } } = quick_xml::de::from_str(&text)
            .map_err(|source| failed(format!("cannot assume role {}: {source}", self.role.arn)))?;
        let token = Some(issued.session_token.as_str());
        Ok((credential(&issued.access_key_id, &issued.secret_access_key, token), Some(issued.expiration)))
    }
}

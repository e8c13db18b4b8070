//! Credentials that a server no longer takes are fetched anew, and the request is sent once more.
//!
//! The layer sits below the client and not around it: it sees each part of an upload and each page of a listing, so
//! that an expired token costs one request and not the whole operation.

use async_trait::async_trait;
use http::StatusCode;
use http::header::AUTHORIZATION;
use object_store::client::{HttpClient, HttpError, HttpRequest, HttpResponse, HttpService};
use s3dlio_runtime::stats::{self, Counter};

use crate::credentials::{Credentials, Signature};

/// A transport that answers refusals with fresh credentials.
#[derive(Debug)]
pub(crate) struct Refreshing<S: Signature> {
    inner: HttpClient,
    credentials: Credentials<S::Credential>,
    signature: S,
}

impl<S: Signature> Refreshing<S> {
    pub(crate) fn new(inner: HttpClient, credentials: Credentials<S::Credential>, signature: S) -> Self {
        Self { inner, credentials, signature }
    }
}

/// Codes of S3 for tokens that have expired, which it says with the status of a malformed request.
const EXPIRED: [&str; 3] = ["ExpiredToken", "InvalidToken", "TokenRefreshRequired"];

/// Whether the answer refuses the credentials. The body of a refusal is short, and read where its code is needed; an
/// answer to `HEAD` has none, and is then taken for one.
async fn look(answer: HttpResponse) -> Result<(HttpResponse, bool), HttpError> {
    match answer.status() {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Ok((answer, true)),
        StatusCode::BAD_REQUEST => {
            let (parts, body) = answer.into_parts();
            let body = body.bytes().await?;
            let text = String::from_utf8_lossy(&body);
            let refused = body.is_empty() || EXPIRED.iter().any(|code| text.contains(code));
            Ok((HttpResponse::from_parts(parts, body.clone().into()), refused))
        }
        _ => Ok((answer, false)),
    }
}

#[async_trait]
impl<S: Signature> HttpService for Refreshing<S> {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let mut again = request.clone();
        let (answer, refused) = look(self.inner.execute(request).await?).await?;
        if !refused || !again.headers().contains_key(AUTHORIZATION) {
            return Ok(answer);
        }
        let fresh = self.credentials.instead_of(|known| self.signature.made_with(&again, known)).await;
        match fresh.map(|fresh| self.signature.sign(&mut again, &fresh)) {
            Some(Ok(())) => {
                stats::add(Counter::Retries, 1);
                self.inner.execute(again).await
            }
            Some(Err(_)) | None => Ok(answer),
        }
    }
}

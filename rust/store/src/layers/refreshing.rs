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

/// A transport that answers 401 and 403 with fresh credentials.
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

#[async_trait]
impl<S: Signature> HttpService for Refreshing<S> {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let mut again = request.clone();
        let answer = self.inner.execute(request).await?;
        let refused = matches!(answer.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
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

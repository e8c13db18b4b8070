//! Credentials of the clouds: where they come from, when they are fetched anew, how a request is signed with them.

pub(crate) mod aws;
pub(crate) mod azure;
mod cached;
pub(crate) mod gcs;
mod process;
mod sts;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use object_store::client::{
    CredentialProvider, HttpClient, HttpRequest, HttpRequestBody, HttpResponse, StaticCredentialProvider,
};

use crate::layers::Refreshing;

/// Between two attempts to get better credentials after a refusal: a bucket that is really closed then costs one
/// request for a token a second, not one for each object.
const PAUSE: Duration = Duration::from_secs(1);

pub(crate) type Provider<T> = Arc<dyn CredentialProvider<Credential = T>>;

/// A provider, and when the credential it holds at the moment expires, where that is known.
pub(crate) struct Made<T> {
    pub(crate) provider: Provider<T>,
    pub(crate) expiry: Arc<Mutex<Option<DateTime<Utc>>>>,
}

impl<T> From<Provider<T>> for Made<T> {
    fn from(provider: Provider<T>) -> Self {
        Self { provider, expiry: Arc::default() }
    }
}

type Make<T> = Box<dyn Fn() -> object_store::Result<Made<T>> + Send + Sync>;

struct Inner<T> {
    name: String,
    make: Option<Make<T>>,
    current: RwLock<Made<T>>,
    renewed: tokio::sync::Mutex<Option<Instant>>,
}

/// The credentials of one client, shared by all its requests: one of them fetches, the others wait for it.
pub(crate) struct Credentials<T>(Arc<Inner<T>>);

impl<T> Clone for Credentials<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> fmt::Debug for Credentials<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T> fmt::Debug for Inner<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({})", self.name)
    }
}

impl<T: fmt::Debug + Send + Sync + 'static> Credentials<T> {
    /// Credentials that stay as they are.
    pub(crate) fn fixed(name: &str, credential: T) -> Self {
        let provider: Provider<T> = Arc::new(StaticCredentialProvider::new(credential));
        Self::new(name.to_owned(), None, provider.into())
    }

    /// Credentials that `make` can get again: from a file that changed, from a service.
    pub(crate) fn renewable(
        name: String,
        make: impl Fn() -> object_store::Result<Made<T>> + Send + Sync + 'static,
    ) -> object_store::Result<Self> {
        let first = make()?;
        Ok(Self::new(name, Some(Box::new(make)), first))
    }

    fn new(name: String, make: Option<Make<T>>, first: Made<T>) -> Self {
        Self(Arc::new(Inner { name, make, current: RwLock::new(first), renewed: tokio::sync::Mutex::default() }))
    }

    /// Where the credentials come from, in words.
    pub(crate) fn name(&self) -> &str {
        &self.0.name
    }

    /// When the present credential expires, where that is known.
    pub(crate) fn expiry(&self) -> Option<DateTime<Utc>> {
        let current = self.0.current.read().unwrap_or_else(PoisonError::into_inner);
        *current.expiry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same credentials in the form that clients take.
    pub(crate) fn provider(&self) -> Provider<T> {
        Arc::clone(&self.0) as Provider<T>
    }

    /// The credential of the moment.
    pub(crate) async fn get(&self) -> object_store::Result<Arc<T>> {
        self.0.get_credential().await
    }

    /// A credential other than the refused one: the one that another request has fetched in the meantime, or a new
    /// one. `None` where there is no better one.
    pub(crate) async fn instead_of(&self, refused: impl Fn(&T) -> bool) -> Option<Arc<T>> {
        let make = self.0.make.as_ref()?;
        let mut renewed = self.0.renewed.lock().await;
        let present = self.get().await.ok()?;
        if !refused(&present) {
            return Some(present);
        }
        if renewed.is_some_and(|at| at.elapsed() < PAUSE) {
            return None;
        }
        *renewed = Some(Instant::now());
        let failed = |source: object_store::Error| {
            tracing::warn!(provider = self.name(), %source, "no fresh credentials after a refusal");
        };
        let made = make().map_err(failed).ok()?;
        let fresh = made.provider.get_credential().await.map_err(failed).ok()?;
        *self.0.current.write().unwrap_or_else(PoisonError::into_inner) = made;
        (!refused(&fresh)).then_some(fresh)
    }
}

#[async_trait]
impl<T: fmt::Debug + Send + Sync + 'static> CredentialProvider for Inner<T> {
    type Credential = T;

    async fn get_credential(&self) -> object_store::Result<Arc<T>> {
        let provider = Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner).provider);
        provider.get_credential().await.map_err(|source| object_store::Error::Unauthenticated {
            path: String::new(),
            source: format!("no credentials from {}: {source}", self.name).into(),
        })
    }
}

/// How a cloud signs requests.
pub(crate) trait Signature: fmt::Debug + Clone + Send + Sync + 'static {
    /// What requests are signed with.
    type Credential: fmt::Debug + Send + Sync + 'static;

    /// Signs a request, in place of whatever signature it carries.
    fn sign(&self, request: &mut HttpRequest, credential: &Self::Credential) -> object_store::Result<()>;

    /// Whether the request carries a signature made with this credential.
    fn made_with(&self, request: &HttpRequest, credential: &Self::Credential) -> bool;
}

/// The text of a header; empty where there is none.
pub(crate) fn header<'a>(request: &'a HttpRequest, name: &str) -> &'a str {
    request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// A bucket behind its address: for requests that the clients have no verb for.
#[derive(Debug)]
pub(crate) struct Remote<S: Signature> {
    /// The bucket's URL, without a slash at the end.
    pub(crate) url: String,
    pub(crate) service: HttpClient,
    pub(crate) credentials: Credentials<S::Credential>,
    signature: S,
}

impl<S: Signature> Remote<S> {
    pub(crate) fn new(url: String, service: HttpClient, credentials: Credentials<S::Credential>, signature: S) -> Self {
        let service = if credentials.0.make.is_some() {
            HttpClient::new(Refreshing::new(service, credentials.clone(), signature.clone()))
        } else {
            service
        };
        Self { url, service, credentials, signature }
    }
}

/// A bucket behind its address, whatever the cloud.
#[async_trait]
pub(crate) trait Connection: Send + Sync {
    /// The bucket's URL.
    fn url(&self) -> &str;

    /// Where the credentials come from, in words.
    fn login(&self) -> &str;

    /// When the present credential expires, where that is known.
    fn expiry(&self) -> Option<DateTime<Utc>>;

    /// Gets a credential, if any is needed.
    async fn log_in(&self) -> object_store::Result<()>;

    /// Sends one request to the bucket's URL with `query` behind it, signed unless the access is anonymous.
    ///
    /// # Errors
    /// Those of the credentials and of the connection; an answer of any status is none.
    async fn send(
        &self,
        method: http::Method,
        query: &str,
        headers: &[(&'static str, String)],
        body: String,
    ) -> object_store::Result<HttpResponse>;
}

#[async_trait]
impl<S: Signature> Connection for Remote<S> {
    fn url(&self) -> &str {
        &self.url
    }

    fn login(&self) -> &str {
        self.credentials.name()
    }

    fn expiry(&self) -> Option<DateTime<Utc>> {
        self.credentials.expiry()
    }

    async fn log_in(&self) -> object_store::Result<()> {
        self.credentials.get().await.map(|_| ())
    }

    async fn send(
        &self,
        method: http::Method,
        query: &str,
        headers: &[(&'static str, String)],
        body: String,
    ) -> object_store::Result<HttpResponse> {
        let mut request = http::Request::builder().method(method).uri(format!("{}{query}", self.url));
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        request = request.header(http::header::CONTENT_LENGTH, body.len());
        let body = if body.is_empty() { HttpRequestBody::empty() } else { body.into() };
        let mut request = request.body(body).map_err(generic)?;
        if self.login() != ANONYMOUS {
            let credential = self.credentials.get().await?;
            self.signature.sign(&mut request, &credential)?;
        }
        self.service.execute(request).await.map_err(generic)
    }
}

fn generic(source: impl std::error::Error + Send + Sync + 'static) -> object_store::Error {
    object_store::Error::Generic { store: "HTTP", source: Box::new(source) }
}

/// The name of access without credentials.
pub(crate) const ANONYMOUS: &str = "anonymous";

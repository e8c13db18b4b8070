//! HTTP for all network stores: common pools of connections for equal settings, and rules of our own for redirects,
//! waiting times and counting.

mod clients;

use std::collections::HashMap;
use std::error::Error as StdError;
use std::io;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use http::header::{HeaderMap, LOCATION, RETRY_AFTER};
use http::{StatusCode, Uri};
use http_body_util::BodyExt;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
};
use s3dlio_runtime::fork::ForkLocal;
use s3dlio_runtime::stats::{self, Counter};

use self::clients::{Clients, Recipe};
use crate::error::Result;
use crate::sending::{Sending, watched};
use crate::settings::Network;

/// What the requests are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Purpose {
    /// Objects and buckets.
    Objects,
    /// Tokens from a service of the cloud.
    Credentials,
    /// Tokens from the machine's own address, which no proxy can reach.
    Metadata,
}

type Transports = RwLock<HashMap<(Network, Purpose), HttpClient>>;

static TRANSPORTS: ForkLocal<Transports> = ForkLocal::new();

/// The transport for these settings; equal settings share connections, also between buckets.
///
/// # Errors
/// [`StoreError::Config`] for a certificate file or proxy that cannot be used.
pub(crate) fn shared(network: &Network, purpose: Purpose) -> Result<HttpClient> {
    let key = (network.clone(), purpose);
    let known = TRANSPORTS.get_or_init(Transports::default);
    if let Some(client) = known.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
        return Ok(client.clone());
    }
    let client = HttpClient::new(Transport::new(network, purpose)?);
    Ok(known.write().unwrap_or_else(PoisonError::into_inner).entry(key).or_insert(client).clone())
}

/// Hands a finished transport to a client of `object_store`.
#[derive(Debug)]
pub(crate) struct Connector(pub(crate) HttpClient);

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(self.0.clone())
    }
}

/// Bodies above this are sent under watch; what is smaller leaves at once on any link worth the name.
const LARGE: usize = 256 << 10;

/// Common connections.
#[derive(Debug)]
struct Transport {
    client: Clients,
    /// For large bodies: its limit on silence would count the time that sending takes.
    uploads: Clients,
    /// The longest silence.
    silence: Duration,
    /// The longest wait that a server may ask for; nothing where requests are not repeated.
    patience: Duration,
    /// Whether failures count as retries of the caller's work.
    counted: bool,
}

impl Transport {
    fn new(network: &Network, purpose: Purpose) -> Result<Self> {
        let silence = network.operation_timeout;
        let patience = if network.max_retries == 0 { Duration::ZERO } else { silence };
        let recipe = Recipe::new(network, purpose)?;
        // A limit on the whole request would cut off large bodies on slow links; the read limit finds stalls.
        let client = Clients::new(recipe.clone(), Some(silence));
        let uploads = Clients::new(recipe, None);
        Ok(Self { client, uploads, silence, patience, counted: purpose == Purpose::Objects })
    }

    /// Sends a request; a large body under watch, and then with the whole answer, which is short.
    async fn send(&self, request: HttpRequest) -> std::result::Result<HttpResponse, HttpError> {
        let (parts, body) = request.into_parts();
        let url = parts.uri.to_string().parse().map_err(|source: url::ParseError| unknown(source))?;
        let mut request = reqwest::Request::new(parts.method, url);
        *request.headers_mut() = parts.headers;
        let response = |answer: reqwest::Response| {
            let (parts, body) = http::Response::from(answer).into_parts();
            HttpResponse::from_parts(parts, HttpResponseBody::new(body.map_err(failed)))
        };
        if body.content_length() <= LARGE {
            *request.body_mut() = Some(match body.as_bytes() {
                Some(bytes) => bytes.clone().into(),
                None => reqwest::Body::wrap(body),
            });
            return self.client.current()?.execute(request).await.map(response).map_err(failed);
        }
        let (body, progress) = Sending::new(body);
        *request.body_mut() = Some(reqwest::Body::wrap(body));
        let answered = async {
            let answer = self.uploads.current()?.execute(request).await.map_err(failed)?;
            let (parts, body) = response(answer).into_parts();
            Ok(HttpResponse::from_parts(parts, body.bytes().await?.into()))
        };
        watched(answered, &progress, self.silence).await
    }

    fn count_retry(&self) {
        if self.counted {
            stats::add(Counter::Retries, 1);
        }
    }
}

#[async_trait]
impl HttpService for Transport {
    async fn call(&self, request: HttpRequest) -> std::result::Result<HttpResponse, HttpError> {
        let answer = match self.send(request).await {
            Ok(answer) => answer,
            Err(error) => {
                if !matches!(error.kind(), HttpErrorKind::Unknown | HttpErrorKind::Decode) {
                    self.count_retry();
                }
                return Err(error);
            }
        };
        let status = answer.status();
        if status.is_redirection() && status != StatusCode::NOT_MODIFIED {
            return Err(unknown(Redirected::new(status, answer.headers())));
        }
        if status.is_server_error() || matches!(status.as_u16(), 408 | 429) {
            self.count_retry();
            let asked = retry_after(answer.headers(), Utc::now()).filter(|_| matches!(status.as_u16(), 429 | 503));
            if let Some(wait) = asked {
                // The client repeats the request after a short pause of its own; the rest is waited for here.
                tokio::time::sleep(wait.min(self.patience)).await;
            }
        }
        Ok(answer)
    }
}

fn unknown(source: impl StdError + Send + Sync + 'static) -> HttpError {
    HttpError::new(HttpErrorKind::Unknown, source)
}

/// A server that sends its clients elsewhere.
#[derive(Debug, thiserror::Error)]
#[error("the server answers {status} and points to {target}, which is not followed: {advice}")]
struct Redirected {
    status: StatusCode,
    target: String,
    advice: String,
}

impl Redirected {
    fn new(status: StatusCode, headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let host = text(LOCATION.as_str()).map(|location| match location.parse::<Uri>() {
            // The query may hold a signature.
            Ok(uri) => uri.authority().map_or_else(|| uri.path().to_owned(), ToString::to_string),
            Err(_) => "an invalid address".to_owned(),
        });
        let advice = match text("x-amz-bucket-region") {
            Some(region) => format!("the bucket is in region {region}, set AWS_REGION to it"),
            None => "set the endpoint to the server that holds the bucket".to_owned(),
        };
        Self { status, target: host.unwrap_or_else(|| "no address".into()), advice }
    }
}

/// The wait that a busy server asks for: seconds, or a date.
fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let until = DateTime::parse_from_rfc2822(text).ok()?;
    until.signed_duration_since(now).to_std().ok()
}

/// Sorts a failure by whether the request can be repeated, as the client's own transport does.
fn failed(source: reqwest::Error) -> HttpError {
    let kind = if source.is_timeout() {
        HttpErrorKind::Timeout
    } else if source.is_connect() {
        HttpErrorKind::Connect
    } else if source.is_decode() {
        HttpErrorKind::Decode
    } else {
        broken(&source)
    };
    // The client names the URL where that is safe.
    HttpError::new(kind, source.without_url())
}

fn broken(error: &(dyn StdError + 'static)) -> HttpErrorKind {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(error) = cause.downcast_ref::<hyper::Error>() {
            if error.is_closed() || error.is_incomplete_message() || error.is_body_write_aborted() {
                return HttpErrorKind::Request;
            }
            if error.is_timeout() {
                return HttpErrorKind::Timeout;
            }
        }
        match cause.downcast_ref::<io::Error>().map(io::Error::kind) {
            Some(io::ErrorKind::TimedOut) => return HttpErrorKind::Timeout,
            Some(
                io::ErrorKind::ConnectionAborted
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::UnexpectedEof,
            ) => return HttpErrorKind::Interrupted,
            _ => next = cause.source(),
        }
    }
    HttpErrorKind::Unknown
}

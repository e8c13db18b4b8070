//! HTTP for all network stores: one pool of connections for equal settings, and rules of our own for redirects,
//! waiting times and counting.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
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
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{Certificate, ClientBuilder, NoProxy, Proxy};
use s3dlio_runtime::fork::ForkLocal;
use s3dlio_runtime::stats::{self, Counter};

use crate::error::{Result, StoreError, chain};
use crate::sending::{Sending, watched};
use crate::settings::{Network, config};

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

/// The longest wait for a connection to a metadata service: it is in the same host or not at all.
const METADATA_CONNECT: Duration = Duration::from_secs(1);

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

/// One pool of connections.
#[derive(Debug)]
struct Transport {
    client: reqwest::Client,
    /// For large bodies: its limit on silence would count the time that sending takes.
    uploads: reqwest::Client,
    /// The longest silence.
    silence: Duration,
    /// The longest wait that a server may ask for; nothing where requests are not repeated.
    patience: Duration,
    /// Whether failures count as retries of the caller's work.
    counted: bool,
}

impl Transport {
    fn new(network: &Network, purpose: Purpose) -> Result<Self> {
        let connect = match purpose {
            Purpose::Metadata => network.connect_timeout.min(METADATA_CONNECT),
            Purpose::Objects | Purpose::Credentials => network.connect_timeout,
        };
        let builder = || Self::builder(network, purpose, connect);
        let build = |builder: ClientBuilder| {
            builder.build().map_err(|source| StoreError::Store {
                uri: String::new(),
                detail: format!("cannot set up connections: {}", chain(&source)),
            })
        };
        // A limit on the whole request would cut off large bodies on slow links; the read limit finds stalls.
        let client = build(builder()?.read_timeout(network.operation_timeout))?;
        let uploads = build(builder()?)?;
        let patience = if network.max_retries == 0 { Duration::ZERO } else { network.operation_timeout };
        let silence = network.operation_timeout;
        Ok(Self { client, uploads, silence, patience, counted: purpose == Purpose::Objects })
    }

    fn builder(network: &Network, purpose: Purpose, connect: Duration) -> Result<ClientBuilder> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("s3dlio/", env!("CARGO_PKG_VERSION")))
            // A server that points elsewhere would be sent data, and perhaps credentials, that are meant for it alone.
            .redirect(Policy::none())
            // Many parallel HTTP/1.1 connections carry bulk reads faster than streams of one HTTP/2 connection.
            .http1_only()
            .connect_timeout(connect)
            .dns_resolver(Spread)
            .no_proxy();
        if purpose != Purpose::Metadata {
            for proxy in proxies(network)? {
                builder = builder.proxy(proxy);
            }
        }
        if let Some((name, file)) = &network.authorities {
            let path = file.path.to_string_lossy();
            let bad = |why: String| config(name, &path, &format!("a file of PEM certificates ({why})"));
            let pem = file.read().map_err(|source| bad(source.to_string()))?;
            let certificates = Certificate::from_pem_bundle(pem.as_bytes()).map_err(|source| bad(chain(&source)))?;
            if certificates.is_empty() {
                return Err(bad("it holds none".into()));
            }
            builder = builder.tls_certs_only(certificates);
        }
        Ok(builder)
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
            return self.client.execute(request).await.map(response).map_err(failed);
        }
        let (body, progress) = Sending::new(body);
        *request.body_mut() = Some(reqwest::Body::wrap(body));
        let answered = async {
            let answer = self.uploads.execute(request).await.map_err(failed)?;
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

fn proxies(network: &Network) -> Result<Vec<Proxy>> {
    let except = || network.proxies.except.as_deref().and_then(NoProxy::from_string);
    let made = |proxy: Option<&(&'static str, String)>, make: fn(&str) -> reqwest::Result<Proxy>| {
        proxy.map(|(name, url)| {
            // The URL may hold a password, so the message leaves it out.
            make(url).map(|proxy| proxy.no_proxy(except())).map_err(|_| config(name, "***", "the URL of a proxy"))
        })
    };
    let http = made(network.proxies.http.as_ref(), |url| Proxy::http(url));
    let https = made(network.proxies.https.as_ref(), |url| Proxy::https(url));
    [http, https].into_iter().flatten().collect()
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

/// Resolves names as the system does and begins with another address each time, so that the connections of one
/// process are spread over all servers behind a name.
#[derive(Debug)]
struct Spread;

impl Resolve for Spread {
    fn resolve(&self, name: Name) -> Resolving {
        static TURN: AtomicUsize = AtomicUsize::new(0);
        Box::pin(async move {
            let mut addresses: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if !addresses.is_empty() {
                let first = TURN.fetch_add(1, Ordering::Relaxed) % addresses.len();
                addresses.rotate_left(first);
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

//! The steps below the client: name, connection, encryption, credentials, clock, bucket.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use http::{Method, StatusCode};
use object_store::client::{HttpClient, HttpRequestBody};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::{Found, Report, objects};
use crate::credentials::Connection;
use crate::error::StoreError;
use crate::settings::{Network, Settings};
use crate::transport::{self, Purpose};
use crate::uri::{Scheme, Uri};
use crate::work::Work;

/// Clocks that differ by more are refused: the limit of the signatures is a quarter of an hour, and a clock that runs
/// wrong reaches it.
const CLOCKS: i64 = 300;

struct Place {
    url: url::Url,
    host: String,
    port: u16,
    network: Network,
    transport: HttpClient,
}

/// Resolves the settings on this thread and looks at the rest from the network's.
pub(super) fn look(mut report: Report, uri: Uri, write: bool) -> Work<Report> {
    let began = Instant::now();
    let prepared = prepare(&uri);
    match prepared {
        Err(error) => {
            report.add("settings", began, Found::failed(&error));
            Work::here(move || Ok(report))
        }
        Ok((place, connection, store)) => {
            let proxy = place.proxy().map_or_else(String::new, |name| format!(", proxy of {name}"));
            let detail = format!("bucket at {}, credentials: {}{proxy}", connection.url(), connection.login());
            report.add("settings", began, Found::good(detail));
            Work::network(async move {
                if place.steps(&mut report, &*connection, uri.scheme).await {
                    objects::look(&mut report, &store, &uri, write).await;
                }
                Ok(report)
            })
        }
    }
}

type Prepared = (Place, Arc<dyn Connection>, Arc<dyn object_store::ObjectStore>);

fn prepare(uri: &Uri) -> crate::Result<Prepared> {
    let settings = Settings::resolve(uri)?;
    let connection = settings.connect()?;
    let store = settings.build()?;
    let bad = || StoreError::InvalidUri { uri: uri.to_string(), reason: format!("bucket at {}", connection.url()) };
    let url = url::Url::parse(connection.url()).map_err(|_| bad())?;
    let host = url.host_str().ok_or_else(bad)?.to_owned();
    let port = url.port_or_known_default().ok_or_else(bad)?;
    // One try each: a check says what is, and does not wait for it to become better.
    let network = Network { max_retries: 0, ..settings.network().clone() };
    let transport = transport::shared(&network, Purpose::Credentials)?;
    Ok((Place { url, host, port, network, transport }, connection, store))
}

impl Place {
    fn proxy(&self) -> Option<&'static str> {
        let proxies = &self.network.proxies;
        let proxy = if self.url.scheme() == "https" { &proxies.https } else { &proxies.http };
        proxy.as_ref().map(|(name, _)| *name)
    }

    /// Whether it makes sense to go on to the objects.
    async fn steps(&self, report: &mut Report, connection: &dyn Connection, scheme: Scheme) -> bool {
        if self.proxy().is_none()
            && !(report.look("name resolution", self.resolve()).await
                && report.look("connection", self.connect()).await)
        {
            return false;
        }
        let mut date = None;
        if !report.look("TLS", self.ask(&mut date)).await {
            return false;
        }
        if !report.look("credentials", log_in(connection)).await {
            return false;
        }
        report.look("clock", async { clock(date, Utc::now()) }).await;
        report.look("bucket", bucket(connection, scheme)).await
    }

    async fn resolve(&self) -> Found {
        let host = self.host.trim_matches(['[', ']']);
        match timeout(self.network.connect_timeout, lookup_host((host, self.port))).await {
            Ok(Ok(addresses)) => {
                let all: Vec<String> = addresses.map(|address| address.ip().to_string()).collect();
                Found::good(format!("{host} is {}", all.join(", ")))
            }
            Ok(Err(source)) => Found::bad(format!("{host}: {source}"), "check the endpoint's name, region and bucket"),
            Err(_) => Found::bad(self.slow(&format!("no answer about {host}")), "check the name servers"),
        }
    }

    async fn connect(&self) -> Found {
        let host = self.host.trim_matches(['[', ']']);
        match timeout(self.network.connect_timeout, TcpStream::connect((host, self.port))).await {
            Ok(Ok(_)) => Found::good(format!("{host}:{} accepts connections", self.port)),
            Ok(Err(source)) => {
                Found::bad(format!("{host}:{}: {source}", self.port), "check the endpoint's port and that it runs")
            }
            Err(_) => Found::bad(
                self.slow(&format!("no connection to {host}:{}", self.port)),
                "check firewalls, HTTPS_PROXY and NO_PROXY, or raise S3DLIO_CONNECT_TIMEOUT_SECS",
            ),
        }
    }

    fn slow(&self, what: &str) -> String {
        format!("{what} within {:?}", self.network.connect_timeout)
    }

    /// Asks for nothing in particular: any answer says that both sides understand each other.
    async fn ask(&self, date: &mut Option<DateTime<Utc>>) -> Found {
        let origin = self.url.origin().ascii_serialization();
        let request = match http::Request::head(format!("{origin}/")).body(HttpRequestBody::empty()) {
            Ok(request) => request,
            Err(source) => return Found::bad(source.to_string(), "check the endpoint"),
        };
        let encrypted = self.url.scheme() == "https";
        match self.transport.execute(request).await {
            Ok(answer) => {
                let text = answer.headers().get(http::header::DATE).and_then(|date| date.to_str().ok());
                *date = text.and_then(|text| DateTime::parse_from_rfc2822(text).ok()).map(|date| date.to_utc());
                if encrypted {
                    Found::good("the server's certificate is trusted")
                } else {
                    Found::unknown("plain http: neither encrypted nor authenticated")
                }
            }
            // The root of a public cloud points to its web pages.
            Err(source) if crate::error::chain(&source).contains("is not followed") => {
                Found::good(if encrypted { "the server's certificate is trusted" } else { "plain http" })
            }
            Err(source) => Found::bad(
                crate::error::chain(&source),
                if encrypted { "set AWS_CA_BUNDLE or SSL_CERT_FILE, or use http" } else { "check that it speaks http" },
            ),
        }
    }
}

async fn log_in(connection: &dyn Connection) -> Found {
    let login = connection.login().to_owned();
    match connection.log_in().await {
        Ok(()) => Found::good(match connection.expiry() {
            Some(expiry) => format!("{login}, until {}", expiry.to_rfc3339()),
            None => login,
        }),
        Err(source) => Found::bad(
            StoreError::object(login, source).to_string(),
            "set the credentials of this scheme (see the list of environment variables)",
        ),
    }
}

fn clock(theirs: Option<DateTime<Utc>>, ours: DateTime<Utc>) -> Found {
    let Some(theirs) = theirs else { return Found::unknown("the server does not tell its time") };
    let seconds = (ours - theirs).num_seconds();
    let detail = format!("{} s {} the server's", seconds.abs(), if seconds < 0 { "behind" } else { "ahead of" });
    if seconds.abs() <= CLOCKS { Found::good(detail) } else { Found::bad(detail, "set this machine's clock") }
}

/// Asks for the bucket itself. A right to that is not needed for anything else, so a refusal is no failure.
async fn bucket(connection: &dyn Connection, scheme: Scheme) -> Found {
    let (method, query) = match scheme {
        Scheme::Azure => (Method::HEAD, "?restype=container"),
        _ => (Method::HEAD, ""),
    };
    let asked = tokio::time::timeout(Duration::from_secs(60), connection.send(method, query, &[], String::new())).await;
    match asked {
        Ok(Ok(answer)) => match answer.status() {
            status if status.is_success() => Found::good("exists"),
            StatusCode::NOT_FOUND => Found::bad("does not exist", "check the name, or make it with create_bucket"),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Found::unknown(format!("exists, but status {} to questions about it", answer.status()))
            }
            status => Found::unknown(format!("status {status}")),
        },
        Ok(Err(source)) => Found::failed(&StoreError::object(connection.url(), source)),
        Err(_) => Found::bad("no answer within 60 s", "check the network"),
    }
}

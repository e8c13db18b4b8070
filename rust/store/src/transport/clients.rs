//! HTTP clients of equal settings: one on the network threads, and one on each lane, as a connection belongs to the
//! runtime that it was opened on.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use object_store::client::HttpError;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, ClientBuilder, NoProxy, Proxy};
use s3dlio_runtime::lane;

use super::{Purpose, unknown};
use crate::error::{Result, chain};
use crate::settings::{Network, config};

/// The longest wait for a connection to a metadata service: it is in the same host or not at all.
const METADATA_CONNECT: Duration = Duration::from_secs(1);

/// What clients of equal settings are made of; files have been read.
#[derive(Debug, Clone)]
pub(super) struct Recipe {
    connect: Duration,
    proxies: Vec<Proxy>,
    /// The only ones that are trusted, where some are named.
    authorities: Vec<Certificate>,
}

impl Recipe {
    pub(super) fn new(network: &Network, purpose: Purpose) -> Result<Self> {
        let connect = match purpose {
            Purpose::Metadata => network.connect_timeout.min(METADATA_CONNECT),
            Purpose::Objects | Purpose::Credentials => network.connect_timeout,
        };
        let proxies = if purpose == Purpose::Metadata { Vec::new() } else { proxies(network)? };
        Ok(Self { connect, proxies, authorities: authorities(network)? })
    }

    fn build(&self, silence: Option<Duration>) -> reqwest::Result<Client> {
        let mut builder = Client::builder()
            .user_agent(concat!("s3dlio/", env!("CARGO_PKG_VERSION")))
            // A server that points elsewhere would be sent data, and perhaps credentials, that are meant for it alone.
            .redirect(Policy::none())
            // Many parallel HTTP/1.1 connections carry bulk reads faster than streams of one HTTP/2 connection.
            .http1_only()
            .connect_timeout(self.connect)
            .dns_resolver(Spread)
            .no_proxy();
        builder = self.proxies.iter().cloned().fold(builder, ClientBuilder::proxy);
        if !self.authorities.is_empty() {
            builder = builder.tls_certs_only(self.authorities.clone());
        }
        if let Some(silence) = silence {
            builder = builder.read_timeout(silence);
        }
        builder.build()
    }
}

/// One client for the network threads, and one for each lane.
#[derive(Debug)]
pub(super) struct Clients {
    recipe: Recipe,
    /// The longest wait for the next bytes of an answer.
    silence: Option<Duration>,
    /// That of the network threads comes first.
    made: [OnceLock<Client>; lane::MOST + 1],
}

impl Clients {
    pub(super) fn new(recipe: Recipe, silence: Option<Duration>) -> Self {
        Self { recipe, silence, made: [const { OnceLock::new() }; lane::MOST + 1] }
    }

    /// The client whose connections the calling thread can use.
    pub(super) fn current(&self) -> std::result::Result<&Client, HttpError> {
        let cell = &self.made[lane::current().map_or(0, |lane| lane + 1)];
        if let Some(client) = cell.get() {
            return Ok(client);
        }
        let client = self.recipe.build(self.silence).map_err(unknown)?;
        Ok(cell.get_or_init(|| client))
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

fn authorities(network: &Network) -> Result<Vec<Certificate>> {
    let Some((name, file)) = &network.authorities else { return Ok(Vec::new()) };
    let path = file.path.to_string_lossy();
    let bad = |why: String| config(name, &path, &format!("a file of PEM certificates ({why})"));
    let pem = file.read().map_err(|source| bad(source.to_string()))?;
    let certificates = Certificate::from_pem_bundle(pem.as_bytes()).map_err(|source| bad(chain(&source)))?;
    if certificates.is_empty() {
        return Err(bad("it holds none".into()));
    }
    Ok(certificates)
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

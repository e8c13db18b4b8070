//! A running server.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::bucket::Bucket;
use crate::control;
use crate::fault::{BadRule, Rule};
use crate::log::Counts;
use crate::request::Protocol;
use crate::service::{self, State};
use crate::synthetic::Synthetic;
use crate::wire::{Ending, Wire};

/// Bytes that the system may hold for a connection before the server reads them. Left to the system this grows to 32 MiB,
/// and a whole upload is then sent, as the client sees it, before a throttled server has read its beginning.
const RECEIVE_BUFFER: u32 = 1 << 20;

/// Connections that wait to be accepted: more than any test opens at once.
const BACKLOG: u32 = 1024;

/// A server on the loopback interface, on threads of its own; it ends with this value.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    state: Arc<State>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens on `port`, or on a free one for 0.
    ///
    /// # Errors
    /// What the operating system says when the port is taken or no thread can be had.
    pub fn start(protocol: Protocol, port: u16) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let listener = listen(&runtime, port)?;
        let address = listener.local_addr()?;
        let state = Arc::new(State { protocol, ..State::default() });
        let (stop, stopped) = oneshot::channel();
        let serving = Arc::clone(&state);
        let thread = std::thread::Builder::new().name("testserver".into()).spawn(move || {
            runtime.spawn(accept(listener, serving));
            // Ends with an error when the other side is dropped, which is how it is told.
            let _ = runtime.block_on(stopped);
            // Connections that stall for ever must not keep the server.
            runtime.shutdown_background();
        })?;
        Ok(Self { address, state, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL, without a slash at the end.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Makes an empty bucket; `versioning` keeps what is replaced or deleted in it. False where the name is taken.
    pub fn create_bucket(&self, name: &str, versioning: bool) -> bool {
        let bucket = Bucket::new(None);
        bucket.lock().versioning = versioning;
        self.state.buckets.create(name, bucket)
    }

    /// Makes a bucket of computed objects.
    ///
    /// # Errors
    /// Why the settings cannot work, or that the name is taken.
    pub fn synthetic(&self, synthetic: Synthetic) -> Result<(), String> {
        control::make(&self.state, synthetic)
    }

    /// Misbehaves by these rules from now on, and by no earlier ones.
    ///
    /// # Errors
    /// [`BadRule`] for a key that is no regular expression or a count of 0.
    pub fn faults(&self, rules: Vec<Rule>) -> Result<(), BadRule> {
        self.state.faults.set(rules)
    }

    /// Numbers over all requests.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.state.log.counts()
    }

    /// The first 100,000 requests, as the control interface describes them.
    #[must_use]
    pub fn requests(&self) -> Vec<serde_json::Value> {
        self.state.log.entries()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the server has been reported on its own thread.
            let _ = thread.join();
        }
    }
}

fn listen(runtime: &Runtime, port: u16) -> io::Result<TcpListener> {
    let _inside = runtime.enter();
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.bind((Ipv4Addr::LOCALHOST, port).into())?;
    socket.listen(BACKLOG)
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    loop {
        // To accept fails for a connection that is gone already, or for want of descriptors, which passes.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        state.log.connected();
        tokio::spawn(converse(stream, Arc::clone(&state)));
    }
}

async fn converse(stream: TcpStream, state: Arc<State>) {
    // Without it a small answer may wait for the acknowledgement of the one before.
    let _ = stream.set_nodelay(true);
    let ending = Arc::<Ending>::default();
    let wire = Wire::new(stream, Arc::clone(&ending));
    let service = service_fn(move |request| service::serve(Arc::clone(&state), Arc::clone(&ending), request));
    // An error is a connection that ended early, by the client or by a rule.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(wire), service)
        .await;
}

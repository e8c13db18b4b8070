//! A tiny HTTP server that speaks as much S3 as a test writes into it.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use s3dlio_store::{Result, Uri, Work};

#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    /// Path and query as they came.
    pub target: String,
    /// Names in lower case.
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap()
    }

    pub fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    /// The bytes of `bytes=a-b` or `bytes=a-`, cut at `size`.
    pub fn range(&self, size: u64) -> Option<Range<u64>> {
        let (start, end) = self.headers.get("range")?.strip_prefix("bytes=")?.split_once('-')?;
        let end = if end.is_empty() { size } else { size.min(end.parse::<u64>().unwrap() + 1) };
        Some(start.parse().unwrap()..end)
    }
}

#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// What `Content-Length` says, where that is not the length of the body.
    pub announced: Option<usize>,
    /// Says nothing more (nothing at all without an announced length) and keeps the connection open for so long.
    pub silence: Option<Duration>,
}

pub fn reply(status: u16, body: impl Into<Vec<u8>>) -> Reply {
    let headers = vec![("Last-Modified".into(), "Tue, 01 Jul 2025 12:00:00 GMT".into())];
    Reply { status, headers, body: body.into(), announced: None, silence: None }
}

pub fn silence(time: Duration) -> Reply {
    Reply { silence: Some(time), ..reply(200, "") }
}

impl Reply {
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub fn announcing(mut self, length: usize) -> Self {
        self.announced = Some(length);
        self
    }
}

/// An object as S3 serves it: whole, a range, or 416 for a range behind its end.
pub fn serve(request: &Request, content: &[u8], etag: Option<&str>) -> Reply {
    let size = content.len() as u64;
    let answer = match request.range(size) {
        None => reply(200, content),
        Some(range) if range.start >= size => reply(416, "<Error><Code>InvalidRange</Code></Error>"),
        Some(range) => reply(206, &content[range.start as usize..range.end as usize])
            .with("Content-Range", format!("bytes {}-{}/{size}", range.start, range.end - 1)),
    };
    let answer = match etag {
        Some(etag) => answer.with("ETag", etag),
        None => answer,
    };
    if request.method == "HEAD" { Reply { body: Vec::new(), ..answer.announcing(content.len()) } } else { answer }
}

type Handler = dyn Fn(&Request, usize) -> Reply + Send + Sync;

pub struct Server {
    pub address: SocketAddr,
    log: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Answers every request with what `handler` makes of it and of its number.
    pub fn start(handler: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self { address: listener.local_addr().unwrap(), log: Arc::default() };
        let (log, handler): (_, Arc<Handler>) = (Arc::clone(&server.log), Arc::new(handler));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(|stream| stream.ok()) {
                let (log, handler) = (Arc::clone(&log), Arc::clone(&handler));
                std::thread::spawn(move || converse(&stream, &log, &*handler));
            }
        });
        server
    }

    pub fn uri(&self, bucket_and_key: &str) -> Uri {
        Uri::parse(&format!("s3://{}/{bucket_and_key}", self.address)).unwrap()
    }

    pub fn requests(&self) -> Vec<Request> {
        self.log.lock().unwrap().clone()
    }
}

fn converse(stream: &TcpStream, log: &Mutex<Vec<Request>>, handler: &Handler) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let request = read_request(&mut reader)?;
        let number = {
            let mut log = log.lock().unwrap();
            log.push(request.clone());
            log.len() - 1
        };
        let answer = handler(&request, number);
        if let (Some(time), None) = (answer.silence, answer.announced) {
            std::thread::sleep(time);
            return None;
        }
        let announced = answer.announced.unwrap_or(answer.body.len());
        let mut head = format!("HTTP/1.1 {} Test\r\nContent-Length: {announced}\r\n", answer.status);
        answer.headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
        let mut out = stream;
        out.write_all(format!("{head}\r\n").as_bytes()).ok()?;
        if request.method != "HEAD" {
            out.write_all(&answer.body).ok()?;
        }
        if announced != answer.body.len() && request.method != "HEAD" {
            std::thread::sleep(answer.silence.unwrap_or_default());
            return None;
        }
    }
}

fn read_request(reader: &mut BufReader<&TcpStream>) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|&read| read > 0)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, target) = (words.next()?, words.next()?);
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { method, target, headers, body })
}

/// Runs work on a thread of its own and fails the test if it is not done in time.
pub fn within<T: Send + 'static>(limit: Duration, work: Result<Work<T>>) -> Result<T> {
    let work = work?;
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::spawn(move || send.send(work.wait()));
    receive.recv_timeout(limit).expect("the operation neither ended nor failed in time")
}

/// Runs work that has no reason to take long.
pub fn run<T: Send + 'static>(work: Result<Work<T>>) -> Result<T> {
    within(Duration::from_secs(30), work)
}

pub fn timed<T>(job: impl FnOnce() -> T) -> (T, Duration) {
    let began = Instant::now();
    let value = job();
    (value, began.elapsed())
}

/// Bytes that differ from their neighbours and from those of other seeds.
pub fn content(length: usize, seed: u32) -> Vec<u8> {
    (0..length as u32).map(|at| (at.wrapping_mul(2_654_435_761).rotate_left(9) ^ seed.wrapping_mul(97)) as u8).collect()
}

//! HTTP as it goes over the wire: what a client library would hide is what these tests look at.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use s3dlio_testkit::{Protocol, Rule, Server};

/// An answer, as far as it came.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
    /// The connection ended by a reset.
    pub reset: bool,
    /// Nothing came for a while, on a connection that is still open.
    pub silent: bool,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let line = self.head.lines().find(|line| line.to_ascii_lowercase().starts_with(&format!("{name}:")))?;
        line.split_once(':').map(|(_, value)| value.trim())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

pub fn s3() -> Server {
    let server = Server::start(Protocol::S3, 0).unwrap();
    assert!(server.create_bucket("bucket", false));
    server
}

/// Sends a request and takes all that comes until the server ends the connection or says nothing for a while.
pub fn ask(server: &Server, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut head = format!("{method} {target} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    // The server may have had enough before it has all.
    let _ = stream.write_all(&[head.as_bytes(), body].concat());
    let (mut received, mut reset, mut silent) = (Vec::new(), false, false);
    let mut buffer = [0; 65536];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => received.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                silent = true;
                break;
            }
            Err(error) => {
                reset = error.kind() == ErrorKind::ConnectionReset;
                break;
            }
        }
    }
    let end = received.windows(4).position(|window| window == b"\r\n\r\n").map_or(0, |at| at + 4);
    let head = String::from_utf8_lossy(&received[..end]).into_owned();
    let status = head.get(9..12).and_then(|text| text.parse().ok()).unwrap_or_default();
    Answer { status, head, body: received[end..].to_vec(), reset, silent }
}

pub fn get(server: &Server, target: &str, headers: &[(&str, &str)]) -> Answer {
    ask(server, "GET", target, headers, b"")
}

pub fn put(server: &Server, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    ask(server, "PUT", target, headers, body)
}

pub fn post(server: &Server, target: &str, body: &str) -> Answer {
    ask(server, "POST", target, &[], body.as_bytes())
}

/// The text between two tags.
pub fn between<'a>(text: &'a str, tag: &str) -> &'a str {
    let start = text.find(&format!("<{tag}>")).unwrap() + tag.len() + 2;
    &text[start..start + text[start..].find(&format!("</{tag}>")).unwrap()]
}

pub fn rules(json: serde_json::Value) -> Vec<Rule> {
    serde_json::from_value(json).unwrap()
}

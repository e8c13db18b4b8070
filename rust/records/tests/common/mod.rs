//! Servers, files and forks for the tests of this crate.

#![allow(dead_code, reason = "each test binary uses a part of it")]

pub mod tfrecord;

#[path = "../../../runtime/tests/common/child.rs"]
mod child;
#[path = "../../../store/tests/common/keys.rs"]
mod keys;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
pub use child::in_child;
use s3dlio_records::{Input, Output};
use s3dlio_store::local::Create;
use s3dlio_store::{Result, StoreError, Uri, Work, ops};
use s3dlio_testkit::{Protocol, Server};

/// Time that any operation may take on a loaded machine.
const LIMIT: Duration = Duration::from_secs(30);

/// An S3 server with one bucket.
pub struct Store(pub Server);

impl Store {
    pub fn start() -> Self {
        keys::keys(&[]);
        let server = Server::start(Protocol::S3, 0).unwrap();
        assert!(server.create_bucket("bucket", false));
        Self(server)
    }

    pub fn uri(&self, key: &str) -> Uri {
        Uri::parse(&format!("s3://{}/bucket/{key}", self.0.address())).unwrap()
    }

    pub fn put(&self, key: &str, content: &[u8]) -> Uri {
        let uri = self.uri(key);
        put(&uri, content);
        uri
    }

    /// Requests by operation while `job` runs.
    pub fn counted<T>(&self, job: impl FnOnce() -> T) -> (T, BTreeMap<String, u64>) {
        let before = self.0.counts().operations;
        let value = job();
        let mut after = self.0.counts().operations;
        after.iter_mut().for_each(|(name, count)| *count -= before.get(name).copied().unwrap_or(0));
        after.retain(|_, count| *count > 0);
        (value, after)
    }

    /// The `Range` headers of all requests for objects, in the order in which they came.
    pub fn ranges(&self) -> Vec<String> {
        let requests = self.0.requests();
        let ranges = requests.iter().filter_map(|request| request["headers"]["range"].as_str());
        ranges.map(str::to_owned).collect()
    }
}

pub fn put(uri: &Uri, content: &[u8]) {
    run(ops::put(uri, Bytes::copy_from_slice(content), Create::Overwrite)).unwrap();
}

pub fn file(folder: &tempfile::TempDir, name: &str, content: &[u8]) -> Uri {
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    file_uri(folder, name)
}

pub fn file_uri(folder: &tempfile::TempDir, name: &str) -> Uri {
    Uri::parse(&format!("file://{}", folder.path().join(name).display())).unwrap()
}

pub fn open(uri: &Uri) -> Input {
    run(Input::open(uri)).unwrap()
}

pub fn write(output: &Output, data: &[u8]) {
    run(output.write(Bytes::copy_from_slice(data))).unwrap();
}

/// Runs work on a thread of its own and fails the test if it is not done in time.
pub fn run<T: Send + 'static>(work: Result<Work<T>>) -> std::result::Result<T, StoreError> {
    let work = work?;
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::spawn(move || send.send(work.wait()));
    receive.recv_timeout(LIMIT).expect("the operation neither ended nor failed in time")
}

/// Bytes that differ from their neighbours.
pub fn content(length: usize) -> Vec<u8> {
    (0..length as u32).map(|at| at.wrapping_mul(2_654_435_761).rotate_left(9) as u8).collect()
}

//! Data sets and sources for the tests of the running loader.

#![allow(dead_code, reason = "each test binary uses a part of it")]

pub mod files;

use std::fmt;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use s3dlio_loader::batch::{Batch, BatchData, Stack};
use s3dlio_loader::decode::Sample;
use s3dlio_loader::pipeline::{BatchIter, Next};
use s3dlio_loader::source::{self, Access, ObjectSource, RecordReader, RecordSource, Selection};
use s3dlio_loader::{Loader, LoaderError, LoaderOptions, Result};
use s3dlio_store::local::Create;
use s3dlio_store::ops::{self, GetOptions};
use s3dlio_store::{StoreError, Uri};

/// Every wait of a test ends after this.
pub const DEADLINE: Duration = Duration::from_secs(30);

pub fn content(index: u64, length: usize) -> Vec<u8> {
    (0..length as u64).map(|at| ((index + 1).wrapping_mul(131).wrapping_add(at.wrapping_mul(31))) as u8).collect()
}

pub fn put(uri: &str, data: &[u8]) {
    ops::put(&Uri::parse(uri).unwrap(), Bytes::copy_from_slice(data), Create::Overwrite).unwrap().wait().unwrap();
}

/// Writes records `base/0000`, `base/0001`, .. and gives their URIs.
pub fn write(base: &str, records: &[Vec<u8>]) -> Vec<String> {
    let uris: Vec<String> = (0..records.len()).map(|index| format!("{base}{index:04}")).collect();
    uris.iter().zip(records).for_each(|(uri, record)| put(uri, record));
    uris
}

/// A data set by listing, which tells the sizes.
pub fn listed(uri: &str) -> Arc<dyn RecordSource> {
    found(Selection::below(uri))
}

/// A data set of named objects, whose sizes are not known.
pub fn named(uris: Vec<String>) -> Arc<dyn RecordSource> {
    found(Selection::Uris(uris))
}

pub fn found(selection: Selection) -> Arc<dyn RecordSource> {
    let table = source::discover(selection).unwrap().wait().unwrap();
    Arc::new(ObjectSource::new(table, GetOptions::default()).unwrap())
}

pub fn options(batch_size: u64) -> LoaderOptions {
    LoaderOptions { batch_size, ..LoaderOptions::default() }
}

pub fn iterate(source: &Arc<dyn RecordSource>, options: LoaderOptions) -> BatchIter {
    Loader::new(Arc::clone(source), options).unwrap().iterate(0, 0).unwrap()
}

/// The next batch, or `None` at the end of the epoch.
pub fn next(batches: &mut BatchIter) -> Result<Option<Batch>> {
    let began = Instant::now();
    loop {
        match batches.next(Duration::from_millis(20))? {
            Next::Batch(batch) => return Ok(Some(*batch)),
            Next::Done => return Ok(None),
            Next::Pending => assert!(began.elapsed() < DEADLINE, "no batch came: {batches:?}"),
        }
    }
}

pub fn all(mut batches: BatchIter) -> Result<Vec<Batch>> {
    std::iter::from_fn(|| next(&mut batches).transpose()).collect()
}

pub fn until(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < DEADLINE, "{what}: not in time");
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub fn samples(batch: &Batch) -> &[Sample] {
    match &batch.data {
        BatchData::Samples(samples) => samples,
        other => panic!("no list of samples: {other:?}"),
    }
}

pub fn bytes(sample: &Sample) -> &[u8] {
    match sample {
        Sample::Bytes(bytes) => bytes,
        other => panic!("no bytes: {other:?}"),
    }
}

pub fn fields(batch: &Batch) -> &[(String, Stack)] {
    match &batch.data {
        BatchData::Fields(fields) => fields,
        other => panic!("no stacked fields: {other:?}"),
    }
}

pub fn stack(batch: &Batch) -> &Stack {
    match &batch.data {
        BatchData::Stack(stack) => stack,
        other => panic!("no stack: {other:?}"),
    }
}

/// An NPY file.
pub fn npy(descr: &str, fortran_order: bool, shape: &[u64], data: &[u8]) -> Vec<u8> {
    let order = if fortran_order { "True" } else { "False" };
    let axes: String = shape.iter().map(|axis| format!("{axis}, ")).collect();
    let header = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': ({axes}), }}");
    let padding = 63 - (10 + header.len()) % 64;
    let header = format!("{header}{}\n", " ".repeat(padding));
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend((header.len() as u16).to_le_bytes());
    file.extend(header.as_bytes());
    file.extend(data);
    file
}

/// An NPZ archive, stored or deflated.
pub fn npz(arrays: &[(&str, Vec<u8>)], deflated: bool) -> Vec<u8> {
    let method = if deflated { zip::CompressionMethod::Deflated } else { zip::CompressionMethod::Stored };
    let options = zip::write::SimpleFileOptions::default().compression_method(method);
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, array) in arrays {
        archive.start_file(format!("{name}.npy"), options).unwrap();
        archive.write_all(array).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

type Reading = dyn Fn(u64) -> Access + Send + Sync;

/// A source whose records come out of a closure.
pub struct Fake {
    pub len: u64,
    pub size: Option<u64>,
    /// Reads that were begun.
    pub started: Arc<AtomicU64>,
    reading: Arc<Reading>,
}

impl Fake {
    pub fn new(len: u64, size: Option<u64>, reading: impl Fn(u64) -> Access + Send + Sync + 'static) -> Self {
        Self { len, size, started: Arc::default(), reading: Arc::new(reading) }
    }
}

impl fmt::Debug for Fake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fake")
    }
}

/// A network read that takes `time` and gives `result`.
pub fn network(time: Duration, result: std::result::Result<Vec<u8>, StoreError>) -> Access {
    Access::Network(Box::pin(async move {
        if !time.is_zero() {
            tokio::time::sleep(time).await;
        }
        result.map(Bytes::from)
    }))
}

/// A network read that never ends.
pub fn never() -> Access {
    Access::Network(Box::pin(std::future::pending()))
}

impl RecordSource for Fake {
    fn len(&self) -> u64 {
        self.len
    }

    fn fingerprint(&self) -> &str {
        "00"
    }

    fn name(&self, index: u64) -> String {
        format!("fake://{index}")
    }

    fn bytes(&self, _index: u64) -> Option<u64> {
        self.size
    }

    fn reader(&self) -> std::result::Result<Box<dyn RecordReader>, StoreError> {
        Ok(Box::new(FakeReader { started: Arc::clone(&self.started), reading: Arc::clone(&self.reading) }))
    }
}

struct FakeReader {
    started: Arc<AtomicU64>,
    reading: Arc<Reading>,
}

impl RecordReader for FakeReader {
    fn access(&self, index: u64) -> std::result::Result<Access, StoreError> {
        self.started.fetch_add(1, Ordering::SeqCst);
        Ok((self.reading)(index))
    }
}

pub fn uri_of(error: &LoaderError) -> &str {
    match error {
        LoaderError::Store(error) => error.uri(),
        LoaderError::Decode { uri, .. } | LoaderError::Shape { uri, .. } => uri,
        other => panic!("an error without a URI: {other:?}"),
    }
}

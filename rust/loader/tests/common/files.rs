//! Record files for the tests of the sources.

use std::sync::Arc;

use s3dlio_formats::array_record::WriterOptions as ArrayRecordOptions;
use s3dlio_formats::npy::Array;
use s3dlio_loader::source::{ArrayRecordSource, NpzSource, Part, RecordSource, TfRecordSource};
use s3dlio_records::tfrecord::{IndexFrom, WriterOptions};
use s3dlio_records::{array_record, npz, tfrecord};
use s3dlio_store::Uri;
use s3dlio_testkit::{Protocol, Server};

#[path = "../../../store/tests/common/keys.rs"]
mod keys;

/// An S3 server with one bucket, and that bucket's URI.
pub fn server() -> (Server, String) {
    keys::keys(&[]);
    let server = Server::start(Protocol::S3, 0).unwrap();
    assert!(server.create_bucket("bucket", false));
    let uri = format!("s3://{}/bucket/", server.address());
    (server, uri)
}

/// Cuts records into `files` parts.
fn parts(records: &[Vec<u8>], files: usize) -> impl Iterator<Item = &[Vec<u8>]> {
    records.chunks(records.len().div_ceil(files))
}

pub fn write_array_records(base: &str, records: &[Vec<u8>], files: usize, options: &str) -> Vec<Uri> {
    let write = |(number, part): (usize, &[Vec<u8>])| {
        let uri = Uri::parse(&format!("{base}part-{number}.array_record")).unwrap();
        let writer = array_record::Writer::create(&uri, options.parse::<ArrayRecordOptions>().unwrap()).unwrap();
        for record in part {
            if let Some(due) = writer.write(record).unwrap() {
                due.wait().unwrap().unwrap();
            }
        }
        writer.finish().unwrap().wait().unwrap().unwrap();
        uri
    };
    parts(records, files).enumerate().map(write).collect()
}

pub fn array_records(base: &str, records: &[Vec<u8>], files: usize, options: &str) -> Arc<dyn RecordSource> {
    let uris = write_array_records(base, records, files, options);
    let parts = uris.into_iter().map(|uri| Part { uri, start: 0, end: None }).collect();
    Arc::new(ArrayRecordSource::open(parts).unwrap().wait().unwrap().unwrap())
}

pub fn tfrecords(base: &str, records: &[Vec<u8>], files: usize) -> Arc<dyn RecordSource> {
    let write = |(number, part): (usize, &[Vec<u8>])| {
        let uri = Uri::parse(&format!("{base}part-{number}.tfrecord")).unwrap();
        let writer = tfrecord::Writer::create(&uri, &WriterOptions::default()).unwrap();
        for record in part {
            if writer.append(record).unwrap() {
                writer.pass_on().unwrap().wait().unwrap().unwrap();
            }
        }
        writer.finish().unwrap().wait().unwrap().unwrap();
        (uri, IndexFrom::Headers)
    };
    let files = parts(records, files).enumerate().map(write).collect();
    Arc::new(TfRecordSource::open(files, true).unwrap().wait().unwrap().unwrap())
}

pub fn byte_array(data: &[u8]) -> Array {
    let data = bytes::Bytes::copy_from_slice(data);
    Array { descr: "|u1".into(), item_size: 1, shape: vec![data.len() as u64], fortran_order: false, data }
}

pub fn npz_members(base: &str, records: &[Vec<u8>], files: usize) -> Arc<dyn RecordSource> {
    let write = |(number, part): (usize, &[Vec<u8>])| {
        let uri = Uri::parse(&format!("{base}part-{number}.npz")).unwrap();
        let arrays = part.iter().enumerate().map(|(at, record)| (format!("a{at}"), byte_array(record))).collect();
        npz::write(&uri, arrays, Some(1)).unwrap().wait().unwrap().unwrap();
        uri
    };
    let archives: Vec<Uri> = parts(records, files).enumerate().map(write).collect();
    Arc::new(NpzSource::open(&archives, Vec::new()).unwrap().wait().unwrap().unwrap())
}

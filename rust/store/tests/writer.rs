//! Writers over files, memory and an S3 server: sizes, parts, back-pressure, failures.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

mod common;
#[path = "common/keys.rs"]
mod keys;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{Reply, Request, Server, content, reply, run, timed, within};
use s3dlio_store::compression::{Codec, Compression, decompress};
use s3dlio_store::ops::{self, GetOptions};
use s3dlio_store::writer::{Encode, Writer, WriterOptions, WriterStats};
use s3dlio_store::{Result, StoreError, Uri};

const MIB: usize = 1 << 20;

fn environment() {
    let limits = [("S3DLIO_CONNECT_TIMEOUT_SECS", "1"), ("S3DLIO_OPERATION_TIMEOUT_SECS", "5")];
    keys::keys(&[&limits[..], &[("S3DLIO_MAX_RETRY_ATTEMPTS", "2")]].concat());
}

fn uri(text: &str) -> Uri {
    Uri::parse(text).unwrap()
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn write(writer: &Writer, data: &[u8]) -> Result<u64> {
    run(writer.write(Bytes::copy_from_slice(data), Encode::Here))
}

fn finish(writer: &Writer) -> Result<WriterStats> {
    run(writer.finish(Encode::Here))
}

fn parts(part: u64, held: usize) -> WriterOptions {
    WriterOptions { part_size: Some(part), max_in_flight: Some(held), ..WriterOptions::default() }
}

fn names(directory: &Path) -> Vec<String> {
    let names = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

/// An S3 server that keeps what multipart uploads bring; `slow` delays the answer to every part.
#[derive(Default)]
struct Bucket {
    parts: std::sync::Mutex<std::collections::BTreeMap<usize, Vec<u8>>>,
    object: std::sync::Mutex<Option<Vec<u8>>>,
    aborted: AtomicUsize,
    waiting: AtomicUsize,
    most_waiting: AtomicUsize,
}

impl Bucket {
    fn serve(self: &Arc<Self>, slow: Duration, fail: impl Fn(usize) -> bool + Send + Sync + 'static) -> Server {
        environment();
        let bucket = Arc::clone(self);
        Server::start(move |request, _| bucket.answer(request, slow, &fail))
    }

    fn answer(&self, request: &Request, slow: Duration, fail: &dyn Fn(usize) -> bool) -> Reply {
        let number = request.query().split('&').find_map(|pair| pair.strip_prefix("partNumber="));
        match (request.method.as_str(), number) {
            ("POST", _) if request.query().contains("uploads") => {
                reply(200, "<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>")
            }
            ("PUT", Some(number)) => {
                let number = number.parse().unwrap();
                let waiting = self.waiting.fetch_add(1, Ordering::SeqCst) + 1;
                self.most_waiting.fetch_max(waiting, Ordering::SeqCst);
                std::thread::sleep(slow);
                self.waiting.fetch_sub(1, Ordering::SeqCst);
                if fail(number) {
                    return reply(403, "<Error><Code>AccessDenied</Code></Error>");
                }
                self.parts.lock().unwrap().insert(number, request.body.clone());
                reply(200, "").with("ETag", format!("\"part-{number}\""))
            }
            ("PUT", None) => {
                *self.object.lock().unwrap() = Some(request.body.clone());
                reply(200, "").with("ETag", "\"single\"")
            }
            ("POST", _) => {
                let parts = self.parts.lock().unwrap();
                *self.object.lock().unwrap() = Some(parts.values().flatten().copied().collect());
                reply(200, "<CompleteMultipartUploadResult><ETag>\"whole\"</ETag></CompleteMultipartUploadResult>")
            }
            ("DELETE", _) => {
                self.aborted.fetch_add(1, Ordering::SeqCst);
                reply(204, "")
            }
            ("HEAD", None) => match self.object() {
                Some(object) => reply(200, "").with("ETag", "\"whole\"").announcing(object.len()),
                None => reply(404, ""),
            },
            other => panic!("{other:?} {}", request.target),
        }
    }

    fn object(&self) -> Option<Vec<u8>> {
        self.object.lock().unwrap().clone()
    }
}

fn until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn any_length_around_part_borders_is_whole() {
    let directory = directory();
    let part = 1000_usize;
    for length in [0, 1, part - 1, part, part + 1, 2 * part - 1, 2 * part, 2 * part + 1, 7 * part + 3] {
        for place in [format!("file://{}/sub/{length}", directory.path().display()), format!("memory://w/{length}")] {
            let data = content(length, 9);
            let writer = Writer::open(&uri(&place), &parts(part as u64, 3)).unwrap();
            for piece in data.chunks(617) {
                assert_eq!(write(&writer, piece).unwrap(), piece.len() as u64);
            }
            assert_eq!(writer.bytes_written(), length as u64);
            let stats = finish(&writer).unwrap();
            assert_eq!((stats.bytes_written, stats.compressed_bytes), (length as u64, length as u64));
            assert_eq!(stats.checksum, format!("crc32c:{:08x}", crc32c::crc32c(&data)));
            assert_eq!(stats.parts, length.div_ceil(part).max(1) as u64, "{place}");
            assert!(writer.is_closed());
            assert_eq!(run(ops::get(&uri(&place), GetOptions::default())).unwrap(), data, "{place}");
        }
    }
    assert_eq!(names(&directory.path().join("sub")).len(), 9, "a temporary file is left");
}

#[test]
fn the_checksum_is_crc32c() {
    let writer = Writer::open(&uri("memory://w/check"), &WriterOptions::default()).unwrap();
    assert_eq!(writer.checksum(), "crc32c:00000000");
    write(&writer, b"1234").unwrap();
    write(&writer, b"56789").unwrap();
    assert_eq!(writer.checksum(), "crc32c:e3069283");
    assert_eq!(finish(&writer).unwrap().checksum, "crc32c:e3069283");
}

#[test]
fn compressed_objects_have_their_extension_once_and_come_back() {
    let data: Vec<u8> = content(MIB, 4).into_iter().chain(vec![0; 4 * MIB]).collect();
    let methods = [Compression::Zstd(3), Compression::Gzip(1), Compression::Lz4];
    for (compression, encode) in methods.into_iter().flat_map(|c| [(c, Encode::Here), (c, Encode::Pool)]) {
        let options = WriterOptions { compression, ..parts(300_000, 2) };
        let writer = Writer::open(&uri(&format!("memory://w/{encode:?}/x")), &options).unwrap();
        let name = writer.uri().to_string();
        assert_eq!(name, format!("memory://w/{encode:?}/x{}", compression.extension()));
        assert_eq!(Writer::open(writer.uri(), &options).unwrap().uri(), writer.uri());
        for piece in data.chunks(MIB + 5) {
            run(writer.write(Bytes::copy_from_slice(piece), encode)).unwrap();
        }
        let before = writer.compressed_bytes();
        assert!(before > 0, "{compression:?} kept everything");
        let stats = run(writer.finish(encode)).unwrap();
        let body = run(ops::get(writer.uri(), GetOptions::default())).unwrap();
        assert_eq!((stats.bytes_written, stats.compressed_bytes), (data.len() as u64, body.len() as u64));
        assert!(body.len() < data.len() / 3, "{compression:?}: {}", body.len());
        assert_eq!(stats.checksum, format!("crc32c:{:08x}", crc32c::crc32c(&data)));
        assert_eq!(decompress(&name, body, Codec::Auto, u64::MAX).unwrap(), data);
    }
}

#[test]
fn nothing_is_there_before_the_end_nor_after_an_abort_or_a_drop() {
    let directory = directory();
    let path = directory.path().join("x");
    std::fs::write(&path, b"old").unwrap();
    for end in ["abort", "drop"] {
        let writer = Writer::open(&uri(&format!("file://{}", path.display())), &parts(1000, 2)).unwrap();
        write(&writer, &content(10_500, 1)).unwrap();
        run(writer.flush()).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        if end == "abort" {
            run(writer.abort()).unwrap();
            run(writer.abort()).unwrap();
            assert!(write(&writer, b"x").unwrap_err().to_string().contains("aborted"));
            assert!(finish(&writer).unwrap_err().to_string().contains("aborted"));
        }
        drop(writer);
        until(|| names(directory.path()) == ["x"]);
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
    }
}

#[test]
fn a_finished_writer_takes_nothing_more() {
    let writer = Writer::open(&uri("memory://w/finished"), &WriterOptions::default()).unwrap();
    write(&writer, b"all").unwrap();
    finish(&writer).unwrap();
    assert!(write(&writer, b"x").unwrap_err().to_string().contains("finished"));
    assert!(finish(&writer).unwrap_err().to_string().contains("finished"));
    assert!(matches!(run(writer.abort()), Err(StoreError::Unsupported { .. })));
    assert_eq!(run(ops::get(writer.uri(), GetOptions::default())).unwrap(), b"all".as_slice());
}

#[test]
fn a_call_that_was_broken_off_spoils_the_writer() {
    let bucket = Arc::new(Bucket::default());
    let server = bucket.serve(Duration::from_millis(500), |_| false);
    let writer = Writer::open(&server.uri("bucket/key"), &parts(5 * MIB as u64, 1)).unwrap();
    let work = writer.write(content(12 * MIB, 1).into(), Encode::Here).unwrap();
    let broken_off = s3dlio_store::Work::network(async move {
        Ok(tokio::time::timeout(Duration::from_millis(200), work.into_future()).await.is_err())
    });
    assert!(run(Ok(broken_off)).unwrap());
    assert!(write(&writer, b"x").unwrap_err().to_string().contains("broken off"));
    assert!(finish(&writer).unwrap_err().to_string().contains("broken off"));
    run(writer.abort()).unwrap();
    assert_eq!((bucket.object(), bucket.aborted.load(Ordering::SeqCst)), (None, 1));
}

#[test]
fn small_objects_are_one_request_and_large_ones_whole_parts() {
    for (length, requests, etag) in [(0, 1, "single"), (5 * MIB, 1, "single"), (5 * MIB + 1, 5, "whole")] {
        let bucket = Arc::new(Bucket::default());
        let server = bucket.serve(Duration::ZERO, |_| false);
        let writer = Writer::open(&server.uri("bucket/key"), &parts(5 * MIB as u64, 4)).unwrap();
        let data = content(length, 2);
        write(&writer, &data).unwrap();
        let stats = finish(&writer).unwrap();
        assert_eq!(stats.etag.as_deref().map(|tag| tag.trim_matches('"')), Some(etag));
        assert_eq!(server.requests().len(), requests, "{length}");
        assert_eq!(bucket.object().unwrap(), data);
    }
}

#[test]
fn the_content_type_reaches_the_store() {
    for (length, query) in [(10, ""), (6 * MIB, "uploads")] {
        let bucket = Arc::new(Bucket::default());
        let server = bucket.serve(Duration::ZERO, |_| false);
        let options = WriterOptions { content_type: Some("text/x-test".into()), ..parts(5 * MIB as u64, 2) };
        let writer = Writer::open(&server.uri("bucket/key"), &options).unwrap();
        write(&writer, &content(length, 2)).unwrap();
        finish(&writer).unwrap();
        let first = server.requests().swap_remove(0);
        assert!(first.query().contains(query), "{}", first.target);
        assert_eq!(first.header("content-type"), "text/x-test");
    }
    let options = WriterOptions { content_type: Some("text/x-test".into()), ..WriterOptions::default() };
    assert!(matches!(Writer::open(&uri("file:///tmp/x"), &options), Err(StoreError::Unsupported { .. })));
}

#[test]
fn a_slow_server_holds_the_writer_back() {
    let bucket = Arc::new(Bucket::default());
    let server = bucket.serve(Duration::from_millis(100), |_| false);
    let writer = Writer::open(&server.uri("bucket/key"), &parts(5 * MIB as u64, 3)).unwrap();
    let data = content(60 * MIB, 3);
    let ahead = AtomicUsize::new(0);
    for piece in data.chunks(MIB) {
        write(&writer, piece).unwrap();
        let arrived = bucket.parts.lock().unwrap().values().map(Vec::len).sum::<usize>();
        ahead.fetch_max(writer.bytes_written() as usize - arrived, Ordering::Relaxed);
    }
    assert_eq!(finish(&writer).unwrap().parts, 12);
    // Three buffers, and a piece of the call that is at work; the server has confirmed all else.
    assert!(ahead.into_inner() <= 3 * 5 * MIB + MIB, "the writer ran ahead of the server");
    assert!(bucket.most_waiting.load(Ordering::SeqCst) <= 3);
    assert!(bucket.most_waiting.load(Ordering::SeqCst) >= 2, "parts were sent one after another");
    assert!(bucket.object().unwrap() == data);
}

#[test]
fn a_part_that_is_refused_fails_the_writer_and_removes_the_others() {
    let bucket = Arc::new(Bucket::default());
    let server = bucket.serve(Duration::ZERO, |number| number == 2);
    let writer = Writer::open(&server.uri("bucket/key"), &parts(5 * MIB as u64, 2)).unwrap();
    let piece = content(5 * MIB, 1);
    let error = (0..10).find_map(|_| write(&writer, &piece).err()).expect("no write fails");
    assert!(matches!(error, StoreError::PermissionDenied { .. }), "{error:?}");
    assert!(writer.is_closed());
    assert_eq!(finish(&writer).unwrap_err().to_string(), error.to_string());
    assert_eq!((bucket.object(), bucket.aborted.load(Ordering::SeqCst)), (None, 1));
}

#[test]
fn a_dropped_writer_removes_its_parts_unless_they_are_to_stay() {
    for keep in [false, true] {
        let bucket = Arc::new(Bucket::default());
        let server = bucket.serve(Duration::ZERO, |_| false);
        let options = WriterOptions { keep_parts: keep, ..parts(5 * MIB as u64, 2) };
        let writer = Writer::open(&server.uri("bucket/key"), &options).unwrap();
        write(&writer, &content(11 * MIB, 1)).unwrap();
        drop(writer);
        if keep {
            std::thread::sleep(Duration::from_millis(300));
            assert_eq!(bucket.aborted.load(Ordering::SeqCst), 0);
        } else {
            until(|| bucket.aborted.load(Ordering::SeqCst) == 1);
        }
        assert_eq!(bucket.object(), None);
    }
}

#[test]
fn a_server_that_says_nothing_ends_a_writer_in_time() {
    environment();
    let server = Server::start(|_, _| common::silence(Duration::from_secs(60)));
    let writer = Writer::open(&server.uri("bucket/key"), &parts(5 * MIB as u64, 1)).unwrap();
    let (result, time) =
        timed(|| within(Duration::from_secs(25), writer.write(content(11 * MIB, 1).into(), Encode::Here)));
    assert!(matches!(result, Err(StoreError::Timeout { .. })), "{result:?}");
    assert!(time < Duration::from_secs(20), "{time:?}");
}

#[test]
fn directories_and_bad_sizes_are_refused_at_once() {
    for text in ["file:///tmp/", "s3://bucket", "s3://bucket/dir/", "memory://b/"] {
        let result = Writer::open(&uri(text), &WriterOptions::default());
        assert!(matches!(result, Err(StoreError::InvalidUri { .. })), "{text}");
    }
    let result = Writer::open(&uri("s3://bucket/x"), &parts(MIB as u64, 1));
    assert!(matches!(result, Err(StoreError::Config { option, .. }) if option == "part_size"));
}

#[test]
fn small_pieces_are_taken_at_once_while_they_fit() {
    let writer = Writer::open(&uri("memory://w/small"), &parts(1000, 2)).unwrap();
    let data = content(950, 1);
    for piece in data.chunks(100).take(9) {
        assert_eq!(writer.try_write(piece).unwrap(), Some(100));
    }
    assert_eq!(writer.try_write(&[0; 101]).unwrap(), None);
    assert_eq!(writer.try_write(&data[900..]).unwrap(), Some(50));
    assert_eq!(writer.bytes_written(), 950);
    let stats = finish(&writer).unwrap();
    assert_eq!(stats.checksum, format!("crc32c:{:08x}", crc32c::crc32c(&data)));
    assert_eq!((stats.bytes_written, stats.compressed_bytes), (950, 950));
    assert_eq!(writer.try_write(b"x").unwrap(), None);
    assert_eq!(run(ops::get(writer.uri(), GetOptions::default())).unwrap(), data);
    let compressed = WriterOptions { compression: Compression::Lz4, ..WriterOptions::default() };
    assert_eq!(Writer::open(&uri("memory://w/small"), &compressed).unwrap().try_write(b"x").unwrap(), None);
}

#[test]
fn pieces_that_stay_in_place_come_out_whole_and_are_let_go() {
    let (directory, part) = (directory(), 5 * MIB / 2);
    for place in [format!("file://{}/kept", directory.path().display()), "memory://w/kept".to_owned()] {
        let writer = Writer::open(&uri(&place), &parts(part as u64, 2)).unwrap();
        let lengths = [1, MIB, MIB - 1, part, MIB + 70_000, 2 * part + 1, 3, part - 1];
        let pieces: Vec<Bytes> = lengths.iter().map(|&length| Bytes::from(content(length, 3))).collect();
        for piece in &pieces {
            assert_eq!(run(writer.write_kept(piece.clone(), Encode::Here)).unwrap(), piece.len() as u64);
        }
        let (stats, data) = (finish(&writer).unwrap(), pieces.concat());
        assert_eq!((stats.bytes_written, stats.parts), (data.len() as u64, data.len().div_ceil(part) as u64));
        assert_eq!(stats.checksum, format!("crc32c:{:08x}", crc32c::crc32c(&data)));
        assert_eq!(run(ops::get(&uri(&place), GetOptions::default())).unwrap(), data, "{place}");
        until(|| pieces.iter().all(Bytes::is_unique));
    }
}

#[test]
fn writers_of_several_threads_take_turns() {
    let writer = Writer::open(&uri("memory://w/turns"), &parts(1000, 2)).unwrap();
    std::thread::scope(|scope| {
        for number in 0..8_u8 {
            let writer = &writer;
            scope.spawn(move || (0..50).for_each(|_| assert_eq!(write(writer, &[number; 100]).unwrap(), 100)));
        }
    });
    let stats = finish(&writer).unwrap();
    assert_eq!(stats.bytes_written, 8 * 50 * 100);
    let body = run(ops::get(writer.uri(), GetOptions::default())).unwrap();
    assert!(body.chunks(100).all(|piece| piece.iter().all(|byte| *byte == piece[0])), "two writes are mixed");
}

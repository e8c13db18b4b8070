//! S3 over real sockets, against servers that behave well and badly.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

mod common;
#[path = "common/keys.rs"]
mod keys;

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use common::{Request, Server, content, reply, run, serve, silence, timed, within};
use s3dlio_store::local::Create;
use s3dlio_store::ops::{self, GetOptions, ListOptions, Lister};
use s3dlio_store::{StoreError, Uri};

const OPERATION: Duration = Duration::from_secs(2);

/// Time that a loaded machine may need beside the operation's own limit.
const SLACK: Duration = Duration::from_secs(8);

/// Short time limits, the same for all tests of this binary.
fn environment() {
    keys::keys(&[("S3DLIO_CONNECT_TIMEOUT_SECS", "1"), ("S3DLIO_OPERATION_TIMEOUT_SECS", "2")]);
}

fn server(handler: impl Fn(&Request, usize) -> common::Reply + Send + Sync + 'static) -> Server {
    environment();
    Server::start(handler)
}

fn get(uri: &Uri, options: GetOptions) -> Result<Bytes, StoreError> {
    within(OPERATION + SLACK, ops::get(uri, options))
}

fn whole(uri: &Uri) -> Result<Bytes, StoreError> {
    get(uri, GetOptions::default())
}

#[test]
fn a_refused_connection_is_an_error_within_the_time_limit() {
    environment();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let uri = Uri::parse(&format!("s3://{free}/bucket/key")).unwrap();
    let (result, time) = timed(|| whole(&uri));
    let error = result.unwrap_err();
    assert_eq!(error.uri(), uri.to_string());
    assert!(matches!(error, StoreError::Store { .. } | StoreError::Timeout { .. }), "{error:?}");
    assert!(time < OPERATION + SLACK, "{time:?}");
}

#[test]
fn a_server_that_says_nothing_times_out() {
    let server = server(|_, _| silence(Duration::from_secs(30)));
    for job in ["get", "range", "stat", "put", "list"] {
        let uri = server.uri("bucket/key");
        let (result, time) = timed(|| match job {
            "get" => whole(&uri).map(|_| ()),
            "range" => get(&uri, GetOptions { offset: 1, ..GetOptions::default() }).map(|_| ()),
            "stat" => within(OPERATION + SLACK, ops::stat(&uri)).map(|_| ()),
            "put" => within(OPERATION + SLACK, ops::put(&uri, Bytes::from_static(b"x"), Create::Overwrite)).map(|_| ()),
            _ => within(OPERATION + SLACK, ops::list(&uri, ListOptions::default()).map(Lister::all)).map(|_| ()),
        });
        let error = result.unwrap_err();
        assert!(matches!(error, StoreError::Timeout { .. }), "{job}: {error:?}");
        assert!(time < OPERATION + SLACK && time >= OPERATION / 2, "{job}: {time:?}");
    }
}

#[test]
fn a_body_that_stalls_times_out() {
    let server =
        server(|_, _| common::Reply { body: vec![1; 100], ..silence(Duration::from_secs(30)).announcing(1000) });
    let uri = server.uri("bucket/key");
    let (result, time) = timed(|| whole(&uri));
    let error = result.unwrap_err();
    assert!(matches!(&error, StoreError::Timeout { uri: named, .. } if *named == uri.to_string()), "{error:?}");
    assert!(time >= OPERATION / 2, "{time:?}");
}

#[test]
fn a_busy_server_is_asked_again() {
    for status in [500, 502, 503, 504, 429] {
        let server = server(move |request, number| match number {
            0 | 1 => reply(status, "<Error><Code>SlowDown</Code></Error>"),
            _ => serve(request, b"content", None),
        });
        assert_eq!(whole(&server.uri("bucket/key")).unwrap(), b"content".as_slice(), "{status}");
        assert_eq!(server.requests().len(), 3, "{status}");
    }
}

#[test]
fn a_lost_connection_is_made_again() {
    let server = server(|request, number| match number {
        0 => silence(Duration::ZERO),
        _ => serve(request, b"content", None),
    });
    assert_eq!(whole(&server.uri("bucket/key")).unwrap(), b"content".as_slice());
}

#[test]
fn a_short_body_is_an_error_and_never_short_data() {
    let data = content(5000, 1);
    for sent in [0, 1, 4999] {
        let part = data[..sent].to_vec();
        let server = server(move |_, _| reply(200, part.clone()).announcing(5000));
        let uri = server.uri("bucket/key");
        let error = whole(&uri).unwrap_err();
        assert_eq!(error.uri(), uri.to_string());
        assert!(matches!(error, StoreError::Store { .. } | StoreError::Length { .. }), "{sent}: {error:?}");
    }
}

#[test]
fn a_tagged_body_that_breaks_off_goes_on_from_there() {
    let data = content(5000, 2);
    let body = data.clone();
    let server = server(move |request, number| match number {
        0 => reply(200, &body[..1234]).announcing(5000).with("ETag", "\"tag\""),
        _ => serve(request, &body, Some("\"tag\"")),
    });
    assert_eq!(whole(&server.uri("bucket/key")).unwrap(), data);
    let requests = server.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[1].header("range"), "bytes=1234-4999");
}

#[test]
fn an_object_is_one_request_up_to_twice_the_part_size() {
    let data = content(2000, 3);
    let body = data.clone();
    let server = server(move |request, _| serve(request, &body, Some("\"tag\"")));
    let options = GetOptions { part_size: 1000, ..GetOptions::default() };
    assert_eq!(get(&server.uri("bucket/key"), options).unwrap(), data);
    assert_eq!(server.requests().len(), 1);
    assert_eq!(server.requests()[0].header("range"), "");
}

#[test]
fn a_large_object_comes_in_parallel_ranges_of_one_version() {
    let data = content(10_500, 4);
    let body = data.clone();
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counted, peak) = (Arc::clone(&now), Arc::clone(&most));
    let server = server(move |request, _| {
        peak.fetch_max(counted.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(30));
        counted.fetch_sub(1, Ordering::SeqCst);
        serve(request, &body, Some("\"v1\""))
    });
    let options = GetOptions { part_size: 1000, max_parts: 4, ..GetOptions::default() };
    assert_eq!(get(&server.uri("bucket/key"), options).unwrap(), data);
    let requests = server.requests();
    assert_eq!(requests.len(), 11);
    assert_eq!((requests[0].header("range"), requests[0].header("if-match")), ("", ""));
    let mut ranges: Vec<_> = requests[1..].iter().map(|request| request.range(10_500).unwrap()).collect();
    ranges.sort_by_key(|range| range.start);
    let expected: Vec<_> = (1..11).map(|part| part * 1000..10_500.min(part * 1000 + 1000)).collect();
    assert_eq!(ranges, expected);
    assert!(requests[1..].iter().all(|request| request.header("if-match") == "\"v1\""));
    let most = most.load(Ordering::SeqCst);
    assert!((2..=4).contains(&most), "{most} at once");
}

#[test]
fn no_more_is_asked_for_than_is_wanted() {
    let data = content(20_000, 5);
    let body = data.clone();
    let server = server(move |request, _| serve(request, &body, Some("\"v1\"")));
    let uri = server.uri("bucket/key");
    let asked = |options: GetOptions| {
        let before = server.requests().len();
        let got = get(&uri, options).unwrap();
        let start = options.offset as usize;
        let end = data.len().min(start + options.length.unwrap_or(1 << 30) as usize);
        assert_eq!(got, &data[start..end], "{options:?}");
        let requests = server.requests().split_off(before);
        requests.iter().map(|request| request.range(20_000).unwrap_or(0..20_000)).map(|r| r.end - r.start).sum::<u64>()
    };
    let options = GetOptions { part_size: 1000, ..GetOptions::default() };
    for (offset, length, size) in [
        (0, None, Some(20_000)),
        (100, None, Some(20_000)),
        (0, Some(5000), None),
        (100, Some(2000), None),
        (100, Some(2001), None),
        (19_000, Some(1500), None),
        (18_500, Some(5000), None),
    ] {
        let wanted = 20_000.min(offset + length.unwrap_or(1 << 30)) - offset;
        assert_eq!(asked(GetOptions { offset, length, size, ..options }), wanted, "{offset} {length:?} {size:?}");
    }
}

#[test]
fn an_object_that_is_replaced_meanwhile_is_an_error() {
    let server = server(|request, _| match request.header("if-match") {
        "" => serve(request, &content(10_000, 6), Some("\"old\"")),
        "\"new\"" => serve(request, &content(10_000, 7), Some("\"new\"")),
        _ => reply(412, "<Error><Code>PreconditionFailed</Code></Error>"),
    });
    let uri = server.uri("bucket/key");
    let error = get(&uri, GetOptions { part_size: 1000, ..GetOptions::default() }).unwrap_err();
    assert_eq!(error.uri(), uri.to_string());
}

#[test]
fn a_range_behind_the_end_is_empty() {
    let server = server(|request, _| serve(request, b"0123456789", None));
    let uri = server.uri("bucket/key");
    for (offset, length, expected) in
        [(10, None, ""), (11, Some(5), ""), (8, Some(5), "89"), (9, None, "9"), (3, Some(2), "34"), (3, Some(0), "")]
    {
        let got = get(&uri, GetOptions { offset, length, ..GetOptions::default() }).unwrap();
        assert_eq!(got, expected.as_bytes(), "{offset} {length:?}");
    }
}

#[test]
fn a_server_that_ignores_ranges_gives_no_wrong_bytes() {
    let server = server(|_, _| reply(200, content(10_000, 8)));
    let options = GetOptions { offset: 5, length: Some(10), ..GetOptions::default() };
    assert!(get(&server.uri("bucket/key"), options).is_err());
    let options = GetOptions { part_size: 1000, ..GetOptions::default() };
    assert!(get(&server.uri("bucket/key"), options).is_err());
}

#[test]
fn refusals_keep_their_meaning() {
    for (status, code) in [(403, "AccessDenied"), (401, "Unauthorized"), (404, "NoSuchKey"), (404, "NoSuchBucket")] {
        let server = server(move |_, _| reply(status, format!("<Error><Code>{code}</Code></Error>")));
        let uri = server.uri("bucket/key");
        let check = |what: &str, error: StoreError| {
            let good = match status {
                404 => matches!(error, StoreError::NotFound { .. }),
                _ => matches!(error, StoreError::PermissionDenied { .. }),
            };
            assert!(good && error.uri() == uri.to_string(), "{what} {status}: {error:?}");
        };
        check("get", whole(&uri).unwrap_err());
        check("range", get(&uri, GetOptions { offset: 2, ..GetOptions::default() }).unwrap_err());
        check("stat", run(ops::stat(&uri)).unwrap_err());
        check("put", run(ops::put(&uri, Bytes::new(), Create::Overwrite)).unwrap_err());
        check("list", run(ops::list(&uri, ListOptions::default()).map(Lister::all)).unwrap_err());
        match run(ops::exists(&uri)) {
            Ok(there) => assert!(!there && status == 404),
            Err(error) => check("exists", error),
        }
        let text = whole(&uri).unwrap_err().to_string();
        assert!(status == 401 || text.contains(code), "{text}");
    }
}

#[test]
fn metadata_comes_from_the_headers() {
    let server = server(|request, _| {
        serve(request, &[0; 321], Some("\"tag\""))
            .with("Content-Type", "application/x-npz")
            .with("Cache-Control", "no-cache")
            .with("Content-Language", "de")
            .with("x-amz-version-id", "v7")
            .with("x-amz-meta-origin", "camera")
    });
    let stat = run(ops::stat(&server.uri("bucket/key"))).unwrap();
    assert_eq!((stat.size, stat.etag.as_deref()), (321, Some("\"tag\"")));
    assert_eq!(stat.last_modified.timestamp(), 1_751_371_200);
    assert_eq!(stat.version.as_deref(), Some("v7"));
    assert_eq!(stat.content_type.as_deref(), Some("application/x-npz"));
    assert_eq!(stat.cache_control.as_deref(), Some("no-cache"));
    assert_eq!(stat.content_language.as_deref(), Some("de"));
    assert_eq!(stat.metadata, [("origin".to_owned(), "camera".to_owned())]);
    assert_eq!(server.requests()[0].method, "HEAD");
    assert!(run(ops::exists(&server.uri("bucket/key"))).unwrap());
}

#[test]
fn keys_are_sent_so_that_the_server_reads_them_literally() {
    let server = server(|request, _| serve(request, b"x", None));
    for (key, path) in [
        ("a%20b", "/bucket/a%2520b"),
        ("a b", "/bucket/a%20b"),
        ("ü", "/bucket/%C3%BC"),
        ("a#b?c", "/bucket/a%23b%3Fc"),
        ("a+b&c=d", "/bucket/a%2Bb%26c%3Dd"),
    ] {
        whole(&server.uri(&format!("bucket/{key}"))).unwrap();
        assert_eq!(server.requests().pop().unwrap().target, path, "{key}");
    }
}

#[test]
fn a_put_is_repeated_until_it_is_taken() {
    let server = server(|_, number| if number == 0 { reply(503, "") } else { reply(200, "").with("ETag", "\"t\"") });
    run(ops::put(&server.uri("bucket/key"), Bytes::from(content(1000, 9)), Create::Overwrite)).unwrap();
    let requests = server.requests();
    assert_eq!(requests.len(), 2);
    assert!(requests.iter().all(|request| request.method == "PUT" && request.body == content(1000, 9)));
}

/// Received parts by their numbers.
type Parts = Arc<Mutex<BTreeMap<u32, Vec<u8>>>>;

/// Answers an upload in parts; part `fails` is refused.
fn upload_server(fails: Option<&'static str>) -> (Server, Parts) {
    let parts = Parts::default();
    let stored = Arc::clone(&parts);
    let server = server(move |request, _| {
        let part = request.query().split('&').find_map(|pair| pair.strip_prefix("partNumber="));
        match (request.method.as_str(), part) {
            ("POST", _) if request.query() == "uploads=" || request.query() == "uploads" => {
                reply(200, "<InitiateMultipartUploadResult><UploadId>up</UploadId></InitiateMultipartUploadResult>")
            }
            ("PUT", part) if part == fails => reply(403, "<Error><Code>AccessDenied</Code></Error>"),
            ("PUT", Some(part)) => {
                stored.lock().unwrap().insert(part.parse().unwrap(), request.body.clone());
                reply(200, "").with("ETag", format!("\"{part}\""))
            }
            ("POST", _) => {
                reply(200, "<CompleteMultipartUploadResult><ETag>\"done\"</ETag></CompleteMultipartUploadResult>")
            }
            _ => reply(204, ""),
        }
    });
    (server, parts)
}

#[test]
fn a_large_put_goes_in_parts_and_is_then_complete() {
    let (server, parts) = upload_server(None);
    let data = Bytes::from(content((64 << 20) + 77, 10));
    within(Duration::from_secs(60), ops::put(&server.uri("bucket/key"), data.clone(), Create::Overwrite)).unwrap();
    assert!(parts.lock().unwrap().values().flatten().copied().eq(data.iter().copied()));
    let mut requests = server.requests();
    // What the server says it has put together is looked at.
    assert_eq!(requests.pop().unwrap().method, "HEAD");
    let last = requests.pop().unwrap();
    assert_eq!((last.method.as_str(), last.query()), ("POST", "uploadId=up"));
    let body = String::from_utf8(last.body).unwrap();
    assert_eq!(body.matches("<PartNumber>").count(), 5, "{body}");
}

#[test]
fn a_failed_large_put_is_cleaned_up() {
    let (server, _) = upload_server(Some("3"));
    let data = Bytes::from(vec![1; (64 << 20) + 77]);
    let error =
        within(Duration::from_secs(60), ops::put(&server.uri("bucket/key"), data, Create::Overwrite)).unwrap_err();
    assert!(matches!(error, StoreError::PermissionDenied { .. }), "{error:?}");
    let requests = server.requests();
    assert!(requests.iter().any(|request| request.method == "DELETE" && request.query() == "uploadId=up"));
    assert!(!requests.iter().any(|request| request.method == "POST" && request.query() == "uploadId=up"));
}

fn listing(keys: &[(&str, u64)], prefixes: &[&str], next: Option<&str>) -> common::Reply {
    let contents: String = keys
        .iter()
        .map(|(key, size)| {
            format!("<Contents><Key>{key}</Key><LastModified>2025-07-01T12:00:00.000Z</LastModified><ETag>\"t\"</ETag><Size>{size}</Size></Contents>")
        })
        .collect();
    let prefixes: String =
        prefixes.iter().map(|prefix| format!("<CommonPrefixes><Prefix>{prefix}</Prefix></CommonPrefixes>")).collect();
    let next = next.map_or(String::new(), |token| format!("<NextContinuationToken>{token}</NextContinuationToken>"));
    reply(200, format!("<ListBucketResult>{contents}{prefixes}{next}</ListBucketResult>"))
}

fn list(uri: &Uri, recursive: bool) -> Result<Vec<(String, Option<u64>)>, StoreError> {
    let options = ListOptions { recursive, ..ListOptions::default() };
    let entries = run(ops::list(uri, options).map(Lister::all))?;
    Ok(entries.into_iter().map(|entry| (entry.key, entry.size)).collect())
}

#[test]
fn a_listing_of_several_pages_is_complete() {
    let server = server(|request, _| {
        assert!(request.query().contains("prefix=train%2F"), "{}", request.query());
        match request.query().contains("continuation-token=more") {
            false => listing(&[("train/a", 1), ("train/b", 2)], &[], Some("more")),
            true => listing(&[("train/c/d", 3)], &[], None),
        }
    });
    let expected: Vec<_> =
        [("train/a", 1), ("train/b", 2), ("train/c/d", 3)].map(|(k, n)| (k.to_owned(), Some(n))).into();
    assert_eq!(list(&server.uri("bucket/train/"), true).unwrap(), expected);
    assert_eq!(list(&server.uri("bucket/train"), true).unwrap(), expected);
    assert_eq!(server.requests().len(), 4);
}

#[test]
fn one_level_is_asked_for_with_a_delimiter_and_sorted() {
    let server = server(|request, _| {
        assert!(request.query().contains("delimiter=%2F"), "{}", request.query());
        listing(&[("train/a", 1), ("train/z", 2)], &["train/m/"], None)
    });
    let expected: Vec<_> =
        [("train/a", Some(1)), ("train/m/", None), ("train/z", Some(2))].map(|(k, n)| (k.to_owned(), n)).into();
    assert_eq!(list(&server.uri("bucket/train/"), false).unwrap(), expected);
}

#[test]
fn nothing_below_a_name_may_still_be_one_object() {
    let server = server(|request, _| match request.method.as_str() {
        "HEAD" if request.path() == "/bucket/one" => serve(request, b"12345", None),
        "HEAD" => reply(404, ""),
        _ => listing(&[], &[], None),
    });
    for recursive in [true, false] {
        assert_eq!(list(&server.uri("bucket/one"), recursive).unwrap(), [("one".to_owned(), Some(5))]);
        assert_eq!(list(&server.uri("bucket/none"), recursive).unwrap(), []);
        assert_eq!(list(&server.uri("bucket/none/"), recursive).unwrap(), []);
    }
}

#[test]
fn the_marker_of_a_directory_is_no_object_below_it() {
    let server = server(|_, _| listing(&[("train/", 0), ("train/a", 1)], &[], None));
    for recursive in [true, false] {
        assert_eq!(list(&server.uri("bucket/train/"), recursive).unwrap(), [("train/a".to_owned(), Some(1))]);
    }
}

#[test]
fn many_objects_share_the_requests_in_flight() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counted, peak) = (Arc::clone(&now), Arc::clone(&most));
    let server = server(move |request, _| {
        peak.fetch_max(counted.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(10));
        counted.fetch_sub(1, Ordering::SeqCst);
        serve(request, request.path().as_bytes(), None)
    });
    let uris: Vec<Uri> = (0..60).map(|number| server.uri(&format!("bucket/{number}"))).collect();
    let got = run(ops::get_many(uris, 6, GetOptions::default())).unwrap();
    assert!(got.iter().enumerate().all(|(number, bytes)| bytes == format!("/bucket/{number}").as_bytes()));
    let most = most.load(Ordering::SeqCst);
    assert!((2..=6).contains(&most), "{most} at once");
}

#[test]
fn deletions_reach_the_server() {
    let server = server(|request, _| match request.method.as_str() {
        "GET" => listing(&[("d/a", 1), ("d/b", 2)], &[], None),
        "POST" => reply(200, "<DeleteResult><Deleted><Key>k</Key></Deleted></DeleteResult>"),
        _ => reply(204, ""),
    });
    run(ops::delete(&server.uri("bucket/one"), false)).unwrap();
    let first = &server.requests()[0];
    let body = String::from_utf8_lossy(&first.body).into_owned();
    assert!(first.path() == "/bucket/one" || body.contains("<Key>one</Key>"), "{} {body}", first.target);
    run(ops::delete(&server.uri("bucket/d/"), true)).unwrap();
    let bodies: String =
        server.requests().iter().map(|request| String::from_utf8_lossy(&request.body).into_owned()).collect();
    assert!(bodies.contains("<Key>d/a</Key>") && bodies.contains("<Key>d/b</Key>"), "{bodies}");
}

#[test]
fn the_marker_of_a_directory_is_not_taken_for_an_object_beside_it() {
    let server = server(|request, _| match request.method.as_str() {
        "GET" => listing(&[("a/", 0), ("a/b", 1)], &[], None),
        "POST" => reply(200, "<DeleteResult><Deleted><Key>a/b</Key></Deleted></DeleteResult>"),
        _ => reply(204, ""),
    });
    run(ops::delete(&server.uri("bucket/a/"), true)).unwrap();
    let sent: String = server
        .requests()
        .iter()
        .map(|request| format!("{} {} {}\n", request.method, request.target, String::from_utf8_lossy(&request.body)))
        .collect();
    assert!(sent.contains("<Key>a/b</Key>"), "{sent}");
    assert!(!sent.contains("<Key>a</Key>") && !sent.contains("DELETE /bucket/a "), "{sent}");
}

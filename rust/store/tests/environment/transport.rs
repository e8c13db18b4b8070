//! The transport: redirects, waiting times, proxies, certificates, counting.

use std::time::Duration;

use crate::common::{Server, reply, run, serve, timed, within};
use crate::environment::{Folder, environment};
use s3dlio_runtime::stats::{self, Counter};
use s3dlio_store::local::Create;
use s3dlio_store::ops::{self, GetOptions};
use s3dlio_store::{Result, StoreError, Uri, registry};

const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "AKTEST"), ("AWS_SECRET_ACCESS_KEY", "secret")];

fn with_keys<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&KEYS, more].concat()
}

fn get(uri: &Uri) -> Result<bytes::Bytes> {
    run(ops::get(uri, GetOptions::default()))
}

#[test]
fn a_redirect_is_an_error_that_names_the_other_host() {
    let other = Server::start(|request, _| serve(request, b"not this", None));
    for status in [301, 302, 303, 307, 308] {
        let location = format!("http://{}/bucket/key?X-Amz-Signature=hush", other.address);
        let server = Server::start(move |_, _| reply(status, "").with("Location", location.clone()));
        let _turn = environment(&with_keys(&[]));
        let uri = server.uri("bucket/key");
        for result in [
            get(&uri).map(|_| ()),
            run(ops::put(&uri, "data".into(), Create::Overwrite)).map(|_| ()),
            run(ops::stat(&uri)).map(|_| ()),
        ] {
            let error = result.unwrap_err();
            assert!(matches!(&error, StoreError::Store { .. }), "{error:?}");
            let text = error.to_string();
            assert!(text.contains(&other.address.to_string()) && text.contains(&status.to_string()), "{text}");
            assert!(!text.contains("hush"), "{text}");
        }
        assert_eq!(server.requests().len(), 3, "a redirect is not tried again");
    }
    assert!(other.requests().is_empty());
}

#[test]
fn a_bucket_of_another_region_says_which() {
    let server = Server::start(|_, _| reply(301, "").with("x-amz-bucket-region", "eu-north-1"));
    let _turn = environment(&with_keys(&[]));
    let text = get(&server.uri("bucket/key")).unwrap_err().to_string();
    assert!(text.contains("eu-north-1") && text.contains("AWS_REGION"), "{text}");
}

#[test]
fn a_busy_server_says_how_long_to_wait() {
    for (status, dated) in [(503, false), (429, false), (503, true)] {
        // A date has no fractions of a second, so that this is up to one second less.
        let date = chrono::Utc::now() + chrono::TimeDelta::seconds(3);
        let asked = if dated { date.format("%a, %d %b %Y %H:%M:%S GMT").to_string() } else { "1".to_owned() };
        let server = Server::start(move |request, number| match number {
            0 => reply(status, "<Error><Code>SlowDown</Code></Error>").with("Retry-After", asked.clone()),
            _ => serve(request, b"content", None),
        });
        let _turn = environment(&with_keys(&[]));
        let (result, time) = timed(|| get(&server.uri("bucket/key")));
        assert_eq!(result.unwrap(), b"content".as_slice());
        assert!(time >= Duration::from_millis(900) && time < Duration::from_secs(10), "{status}: {time:?}");
        assert_eq!(server.requests().len(), 2);
    }
}

#[test]
fn no_server_makes_us_wait_past_the_time_limit() {
    let server = Server::start(|_, _| reply(503, "").with("Retry-After", "3600"));
    for (retries, least) in [("10", Duration::from_secs(1)), ("0", Duration::ZERO)] {
        let limits = [("S3DLIO_OPERATION_TIMEOUT_SECS", "1"), ("S3DLIO_MAX_RETRY_ATTEMPTS", retries)];
        let _turn = environment(&with_keys(&limits));
        let (result, time) =
            timed(|| within(Duration::from_secs(20), ops::get(&server.uri("bucket/key"), GetOptions::default())));
        assert!(matches!(result, Err(StoreError::Store { .. })), "{result:?}");
        assert!(time >= least && time < Duration::from_secs(8), "{time:?}");
    }
}

#[test]
fn requests_that_are_sent_again_are_counted() {
    let server = Server::start(|request, number| match number {
        0 => reply(500, ""),
        1 => reply(429, ""),
        2 => crate::common::silence(Duration::ZERO),
        _ => serve(request, b"content", None),
    });
    let _turn = environment(&with_keys(&[]));
    let before = stats::value(Counter::Retries);
    get(&server.uri("bucket/key")).unwrap();
    assert_eq!(stats::value(Counter::Retries) - before, 3);
    get(&server.uri("bucket/key")).unwrap();
    assert_eq!(stats::value(Counter::Retries) - before, 3);
}

#[test]
fn requests_go_through_the_proxy_unless_the_host_is_excepted() {
    let proxy = Server::start(|request, _| serve(request, b"by proxy", None));
    let server = Server::start(|request, _| serve(request, b"directly", None));
    let url = format!("http://{}", proxy.address);
    let endpoint = ("AWS_ENDPOINT_URL", "http://storage.invalid:9000");
    let uri = Uri::parse("s3://bucket/key").unwrap();
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY"] {
        let _turn = environment(&with_keys(&[endpoint, (name, &url)]));
        assert_eq!(get(&uri).unwrap(), b"by proxy".as_slice(), "{name}");
        assert_eq!(proxy.requests().pop().unwrap().target, "http://storage.invalid:9000/bucket/key");
    }
    let _turn = environment(&with_keys(&[("HTTP_PROXY", &url), ("NO_PROXY", "example.org,127.0.0.1")]));
    assert_eq!(get(&server.uri("bucket/key")).unwrap(), b"directly".as_slice());
}

#[test]
fn a_proxy_for_https_is_not_asked_for_http() {
    let proxy = Server::start(|request, _| serve(request, b"by proxy", None));
    let server = Server::start(|request, _| serve(request, b"directly", None));
    let url = format!("http://{}", proxy.address);
    let _turn = environment(&with_keys(&[("HTTPS_PROXY", &url)]));
    assert_eq!(get(&server.uri("bucket/key")).unwrap(), b"directly".as_slice());
    assert!(proxy.requests().is_empty());
}

#[test]
fn a_bad_proxy_or_certificate_file_names_its_variable_and_no_password() {
    let folder = Folder::new();
    let empty = folder.write("empty.pem", "");
    for (name, value) in [
        ("HTTPS_PROXY", "http://user:whispered@[broken"),
        ("AWS_CA_BUNDLE", "/nonexistent/ca.pem"),
        ("SSL_CERT_FILE", "/nonexistent/ca.pem"),
        ("AWS_CA_BUNDLE", &empty),
    ] {
        let _turn = environment(&with_keys(&[(name, value)]));
        for uri in ["s3://bucket/key", "gs://bucket/key"] {
            let error = registry::open(&Uri::parse(uri).unwrap()).unwrap_err();
            assert!(matches!(&error, StoreError::Config { option, .. } if option == name), "{name}: {error:?}");
            assert!(!error.to_string().contains("whispered"), "{error}");
        }
    }
}

#[test]
fn an_endpoint_that_is_set_and_gone_is_an_error() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{free}");
    for (uri, variables) in [
        ("s3://bucket/key", with_keys(&[("AWS_ENDPOINT_URL", &url)])),
        ("gs://bucket/key", vec![("GCS_ENDPOINT_URL", url.as_str())]),
        ("az://a/c/key", vec![("AZURE_STORAGE_ENDPOINT", url.as_str()), ("AZURE_SKIP_SIGNATURE", "1")]),
    ] {
        let limit = ("S3DLIO_OPERATION_TIMEOUT_SECS", "1");
        let _turn = environment(&[variables, vec![limit]].concat());
        let error = get(&Uri::parse(uri).unwrap()).unwrap_err();
        assert!(matches!(error, StoreError::Store { .. } | StoreError::Timeout { .. }), "{error:?}");
        assert!(error.to_string().contains(&free.to_string()), "{error}");
    }
}

//! `check`, and the buckets themselves.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use crate::common::{Reply, Request, Server, reply, serve, within};
use crate::environment::{Folder, environment};
use s3dlio_store::check::{Report, check};
use s3dlio_store::{StoreError, Uri, bucket};

const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "AKTEST"), ("AWS_SECRET_ACCESS_KEY", "secret")];

fn report(uri: &str, write: bool) -> Report {
    within(Duration::from_secs(60), Ok(check(uri, write))).unwrap()
}

/// The names of the steps with what each says.
fn said(report: &Report) -> Vec<(&'static str, Option<bool>)> {
    report.steps.iter().map(|step| (step.name, step.ok)).collect()
}

fn step<'a>(report: &'a Report, name: &str) -> &'a s3dlio_store::check::Step {
    report.steps.iter().find(|step| step.name == name).unwrap_or_else(|| panic!("{name}: {report:?}"))
}

/// A store of objects, as much of S3 as a check asks for.
fn store(conditions: bool) -> Server {
    let objects: Mutex<HashMap<String, Vec<u8>>> = Mutex::default();
    Server::start(move |request, _| {
        let date = chrono::Utc::now().format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        answer(&mut objects.lock().unwrap(), request, conditions).with("Date", date)
    })
}

fn answer(objects: &mut HashMap<String, Vec<u8>>, request: &Request, conditions: bool) -> Reply {
    let path = request.path().to_owned();
    match request.method.as_str() {
        "GET" if request.query().contains("list-type=2") => {
            reply(200, "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>")
        }
        "HEAD" if path == "/" || path == "/bucket" => reply(200, ""),
        "PUT" if conditions && objects.contains_key(&path) && request.header("if-none-match") == "*" => {
            reply(412, "<Error><Code>PreconditionFailed</Code></Error>")
        }
        "PUT" => {
            objects.insert(path, request.body.clone());
            reply(200, "").with("ETag", "\"tag\"")
        }
        "POST" if request.query() == "delete" => {
            let text = String::from_utf8_lossy(&request.body).into_owned();
            let key = text.split("<Key>").nth(1).and_then(|rest| rest.split("</Key>").next()).unwrap();
            assert!(objects.remove(&format!("{path}/{key}")).is_some(), "{key}");
            reply(200, format!("<DeleteResult><Deleted><Key>{key}</Key></Deleted></DeleteResult>"))
        }
        _ => match objects.get(&path) {
            Some(content) => serve(request, content, Some("\"tag\"")),
            None => reply(404, "<Error><Code>NoSuchKey</Code></Error>"),
        },
    }
}

#[test]
fn a_store_in_order_passes_every_step() {
    let server = store(true);
    let _turn = environment(&KEYS);
    let all = report(&format!("s3://{}/bucket/folder/", server.address), true);
    let good = Some(true);
    let expected = [
        ("uri", good),
        ("settings", good),
        ("name resolution", good),
        ("connection", good),
        ("TLS", None),
        ("credentials", good),
        ("clock", good),
        ("bucket", good),
        ("list", good),
        ("write", good),
        ("range", good),
        ("conditional put", good),
        ("delete", good),
    ];
    assert_eq!(said(&all), expected, "{all:?}");
    assert!(all.ok());
    assert!(step(&all, "credentials").detail.contains("AWS_ACCESS_KEY_ID"), "{all:?}");
    let written: Vec<String> =
        server.requests().into_iter().filter(|request| request.method == "PUT").map(|request| request.target).collect();
    assert!(written.iter().all(|target| target.starts_with("/bucket/folder/.s3dlio-check-")), "{written:?}");
    let deleted = server.requests().into_iter().filter(|request| request.query() == "delete").count();
    assert_eq!(deleted, 1);
}

#[test]
fn without_leave_nothing_is_written() {
    let server = store(true);
    let _turn = environment(&KEYS);
    let all = report(&format!("s3://{}/bucket/", server.address), false);
    assert!(all.ok(), "{all:?}");
    assert!(server.requests().iter().all(|request| ["GET", "HEAD"].contains(&request.method.as_str())));
}

#[test]
fn a_server_that_ignores_conditions_is_found_out() {
    let server = store(false);
    let _turn = environment(&KEYS);
    let all = report(&format!("s3://{}/bucket/", server.address), true);
    assert_eq!(step(&all, "conditional put").ok, Some(false), "{all:?}");
    assert!(!step(&all, "conditional put").advice.is_empty());
    assert_eq!(step(&all, "delete").ok, Some(true));
}

#[test]
fn what_is_wrong_is_named_and_what_depends_on_it_left_out() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gone = format!("s3://{free}/bucket/");
    for (uri, variables, name) in [
        ("bucket/key", vec![], "uri"),
        ("s3://bucket/key", vec![("AWS_EC2_METADATA_DISABLED", "1")], "settings"),
        (
            "s3://bucket/key",
            vec![("AWS_ENDPOINT_URL", "http://nowhere.invalid:9"), KEYS[0], KEYS[1]],
            "name resolution",
        ),
        (gone.as_str(), KEYS.to_vec(), "connection"),
    ] {
        let _turn = environment(&variables);
        let all = report(uri, true);
        let last = all.steps.last().unwrap();
        assert_eq!((last.name, last.ok), (name, Some(false)), "{all:?}");
        assert!(!last.advice.is_empty() && !all.ok());
    }
}

#[test]
fn a_clock_that_runs_wrong_and_a_bucket_that_is_missing() {
    let server = Server::start(|request, _| match request.path() {
        "/" => reply(403, "").with("Date", "Tue, 01 Jul 2025 12:00:00 GMT"),
        _ => reply(404, ""),
    });
    let _turn = environment(&KEYS);
    let all = report(&format!("s3://{}/bucket/", server.address), false);
    assert_eq!(step(&all, "clock").ok, Some(false), "{all:?}");
    assert_eq!(step(&all, "bucket").ok, Some(false), "{all:?}");
    assert_eq!(all.steps.last().unwrap().name, "bucket");
}

#[test]
fn local_paths() {
    let _turn = environment(&[]);
    let folder = Folder::new();
    let path = folder.write("file", "text");
    let all = report(&format!("file://{path}"), true);
    assert!(all.ok(), "{all:?}");
    assert!(step(&all, "exists").detail.contains("4 bytes"));
    let all = report(&format!("direct://{}/", folder.0.path().display()), true);
    assert_eq!(step(&all, "writable").ok, Some(true), "{all:?}");
    assert!(all.steps.iter().any(|step| step.name == "O_DIRECT"));
    let all = report("direct:///proc/self/status", false);
    assert_eq!(step(&all, "O_DIRECT").ok, Some(false), "{all:?}");
    let all = report("file:///nonexistent/file", false);
    assert_eq!(step(&all, "exists").ok, Some(false));
    let names: Vec<_> = std::fs::read_dir(folder.0.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["file"], "nothing is left over");
    let all = report("memory://bucket/", true);
    assert!(all.ok(), "{all:?}");
}

fn run(work: s3dlio_store::Result<s3dlio_store::Work<()>>) -> s3dlio_store::Result<()> {
    within(Duration::from_secs(30), work)
}

#[test]
fn buckets_are_made_and_removed_on_every_cloud() {
    let server = Server::start(|_, _| reply(200, "<EnumerationResults><Blobs/></EnumerationResults>"));
    let url = format!("http://{}", server.address);
    let s3 = [("AWS_ENDPOINT_URL", url.as_str()), KEYS[0], KEYS[1]];
    let gs = [("GCS_ENDPOINT_URL", url.as_str()), ("GOOGLE_CLOUD_PROJECT", "project")];
    let az =
        [("AZURE_STORAGE_ENDPOINT", url.as_str()), ("AZURE_STORAGE_ACCOUNT", "a"), ("AZURE_STORAGE_KEY", "aHVzaA==")];
    let other = [&s3[..], &[("AWS_REGION", "eu-north-1")]].concat();
    for (text, variables, target, body) in [
        ("s3://bucket/", &s3[..], "/bucket", ""),
        ("s3://bucket", &other[..], "/bucket", "<LocationConstraint>eu-north-1</LocationConstraint>"),
        ("gs://bucket/", &gs[..], "/bucket", ""),
        ("az://container/", &az[..], "/container?restype=container", ""),
    ] {
        let _turn = environment(variables);
        let uri = Uri::parse(text).unwrap();
        run(bucket::create(&uri)).unwrap();
        run(bucket::delete(&uri)).unwrap();
        let requests: Vec<Request> = server.requests().into_iter().filter(|request| request.method != "GET").collect();
        let [.., made, removed] = &requests[..] else { unreachable!("two requests") };
        assert_eq!((made.method.as_str(), made.target.as_str()), ("PUT", target));
        assert_eq!((removed.method.as_str(), removed.target.as_str()), ("DELETE", target));
        assert!(String::from_utf8_lossy(&made.body).contains(body), "{made:?}");
        let signed = made.header("authorization");
        assert_eq!(signed.is_empty(), text.starts_with("gs"), "{signed}");
        if text.starts_with("gs") {
            assert_eq!(made.header("x-goog-project-id"), "project");
        }
    }
}

#[test]
fn a_container_with_something_in_it_is_not_removed() {
    let server = Server::start(|_, _| {
        reply(200, "<EnumerationResults><Blobs><Blob><Name>key</Name></Blob></Blobs></EnumerationResults>")
    });
    let url = format!("http://{}", server.address);
    let _turn = environment(&[("AZURE_STORAGE_ENDPOINT", &url), ("AZURE_STORAGE_KEY", "aHVzaA==")]);
    let error = run(bucket::delete(&Uri::parse("az://account/container").unwrap())).unwrap_err();
    assert!(matches!(&error, StoreError::Precondition { detail, .. } if detail.contains("not empty")), "{error:?}");
    assert!(server.requests().iter().all(|request| request.method == "GET"));
}

#[test]
fn refusals_about_buckets_keep_their_kinds() {
    for (status, body, expected) in [
        (409, "<Code>BucketAlreadyOwnedByYou</Code>", "already exists"),
        (409, "<Code>ContainerAlreadyExists</Code>", "already exists"),
        (409, "<Code>BucketNotEmpty</Code>", "precondition failed"),
        (404, "<Code>NoSuchBucket</Code>", "not found"),
        (403, "<Code>AccessDenied</Code>", "permission denied"),
        (400, "<Code>InvalidBucketName</Code>", "InvalidBucketName"),
    ] {
        let server = Server::start(move |_, _| reply(status, body));
        let _turn = environment(&KEYS);
        let error = run(bucket::delete(&server.uri("bucket"))).unwrap_err();
        assert!(error.to_string().contains(expected), "{status} {body}: {error}");
    }
    let _turn = environment(&KEYS);
    for text in ["s3://bucket/key", "memory://bucket", "file:///tmp"] {
        let error = bucket::create(&Uri::parse(text).unwrap()).unwrap_err();
        assert!(matches!(error, StoreError::InvalidUri { .. } | StoreError::Unsupported { .. }), "{error:?}");
    }
}

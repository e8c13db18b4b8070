//! Each way to misbehave, as it looks from the other end of the connection.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

mod common;

use std::time::{Duration, Instant};

use common::{Answer, ask, between, get, post, put, rules, s3};
use s3dlio_testkit::Server;
use serde_json::json;

const BODY: &[u8; 1000] = &[b'x'; 1000];

fn with(rule: serde_json::Value) -> Server {
    let server = s3();
    assert_eq!(put(&server, "/bucket/key", &[], BODY).status, 200);
    server.faults(rules(json!([rule]))).unwrap();
    server
}

fn got(rule: serde_json::Value) -> Answer {
    get(&with(rule), "/bucket/key", &[])
}

#[test]
fn a_status_in_the_place_of_an_answer() {
    let action = json!({"kind": "status", "status": 503, "headers": {"Retry-After": "7"}});
    let server = with(json!({"method": "PUT", "times": 2, "action": action}));
    for _ in 0..2 {
        let answer = put(&server, "/bucket/new", &[], BODY);
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("7")));
        assert!(answer.text().contains("<Code>SlowDown</Code>"), "{}", answer.text());
        assert_eq!(get(&server, "/bucket/new", &[]).status, 404);
    }
    assert_eq!(put(&server, "/bucket/new", &[], BODY).status, 200);
    assert_eq!(get(&server, "/bucket/new", &[]).body, BODY);
}

#[test]
fn connections_break_at_each_stage_of_a_body() {
    for after in [0, 1, 999] {
        let answer = got(json!({"action": {"kind": "reset", "stage": "body", "after": after}}));
        assert_eq!((answer.status, answer.reset, answer.body.len()), (200, true, after));
        let answer = got(json!({"action": {"kind": "close", "stage": "body", "after": after}}));
        assert_eq!((answer.reset, answer.silent, answer.body.len()), (false, false, after));
        let answer = got(json!({"action": {"kind": "stall", "stage": "body", "after": after}}));
        assert_eq!((answer.silent, answer.body.len()), (true, after));
        assert_eq!(answer.header("content-length"), Some("1000"));
    }
}

#[test]
fn connections_break_before_an_answer() {
    for stage in ["request", "reply"] {
        let answer = got(json!({"action": {"kind": "reset", "stage": stage}}));
        assert_eq!((answer.status, answer.reset), (0, true));
        let answer = got(json!({"action": {"kind": "close", "stage": stage}}));
        assert_eq!((answer.status, answer.reset, answer.silent), (0, false, false));
        let answer = got(json!({"action": {"kind": "stall", "stage": stage}}));
        assert_eq!((answer.status, answer.silent), (0, true));
    }
}

#[test]
fn a_stall_may_end() {
    let began = Instant::now();
    let answer = got(json!({"action": {"kind": "stall", "stage": "body", "after": 10, "seconds": 0.2}}));
    assert_eq!(answer.body, BODY);
    assert!(began.elapsed() >= Duration::from_millis(200));
}

#[test]
fn an_effect_whose_answer_is_lost_and_one_that_never_was() {
    for (stage, status) in [("request", 404), ("upload", 404), ("reply", 200)] {
        let server = with(json!({"method": "PUT", "action": {"kind": "reset", "stage": stage, "after": 400}}));
        assert!(put(&server, "/bucket/new", &[], BODY).reset);
        assert_eq!(get(&server, "/bucket/new", &[]).status, status, "{stage}");
    }
}

#[test]
fn lengths_that_are_not_true() {
    let answer = got(json!({"action": {"kind": "length", "by": 10}}));
    assert_eq!((answer.header("content-length"), answer.body.len()), (Some("1010"), 1000));
    assert!(!answer.silent);
    for by in [-1, -10, -1000] {
        let answer = got(json!({"action": {"kind": "length", "by": by}}));
        let announced = answer.header("content-length").unwrap().parse::<i64>().unwrap();
        assert_eq!((announced, answer.body.len()), (1000 + by, 1000), "{answer:?}");
    }
}

#[test]
fn chunks_with_and_without_an_end() {
    let answer = got(json!({"action": {"kind": "chunked"}}));
    assert_eq!((answer.header("transfer-encoding"), answer.header("content-length")), (Some("chunked"), None));
    assert!(answer.body.ends_with(b"\r\n0\r\n\r\n"));
    let answer = got(json!({"action": {"kind": "chunked", "after": 300}}));
    assert!(!answer.silent && !answer.body.ends_with(b"\r\n0\r\n\r\n"));
    assert_eq!(answer.body.iter().filter(|byte| **byte == b'x').count(), 300);
}

#[test]
fn a_byte_that_changes_on_its_way() {
    let answer = got(json!({"action": {"kind": "corrupt", "at": 500}}));
    assert_eq!(answer.body.iter().filter(|byte| **byte != b'x').count(), 1);
    assert_ne!(answer.body[500], b'x');
}

#[test]
fn slow_in_both_directions() {
    let server = with(json!({"action": {"kind": "throttle", "bytes_per_second": 4000}}));
    let began = Instant::now();
    assert_eq!(get(&server, "/bucket/key", &[]).body, BODY);
    assert!(began.elapsed() >= Duration::from_millis(200), "{:?}", began.elapsed());
    let began = Instant::now();
    assert_eq!(put(&server, "/bucket/key", &[], BODY).status, 200);
    assert!(began.elapsed() >= Duration::from_millis(200), "{:?}", began.elapsed());
}

#[test]
fn refused_until_the_token_changes() {
    let action = json!({"kind": "status", "status": 403, "code": "ExpiredToken"});
    let server = with(json!({"unless_header": ["x-amz-security-token", "new"], "action": action}));
    assert_eq!(get(&server, "/bucket/key", &[("x-amz-security-token", "old")]).status, 403);
    assert_eq!(get(&server, "/bucket/key", &[]).status, 403);
    assert_eq!(get(&server, "/bucket/key", &[("x-amz-security-token", "new")]).status, 200);
}

#[test]
fn rules_choose_by_order_and_number() {
    let refuse = |status: u16| json!({"kind": "status", "status": status});
    let server = s3();
    server
        .faults(rules(json!([
            {"key": "^a/", "skip": 1, "every": 2, "times": 2, "action": refuse(500)},
            {"operation": "GetObject", "query": "x=1", "action": refuse(429)},
        ])))
        .unwrap();
    let statuses: Vec<_> = (0..7).map(|_| get(&server, "/bucket/a/b", &[]).status).collect();
    assert_eq!(statuses, [404, 500, 404, 500, 404, 404, 404]);
    assert_eq!(get(&server, "/bucket/b?x=1", &[]).status, 429);
    assert_eq!(get(&server, "/bucket/b?x=2", &[]).status, 404);
    assert_eq!(put(&server, "/bucket/b?x=1", &[], b"").status, 200);
    let seen = server.requests();
    assert_eq!(seen[1]["fault"]["status"], 500);
    assert_eq!((&seen[1]["status"], &seen[1]["key"]), (&json!(500), &json!("a/b")));
}

#[test]
fn a_part_that_is_dropped_without_a_word() {
    let server = with(json!({"operation": "CompleteMultipartUpload", "action": {"kind": "drop_part", "part": 2}}));
    let created = post(&server, "/bucket/parts?uploads", "").text();
    let id = between(&created, "UploadId");
    let mut document = "<CompleteMultipartUpload>".to_owned();
    for number in 1..=3 {
        let part = vec![number; 5 << 20];
        let target = format!("/bucket/parts?partNumber={number}&uploadId={id}");
        let etag = put(&server, &target, &[], &part).header("etag").unwrap().to_owned();
        document.push_str(&format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"));
    }
    document.push_str("</CompleteMultipartUpload>");
    assert_eq!(post(&server, &format!("/bucket/parts?uploadId={id}"), &document).status, 200);
    let body = get(&server, "/bucket/parts", &[]).body;
    assert_eq!(body.len(), 10 << 20);
    assert_eq!((body[0], body[(10 << 20) - 1]), (1, 3));
}

#[test]
fn rules_that_make_no_sense_are_refused() {
    let server = s3();
    for rule in [
        json!({"key": "(", "action": {"kind": "chunked"}}),
        json!({"every": 0, "action": {"kind": "chunked"}}),
        json!({"keys": "a", "action": {"kind": "chunked"}}),
        json!({"action": {"kind": "explode"}}),
        json!({"action": {"kind": "reset", "stage": "body", "afterwards": 1}}),
    ] {
        let answer = ask(&server, "POST", "/_testkit/faults", &[], json!([rule]).to_string().as_bytes());
        assert_eq!(answer.status, 400, "{rule}");
        assert!(answer.text().contains("error"), "{}", answer.text());
    }
}

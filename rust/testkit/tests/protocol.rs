//! What the server answers, where object_store's suite does not look.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

mod common;

use common::{ask, between, get, post, put, s3};
use s3dlio_testkit::{Protocol, Server, Synthetic, pattern};

#[test]
fn ranges_are_those_of_http() {
    let server = s3();
    put(&server, "/bucket/key", &[], b"0123456789");
    for (range, status, body, content_range) in [
        ("bytes=2-4", 206, "234", Some("bytes 2-4/10")),
        ("bytes=7-", 206, "789", Some("bytes 7-9/10")),
        ("bytes=-3", 206, "789", Some("bytes 7-9/10")),
        ("bytes=-30", 206, "0123456789", Some("bytes 0-9/10")),
        ("bytes=8-30", 206, "89", Some("bytes 8-9/10")),
        ("bytes=5-2", 200, "0123456789", None),
        ("bytes=1-2,4-5", 200, "0123456789", None),
        ("lines=1-2", 200, "0123456789", None),
    ] {
        let answer = get(&server, "/bucket/key", &[("Range", range)]);
        assert_eq!((answer.status, answer.text().as_str()), (status, body), "{range}");
        assert_eq!(answer.header("content-range"), content_range, "{range}");
    }
    for range in ["bytes=10-", "bytes=-0"] {
        let answer = get(&server, "/bucket/key", &[("Range", range)]);
        assert_eq!((answer.status, answer.header("content-range")), (416, Some("bytes */10")), "{range}");
    }
    let head = ask(&server, "HEAD", "/bucket/key", &[("Range", "bytes=2-4")], b"");
    assert_eq!((head.status, head.header("content-length"), head.body.len()), (206, Some("3"), 0));
}

#[test]
fn writing_on_condition() {
    let server = s3();
    assert_eq!(put(&server, "/bucket/key", &[("If-Match", "\"x\"")], b"a").status, 404);
    let first = put(&server, "/bucket/key", &[("If-None-Match", "*")], b"a");
    assert_eq!(first.status, 200);
    assert_eq!(put(&server, "/bucket/key", &[("If-None-Match", "*")], b"b").status, 412);
    let etag = first.header("etag").unwrap();
    assert_eq!(put(&server, "/bucket/key", &[("If-Match", etag)], b"c").status, 200);
    assert_eq!(put(&server, "/bucket/key", &[("If-Match", etag)], b"d").status, 412);
    assert_eq!(get(&server, "/bucket/key", &[]).body, b"c");
}

#[test]
fn bodies_are_what_their_checksums_say() {
    let server = s3();
    // Of "123456789", the text over which checksums are documented.
    for (header, right) in [
        ("x-amz-checksum-crc32", "y/Q5Jg=="),
        ("x-amz-checksum-crc32c", "4waSgw=="),
        ("x-amz-checksum-crc64nvme", "rosUhgp5mIg="),
        ("x-amz-checksum-sha256", "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU="),
        ("Content-MD5", "JfnnlDI7RTiF9RgfG2JNCw=="),
    ] {
        assert_eq!(put(&server, "/bucket/key", &[(header, right)], b"123456789").status, 200, "{header}");
        let wrong = put(&server, "/bucket/wrong", &[(header, right)], b"123456780");
        assert_eq!(wrong.status, 400, "{header}");
        assert!(wrong.text().contains("BadDigest"));
        assert_eq!(get(&server, "/bucket/wrong", &[]).status, 404);
    }
    let digest = "0".repeat(64);
    assert_eq!(put(&server, "/bucket/key", &[("x-amz-content-sha256", &digest)], b"x").status, 400);
    assert_eq!(put(&server, "/bucket/key", &[("x-amz-checksum-sha1", "x")], b"x").status, 501);
}

#[test]
fn uploads_refuse_what_was_not_uploaded() {
    let server = s3();
    let id = between(&post(&server, "/bucket/key?uploads", "").text(), "UploadId").to_owned();
    let mut parts = Vec::new();
    for number in 1..=2 {
        let target = format!("/bucket/key?partNumber={number}&uploadId={id}");
        let etag = put(&server, &target, &[], &vec![number; 5 << 20]).header("etag").unwrap().to_owned();
        parts.push(format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"));
    }
    let complete = |parts: &[String]| {
        let document = format!("<CompleteMultipartUpload>{}</CompleteMultipartUpload>", parts.concat());
        post(&server, &format!("/bucket/key?uploadId={id}"), &document)
    };
    let stranger = "<Part><PartNumber>3</PartNumber><ETag>x</ETag></Part>".to_owned();
    for (named, code) in [
        (vec![parts[1].clone(), parts[0].clone()], "InvalidPartOrder"),
        (vec![parts[0].clone(), stranger], "InvalidPart"),
        (vec![parts[0].replace("<ETag>", "<ETag>0")], "InvalidPart"),
        (vec![], "MalformedXML"),
    ] {
        let answer = complete(&named);
        assert_eq!((answer.status, between(&answer.text(), "Code")), (400, code));
    }
    assert!(get(&server, "/bucket?uploads", &[]).text().contains(&id));
    assert!(get(&server, &format!("/bucket/key?uploadId={id}"), &[]).text().contains("<Size>5242880</Size>"));
    let done = complete(&parts);
    assert_eq!(done.status, 200);
    assert_eq!(between(&complete(&parts).text(), "ETag"), between(&done.text(), "ETag"));
    assert_eq!(put(&server, &format!("/bucket/key?partNumber=1&uploadId={id}"), &[], b"").status, 404);
    assert!(!get(&server, "/bucket?uploads", &[]).text().contains(&id));
    assert_eq!(get(&server, "/bucket/key", &[]).body.len(), 10 << 20);
}

#[test]
fn what_it_does_not_have_it_says() {
    let server = s3();
    for target in ["/bucket/key?acl", "/bucket?policy", "/bucket", "/bucket/key?partNumber=1"] {
        assert_eq!(get(&server, target, &[]).status, 501, "{target}");
    }
    let chunks = [("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")];
    assert_eq!(put(&server, "/bucket/key", &chunks, b"x").status, 501);
    let gcs = Server::start(Protocol::Gcs, 0).unwrap();
    assert_eq!(put(&gcs, "/bucket", &[], b"").status, 200);
    assert_eq!(put(&gcs, "/bucket/key", &[("If-None-Match", "*")], b"").status, 400);
    assert_eq!(post(&gcs, "/bucket?delete", "").status, 501);
}

#[test]
fn buckets_come_and_go() {
    let server = s3();
    assert_eq!(put(&server, "/bucket", &[], b"").status, 409);
    assert_eq!(put(&server, "/other", &[], b"").status, 200);
    assert!(get(&server, "/", &[]).text().contains("<Name>other</Name>"));
    put(&server, "/other/key", &[], b"x");
    assert_eq!(ask(&server, "DELETE", "/other", &[], b"").status, 409);
    assert_eq!(ask(&server, "DELETE", "/other/key", &[], b"").status, 204);
    assert_eq!(ask(&server, "DELETE", "/other", &[], b"").status, 204);
    assert_eq!(ask(&server, "HEAD", "/other", &[], b"").status, 404);
}

#[test]
fn keys_come_encoded_where_that_is_asked_for() {
    let server = s3();
    for key in ["a%20b", "a%2Bb", "a%26%3Cb", "%C3%BC"] {
        put(&server, &format!("/bucket/{key}"), &[], b"");
    }
    let plain = get(&server, "/bucket?list-type=2", &[]).text();
    let encoded = get(&server, "/bucket?list-type=2&encoding-type=url", &[]).text();
    for (key, decoded) in [("a%20b", "a b"), ("a%2Bb", "a+b"), ("a%26%3Cb", "a&amp;&lt;b"), ("%C3%BC", "ü")] {
        assert!(encoded.contains(&format!("<Key>{key}</Key>")), "{encoded}");
        assert!(plain.contains(&format!("<Key>{decoded}</Key>")), "{plain}");
    }
}

#[test]
fn a_page_ends_where_it_must_and_the_next_goes_on() {
    let server = s3();
    for key in ["a/1", "a/2", "b", "c/1", "c/2", "d"] {
        put(&server, &format!("/bucket/{key}"), &[], b"");
    }
    let (mut token, mut found) = (String::new(), Vec::new());
    loop {
        let target = format!("/bucket?list-type=2&delimiter=/&max-keys=1{token}");
        let page = get(&server, &target, &[]).text();
        let tag = if page.contains("<CommonPrefixes>") { "CommonPrefixes" } else { "Contents" };
        found.push(between(&page, tag).replace("<Prefix>", "").replace("</Prefix>", "")[..].to_owned());
        if page.contains("<IsTruncated>false") {
            break;
        }
        token = format!("&continuation-token={}", between(&page, "NextContinuationToken"));
    }
    let found: Vec<_> =
        found.iter().map(|entry| if entry.contains("<Key>") { between(entry, "Key") } else { entry }).collect();
    assert_eq!(found, ["a/", "b", "c/", "d"]);
}

#[test]
fn computed_buckets_list_and_read_like_others() {
    let server = s3();
    let synthetic = Synthetic {
        bucket: "many".into(),
        keys: 2_000_000,
        prefix: "train/".into(),
        suffix: ".npz".into(),
        digits: 7,
        size: 100_003,
    };
    server.synthetic(synthetic).unwrap();
    let page = get(&server, "/many?list-type=2&prefix=train/&start-after=train/1999997.npz", &[]).text();
    assert_eq!(page.matches("<Key>").count(), 2, "{page}");
    assert!(page.contains("<Key>train/1999999.npz</Key>") && page.contains("<Size>100003</Size>"));
    let level = get(&server, "/many?list-type=2&delimiter=/", &[]).text();
    assert!(level.contains("<Prefix>train/</Prefix>") && !level.contains("<Key>"), "{level}");
    let answer = get(&server, "/many/train/0000007.npz", &[("Range", "bytes=70001-")]);
    assert_eq!(answer.body, pattern(7, 70_001..100_003));
    assert_eq!(get(&server, "/many/train/0000007.npz", &[]).body, pattern(7, 0..100_003));
    assert_eq!(get(&server, "/many/train/2000000.npz", &[]).status, 404);
    assert_eq!(get(&server, "/many/train/7.npz", &[]).status, 404);
    assert_eq!(put(&server, "/many/train/0000007.npz", &[], b"").status, 405);
    // The words of the documented formula, written out.
    let x = ((7_u64 << 32) + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    assert_eq!(pattern(7, 8..16), (x ^ (x >> 32)).to_le_bytes().as_slice());
}

#[test]
fn requests_are_counted_and_remembered() {
    let server = s3();
    put(&server, "/bucket/key", &[("x-amz-meta-a", "b")], b"abc");
    get(&server, "/bucket/key?x-id=GetObject", &[]);
    let counts = server.counts();
    assert_eq!((counts.requests, counts.operations["PutObject"], counts.operations["GetObject"]), (2, 1, 1));
    assert_eq!((counts.most_at_once, counts.connections), (1, 2));
    let seen = server.requests();
    assert_eq!((&seen[0]["received"], &seen[0]["headers"]["x-amz-meta-a"]), (&3.into(), &"b".into()));
    assert_eq!((&seen[1]["query"], &seen[1]["status"]), (&"x-id=GetObject".into(), &200.into()));
    post(&server, "/_testkit/reset", "");
    assert_eq!(server.counts().requests, 0);
    assert_eq!(get(&server, "/bucket/key", &[]).status, 200);
    post(&server, "/_testkit/reset", r#"{"buckets": true}"#);
    assert_eq!(get(&server, "/bucket/key", &[]).status, 404);
}

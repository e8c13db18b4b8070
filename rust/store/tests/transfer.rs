//! Transfers between files, memory and a scripted S3 server.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

mod common;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use common::{Reply, Request, Server, content, reply, run, serve, timed, within};
use s3dlio_store::local::Create;
use s3dlio_store::ops::{self, GetOptions, ListOptions};
use s3dlio_store::pattern::Pattern;
use s3dlio_store::transfer::{self, Depth, Existing, Options, Progress, Source, Summary};
use s3dlio_store::{Result, StoreError, Uri};

const MIB: usize = 1 << 20;

/// Names that a store or an encoding could spoil.
const NAMES: [&str; 8] =
    ["plain", "a b", "per%20cent", "100%", "ümläut/日本語.bin", "x+y&z=1", "[b]{c}#1", "deep/er/still/file"];

fn uri(text: &str) -> Uri {
    static SET: std::sync::Once = std::sync::Once::new();
    SET.call_once(|| {
        // SAFETY: no test reads the environment before it has made its first URI.
        unsafe {
            std::env::set_var("AWS_ACCESS_KEY_ID", "test");
            std::env::set_var("AWS_SECRET_ACCESS_KEY", "test");
            std::env::set_var("S3DLIO_MAX_RETRY_ATTEMPTS", "0");
        }
    });
    Uri::parse(text).unwrap()
}

fn put(text: &str, data: impl Into<Vec<u8>>) {
    run(ops::put(&uri(text), Bytes::from(data.into()), Create::Overwrite)).unwrap();
}

fn get(text: &str) -> Bytes {
    run(ops::get(&uri(text), GetOptions::default())).unwrap()
}

fn listed(text: &str) -> Vec<String> {
    let lister = ops::list(&uri(text), ListOptions { recursive: true, ..ListOptions::default() }).unwrap();
    let mut keys: Vec<String> = run(Ok(lister.all())).unwrap().into_iter().map(|entry| entry.key).collect();
    keys.sort();
    keys
}

fn source(text: &str) -> Source {
    if text.contains("://") { Source::Uri(uri(text)) } else { Source::Local(text.to_owned()) }
}

fn copy_with(sources: &[&str], dest: &str, options: Options) -> Result<Summary> {
    let sources: Vec<Source> = sources.iter().map(|text| source(text)).collect();
    run(transfer::transfer(&sources, &uri(dest), options, Arc::default()))
}

fn copy(from: &str, dest: &str) -> Result<Summary> {
    copy_with(&[from], dest, Options::default())
}

/// A directory and its URI without a slash at the end.
fn place() -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let uri = format!("file://{}", directory.path().display());
    (directory, uri)
}

fn memory() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("memory://bucket-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

#[test]
fn a_tree_keeps_its_names_and_content_in_every_direction() {
    let (_one, first) = place();
    let (_two, second) = place();
    let places = [first, memory(), second, memory()];
    for name in NAMES {
        put(&format!("{}/from/{name}", places[0]), name);
    }
    put(&format!("{}/from/empty", places[0]), "");
    let pairs = [(0, 1), (1, 3), (3, 2), (0, 2)];
    for (number, (from, to)) in pairs.into_iter().enumerate() {
        let below = if from == 0 { "from".to_owned() } else { format!("to{}", number - 1) };
        let dest = format!("{}/to{number}", places[to]);
        let done = copy(&format!("{}/{below}/", places[from]), &dest).unwrap();
        assert_eq!((done.objects, done.skipped), (NAMES.len() as u64 + 1, 0));
        for name in NAMES {
            assert_eq!(get(&format!("{dest}/{name}")), name.as_bytes());
        }
        assert!(get(&format!("{dest}/empty")).is_empty());
        assert_eq!(listed(&format!("{dest}/")).len(), NAMES.len() + 1);
    }
}

#[test]
fn a_tree_is_copied_inside_one_bucket() {
    let bucket = memory();
    put(&format!("{bucket}/a/x"), "1");
    put(&format!("{bucket}/a/b/y"), "22");
    let done = copy(&format!("{bucket}/a"), &format!("{bucket}/c/d")).unwrap();
    assert_eq!((done.objects, done.bytes), (2, 3));
    assert_eq!(get(&format!("{bucket}/c/d/b/y")), "22");
}

#[test]
fn large_objects_go_in_parts() {
    let (_directory, files) = place();
    let bucket = memory();
    for size in [16 * MIB - 1, 16 * MIB, 16 * MIB + 1, 32 * MIB, 70 * MIB + 7] {
        let data = content(size, size as u32);
        put(&format!("{files}/from"), data.clone());
        for (from, to) in [(&files, &bucket), (&bucket, &memory()), (&bucket, &files), (&files, &files)] {
            let (from, to) = (format!("{from}/from"), format!("{to}/to"));
            let done = copy(&from, &to).unwrap();
            assert_eq!((done.objects, done.bytes), (1, size as u64));
            assert!(get(&to) == data, "{from} -> {to} of {size}");
            // What comes next reads from the bucket.
            put(&format!("{bucket}/from"), data.clone());
        }
    }
    let names: Vec<_> = fs::read_dir(files.strip_prefix("file://").unwrap()).unwrap().collect();
    assert_eq!(names.len(), 2, "temporary files are left: {names:?}");
}

#[test]
fn where_a_single_object_goes() {
    let (directory, files) = place();
    let bucket = memory();
    put(&format!("{bucket}/in/key.bin"), "x");
    fs::create_dir(directory.path().join("there")).unwrap();
    let from = format!("{bucket}/in/key.bin");
    for (dest, landed) in
        [("exact", "exact"), ("new/", "new/key.bin"), ("there", "there/key.bin"), ("deep/new/name", "deep/new/name")]
    {
        copy(&from, &format!("{files}/{dest}")).unwrap();
        assert_eq!(get(&format!("{files}/{landed}")), "x", "{dest}");
    }
    copy(&from, "memory://single-object-root").unwrap();
    assert_eq!(get("memory://single-object-root/key.bin"), "x");
    let into = Options { into_directory: true, ..Options::default() };
    copy_with(&[&from], &format!("{files}/folder"), into).unwrap();
    assert_eq!(get(&format!("{files}/folder/key.bin")), "x");
}

#[test]
fn what_a_directory_means_can_be_chosen() {
    let bucket = memory();
    for key in ["d/a", "d/b/c", "d.x"] {
        put(&format!("{bucket}/{key}"), "x");
    }
    let depth = |depth| Options { depth, ..Options::default() };
    let refused = copy_with(&[&format!("{bucket}/d")], &format!("{bucket}/no"), depth(Depth::Object));
    assert!(matches!(refused, Err(StoreError::Unsupported { .. })), "{refused:?}");
    let (directory, files) = place();
    let refused = copy_with(&[directory.path().to_str().unwrap()], &bucket, depth(Depth::Object));
    assert!(matches!(refused, Err(StoreError::Unsupported { .. })), "{refused:?}");
    let missing = copy_with(&[&format!("{bucket}/nothing")], &format!("{bucket}/no"), depth(Depth::Object));
    assert!(matches!(missing, Err(StoreError::NotFound { .. })), "{missing:?}");
    copy_with(&[&format!("{bucket}/d/")], &format!("{files}/level"), depth(Depth::Level)).unwrap();
    assert_eq!(fs::read_dir(directory.path().join("level")).unwrap().count(), 1);
    assert!(listed(&format!("{bucket}/no/")).is_empty());
}

#[test]
fn an_object_comes_before_a_directory_of_its_name() {
    let bucket = memory();
    put(&format!("{bucket}/d"), "object");
    put(&format!("{bucket}/d/a"), "below");
    copy(&format!("{bucket}/d"), &format!("{bucket}/e")).unwrap();
    assert_eq!(get(&format!("{bucket}/e")), "object");
    put(&format!("{bucket}/star*"), "star");
    put(&format!("{bucket}/starry"), "other");
    assert_eq!(copy(&format!("{bucket}/star*"), &format!("{bucket}/f")).unwrap().objects, 1);
    assert_eq!(get(&format!("{bucket}/f")), "star");
}

#[test]
fn patterns_select() {
    let bucket = memory();
    for key in ["a/1.npz", "a/2.txt", "a/b/3.npz"] {
        put(&format!("{bucket}/{key}"), "x");
    }
    let names = |dest: &str| listed(dest).into_iter().map(|key| key[2..].to_owned()).collect::<Vec<_>>();
    copy(&format!("{bucket}/a/*.npz"), &format!("{bucket}/o/")).unwrap();
    assert_eq!(names(&format!("{bucket}/o/")), ["1.npz"]);
    copy(&format!("{bucket}/a/**.npz"), &format!("{bucket}/p/")).unwrap();
    assert_eq!(names(&format!("{bucket}/p/")), ["1.npz", "b/3.npz"]);
    let pattern = |text| Options { pattern: Some(Pattern::glob(text).unwrap()), ..Options::default() };
    copy_with(&[&format!("{bucket}/a/")], &format!("{bucket}/q/"), pattern("*.npz")).unwrap();
    assert_eq!(names(&format!("{bucket}/q/")), ["1.npz", "b/3.npz"]);
    for (from, options) in [("a/*.bin", Options::default()), ("a/", pattern("*.bin")), ("b/", Options::default())] {
        let missing = copy_with(&[&format!("{bucket}/{from}")], &format!("{bucket}/r/"), options);
        assert!(matches!(missing, Err(StoreError::NotFound { .. })), "{from}: {missing:?}");
    }
}

#[test]
fn local_patterns_are_those_of_a_shell() {
    let (directory, _) = place();
    let root = directory.path().to_str().unwrap();
    for name in ["data/1.dat", "data/2.dat", "data/x.txt", "data/.hidden.dat", "data/sub/3.dat", "data/[1].dat"] {
        put(&format!("file://{root}/{name}"), name);
    }
    let check = |patterns: &[&str], expected: &[&str]| {
        let bucket = memory();
        let patterns: Vec<String> = patterns.iter().map(|pattern| format!("{root}/{pattern}")).collect();
        let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
        copy_with(&patterns, &format!("{bucket}/p"), Options::default()).unwrap();
        let expected: Vec<String> = expected.iter().map(|name| format!("p/{name}")).collect();
        assert_eq!(listed(&format!("{bucket}/")), expected);
    };
    check(&["data/?.dat"], &["1.dat", "2.dat"]);
    check(&["data/*.dat"], &["1.dat", "2.dat", "[1].dat"]);
    check(&["data/*/*.dat"], &["3.dat"]);
    check(&["data/[12].dat", "data/x.txt"], &["1.dat", "2.dat", "x.txt"]);
    check(&["data/**/*.dat"], &["1.dat", "2.dat", "3.dat", "[1].dat"]);
    // A name that exists is no pattern; a directory that a pattern matches keeps its name, a named one only its layout.
    check(&["data/[1].dat", "data/x.txt"], &["[1].dat", "x.txt"]);
    check(&["data/s*"], &["sub/3.dat"]);
    check(&["data/sub"], &["3.dat"]);
    for missing in ["data/nothing", "data/*.bin"] {
        let error = copy(&format!("{root}/{missing}"), &memory());
        assert!(matches!(error, Err(StoreError::NotFound { .. })), "{missing}: {error:?}");
    }
}

#[test]
fn two_sources_for_one_name_are_refused_before_anything_is_written() {
    let (directory, files) = place();
    put(&format!("{files}/a/same.bin"), "1");
    put(&format!("{files}/b/same.bin"), "2");
    let root = directory.path().display();
    let bucket = memory();
    let error = copy(&format!("{root}/*/same.bin"), &bucket).unwrap_err();
    assert!(matches!(error, StoreError::InvalidUri { .. }));
    assert!(error.to_string().contains("a/same.bin") && error.to_string().contains("b/same.bin"), "{error}");
    assert!(listed(&format!("{bucket}/")).is_empty());
    // A file system cannot hold a file and a directory of one name.
    put(&format!("{bucket}/x/n"), "1");
    put(&format!("{bucket}/x/n/m"), "2");
    let error = copy(&format!("{bucket}/x/"), &format!("{files}/out")).unwrap_err();
    assert!(error.to_string().contains("directory"), "{error}");
    assert!(!directory.path().join("out").exists());
    copy(&format!("{bucket}/x/"), &format!("{bucket}/y/")).unwrap();
}

#[test]
fn nothing_is_copied_onto_itself() {
    let (_directory, files) = place();
    for place in [files, memory()] {
        put(&format!("{place}/a"), "content");
        for (from, to) in [("a", "a"), ("", ""), ("./a", "a")] {
            if from == "./a" && place.starts_with("memory") {
                continue;
            }
            let error = copy(&format!("{place}/{from}"), &format!("{place}/{to}")).unwrap_err();
            assert!(error.to_string().contains("same object"), "{error}");
        }
        assert_eq!(get(&format!("{place}/a")), "content");
    }
}

#[test]
fn a_copied_file_is_independent_and_has_the_usual_mode() {
    let (directory, files) = place();
    put(&format!("{files}/a"), "before");
    copy(&format!("{files}/a"), &format!("{files}/b")).unwrap();
    fs::write(directory.path().join("a"), "AFTER!").unwrap();
    assert_eq!(get(&format!("{files}/b")), "before");
    let mode = |name| fs::metadata(directory.path().join(name)).unwrap().mode();
    assert_eq!(mode("a"), mode("b"));
}

#[test]
fn an_empty_directory_has_nothing_to_copy() {
    let (_directory, files) = place();
    assert_eq!(copy(&format!("{files}/"), &memory()).unwrap().objects, 0);
    assert!(matches!(copy(&format!("{files}/none/"), &memory()), Err(StoreError::NotFound { .. })));
}

#[test]
fn a_resumed_transfer_copies_what_is_missing_changed_or_older() {
    let (directory, files) = place();
    for many in [4, 40] {
        let bucket = memory();
        for number in 0..many {
            put(&format!("{files}/{many}/{number}"), format!("{number}"));
        }
        let resume = || Options { resume: true, ..Options::default() };
        let again = || copy_with(&[&format!("{files}/{many}/")], &format!("{bucket}/d"), resume()).unwrap();
        let first = again();
        assert_eq!((first.objects, first.skipped), (many, 0));
        assert_eq!((again().objects, again().skipped), (0, many));
        put(&format!("{bucket}/d/1"), "longer than before");
        run(ops::delete(&uri(&format!("{bucket}/d/2")), false)).unwrap();
        let file = fs::File::options().write(true).open(directory.path().join(format!("{many}/3"))).unwrap();
        file.set_modified(std::time::SystemTime::now() + Duration::from_secs(5)).unwrap();
        let third = again();
        assert_eq!((third.objects, third.skipped), (3, many - 3));
        assert_eq!(get(&format!("{bucket}/d/1")), "1");
    }
}

#[test]
fn what_is_there_can_be_protected() {
    let bucket = memory();
    for number in 0..20 {
        put(&format!("{bucket}/a/{number}"), "new");
    }
    put(&format!("{bucket}/b/7"), "old");
    let refuse = || Options { existing: Existing::Refuse, ..Options::default() };
    let error = copy_with(&[&format!("{bucket}/a/")], &format!("{bucket}/b"), refuse()).unwrap_err();
    assert!(matches!(&error, StoreError::AlreadyExists { uri, .. } if uri.ends_with("/b/7")), "{error}");
    assert_eq!(listed(&format!("{bucket}/b/")).len(), 1);
    // What is the same and not older is left alone; only the rest counts as replaced.
    let both = Options { resume: true, existing: Existing::Refuse, ..Options::default() };
    put(&format!("{bucket}/b/7"), "old");
    assert_eq!(copy_with(&[&format!("{bucket}/a/")], &format!("{bucket}/b"), both).unwrap().skipped, 1);
}

#[test]
fn progress_ends_at_its_totals() {
    let bucket = memory();
    for number in 0..5 {
        put(&format!("{bucket}/a/{number}"), vec![0; 1000]);
    }
    put(&format!("{bucket}/a/big"), vec![1; 20 * MIB]);
    let progress = Arc::new(Progress::default());
    let sources = [Source::Uri(uri(&format!("{bucket}/a/")))];
    run(transfer::transfer(&sources, &uri(&memory()), Options::default(), Arc::clone(&progress))).unwrap();
    let total = 5 * 1000 + 20 * MIB as u64;
    assert_eq!((progress.objects(), progress.objects_total()), (6, 6));
    assert_eq!((progress.bytes(), progress.bytes_total()), (total, total));
}

#[test]
fn a_missing_source_is_named() {
    let error = copy("memory://nothing-here/key", &memory()).unwrap_err();
    assert!(matches!(&error, StoreError::NotFound { uri, .. } if uri == "memory://nothing-here/key"), "{error}");
}

/// As much of S3 as uploads in parts take; every part is answered by `part`.
fn multipart(part: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> Server {
    Server::start(move |request, number| match (request.method.as_str(), request.query()) {
        ("POST", "uploads" | "uploads=") => reply(
            200,
            "<InitiateMultipartUploadResult><Bucket>b</Bucket><Key>k</Key><UploadId>one</UploadId>\
             </InitiateMultipartUploadResult>",
        ),
        ("POST", _) => {
            reply(200, "<CompleteMultipartUploadResult><ETag>\"done\"</ETag></CompleteMultipartUploadResult>")
        }
        ("PUT", _) => part(request, number).with("ETag", "\"part\""),
        ("DELETE", _) => reply(204, ""),
        _ => reply(404, ""),
    })
}

fn to_server(server: &Server, data: &[u8]) -> Result<Summary> {
    let (_directory, files) = place();
    put(&format!("{files}/from"), data);
    let sources = [Source::Uri(uri(&format!("{files}/from")))];
    let dest = server.uri("bucket/key");
    within(Duration::from_secs(60), transfer::transfer(&sources, &dest, Options::default(), Arc::default()))
}

#[test]
fn parts_are_sent_in_order_and_complete() {
    let server = multipart(|_, _| reply(200, ""));
    let data = content(40 * MIB, 3);
    to_server(&server, &data).unwrap();
    let requests = server.requests();
    let mut parts: Vec<&Request> = requests.iter().filter(|request| request.method == "PUT").collect();
    parts.sort_by_key(|request| request.target.clone());
    let sent: Vec<u8> = parts.iter().flat_map(|request| request.body.clone()).collect();
    assert!(sent == data);
    assert_eq!(parts.len(), 3);
    let methods: Vec<&str> = requests.iter().rev().map(|request| request.method.as_str()).take(2).collect();
    assert_eq!(methods, ["HEAD", "POST"], "complete, and then looked at");
}

#[test]
fn a_part_that_fails_ends_the_upload_and_is_cleaned_up() {
    let server = multipart(|request, _| {
        if request.query().contains("partNumber=2") {
            reply(400, "<Error><Code>No</Code></Error>")
        } else {
            reply(200, "")
        }
    });
    let error = to_server(&server, &content(40 * MIB, 3)).unwrap_err();
    assert!(error.uri().ends_with("bucket/key"), "{error}");
    let (_, waited) = timed(|| {
        while transfer::ending() > 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    assert!(waited < Duration::from_secs(10));
    let requests = server.requests();
    assert!(requests.iter().any(|request| request.method == "DELETE" && request.query().contains("uploadId=one")));
    assert!(!requests.iter().any(|request| request.method == "POST" && request.query().contains("uploadId")));
}

#[test]
fn ranges_belong_to_one_version() {
    let data = content(40 * MIB, 5);
    let body = data.clone();
    let server = Server::start(move |request, _| {
        if request.method == "GET" && request.header("if-match") != "\"v1\"" {
            return reply(412, "");
        }
        serve(request, &body, Some("\"v1\""))
    });
    let (directory, files) = place();
    let from = server.uri("bucket/key").to_string();
    copy(&from, &format!("{files}/to")).unwrap();
    assert!(fs::read(directory.path().join("to")).unwrap() == data);
}

#[test]
fn a_changed_object_leaves_nothing_behind() {
    let data = content(40 * MIB, 5);
    let server = Server::start(move |request, number| {
        if number > 1 {
            reply(412, "<Error><Code>PreconditionFailed</Code></Error>")
        } else {
            serve(request, &data, Some("\"v1\""))
        }
    });
    let (directory, files) = place();
    copy(&server.uri("bucket/key").to_string(), &format!("{files}/to")).unwrap_err();
    while transfer::ending() > 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn content_comes_in_order_and_in_pieces() {
    let (_directory, files) = place();
    let data = content(50 * MIB + 3, 7);
    for place in [files, memory()] {
        let key = format!("{place}/key");
        put(&key, data.clone());
        for range in [0..u64::MAX, 5..10, 9 * MIB as u64..45 * MIB as u64, 60 * MIB as u64..u64::MAX] {
            let mut rest = Some(run(transfer::read(&uri(&key), range.clone())).unwrap());
            let mut read = Vec::new();
            while let Some(content) = rest.take() {
                if let Some((piece, next)) = run(Ok(content.piece())).unwrap() {
                    read.extend_from_slice(&piece);
                    rest = Some(next);
                }
            }
            let end = data.len().min(usize::try_from(range.end).unwrap_or(usize::MAX));
            let start = end.min(range.start as usize);
            assert!(read == data[start..end], "{key} {range:?}");
        }
    }
}

//! Commands inside this process, where the store in memory is shared with the test.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Seek};

use bytes::Bytes;
use s3dlio_store::local::Create;
use s3dlio_store::{Uri, ops};

/// Runs a command; returns its exit code, standard output and standard error.
fn run(arguments: &[&str], interrupted: bool) -> (i32, String, String) {
    let streams: [File; 2] = [tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap()];
    let [out, err] = streams.each_ref().map(|file| file.try_clone().unwrap());
    let code = s3dlio_cli::run(arguments.iter().map(OsString::from).collect(), out, err, &mut || interrupted);
    let [out, err] = streams.map(|mut file| {
        let mut text = String::new();
        file.rewind().unwrap();
        file.read_to_string(&mut text).unwrap();
        text
    });
    (code, out, err)
}

fn put(uri: &str, data: &'static str) {
    ops::put(&Uri::parse(uri).unwrap(), Bytes::from(data), Create::Overwrite).unwrap().wait().unwrap();
}

#[test]
fn objects_are_listed_read_copied_and_removed() {
    put("memory://cli/a/1", "one");
    put("memory://cli/a/2", "two");
    let (code, out, err) = run(&["ls", "memory://cli/a/"], false);
    assert_eq!((code, out.as_str(), err.as_str()), (0, "memory://cli/a/1\nmemory://cli/a/2\n", ""));
    assert_eq!(run(&["cat", "memory://cli/a/1", "memory://cli/a/2"], false).1, "onetwo");
    let (code, out, _) = run(&["--json", "cp", "-r", "memory://cli/a", "memory://cli/b"], false);
    let summary: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &summary["objects"], &summary["bytes"]), (0, &2.into(), &6.into()));
    assert_eq!(run(&["rm", "memory://cli/b/"], false).0, s3dlio_cli::code::FAILURE);
    assert_eq!(run(&["rm", "-r", "memory://cli/b/"], false).0, 0);
    assert_eq!(run(&["ls", "memory://cli/b/"], false).0, s3dlio_cli::code::NOT_FOUND);
    assert_eq!(run(&["cat", "memory://cli/a/2"], false).1, "two");
}

#[test]
fn record_files_are_looked_into_converted_and_checked() {
    let mut file = Vec::new();
    ["one", "two", "three"].iter().for_each(|record| s3dlio_formats::tfrecord::append(&mut file, record.as_bytes()));
    let uri = Uri::parse("memory://cli-records/a.tfrecord").unwrap();
    ops::put(&uri, Bytes::from(file.clone()), Create::Overwrite).unwrap().wait().unwrap();
    let (code, out, err) = run(&["inspect", "memory://cli-records/a.tfrecord"], false);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains("records        3") && out.contains("3 to 5 bytes"), "{out}");
    let convert = ["convert", "memory://cli-records/a.tfrecord", "memory://cli-records/a.array_record"];
    let (code, out, err) = run(&convert, false);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.starts_with("memory://cli-records/a.array_record: array_record: 3 records, 11 B in "), "{out}");
    let (code, out, _) = run(&["--json", "verify", "-r", "memory://cli-records/"], false);
    let reports: Vec<serde_json::Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((code, reports.len()), (0, 2));
    assert!(reports.iter().all(|report| report["ok"] == true && report["records"] == 3));
    file[13] ^= 1;
    ops::put(&uri, Bytes::from(file), Create::Overwrite).unwrap().wait().unwrap();
    let (code, out, err) = run(&["verify", "memory://cli-records/a.tfrecord"], false);
    assert_eq!((code, err.as_str()), (s3dlio_cli::code::FAILURE, ""));
    assert!(out.contains("1 fault; whole are 2 records, 8 bytes") && out.contains("bytes 0 to 19 are lost"), "{out}");
    let (code, _, err) = run(&convert, false);
    assert!(code == s3dlio_cli::code::FAILURE && err.contains("checksum"), "{err}");
    assert_eq!(run(&["convert", "memory://cli-records/a.tfrecord", "memory://cli-records/a"], false).0, 2);
}

#[test]
fn wrong_usage_is_told_on_standard_error() {
    for arguments in [&["nonsense"][..], &["ls"], &["ls", "no-scheme"]] {
        let (code, out, err) = run(arguments, false);
        assert_eq!((code, out.as_str()), (s3dlio_cli::code::USAGE, ""), "{arguments:?}");
        assert!(!err.is_empty());
    }
}

#[test]
fn help_is_told_on_standard_output() {
    let (code, out, err) = run(&["--help"], false);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(["ls", "cat", "cp", "stat", "rm", "bench"].iter().all(|command| out.contains(command)));
}

#[test]
fn an_interruption_ends_a_wait() {
    // Connections wait in its queue, and nobody answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    // SAFETY: no other test of this file has an object store of the network, so none reads these variables.
    unsafe { std::env::set_var("AWS_SKIP_SIGNATURE", "true") };
    let (code, _, err) = run(&["ls", &format!("s3://{}/bucket/", silent.local_addr().unwrap())], true);
    assert_eq!((code, err.as_str()), (s3dlio_cli::code::INTERRUPTED, "s3dlio: interrupted\n"));
}

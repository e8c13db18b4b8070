//! The verbs over `memory://` and `file://`.

use std::fs;
use std::os::unix::fs::symlink;

use crate::common::{content, run};
use bytes::Bytes;
use s3dlio_store::local::Create;
use s3dlio_store::ops::{self, Entry, GetOptions, ListOptions, Lister};
use s3dlio_store::pattern::Pattern;
use s3dlio_store::{Result, StoreError, Uri};
use tempfile::TempDir;

fn uri(text: &str) -> Uri {
    Uri::parse(text).unwrap()
}

fn put(text: &str, data: &[u8]) {
    run(ops::put(&uri(text), Bytes::copy_from_slice(data), Create::Overwrite)).unwrap();
}

fn get(text: &str, options: GetOptions) -> Result<Bytes> {
    run(ops::get(&uri(text), options))
}

fn whole(text: &str) -> Result<Bytes> {
    get(text, GetOptions::default())
}

fn entries(text: &str, options: ListOptions) -> Vec<Entry> {
    run(ops::list(&uri(text), options).map(Lister::all)).unwrap()
}

fn keys(text: &str, recursive: bool, pattern: Option<&str>) -> Vec<String> {
    let pattern = pattern.map(|pattern| Pattern::detect(pattern).unwrap());
    entries(text, ListOptions { recursive, pattern, sizes: false }).into_iter().map(|entry| entry.key).collect()
}

/// One store of each kind, with `base` in front of all its keys.
fn stores(bucket: &str) -> (TempDir, [String; 2]) {
    let dir = tempfile::tempdir().unwrap();
    let file = format!("file://{}/", dir.path().display());
    (dir, [file, format!("memory://{bucket}/")])
}

#[test]
fn what_is_put_comes_back_whole_and_in_ranges() {
    let (_dir, bases) = stores("whole");
    let data = content(1000, 1);
    for base in bases {
        let name = format!("{base}a/b.bin");
        put(&name, &data);
        assert_eq!(whole(&name).unwrap(), data);
        for (offset, length) in [
            (0, Some(1)),
            (0, Some(1000)),
            (0, Some(1001)),
            (0, Some(u64::MAX)),
            (0, Some(0)),
            (10, Some(20)),
            (990, Some(100)),
            (999, None),
            (1000, None),
            (1000, Some(1)),
            (1001, Some(5)),
            (u64::MAX, None),
            (500, None),
            (7, Some(0)),
        ] {
            let options = GetOptions { offset, length, ..GetOptions::default() };
            let start = data.len().min(usize::try_from(offset).unwrap_or(usize::MAX));
            let end = start.saturating_add(length.map_or(usize::MAX, |n| n as usize)).min(data.len());
            assert_eq!(get(&name, options).unwrap(), &data[start..end], "{base} {offset} {length:?}");
        }
        put(&name, b"shorter");
        assert_eq!(whole(&name).unwrap(), b"shorter".as_slice());
        put(&name, b"");
        assert_eq!(whole(&name).unwrap(), b"".as_slice());
        let empty = GetOptions { offset: 5, length: Some(3), ..GetOptions::default() };
        assert_eq!(get(&name, empty).unwrap(), b"".as_slice());
    }
}

#[test]
fn parts_stand_in_order_in_one_buffer() {
    let data = content(10_007, 2);
    put("memory://parts/big", &data);
    for part_size in [0, 1, 7, 1000, 1024, 5003, 5004, 10_006, 10_007, 20_000] {
        let part_size = if part_size < 2 { part_size + 97 } else { part_size };
        for max_parts in [0, 1, 3, 64] {
            for (offset, length, size) in [
                (0, None, None),
                (0, None, Some(10_007)),
                (3, None, None),
                (3, Some(9000), None),
                (0, Some(5000), None),
                (5000, Some(100_000), None),
                (1, Some(10_006), Some(10_007)),
            ] {
                let options = GetOptions { offset, length, size, part_size, max_parts };
                let start = offset as usize;
                let end = data.len().min(start + length.unwrap_or(100_000) as usize);
                let got = get("memory://parts/big", options).unwrap();
                assert_eq!(got, &data[start..end], "{options:?}");
                // Parts in separate buffers would have been copied into a grown one.
                let buffer = got.try_into_mut().expect("nobody else holds the buffer");
                assert_eq!(buffer.capacity(), end - start, "{options:?}");
            }
        }
    }
}

#[test]
fn a_wrong_idea_of_the_size_does_no_harm() {
    let data = content(5000, 3);
    put("memory://sizes/o", &data);
    for size in [Some(0), Some(1), Some(4999), Some(5001), Some(1 << 40)] {
        let options = GetOptions { size, part_size: 700, ..GetOptions::default() };
        assert_eq!(get("memory://sizes/o", options).unwrap(), data, "{size:?}");
    }
}

#[test]
fn uploads_in_parts_are_complete() {
    let data = content((64 << 20) + 12_345, 4);
    put("memory://large/o", &data);
    assert!(whole("memory://large/o").unwrap() == data);
    assert_eq!(run(ops::stat(&uri("memory://large/o"))).unwrap().size, data.len() as u64);
}

#[test]
fn what_is_missing_is_not_found_under_its_name() {
    let (_dir, bases) = stores("missing");
    for base in bases {
        put(&format!("{base}there"), b"x");
        let name = format!("{base}not-there");
        let not_found = |error: StoreError| {
            assert!(matches!(&error, StoreError::NotFound { uri, .. } if *uri == name), "{error:?}");
        };
        not_found(whole(&name).unwrap_err());
        not_found(get(&name, GetOptions { offset: 4, length: Some(1), ..GetOptions::default() }).unwrap_err());
        not_found(run(ops::stat(&uri(&name))).unwrap_err());
        not_found(
            run(ops::get_many(vec![uri(&format!("{base}there")), uri(&name)], 2, GetOptions::default())).unwrap_err(),
        );
        assert!(!run(ops::exists(&uri(&name))).unwrap());
    }
}

#[test]
fn directories_are_no_objects() {
    let (_dir, bases) = stores("directories");
    for base in bases {
        put(&format!("{base}d/x"), b"x");
        put(&format!("{base}plain"), b"x");
        let name = format!("{base}d/");
        assert!(
            matches!(run(ops::put(&uri(&name), Bytes::new(), Create::Overwrite)), Err(StoreError::InvalidUri { .. })),
            "{base}"
        );
        assert!(matches!(whole(&name), Err(StoreError::Unsupported { .. })), "{base}");
        assert!(matches!(run(ops::stat(&uri(&name))), Err(StoreError::Unsupported { .. })), "{base}");
        assert!(matches!(ops::delete(&uri(&name), false), Err(StoreError::Unsupported { .. })), "{base}");
        // Not the object of the same name.
        assert!(whole(&format!("{base}plain/")).is_err(), "{base}");
        assert!(run(ops::stat(&uri(&format!("{base}plain/")))).is_err(), "{base}");
    }
}

#[test]
fn many_objects_come_in_the_order_asked_for() {
    let (_dir, bases) = stores("many");
    let mut uris = Vec::new();
    let mut expected = Vec::new();
    for number in 0..100_usize {
        for base in &bases {
            let name = format!("{base}{number:03}");
            put(&name, &content(number * 10, number as u32));
        }
    }
    for number in (0..100_usize).rev().chain([5, 5, 5, 99, 0]) {
        uris.push(uri(&format!("{}{number:03}", bases[number % 2])));
        expected.push(content(number * 10, number as u32));
    }
    for in_flight in [0, 1, 7, 1000] {
        let got = run(ops::get_many(uris.clone(), in_flight, GetOptions::default())).unwrap();
        assert!(got.iter().eq(expected.iter()), "in flight {in_flight}");
    }
    assert!(run(ops::get_many(Vec::new(), 4, GetOptions::default())).unwrap().is_empty());
    let range = GetOptions { offset: 2, length: Some(3), ..GetOptions::default() };
    let got = run(ops::get_many(vec![uri(&format!("{}050", bases[0])), uri(&format!("{}050", bases[1]))], 2, range));
    assert_eq!(got.unwrap(), [&content(500, 50)[2..5], &content(500, 50)[2..5]]);
}

#[test]
fn many_writes_all_arrive_and_a_failure_is_reported() {
    let (_dir, bases) = stores("put-many");
    let items: Vec<(Uri, Bytes)> = (0..60_usize)
        .map(|number| (uri(&format!("{}d/{number}", bases[number % 2])), Bytes::from(content(number, 9))))
        .collect();
    for in_flight in [0, 1, 8, 500] {
        run(ops::put_many(items.clone(), in_flight)).unwrap();
    }
    for (uri, data) in &items {
        assert_eq!(&run(ops::get(uri, GetOptions::default())).unwrap(), data);
    }
    let mut failing = items;
    failing.insert(30, (uri(&format!("{}d/1/below-a-file", bases[1])), Bytes::new()));
    failing.insert(31, (uri(&format!("{}d/0/below-a-file", bases[0])), Bytes::new()));
    let error = run(ops::put_many(failing, 4)).unwrap_err();
    assert!(error.uri().ends_with("below-a-file"), "{error:?}");
}

fn fill(base: &str) {
    for key in ["a.npz", "b.npy", "sub/c.npz", "sub/deep/d.npz", "sub.npz", "subway/e.npz", "ü 50%20.npz"] {
        put(&format!("{base}{key}"), key.as_bytes());
    }
}

#[test]
fn listings_below_a_prefix() {
    let (_dir, bases) = stores("list");
    for base in bases {
        fill(&base);
        let root = uri(&base);
        let full = |names: &[&str]| names.iter().map(|name| format!("{}{name}", root.key)).collect::<Vec<_>>();
        let table: [(&str, bool, Option<&str>, &[&str]); 20] = [
            ("", false, None, &["a.npz", "b.npy", "sub.npz", "sub/", "subway/", "ü 50%20.npz"]),
            (
                "",
                true,
                None,
                &["a.npz", "b.npy", "sub.npz", "sub/c.npz", "sub/deep/d.npz", "subway/e.npz", "ü 50%20.npz"],
            ),
            ("sub", false, None, &["sub/c.npz", "sub/deep/"]),
            ("sub/", false, None, &["sub/c.npz", "sub/deep/"]),
            ("sub/", true, None, &["sub/c.npz", "sub/deep/d.npz"]),
            ("sub", true, None, &["sub/c.npz", "sub/deep/d.npz"]),
            ("su", true, None, &[]),
            ("", false, Some("*.npz"), &["a.npz", "sub.npz", "ü 50%20.npz"]),
            ("", true, Some("?.npz"), &["a.npz", "sub/c.npz", "sub/deep/d.npz", "subway/e.npz"]),
            ("", true, Some("^sub/"), &["sub/c.npz", "sub/deep/d.npz"]),
            ("sub", true, Some("^deep"), &["sub/deep/d.npz"]),
            ("", true, Some("nothing*"), &[]),
            ("*.npz", false, None, &["a.npz", "sub.npz", "ü 50%20.npz"]),
            ("sub/*.npz", false, None, &["sub/c.npz"]),
            ("s*/*.npz", false, None, &["sub/c.npz", "sub/deep/d.npz", "subway/e.npz"]),
            ("**/d.npz", false, None, &["sub/deep/d.npz"]),
            ("a.npz", false, None, &["a.npz"]),
            ("a.npz", true, None, &["a.npz"]),
            ("missing", true, None, &[]),
            ("missing/", false, None, &[]),
        ];
        for (key, recursive, pattern, expected) in table {
            let found = keys(&format!("{base}{key}"), recursive, pattern);
            assert_eq!(found, full(expected), "{base} {key:?} {recursive} {pattern:?}");
        }
        // A glob in the URI and a pattern both select.
        assert_eq!(keys(&format!("{base}s*.npz"), true, Some("deep")), full(&["sub/deep/d.npz"]));
        // What a listing names can be read.
        for key in keys(&base, true, None) {
            let expected = key.strip_prefix(&root.key).unwrap().to_owned();
            assert_eq!(run(ops::get(&root.with_key(key), GetOptions::default())).unwrap(), expected);
        }
    }
}

#[test]
fn a_listing_tells_sizes_times_and_tags() {
    let (_dir, bases) = stores("sizes");
    for base in bases {
        fill(&base);
        let options = ListOptions { recursive: true, pattern: None, sizes: true };
        for entry in entries(&base, options) {
            let stat = run(ops::stat(&uri(&base).with_key(entry.key.clone()))).unwrap();
            assert_eq!(entry.size, Some(stat.size), "{entry:?}");
            assert_eq!(entry.last_modified, Some(stat.last_modified), "{entry:?}");
            assert_eq!(entry.etag, stat.etag, "{entry:?}");
        }
    }
}

#[test]
fn listings_come_in_pages() {
    let (_dir, bases) = stores("pages");
    for base in bases {
        let items = (0..2500).map(|n| (uri(&format!("{base}{:02}/{n:04}", n % 10)), Bytes::new())).collect();
        run(ops::put_many(items, 64)).unwrap();
        for recursive in [true, false] {
            let (mut pages, mut found) = (Vec::new(), Vec::new());
            let options = ListOptions { recursive, ..ListOptions::default() };
            let mut rest = Some(ops::list(&uri(&base), options).unwrap());
            while let Some(lister) = rest.take() {
                if let Some((page, next)) = run(Ok(lister.page())).unwrap() {
                    pages.push(page.len());
                    found.extend(page.into_iter().map(|entry| entry.key));
                    rest = Some(next);
                }
            }
            assert_eq!(pages, if recursive { vec![1000, 1000, 500] } else { vec![10] }, "{base}");
            assert!(found.is_sorted());
            assert_eq!(found.len(), if recursive { 2500 } else { 10 });
        }
    }
}

#[test]
fn local_listings_pass_over_remains_and_report_loops() {
    let (dir, [base, _]) = stores("unused");
    fill(&base);
    fs::write(dir.path().join("sub/.s3dlio-tmp-1"), b"half").unwrap();
    assert!(keys(&base, true, None).iter().all(|key| !key.contains("tmp-")));
    symlink(dir.path(), dir.path().join("sub/loop")).unwrap();
    let options = ListOptions { recursive: true, ..ListOptions::default() };
    let error = run(ops::list(&uri(&base), options).map(Lister::all)).unwrap_err();
    assert!(matches!(&error, StoreError::Store { uri, .. } if uri.contains("loop")), "{error:?}");
}

#[test]
fn metadata_of_an_object() {
    let (_dir, bases) = stores("stat");
    for base in bases {
        let name = format!("{base}o");
        put(&name, b"12345");
        let first = run(ops::stat(&uri(&name))).unwrap();
        assert_eq!(first.size, 5);
        assert!(first.etag.is_some());
        assert!((chrono::Utc::now() - first.last_modified).num_seconds().abs() < 60);
        put(&name, b"123456");
        let second = run(ops::stat(&uri(&name))).unwrap();
        assert_eq!(second.size, 6);
        assert_ne!(first.etag, second.etag);
    }
}

#[test]
fn whether_something_exists() {
    let (_dir, bases) = stores("exists");
    for base in bases {
        put(&format!("{base}d/o"), b"x");
        for (key, there) in [
            ("d/o", true),
            ("d/", true),
            ("d/o2", false),
            ("e", false),
            ("e/", false),
            ("d/o/", false),
            ("d/o/p", false),
        ] {
            assert_eq!(run(ops::exists(&uri(&format!("{base}{key}")))).unwrap(), there, "{base}{key}");
        }
    }
    assert!(!run(ops::exists(&uri("memory://never-used/"))).unwrap());
}

#[test]
fn a_deletion_takes_just_what_it_names() {
    let (_dir, bases) = stores("delete");
    for base in bases {
        for key in ["foobar", "foobar2/x", "dir/a", "dir/b/c", "dir2/a", "other"] {
            put(&format!("{base}{key}"), b"x");
        }
        let delete = |key: &str, recursive| run(ops::delete(&uri(&format!("{base}{key}")), recursive)).unwrap();
        let left = || keys(&base, true, None).len();
        for missing in ["foo", "dir/missing", "nowhere/x"] {
            delete(missing, false);
            delete(missing, true);
        }
        delete("di", true);
        delete("nowhere/", true);
        assert_eq!(left(), 6, "{base}");
        delete("other", false);
        delete("other", false);
        delete("foobar", true);
        assert_eq!(left(), 4, "{base}");
        delete("dir/", true);
        assert_eq!(left(), 2, "{base}");
        assert!(whole(&format!("{base}dir2/a")).is_ok() && whole(&format!("{base}foobar2/x")).is_ok());
    }
}

#[test]
fn an_object_and_what_is_below_its_name_go_together() {
    for key in ["foo", "foo/a", "foo/b/c", "foobar", "foo.txt"] {
        put(&format!("memory://below/{key}"), b"x");
    }
    run(ops::delete(&uri("memory://below/foo"), false)).unwrap();
    assert_eq!(keys("memory://below/", true, None).len(), 4);
    put("memory://below/foo", b"x");
    run(ops::delete(&uri("memory://below/foo"), true)).unwrap();
    assert_eq!(keys("memory://below/", true, None), ["foo.txt", "foobar"]);
}

#[test]
fn buckets_in_memory_are_apart() {
    put("memory://one/k", b"1");
    put("memory://two/k", b"2");
    assert_eq!(whole("memory://one/k").unwrap(), b"1".as_slice());
    assert_eq!(whole("memory://two/k").unwrap(), b"2".as_slice());
}

#[test]
fn memory_of_a_parent_is_refused_in_a_forked_child() {
    put("memory://forked/k", b"1");
    // SAFETY: the child uses what this library promises to work after a fork, and leaves by `_exit`.
    match unsafe { libc::fork() } {
        0 => {
            // SAFETY: sets a timer of the child, so that a hang fails the test.
            unsafe { libc::alarm(20) };
            let refused = ops::get(&uri("memory://forked/k"), GetOptions::default());
            let good = matches!(refused, Err(StoreError::Forked { uri, .. }) if uri == "memory://forked/k");
            // SAFETY: ends the child without the exit handlers of the test harness.
            unsafe { libc::_exit(i32::from(!good)) }
        }
        child => {
            let mut status = 0;
            // SAFETY: `child` is ours and has not been waited for.
            assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
            assert_eq!(status, 0);
        }
    }
}

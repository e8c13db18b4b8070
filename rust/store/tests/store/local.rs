//! Local files: reads, atomic writes, walks, removals.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use s3dlio_store::StoreError;
use s3dlio_store::local::{self, Arena, Found, Mode};
use tempfile::TempDir;

fn directory() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn at(dir: &TempDir, name: &str) -> String {
    dir.path().join(name).to_str().unwrap().to_owned()
}

fn names(found: Vec<Found>) -> BTreeSet<String> {
    found.into_iter().map(|found| found.relative).collect()
}

fn set<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

/// Runs `job` without the rights of the superuser.
fn as_nobody(job: impl FnOnce() -> bool) -> bool {
    crate::child::in_child(|| {
        // SAFETY: changes the user of the child alone.
        let plain = unsafe { libc::geteuid() != 0 || (libc::setgid(65_534) == 0 && libc::setuid(65_534) == 0) };
        plain && job()
    }) == 0
}

#[test]
fn ranges_are_cut_at_the_end_of_the_file() {
    let dir = directory();
    let path = at(&dir, "ten");
    fs::write(&path, b"0123456789").unwrap();
    let table: [(u64, Option<u64>, &[u8]); 13] = [
        (0, None, b"0123456789"),
        (0, Some(10), b"0123456789"),
        (0, Some(4), b"0123"),
        (3, Some(4), b"3456"),
        (3, None, b"3456789"),
        (8, Some(5), b"89"),
        (9, Some(1), b"9"),
        (10, None, b""),
        (10, Some(1), b""),
        (11, Some(1), b""),
        (u64::MAX, None, b""),
        (5, Some(u64::MAX), b"56789"),
        (5, Some(0), b""),
    ];
    for (offset, length, expected) in table {
        assert_eq!(local::read(&path, offset, length, Mode::Buffered).unwrap(), expected, "{offset} {length:?}");
    }
}

#[test]
fn empty_files_and_files_without_a_size() {
    let dir = directory();
    let path = at(&dir, "empty");
    fs::write(&path, b"").unwrap();
    for (offset, length) in [(0, None), (0, Some(3)), (7, None)] {
        assert_eq!(local::read(&path, offset, length, Mode::Buffered).unwrap(), b"".as_slice());
    }
    let proc = "/proc/version";
    let whole = fs::read(proc).unwrap();
    assert!(whole.len() > 10);
    assert_eq!(local::read(proc, 0, None, Mode::Buffered).unwrap(), whole);
    assert_eq!(local::read(proc, 2, Some(5), Mode::Buffered).unwrap(), &whole[2..7]);
    assert_eq!(local::read(proc, 4, None, Mode::Buffered).unwrap(), &whole[4..]);
    assert_eq!(local::read(proc, 0, Some(0), Mode::Buffered).unwrap(), b"".as_slice());
    assert_eq!(local::read(proc, 1 << 40, None, Mode::Buffered).unwrap(), b"".as_slice());
}

#[test]
fn small_files_share_memory() {
    let dir = directory();
    let mut arena = Arena::default();
    let content = |number: usize| vec![number as u8; number * 1013 % 300_000];
    let mut kept = Vec::new();
    for number in 0..200 {
        let path = at(&dir, &format!("{number}"));
        fs::write(&path, content(number * 37)).unwrap();
        kept.push(arena.read(&path, Mode::Buffered).unwrap());
    }
    let small = kept.iter().filter(|bytes| bytes.len() <= 200_000);
    assert!(small.filter(|bytes| !bytes.is_empty()).all(|bytes| (bytes.as_ptr() as usize).is_multiple_of(64)));
    // Neighbours, unless a block ends between them.
    let near = kept
        .windows(2)
        .filter(|pair| pair[0].as_ptr().wrapping_add(pair[0].len().next_multiple_of(64)) == pair[1].as_ptr());
    assert!(near.count() > 50);
    drop(arena);
    for (number, bytes) in kept.iter().enumerate() {
        assert_eq!(*bytes, content(number * 37), "{number}");
    }
    let mut arena = Arena::default();
    let error = arena.read(&at(&dir, "missing"), Mode::Buffered).unwrap_err();
    assert!(matches!(error, StoreError::NotFound { .. }), "{error:?}");
    assert!(matches!(arena.read(&at(&dir, ""), Mode::Buffered), Err(StoreError::Unsupported { .. })));
    assert_eq!(arena.read(&at(&dir, "5"), Mode::Direct { fallback: true }).unwrap(), content(5 * 37));
    assert_eq!(arena.read("/proc/version", Mode::Buffered).unwrap(), fs::read("/proc/version").unwrap());
}

#[test]
fn errors_name_the_file() {
    let dir = directory();
    fs::write(at(&dir, "file"), b"x").unwrap();
    let uri = |name: &str| format!("file://{}", at(&dir, name));
    let error = local::read(&at(&dir, "missing"), 0, None, Mode::Buffered).unwrap_err();
    assert!(matches!(&error, StoreError::NotFound { uri: found, .. } if *found == uri("missing")), "{error:?}");
    let error = local::read(&at(&dir, "file/below"), 0, None, Mode::Buffered).unwrap_err();
    assert!(matches!(&error, StoreError::NotFound { uri: found, .. } if *found == uri("file/below")), "{error:?}");
    let error = local::read(dir.path().to_str().unwrap(), 0, None, Mode::Buffered).unwrap_err();
    assert!(matches!(&error, StoreError::Unsupported { .. }) && error.to_string().contains("directory"), "{error:?}");
    assert!(matches!(local::metadata(&at(&dir, "missing")), Err(StoreError::NotFound { .. })));
}

#[test]
fn missing_rights_are_told_apart_from_missing_files() {
    let dir = directory();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let (secret, locked) = (at(&dir, "secret"), at(&dir, "locked"));
    fs::write(&secret, b"x").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o000)).unwrap();
    fs::create_dir(&locked).unwrap();
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o555)).unwrap();
    fs::create_dir(at(&dir, "closed")).unwrap();
    fs::set_permissions(at(&dir, "closed"), fs::Permissions::from_mode(0o000)).unwrap();
    assert!(as_nobody(|| {
        let denied = |error| matches!(error, StoreError::PermissionDenied { .. });
        local::read(&secret, 0, None, Mode::Buffered).is_err_and(denied)
            && local::write_atomic(&format!("{locked}/new"), b"x", Mode::Buffered).is_err_and(denied)
            && local::walk(&at(&dir, ""), false).is_err_and(denied)
            && local::directory(&at(&dir, "closed"), false).is_err_and(denied)
            && local::metadata(&at(&dir, "closed/file")).is_err_and(denied)
    }));
    fs::set_permissions(at(&dir, "closed"), fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn several_files_share_one_arena() {
    let dir = directory();
    let mut arena = Vec::new();
    for number in 0..5_u8 {
        let path = at(&dir, &number.to_string());
        fs::write(&path, vec![number; usize::from(number) * 1000]).unwrap();
        assert_eq!(local::read_onto(&path, &mut arena).unwrap(), usize::from(number) * 1000);
    }
    assert!(local::read_onto(&at(&dir, "missing"), &mut arena).is_err());
    assert_eq!(arena.len(), 10_000);
    assert_eq!(arena, (0..5).flat_map(|n: u8| vec![n; usize::from(n) * 1000]).collect::<Vec<u8>>());
}

#[test]
fn a_file_that_shrinks_while_it_is_read_is_an_error_and_no_hang() {
    struct Stop<'a>(&'a AtomicBool);
    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let dir = directory();
    let path = at(&dir, "changing");
    let data = vec![7; 1 << 20];
    fs::write(&path, &data).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        let stopped = &stop;
        scope.spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                file.set_len(1000).unwrap();
                std::os::unix::fs::FileExt::write_all_at(&file, &vec![7; (1 << 20) - 1000], 1000).unwrap();
            }
        });
        let _stop = Stop(&stop);
        for _ in 0..500 {
            match local::read(&path, 0, None, Mode::Buffered) {
                Ok(bytes) => assert!((1000..=1 << 20).contains(&bytes.len()), "{}", bytes.len()),
                Err(error) => {
                    assert!(matches!(error, StoreError::Length { .. } | StoreError::Corrupt { .. }), "{error:?}");
                }
            }
        }
    });
}

#[test]
fn a_write_makes_directories_and_follows_the_umask() {
    let dir = directory();
    let path = at(&dir, "a/b/c/file");
    local::write_atomic(&path, b"content", Mode::Buffered).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"content");
    for (mask, mode) in [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664), (0o027, 0o640)] {
        let path = at(&dir, &format!("mask-{mask:o}"));
        assert_eq!(
            crate::child::in_child(|| {
                // SAFETY: changes the mask of the child alone.
                unsafe { libc::umask(mask) };
                local::write_atomic(&path, b"x", Mode::Buffered).is_ok()
            }),
            0
        );
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, mode, "umask {mask:o}");
    }
}

#[test]
fn a_relative_path_without_a_directory_is_written_here() {
    let dir = directory();
    assert_eq!(
        crate::child::in_child(|| {
            std::env::set_current_dir(dir.path()).unwrap();
            local::write_atomic("plain", b"x", Mode::Buffered).is_ok()
                && local::write_atomic("sub/plain", b"y", Mode::Buffered).is_ok()
                && names(local::walk("", true).unwrap()) == set(["plain", "sub/plain"])
                && names(local::directory("", true).unwrap()) == set(["plain", "sub/"])
        }),
        0
    );
    assert_eq!(fs::read(dir.path().join("plain")).unwrap(), b"x");
}

#[test]
fn a_reader_sees_the_old_file_or_the_new_one() {
    let dir = directory();
    let path = at(&dir, "file");
    local::write_atomic(&path, &[b'a'; 50_000], Mode::Buffered).unwrap();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for round in 0..40_u8 {
                let size = 40_000 + 1000 * usize::from(round % 7);
                local::write_atomic(&path, &vec![b'a' + round % 20; size], Mode::Buffered).unwrap();
            }
        });
        while !writer.is_finished() {
            let bytes = local::read(&path, 0, None, Mode::Buffered).unwrap();
            assert!(bytes.len() >= 40_000 && bytes.iter().all(|&byte| byte == bytes[0]), "a mixture");
        }
    });
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "temporary files are left");
}

#[test]
fn a_failed_write_leaves_nothing_behind() {
    let dir = directory();
    let target = at(&dir, "sub");
    fs::create_dir(&target).unwrap();
    fs::write(at(&dir, "sub/file"), b"kept").unwrap();
    assert!(local::write_atomic(&target, b"x", Mode::Buffered).is_err());
    assert!(matches!(local::write_atomic(&at(&dir, "sub/"), b"x", Mode::Buffered), Err(StoreError::InvalidUri { .. })));
    assert!(local::write_atomic(&at(&dir, "sub/file/below"), b"x", Mode::Buffered).is_err());
    assert_eq!(names(local::walk(&at(&dir, ""), false).unwrap()), set(["sub/file"]));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "temporary files are left");
    assert_eq!(fs::read(at(&dir, "sub/file")).unwrap(), b"kept");
}

#[test]
fn a_killed_writer_leaves_no_half_file_under_any_listed_name() {
    let dir = directory();
    let path = at(&dir, "file");
    let data = vec![9; 4 << 20];
    for delay in [1, 5, 20, 60] {
        // SAFETY: the child writes files until it is killed and never returns.
        match unsafe { libc::fork() } {
            0 => loop {
                if local::write_atomic(&path, &data, Mode::Buffered).is_err() {
                    // SAFETY: ends the child without the exit handlers of the test harness.
                    unsafe { libc::_exit(1) };
                }
            },
            child => {
                assert!(child > 0);
                std::thread::sleep(Duration::from_millis(delay));
                // SAFETY: `child` is ours and has not been waited for.
                unsafe {
                    libc::kill(child, libc::SIGKILL);
                    libc::waitpid(child, std::ptr::null_mut(), 0);
                }
            }
        }
    }
    // One for certain, whatever moment the kills met.
    fs::write(at(&dir, ".s3dlio-tmp-Xy12"), b"half").unwrap();
    for listed in [local::walk(&at(&dir, ""), true).unwrap(), local::directory(&at(&dir, ""), true).unwrap()] {
        for found in listed {
            assert_eq!(found.relative, "file");
            assert_eq!(found.meta.unwrap().len(), data.len() as u64);
        }
    }
    assert!(local::is_temporary("a/.s3dlio-tmp-x") && !local::is_temporary("a/.s3dlio-tmp-x/b"));
    local::remove_tree(dir.path().to_str().unwrap()).unwrap();
    assert!(!dir.path().exists());
}

fn tree() -> TempDir {
    let dir = directory();
    for name in ["b.npz", "a.npz", "sub/c.npz", "sub/deep/d.npz", ".hidden", "sub.npz"] {
        local::write_atomic(&at(&dir, name), name.as_bytes(), Mode::Buffered).unwrap();
    }
    fs::create_dir(at(&dir, "nothing")).unwrap();
    dir
}

#[test]
fn a_walk_finds_every_file_and_a_directory_its_own_level() {
    let dir = tree();
    for base in [at(&dir, ""), format!("{}//", dir.path().display())] {
        let all = set([".hidden", "a.npz", "b.npz", "sub.npz", "sub/c.npz", "sub/deep/d.npz"]);
        assert_eq!(names(local::walk(&base, false).unwrap()), all);
        let level = set([".hidden", "a.npz", "b.npz", "nothing/", "sub.npz", "sub/"]);
        assert_eq!(names(local::directory(&base, true).unwrap()), level);
    }
    for found in local::walk(&at(&dir, ""), true).unwrap() {
        assert_eq!(found.meta.unwrap().len(), found.relative.len() as u64);
    }
    for missing in ["missing/", "a.npz/"] {
        assert!(local::walk(&at(&dir, missing), true).unwrap().is_empty(), "{missing}");
        assert!(local::directory(&at(&dir, missing), true).unwrap().is_empty(), "{missing}");
    }
}

#[test]
fn links_are_followed_and_loops_are_errors() {
    let dir = tree();
    symlink(at(&dir, "sub"), at(&dir, "link")).unwrap();
    symlink(at(&dir, "a.npz"), at(&dir, "alias.npz")).unwrap();
    let found = names(local::walk(&at(&dir, ""), true).unwrap());
    assert!(found.is_superset(&set(["link/c.npz", "link/deep/d.npz", "alias.npz"])), "{found:?}");
    let found = names(local::directory(&at(&dir, ""), true).unwrap());
    assert!(found.is_superset(&set(["link/", "alias.npz"])), "{found:?}");
    assert_eq!(names(local::walk(&at(&dir, "link/"), false).unwrap()), set(["c.npz", "deep/d.npz"]));

    symlink(dir.path(), at(&dir, "sub/loop")).unwrap();
    let error = local::walk(&at(&dir, ""), false).unwrap_err();
    assert!(matches!(&error, StoreError::Store { uri, .. } if uri.contains("loop")), "{error:?}");
    assert!(names(local::directory(&at(&dir, "sub/"), false).unwrap()).contains("loop/"));
}

#[test]
fn a_dangling_link_is_named() {
    let dir = tree();
    symlink(at(&dir, "gone"), at(&dir, "sub/dangling")).unwrap();
    let error = local::walk(&at(&dir, ""), true).unwrap_err();
    assert!(matches!(&error, StoreError::NotFound { uri, .. } if uri.ends_with("sub/dangling")), "{error:?}");
    let error = local::directory(&at(&dir, "sub/"), true).unwrap_err();
    assert!(matches!(&error, StoreError::NotFound { uri, .. } if uri.ends_with("sub/dangling")), "{error:?}");
}

#[test]
fn a_name_that_is_not_utf8_is_an_error_and_not_left_out() {
    let dir = tree();
    let name = std::ffi::OsStr::from_bytes(b"bad-\xff.npz");
    fs::write(dir.path().join(name), b"x").unwrap();
    for result in [local::walk(&at(&dir, ""), false), local::directory(&at(&dir, ""), false)] {
        let error = result.unwrap_err();
        assert!(matches!(&error, StoreError::Unsupported { uri, .. } if uri.starts_with("file:///")), "{error:?}");
        assert!(error.to_string().contains("UTF-8") && error.to_string().contains("bad-"), "{error}");
    }
}

#[test]
fn a_listing_stands_deletions_while_it_runs() {
    let dir = directory();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                for number in 0..50 {
                    let _ = fs::create_dir(at(&dir, &format!("d{number}")));
                    let _ = fs::write(at(&dir, &format!("d{number}/file")), b"x");
                    let _ = fs::write(at(&dir, &format!("f{number}")), b"x");
                }
                for number in 0..50 {
                    let _ = fs::remove_file(at(&dir, &format!("f{number}")));
                    let _ = fs::remove_dir_all(at(&dir, &format!("d{number}")));
                }
            }
        });
        let began = Instant::now();
        let mut failed = None;
        while failed.is_none() && began.elapsed() < Duration::from_secs(2) {
            let walked = local::walk(&at(&dir, ""), true).map(|_| ());
            failed = walked.and(local::directory(&at(&dir, ""), true).map(|_| ())).err();
        }
        stop.store(true, Ordering::Relaxed);
        assert!(failed.is_none(), "{failed:?}");
    });
}

#[test]
fn removals_are_exact_and_idempotent() {
    let dir = tree();
    local::remove(&at(&dir, "a.npz")).unwrap();
    local::remove(&at(&dir, "a.npz")).unwrap();
    local::remove(&at(&dir, "b.npz/below")).unwrap();
    let error = local::remove(&at(&dir, "sub")).unwrap_err();
    assert!(matches!(&error, StoreError::Unsupported { .. }) && error.to_string().contains("recursive"), "{error:?}");
    local::remove_tree(&at(&dir, "sub")).unwrap();
    local::remove_tree(&at(&dir, "sub")).unwrap();
    local::remove_tree(&at(&dir, "b.npz/")).unwrap();
    assert_eq!(names(local::walk(&at(&dir, ""), false).unwrap()), set([".hidden", "b.npz", "sub.npz"]));
    local::remove_tree(&at(&dir, "b.npz")).unwrap();
    assert!(!Path::new(&at(&dir, "b.npz")).exists());
}

#[test]
fn a_link_is_removed_and_what_it_points_to_stays() {
    let dir = tree();
    for name in ["link", "link/"] {
        symlink(at(&dir, "sub"), at(&dir, "link")).unwrap();
        local::remove_tree(&at(&dir, name)).unwrap();
        assert!(fs::symlink_metadata(at(&dir, "link")).is_err(), "{name}");
        assert!(Path::new(&at(&dir, "sub/c.npz")).exists(), "{name}");
    }
    symlink(at(&dir, "sub"), at(&dir, "nothing/link")).unwrap();
    local::remove_tree(&at(&dir, "nothing/")).unwrap();
    assert!(!Path::new(&at(&dir, "nothing")).exists());
    assert!(Path::new(&at(&dir, "sub/deep/d.npz")).exists());
}

#[test]
fn a_rewrite_changes_the_tag() {
    let dir = directory();
    let path = at(&dir, "file");
    let mut seen = BTreeSet::new();
    for _ in 0..20 {
        local::write_atomic(&path, b"same", Mode::Buffered).unwrap();
        seen.insert(local::etag(&local::metadata(&path).unwrap()));
        assert_eq!(local::etag(&local::metadata(&path).unwrap()), local::etag(&fs::metadata(&path).unwrap()));
    }
    assert!(seen.len() > 1);
    local::write_atomic(&path, b"other", Mode::Buffered).unwrap();
    assert!(seen.insert(local::etag(&local::metadata(&path).unwrap())));
}

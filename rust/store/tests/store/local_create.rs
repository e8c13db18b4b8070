//! Conditional writes, copies and directories of the local file system.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use s3dlio_store::StoreError;
use s3dlio_store::local::{self, Create, Mode};
use tempfile::TempDir;

const MODES: [Mode; 2] = [Mode::Buffered, Mode::Direct { fallback: false }];

fn directory() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn copy(from: &str, to: &str) -> Result<u64, StoreError> {
    local::copy(from, to, &Create::Overwrite, &mut |_| Ok(()))
}

fn at(dir: &TempDir, name: &str) -> String {
    dir.path().join(name).to_str().unwrap().to_owned()
}

/// Every name in the directory, temporary ones too.
fn left(dir: &TempDir) -> BTreeSet<String> {
    fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_new_file_never_replaces_one() {
    for mode in MODES {
        let dir = directory();
        let path = at(&dir, "sub/file");
        local::write(&path, b"first", mode, &Create::New).unwrap();
        let error = local::write(&path, b"second", mode, &Create::New).unwrap_err();
        assert!(matches!(&error, StoreError::AlreadyExists { uri, .. } if uri.ends_with("sub/file")), "{error:?}");
        assert_eq!(fs::read(&path).unwrap(), b"first");
        symlink(at(&dir, "gone"), at(&dir, "link")).unwrap();
        let error = local::write(&at(&dir, "link"), b"x", mode, &Create::New).unwrap_err();
        assert!(matches!(error, StoreError::AlreadyExists { .. }), "{error:?}");
        assert_eq!(left(&dir), ["link", "sub"].map(str::to_owned).into());
        assert_eq!(fs::read_dir(at(&dir, "sub")).unwrap().count(), 1, "temporary files are left");
    }
}

#[test]
fn of_many_writers_of_a_new_file_one_succeeds() {
    let dir = directory();
    for round in 0..30 {
        let path = at(&dir, &format!("file-{round}"));
        let write = |writer: u8| local::write(&path, &[writer; 9000], MODES[usize::from(writer % 2)], &Create::New);
        let results: Vec<_> = std::thread::scope(|scope| {
            let running: Vec<_> = (0..4_u8).map(|writer| scope.spawn(move || write(writer))).collect();
            running.into_iter().map(|writer| writer.join().unwrap()).collect()
        });
        let winners: Vec<usize> = (0..4).filter(|&writer| results[writer].is_ok()).collect();
        assert_eq!(winners.len(), 1, "{results:?}");
        assert_eq!(fs::read(&path).unwrap(), [winners[0] as u8; 9000]);
        let lost = |result: &Result<String, StoreError>| {
            result.is_ok() || matches!(result, Err(StoreError::AlreadyExists { .. }))
        };
        assert!(results.iter().all(lost), "{results:?}");
    }
    assert_eq!(left(&dir).len(), 30, "temporary files are left");
}

#[test]
fn a_write_on_condition_looks_at_the_tag() {
    for mode in MODES {
        let dir = directory();
        let path = at(&dir, "file");
        let matching = |tag: &str| Create::Matching(tag.to_owned());
        let error = local::write(&path, b"x", mode, &matching("*")).unwrap_err();
        assert!(matches!(&error, StoreError::Precondition { .. }), "{error:?}");
        let first = local::write(&path, b"first", mode, &Create::Overwrite).unwrap();
        assert_eq!(first, local::etag(&local::metadata(&path).unwrap()));
        let second = local::write(&path, b"second", mode, &matching(&first)).unwrap();
        let error = local::write(&path, b"third", mode, &matching(&first)).unwrap_err();
        assert!(matches!(&error, StoreError::Precondition { .. }), "{error:?}");
        assert!(error.to_string().contains(&second) && error.to_string().contains(&first), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"second");
        local::write(&path, b"fourth", mode, &matching(&format!("\"{second}\""))).unwrap();
        local::write(&path, b"fifth", mode, &matching("*")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"fifth");
        assert_eq!(left(&dir).len(), 1, "temporary files are left");
    }
}

#[test]
fn processes_that_count_together_lose_no_step() {
    const STEPS: u32 = 25;
    let dir = directory();
    let path = at(&dir, "count");
    local::write(&path, b"0", Mode::Buffered, &Create::New).unwrap();
    let step = || loop {
        let tag = local::etag(&local::metadata(&path).unwrap());
        let count: u32 = String::from_utf8(fs::read(&path).unwrap()).unwrap().parse().unwrap();
        let next = (count + 1).to_string();
        match local::write(&path, next.as_bytes(), Mode::Buffered, &Create::Matching(tag)) {
            Ok(_) => break,
            Err(StoreError::Precondition { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
    };
    let children: Vec<_> = (0..3)
        // SAFETY: the child makes system calls and allocates, nothing that needs another thread, and leaves by `_exit`.
        .map(|_| match unsafe { libc::fork() } {
            0 => {
                // SAFETY: a timer of the child, so that a hang fails the test.
                unsafe { libc::alarm(60) };
                let counted = std::panic::catch_unwind(|| (0..STEPS).for_each(|_| step()));
                // SAFETY: ends the child without the exit handlers of the test harness.
                unsafe { libc::_exit(i32::from(counted.is_err())) }
            }
            child => child,
        })
        .collect();
    for child in children {
        let mut status = 0;
        // SAFETY: `child` is ours and has not been waited for.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "{status}");
    }
    assert_eq!(fs::read(&path).unwrap(), (3 * STEPS).to_string().as_bytes());
}

#[test]
fn no_two_versions_share_a_tag() {
    let dir = directory();
    let path = at(&dir, "file");
    let tags: BTreeSet<_> =
        (0..300).map(|_| local::write(&path, b"same", Mode::Buffered, &Create::Overwrite).unwrap()).collect();
    assert_eq!(tags.len(), 300);
}

#[test]
fn a_copy_is_complete_and_has_the_rights_of_a_new_file() {
    let dir = directory();
    let (from, to) = (at(&dir, "from"), at(&dir, "a/b/to"));
    let data = vec![7; 5_000_001];
    fs::write(&from, &data).unwrap();
    fs::set_permissions(&from, fs::Permissions::from_mode(0o400)).unwrap();
    assert_eq!(copy(&from, &to).unwrap(), data.len() as u64);
    assert_eq!(fs::read(&to).unwrap(), data);
    assert_ne!(fs::metadata(&to).unwrap().permissions().mode() & 0o200, 0, "a copy can be written");
    fs::write(at(&dir, "other"), b"short").unwrap();
    assert_eq!(copy(&at(&dir, "other"), &to).unwrap(), 5);
    assert_eq!(copy(&to, &to).unwrap(), 5);
    assert_eq!(fs::read(&to).unwrap(), b"short");
    let version = fs::read("/proc/version").unwrap();
    assert_eq!(copy("/proc/version", &to).unwrap(), version.len() as u64);
    assert_eq!(fs::read(&to).unwrap(), version);

    let error = copy(&at(&dir, "missing"), &to).unwrap_err();
    assert!(matches!(&error, StoreError::NotFound { uri, .. } if uri.ends_with("/missing")), "{error:?}");
    assert!(matches!(copy(&at(&dir, "a"), &to), Err(StoreError::Unsupported { .. })));
    assert!(copy(&from, &at(&dir, "a")).is_err());
    assert_eq!(fs::read(&to).unwrap(), version);
    assert_eq!(left(&dir), ["a", "from", "other"].map(str::to_owned).into());
    assert_eq!(fs::read_dir(at(&dir, "a/b")).unwrap().count(), 1, "temporary files are left");
}

#[test]
fn directories_are_made_and_removed_empty() {
    let dir = directory();
    local::make_directory(&at(&dir, "a/b/c")).unwrap();
    local::make_directory(&at(&dir, "a/b/c/")).unwrap();
    fs::write(at(&dir, "a/file"), b"x").unwrap();
    assert!(matches!(local::make_directory(&at(&dir, "a/file")), Err(StoreError::AlreadyExists { .. })));
    let error = local::remove_directory(&at(&dir, "a/b")).unwrap_err();
    assert!(matches!(&error, StoreError::Precondition { .. }) && error.to_string().contains("not empty"), "{error:?}");
    local::remove_directory(&at(&dir, "a/b/c/")).unwrap();
    assert!(matches!(local::remove_directory(&at(&dir, "a/b/c")), Err(StoreError::NotFound { .. })));
    assert!(matches!(local::remove_directory(&at(&dir, "a/file")), Err(StoreError::NotFound { .. })));
    fs::write(at(&dir, "a/b/.s3dlio-tmp-Xy12"), b"half").unwrap();
    let error = local::remove_directory(&at(&dir, "a/b")).unwrap_err();
    assert!(error.to_string().contains("interrupted"), "{error}");
    assert!(fs::exists(at(&dir, "a/file")).unwrap());
}

//! Full disks, killed writers and file systems that refuse: nothing stays under the final name.

use std::ffi::CString;
use std::fs;
use std::time::Duration;

use object_store::ObjectStoreExt;
use s3dlio_store::StoreError;
use s3dlio_store::local::{self, Create, LocalStore, Mode};
use tempfile::TempDir;

const STRICT: Mode = Mode::Direct { fallback: false };
const LENIENT: Mode = Mode::Direct { fallback: true };

fn directory() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn at(dir: &TempDir, name: &str) -> String {
    dir.path().join(name).to_str().unwrap().to_owned()
}

fn names(dir: &TempDir) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

/// Runs `job` in a forked child and returns its status: 0 if the job returned, 1 if it panicked.
fn in_child(job: impl FnOnce()) -> i32 {
    // SAFETY: the child builds its own threads where it needs some, and leaves by `_exit`.
    match unsafe { libc::fork() } {
        -1 => panic!("fork: {}", std::io::Error::last_os_error()),
        0 => {
            // SAFETY: sets a timer of the child, so that a hang fails the test.
            unsafe { libc::alarm(60) };
            let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job)).is_err();
            // SAFETY: ends the child without the exit handlers of the test harness.
            unsafe { libc::_exit(i32::from(failed)) }
        }
        child => {
            let mut status = 0;
            // SAFETY: `child` is ours and has not been waited for.
            assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
            if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { -1 }
        }
    }
}

/// Says that this machine lets nobody mount anything.
const NO_MOUNTS: i32 = 77;

/// Runs `job` in a child that has a file system of its own on `dir`, unless the machine forbids that.
fn on_mount(dir: &TempDir, kind: &str, options: &str, job: impl FnOnce()) {
    let text = |text: &str| CString::new(text).unwrap();
    let (kind, options, path) = (text(kind), text(options), text(dir.path().to_str().unwrap()));
    let status = in_child(|| {
        // SAFETY: gives the child, which has one thread, its own view of the mounts; the mount ends with it.
        let mounted = unsafe {
            let own = if libc::geteuid() == 0 { libc::CLONE_NEWNS } else { libc::CLONE_NEWNS | libc::CLONE_NEWUSER };
            let root = c"/".as_ptr();
            let private = libc::MS_REC | libc::MS_PRIVATE;
            libc::unshare(own) == 0
                && libc::mount(std::ptr::null(), root, std::ptr::null(), private, std::ptr::null()) == 0
                && libc::mount(kind.as_ptr(), path.as_ptr(), kind.as_ptr(), 0, options.as_ptr().cast()) == 0
        };
        if !mounted {
            // SAFETY: ends the child without the exit handlers of the test harness.
            unsafe { libc::_exit(NO_MOUNTS) };
        }
        job();
    });
    assert!(status == 0 || status == NO_MOUNTS, "{status}");
}

fn upload(dir: &TempDir, mode: Mode, parts: &[usize]) -> object_store::Result<()> {
    let store = LocalStore::rooted(dir.path().to_path_buf(), mode).unwrap();
    s3dlio_runtime::executor::handle().unwrap().block_on(async {
        let mut upload = store.put_multipart(&"file".into()).await?;
        for &part in parts {
            upload.put_part(vec![5; part].into()).await?;
        }
        upload.complete().await.map(|_| ())
    })
}

#[test]
fn a_full_disk_leaves_the_old_file_and_nothing_else() {
    let dir = directory();
    on_mount(&dir, "tmpfs", "size=1m", || {
        for mode in [Mode::Buffered, LENIENT] {
            local::write_atomic(&at(&dir, "file"), b"old", mode).unwrap();
            let error = local::write_atomic(&at(&dir, "file"), &vec![1; 3 << 20], mode).unwrap_err();
            assert!(matches!(&error, StoreError::Store { .. }), "{error:?}");
            assert!(error.to_string().contains("No space") && error.uri().ends_with("/file"), "{error}");
            assert!(local::write(&at(&dir, "new"), &vec![1; 3 << 20], mode, &Create::New).is_err());
            assert!(upload(&dir, mode, &[300_000, 300_000, 300_000, 300_000]).is_err());
            assert!(local::copy("/proc/self/exe", &at(&dir, "copy"), &Create::Overwrite, &mut |_| Ok(())).is_err());
            assert_eq!(names(&dir), ["file"]);
            assert_eq!(fs::read(at(&dir, "file")).unwrap(), b"old");
        }
    });
}

#[test]
fn a_file_size_limit_leaves_the_old_file_and_nothing_else() {
    let dir = directory();
    let status = in_child(|| {
        let limit = libc::rlimit { rlim_cur: 1 << 20, rlim_max: 1 << 20 };
        // SAFETY: limits the child alone, and lets it see the error instead of the signal.
        unsafe {
            libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
            assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit), 0);
        }
        for mode in [Mode::Buffered, STRICT] {
            local::write_atomic(&at(&dir, "file"), b"old", mode).unwrap();
            let error = local::write_atomic(&at(&dir, "file"), &vec![1; 3 << 20], mode).unwrap_err();
            assert!(error.to_string().contains("too large"), "{error}");
            assert!(upload(&dir, mode, &[600_000, 600_000]).is_err());
            assert_eq!(names(&dir), ["file"]);
            assert_eq!(fs::read(at(&dir, "file")).unwrap(), b"old");
        }
    });
    assert_eq!(status, 0);
}

#[test]
fn a_file_system_without_o_direct_refuses_before_anything_is_written() {
    let dir = directory();
    on_mount(&dir, "ramfs", "", || {
        for result in [
            local::write_atomic(&at(&dir, "file"), b"x", STRICT),
            local::write(&at(&dir, "file"), b"x", STRICT, &Create::New).map(|_| ()),
        ] {
            let error = result.unwrap_err();
            assert!(matches!(&error, StoreError::Unsupported { uri, .. } if uri.starts_with("direct://")), "{error:?}");
            assert!(error.to_string().contains("direct_fallback=True"), "{error}");
        }
        assert!(matches!(upload(&dir, STRICT, &[10]), Err(object_store::Error::NotSupported { .. })));
        assert!(names(&dir).is_empty());
        local::write_atomic(&at(&dir, "file"), b"content", LENIENT).unwrap();
        assert!(matches!(local::read(&at(&dir, "file"), 0, None, STRICT), Err(StoreError::Unsupported { .. })));
        assert_eq!(local::read(&at(&dir, "file"), 0, None, LENIENT).unwrap(), b"content".as_slice());
        upload(&dir, LENIENT, &[10, 5000]).unwrap();
        assert_eq!(names(&dir), ["file"]);
    });
}

#[test]
fn a_killed_upload_leaves_no_half_file_under_any_listed_name() {
    const PARTS: [usize; 5] = [2_000_001; 5];
    for mode in [Mode::Buffered, STRICT] {
        let dir = directory();
        for delay in [2, 10, 30, 90] {
            // SAFETY: the child writes files until it is killed and never returns.
            match unsafe { libc::fork() } {
                0 => while upload(&dir, mode, &PARTS).is_ok() {},
                child => {
                    assert!(child > 0);
                    std::thread::sleep(Duration::from_millis(delay));
                    // SAFETY: `child` is ours and has not been waited for.
                    unsafe {
                        libc::kill(child, libc::SIGKILL);
                        libc::waitpid(child, std::ptr::null_mut(), 0);
                    }
                    continue;
                }
            }
            // SAFETY: ends the child without the exit handlers of the test harness.
            unsafe { libc::_exit(1) };
        }
        for found in local::walk(&at(&dir, ""), true).unwrap() {
            assert_eq!(found.relative, "file");
            assert_eq!(found.meta.unwrap().len(), PARTS.iter().sum::<usize>() as u64);
        }
        // The next writer is not in the way of what the dead one left.
        upload(&dir, mode, &[10]).unwrap();
        assert_eq!(fs::read(at(&dir, "file")).unwrap(), [5; 10]);
    }
}

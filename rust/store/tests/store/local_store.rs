//! Local files as an object store: what the common suite does not ask.

use std::fs;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use futures::future::join_all;
use object_store::path::Path;
use object_store::{
    Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, UpdateVersion,
};
use s3dlio_store::local::{LocalStore, Mode};
use s3dlio_store::{StoreError, Uri, registry};
use tempfile::TempDir;

const MODES: [Mode; 2] = [Mode::Buffered, Mode::Direct { fallback: false }];

fn directory() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn run<T>(future: impl Future<Output = T>) -> T {
    s3dlio_runtime::executor::handle().unwrap().block_on(future)
}

fn store(dir: &TempDir, mode: Mode) -> LocalStore {
    LocalStore::rooted(dir.path().to_path_buf(), mode).unwrap()
}

/// Every name in the directory, temporary ones too.
fn left(dir: &TempDir) -> usize {
    fs::read_dir(dir.path()).unwrap().count()
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length as u64).map(|n| (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect()
}

#[test]
fn parts_of_any_length_in_any_order_make_the_file() {
    let dir = directory();
    let lengths = [4096, 1, 0, 511, 100_000, 3, 8192, 5_000_001, 4095, 2, 700, 1 << 20, 9];
    let data = pattern(lengths.iter().sum());
    for mode in MODES {
        run(async {
            let mut upload = store(&dir, mode).put_multipart(&"file".into()).await.unwrap();
            let mut start = 0;
            let mut parts: Vec<_> = lengths
                .iter()
                .map(|&length| {
                    let part = &data[start..start + length];
                    start += length;
                    // In pieces of their own, as a writer hands them over.
                    let pieces = part.chunks(30_011).map(|piece| Bytes::from(piece.to_vec()));
                    upload.put_part(pieces.collect::<PutPayload>())
                })
                .collect();
            parts.reverse();
            for done in join_all(parts.drain(..7)).await {
                done.unwrap();
            }
            for part in parts {
                part.await.unwrap();
            }
            upload.complete().await.unwrap();
            assert!(matches!(upload.complete().await, Err(Error::Generic { .. })));
            assert!(upload.put_part("late".into()).await.is_err());
        });
        assert!(fs::read(dir.path().join("file")).unwrap() == data, "{mode:?}");
        assert_eq!(left(&dir), 1);
        fs::remove_file(dir.path().join("file")).unwrap();
    }
}

#[test]
fn an_upload_with_a_part_missing_does_not_complete() {
    for mode in MODES {
        let dir = directory();
        run(async {
            let mut upload = store(&dir, mode).put_multipart(&"file".into()).await.unwrap();
            upload.put_part(vec![1; 5000].into()).await.unwrap();
            drop(upload.put_part(vec![2; 5000].into()));
            upload.put_part(vec![3; 5000].into()).await.unwrap();
            let error = upload.complete().await.unwrap_err();
            assert!(error.to_string().contains("2 of 3 parts with 10000 of 15000 bytes"), "{error}");
        });
        assert_eq!(left(&dir), 0, "{mode:?}");
    }
}

#[test]
fn an_upload_that_ends_early_leaves_nothing() {
    let dir = directory();
    run(async {
        let store = store(&dir, Mode::Buffered);
        let mut upload = store.put_multipart(&"a/file".into()).await.unwrap();
        upload.put_part(vec![1; 5000].into()).await.unwrap();
        assert_eq!(store.list(None).count().await, 0, "parts are hidden");
        upload.abort().await.unwrap();
        assert!(upload.abort().await.is_err());
        let mut upload = store.put_multipart(&"a/file".into()).await.unwrap();
        upload.put_part(vec![1; 5000].into()).await.unwrap();
        drop(upload);
    });
    assert_eq!(fs::read_dir(dir.path().join("a")).unwrap().count(), 0);
}

#[test]
fn a_forked_child_does_not_end_the_upload_of_its_parent() {
    let dir = directory();
    let mut upload = run(async { store(&dir, Mode::Buffered).put_multipart(&"file".into()).await }).unwrap();
    run(upload.put_part(vec![1; 5000].into())).unwrap();
    // SAFETY: the child drops the upload and leaves by `_exit`.
    match unsafe { libc::fork() } {
        0 => {
            drop(upload);
            // SAFETY: ends the child without the exit handlers of the test harness.
            unsafe { libc::_exit(0) }
        }
        child => {
            // SAFETY: `child` is ours and has not been waited for.
            assert_eq!(unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) }, child);
        }
    }
    run(upload.complete()).unwrap();
    assert_eq!(fs::read(dir.path().join("file")).unwrap(), [1; 5000]);
}

#[test]
fn a_body_is_one_version_of_the_file() {
    for mode in MODES {
        let dir = directory();
        let data = pattern((20 << 20) + 5);
        run(async {
            let store = store(&dir, mode);
            store.put(&"file".into(), data.clone().into()).await.unwrap();
            let answer = store.get(&"file".into()).await.unwrap();
            let part = GetOptions::new().with_range(Some(GetRange::Bounded(7..9 << 20)));
            let ranged = store.get_opts(&"file".into(), part).await.unwrap();
            store.put(&"file".into(), vec![0; 30 << 20].into()).await.unwrap();
            assert_eq!(answer.meta.size, data.len() as u64);
            assert!(answer.bytes().await.unwrap() == data);
            assert!(ranged.bytes().await.unwrap() == data[7..9 << 20]);
            let head = store.get_opts(&"file".into(), GetOptions::new().with_head(true)).await.unwrap();
            assert_eq!((head.meta.size, head.bytes().await.unwrap().len()), (30 << 20, 0));
        });
    }
}

#[test]
fn what_files_do_not_have_is_refused() {
    let dir = directory();
    let store = store(&dir, Mode::Buffered);
    run(async {
        let refused = |result: Result<_, Error>| matches!(result, Err(Error::NotImplemented { .. }));
        let tags = PutOptions { tags: "a=b".parse_tags(), ..PutOptions::default() };
        assert!(refused(store.put_opts(&"file".into(), "x".into(), tags).await.map(|_| ())));
        let update = |e_tag: Option<&str>, version: Option<&str>| {
            PutMode::Update(UpdateVersion { e_tag: e_tag.map(str::to_owned), version: version.map(str::to_owned) })
        };
        for mode in [update(None, None), update(Some("x"), Some("1"))] {
            assert!(refused(store.put_opts(&"file".into(), "x".into(), mode.into()).await.map(|_| ())));
        }
        let version = GetOptions::new().with_version(Some("1".to_owned()));
        assert!(refused(store.get_opts(&"file".into(), version).await.map(|_| ())));
        for location in ["", ".s3dlio-tmp-x", "a/.s3dlio-tmp-x"] {
            assert!(store.put(&location.into(), "x".into()).await.is_err(), "{location:?}");
        }
    });
    assert_eq!(left(&dir), 0);
}

trait ParseTags {
    fn parse_tags(&self) -> object_store::TagSet;
}

impl ParseTags for str {
    fn parse_tags(&self) -> object_store::TagSet {
        let mut tags = object_store::TagSet::default();
        self.split_once('=').into_iter().for_each(|(key, value)| tags.push(key, value));
        tags
    }
}

#[test]
fn names_are_those_of_the_files() {
    let dir = directory();
    for name in ["plain", "with space", "per%20cent", "ünïcode", "[brackets]#?", "~tilde"] {
        fs::write(dir.path().join(name), name).unwrap();
    }
    let store = store(&dir, Mode::Buffered);
    run(async {
        let mut listed: Vec<Path> = store.list(None).map(|meta| meta.unwrap().location).collect().await;
        listed.sort_unstable();
        assert_eq!(listed.len(), 6);
        for location in &listed {
            assert_eq!(store.get(location).await.unwrap().bytes().await.unwrap(), location.as_ref());
        }
        fs::write(dir.path().join("line\nbreak"), b"x").unwrap();
        let listed: Vec<_> = store.list(None).collect().await;
        assert!(listed.iter().any(|meta| matches!(meta, Err(Error::InvalidPath { .. }))), "left out in silence");
    });
}

#[test]
fn a_uri_and_the_store_behind_it_mean_the_same_file() {
    let dir = directory();
    let path = dir.path().join("sub/file");
    for scheme in ["file", "direct"] {
        let uri = Uri::parse(&format!("{scheme}://{}", path.display())).unwrap();
        let (store, location) = registry::object_store(&uri).unwrap();
        run(store.put(&location, "content".into())).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"content");
        assert!(store.to_string().contains(&format!("{scheme}://")), "{store}");
    }
    let uri = Uri::parse("direct:///proc/version").unwrap();
    let (store, location) = registry::object_store(&uri).unwrap();
    let error = StoreError::object(uri.to_string(), run(store.get(&location)).unwrap_err());
    assert!(matches!(&error, StoreError::Unsupported { .. }), "{error:?}");
    assert!(error.to_string().contains("direct_fallback=True"), "{error}");
    let store: Arc<dyn ObjectStore> = Arc::new(LocalStore::new(Mode::Direct { fallback: true }));
    let version = run(async { store.get(&location).await.unwrap().bytes().await });
    assert_eq!(version.unwrap(), fs::read("/proc/version").unwrap());
}

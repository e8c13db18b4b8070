//! `object_store`'s own conformance suite over local files, through the page cache and past it.
//!
//! Of that suite, `put_get_attributes` passes because it lets a store refuse attributes, as this one does. What it has
//! for stores with tags, paged listings and raw multipart uploads does not apply to files.

use std::future::Future;

use object_store::path::Path;
use object_store::{Error, integration};
use s3dlio_store::local::{LocalStore, Mode};
use tempfile::TempDir;

/// On the disk of the build and not in `/tmp`, which may be one that knows no `O_DIRECT`.
fn directory() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn each<F: Future<Output = ()>>(test: impl Fn(LocalStore) -> F) {
    for mode in [Mode::Buffered, Mode::Direct { fallback: false }] {
        let dir = directory();
        let store = LocalStore::rooted(dir.path().to_path_buf(), mode).unwrap();
        s3dlio_runtime::executor::handle().unwrap().block_on(test(store));
    }
}

#[test]
fn put_get_delete_list() {
    each(|store| async move { integration::put_get_delete_list(&store).await });
}

#[test]
fn put_get_attributes() {
    each(|store| async move { integration::put_get_attributes(&store).await });
}

#[test]
fn get_opts() {
    each(|store| async move { integration::get_opts(&store).await });
}

#[test]
fn put_opts() {
    each(|store| async move { integration::put_opts(&store, true).await });
}

#[test]
fn stream_get() {
    each(|store| async move { integration::stream_get(&store).await });
}

#[test]
fn list_uses_directories_correctly() {
    each(|store| async move { integration::list_uses_directories_correctly(&store).await });
}

#[test]
fn list_with_delimiter() {
    each(|store| async move { integration::list_with_delimiter(&store).await });
}

#[test]
fn list_with_offset_exclusivity() {
    each(|store| async move { integration::list_with_offset_exclusivity(&store).await });
}

#[test]
fn rename_and_copy() {
    each(|store| async move { integration::rename_and_copy(&store).await });
}

#[test]
fn copy_if_not_exists() {
    each(|store| async move { integration::copy_if_not_exists(&store).await });
}

#[test]
fn copy_rename_nonexistent_object() {
    each(|store| async move { integration::copy_rename_nonexistent_object(&store).await });
}

#[test]
fn multipart_out_of_order() {
    each(|store| async move { integration::multipart_out_of_order(&store).await });
}

#[test]
fn multipart_race_condition() {
    each(|store| async move { integration::multipart_race_condition(&store, true).await });
}

#[test]
fn get_nonexistent_object() {
    each(|store| async move {
        for location in [None, Some(Path::from("missing/below"))] {
            let error = integration::get_nonexistent_object(&store, location).await.unwrap_err();
            assert!(matches!(error, Error::NotFound { .. }), "{error}");
        }
    });
}

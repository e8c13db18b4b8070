//! Writing an object piece by piece: it appears whole or not at all.

use std::time::{Duration, Instant};

use crate::common::{Store, content, file_uri, in_child, open, run, write};
use s3dlio_records::{Input, Output};
use s3dlio_store::{StoreError, Uri};

fn everywhere(check: impl Fn(&Uri)) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::start();
    for uri in [file_uri(&folder, "key"), Uri::parse("memory://output/key").unwrap(), store.uri("key")] {
        check(&uri);
    }
}

fn is_missing(uri: &Uri) -> bool {
    matches!(run(Input::open(uri)), Err(StoreError::NotFound { .. }))
}

#[test]
fn an_object_appears_when_it_is_finished() {
    let data = content(20 << 20);
    everywhere(|uri| {
        let output = Output::create(uri).unwrap();
        assert!(output.try_write(&data[..100]).unwrap());
        assert_eq!(output.position(), 100);
        write(&output, &data[100..]);
        assert_eq!(output.position(), data.len() as u64);
        assert!(is_missing(uri));
        let stats = run(output.finish()).unwrap();
        assert_eq!(stats.bytes_written, data.len() as u64);
        assert!(output.is_closed());
        assert_eq!(run(open(uri).read(0..data.len() as u64)).unwrap(), data);
        assert!(output.write(bytes::Bytes::from_static(b"more")).unwrap().wait().is_err());
    });
}

#[test]
fn an_output_that_is_dropped_or_given_up_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let uri = file_uri(&folder, "key");
    let output = Output::create(&uri).unwrap();
    write(&output, &content(20 << 20));
    drop(output);
    let output = Output::create(&uri).unwrap();
    write(&output, &content(20 << 20));
    run(output.abort()).unwrap();
    let began = Instant::now();
    // Removal after a drop runs behind it.
    while std::fs::read_dir(folder.path()).unwrap().count() > 0 {
        assert!(began.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(is_missing(&uri));
}

#[test]
fn a_forked_child_cannot_write_to_its_parents_output() {
    let folder = tempfile::tempdir().unwrap();
    let uri = file_uri(&folder, "key");
    let output = Output::create(&uri).unwrap();
    assert!(output.try_write(b"parent").unwrap());
    assert_eq!(in_child(|| matches!(output.try_write(b"child"), Err(StoreError::Forked { .. }))), 0);
    run(output.finish()).unwrap();
    assert_eq!(run(open(&uri).read(0..6)).unwrap(), b"parent".as_slice());
}

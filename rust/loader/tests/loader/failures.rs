//! Records, stores and threads that fail, and iterations that are given up.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::common::{
    DEADLINE, Fake, all, bytes, content, iterate, listed, named, network, never, next, npy, npz, options, samples,
    until, uri_of, write,
};
use s3dlio_loader::decode::Decoder;
use s3dlio_loader::options::{Collate, OnError};
use s3dlio_loader::pipeline::BatchIter;
use s3dlio_loader::source::{Access, RecordReader, RecordSource};
use s3dlio_loader::{Loader, LoaderError, LoaderOptions};
use s3dlio_store::StoreError;

/// Tests that count the threads of the process or fork it take turns.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A data set and its URIs.
type Named = (Arc<dyn RecordSource>, Vec<String>);

/// Data sets with five bad records out of twenty, over each kind of store.
fn broken(name: &str, record: impl Fn(u64) -> Vec<u8>) -> (tempfile::TempDir, [Named; 2]) {
    let dir = tempfile::tempdir().unwrap();
    let sets = [format!("file://{}/", dir.path().display()), format!("memory://failures-{name}/")].map(|base| {
        let uris = write(&base, &(0..20).map(&record).collect::<Vec<_>>());
        (listed(&base), uris)
    });
    (dir, sets)
}

fn is_bad(index: u64) -> bool {
    index % 4 == 3
}

#[test]
fn the_first_bad_record_ends_the_epoch_and_is_named_again_and_again() {
    let good = npz(&[("x", npy("<i4", false, &[2], &[0; 8]))], false);
    let (_dir, sets) =
        broken("raise", |index| if is_bad(index) { good[..good.len() / 2].to_vec() } else { good.clone() });
    for (source, uris) in sets {
        let mut batches = iterate(&source, LoaderOptions { decoder: Decoder::Npz, ..options(2) });
        assert_eq!(next(&mut batches).unwrap().unwrap().indices, [0, 1]);
        for _ in 0..3 {
            let error = next(&mut batches).unwrap_err();
            assert_eq!(uri_of(&error), uris[3], "{error:?}");
            assert!(matches!(error, LoaderError::Decode { index: 3, unsupported: false, .. }), "{error:?}");
        }
    }
}

#[test]
fn a_bad_record_can_be_left_out_and_is_reported() {
    let good = npz(&[("x", npy("<i4", false, &[2], &[0; 8]))], true);
    let (_dir, sets) = broken("skip", |index| if is_bad(index) { b"no archive".to_vec() } else { good.clone() });
    for (source, uris) in sets {
        let options = LoaderOptions { decoder: Decoder::Npz, on_error: OnError::Skip, ..options(8) };
        let mut batches = iterate(&source, options);
        let (mut seen, mut skipped) = (Vec::new(), Vec::new());
        while let Some(batch) = next(&mut batches).unwrap() {
            assert_eq!(crate::common::fields(&batch)[0].1.shape, [batch.indices.len() as u64, 2]);
            assert_eq!(batch.real, batch.indices.len() as u64);
            for left_out in &batch.skipped {
                assert_eq!(left_out.uri, uris[left_out.index as usize]);
                assert!(left_out.reason.contains(&left_out.uri), "{left_out:?}");
            }
            seen.extend(batch.indices.iter().copied());
            skipped.extend(batch.skipped.iter().map(|left_out| left_out.index));
        }
        assert_eq!(seen, (0..20).filter(|&index| !is_bad(index)).collect::<Vec<_>>());
        assert_eq!(skipped, (0..20).filter(|&index| is_bad(index)).collect::<Vec<_>>());
        let stats = batches.stats();
        assert_eq!((stats.samples, stats.skipped, stats.budget_used), (15, 5, 0));
    }
}

#[test]
fn missing_objects_are_left_out_and_filled_places_do_not_count_as_real() {
    let dir = tempfile::tempdir().unwrap();
    let base = format!("file://{}/", dir.path().display());
    let mut uris = write(&base, &(0..5).map(|index| content(index, 10)).collect::<Vec<_>>());
    uris[1] = format!("{base}missing");
    let source = named(uris);
    let last = Some(s3dlio_loader::batches::Last::Wrap);
    let batches = all(iterate(&source, LoaderOptions { on_error: OnError::Skip, last, ..options(4) })).unwrap();
    let seen: Vec<_> = batches.iter().map(|batch| (batch.indices.clone(), batch.real, batch.skipped.len())).collect();
    // The second batch is record 4 and, filled up, 0, 1 and 2.
    assert_eq!(seen, [(vec![0, 2, 3], 3, 1), (vec![4, 0, 2], 1, 1)]);
    let error = all(iterate(&source, LoaderOptions { last, ..options(4) })).unwrap_err();
    assert!(
        matches!(&error, LoaderError::Store(StoreError::NotFound { uri, .. }) if uri.ends_with("missing")),
        "{error:?}"
    );
}

#[test]
fn of_a_batch_of_bad_records_alone_one_is_replaced() {
    let source: Arc<dyn RecordSource> = Arc::new(Fake::new(6, Some(1), |index| match index {
        2 | 3 => {
            network(Duration::ZERO, Err(StoreError::NotFound { uri: format!("fake://{index}"), detail: "gone".into() }))
        }
        _ => network(Duration::ZERO, Ok(vec![index as u8])),
    }));
    let batches = all(iterate(&source, LoaderOptions { on_error: OnError::Skip, ..options(2) })).unwrap();
    assert_eq!(batches.iter().map(|batch| samples(batch).len()).collect::<Vec<_>>(), [2, 1, 2]);
    assert_eq!((batches[1].real, batches[1].skipped.len()), (1, 2));
    assert!(![2, 3].contains(&batches[1].indices[0]));
    let single = LoaderOptions { on_error: OnError::Skip, keep_batches: false, ..options(2) };
    let batches = all(iterate(&source, single)).unwrap();
    assert_eq!(batches.iter().map(|batch| samples(batch).len()).collect::<Vec<_>>(), [2, 0, 2]);
    assert_eq!((batches[1].real, batches[1].skipped.len()), (0, 2));
}

#[test]
fn a_store_that_fails_as_a_whole_is_never_skipped() {
    let errors: [fn(String) -> StoreError; 3] = [
        |uri| StoreError::PermissionDenied { uri, detail: "no".into() },
        |uri| StoreError::Timeout { uri, detail: "late".into() },
        |uri| StoreError::Store { uri, detail: "broken".into() },
    ];
    for error in errors {
        let source: Arc<dyn RecordSource> = Arc::new(Fake::new(6, Some(1), move |index| {
            network(Duration::ZERO, Err(error(format!("fake://{index}"))))
        }));
        let raised = all(iterate(&source, LoaderOptions { on_error: OnError::Skip, ..options(2) })).unwrap_err();
        assert_eq!(uri_of(&raised), "fake://0");
    }
}

#[test]
fn a_panic_while_reading_reaches_the_consumer() {
    for size in [Some(10), None] {
        for decoder in [Decoder::Bytes, Decoder::Npy] {
            let array = npy("|u1", false, &[1], &[1]);
            let source: Arc<dyn RecordSource> = Arc::new(Fake::new(40, size, move |index| match index {
                13 => Access::Network(Box::pin(async { std::panic::resume_unwind(Box::new("on purpose")) })),
                _ => network(Duration::ZERO, Ok(array.clone())),
            }));
            let mut batches = iterate(&source, LoaderOptions { decoder, collate: Collate::List, ..options(4) });
            for _ in 0..3 {
                assert_eq!(samples(&next(&mut batches).unwrap().unwrap()).len(), 4);
            }
            let error = next(&mut batches).unwrap_err();
            assert!(matches!(error, LoaderError::System(_)) && error.to_string().contains("fake://13"), "{error:?}");
        }
    }
}

#[test]
fn a_panic_while_planning_reaches_the_consumer() {
    for at in [0, 12, 13, 39] {
        let source: Arc<dyn RecordSource> = Arc::new(Fake::new(40, Some(10), move |index| {
            if index == at {
                std::panic::resume_unwind(Box::new("on purpose"));
            }
            network(Duration::ZERO, Ok(vec![1]))
        }));
        let mut batches = iterate(&source, options(4));
        for _ in 0..at / 4 {
            next(&mut batches).unwrap().unwrap();
        }
        for _ in 0..2 {
            let error = next(&mut batches).unwrap_err();
            assert!(matches!(error, LoaderError::System(_)), "{error:?}");
        }
    }
}

/// A source whose sizes, or whose stores, are the trouble.
#[derive(Debug)]
struct Troubled {
    inner: Fake,
    panics_at: Option<u64>,
}

impl RecordSource for Troubled {
    fn len(&self) -> u64 {
        self.inner.len()
    }

    fn fingerprint(&self) -> &str {
        self.inner.fingerprint()
    }

    fn name(&self, index: u64) -> String {
        self.inner.name(index)
    }

    fn bytes(&self, index: u64) -> Option<u64> {
        if self.panics_at == Some(index) {
            std::panic::resume_unwind(Box::new("on purpose"));
        }
        self.inner.bytes(index)
    }

    fn reader(&self) -> Result<Box<dyn RecordReader>, StoreError> {
        match self.panics_at {
            Some(_) => self.inner.reader(),
            None => Err(StoreError::PermissionDenied { uri: "fake://".into(), detail: "no credentials".into() }),
        }
    }
}

#[test]
fn a_panic_over_a_size_is_no_short_epoch() {
    let inner = || Fake::new(8, Some(1), |_| network(Duration::ZERO, Ok(vec![1])));
    for at in [0, 4, 7] {
        let source: Arc<dyn RecordSource> = Arc::new(Troubled { inner: inner(), panics_at: Some(at) });
        let error = all(iterate(&source, options(2))).unwrap_err();
        assert!(matches!(error, LoaderError::System(_)), "{error:?}");
    }
    let source: Arc<dyn RecordSource> = Arc::new(Troubled { inner: inner(), panics_at: None });
    let error = Loader::new(source, options(2)).unwrap().iterate(0, 0).unwrap_err();
    assert!(matches!(error, LoaderError::Store(StoreError::PermissionDenied { .. })), "{error:?}");
}

fn planning_threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.starts_with("s3dlio-plan")).count()
}

/// Takes some batches, drops the iteration, and waits until nothing of it is left.
fn give_up(source: Arc<dyn RecordSource>, options: LoaderOptions, batches: usize) {
    let mut running = iterate(&source, options);
    for _ in 0..batches {
        next(&mut running).unwrap().unwrap();
    }
    drop(running);
    // The threads, tasks and samples of the iteration all hold the source.
    until("everything is freed", || Arc::strong_count(&source) == 1);
    until("the planning thread ends", || planning_threads() == 0);
}

#[test]
fn an_iteration_that_is_given_up_leaves_nothing_behind() {
    let _turn = turn();
    until("others have ended", || planning_threads() == 0);
    let large = || network(Duration::ZERO, Ok(vec![0; 100_000]));
    for batches in [0, 1, 3] {
        for options in [
            options(4),
            LoaderOptions { prefetch: 1, ..options(4) },
            LoaderOptions { memory_budget: 1 << 20, ..options(4) },
            LoaderOptions { reads: 1, ..options(4) },
        ] {
            give_up(Arc::new(Fake::new(5000, Some(100_000), move |_| large())), options.clone(), batches);
            let hangs = move |index| if index < 12 { large() } else { never() };
            give_up(Arc::new(Fake::new(5000, None, hangs)), options, batches);
        }
    }
}

#[test]
fn an_iteration_over_files_that_is_given_up_leaves_nothing_behind() {
    let _turn = turn();
    let dir = tempfile::tempdir().unwrap();
    let base = format!("file://{}/", dir.path().display());
    let array = npz(&[("x", npy("|u1", false, &[50_000], &[7; 50_000]))], true);
    let uris = write(&base, &vec![array; 200]);
    for decoder in [Decoder::Bytes, Decoder::Npz] {
        for batches in [0, 2] {
            for memory_budget in [1 << 20, 1 << 28] {
                let options = LoaderOptions { decoder: decoder.clone(), memory_budget, ..options(8) };
                give_up(listed(&base), options.clone(), batches);
                give_up(named(uris.clone()), options, batches);
            }
        }
    }
}

#[test]
fn a_failed_iteration_stops_reading() {
    let fake = Fake::new(1 << 20, Some(1), |index| match index {
        5 => network(Duration::ZERO, Err(StoreError::NotFound { uri: "fake://5".into(), detail: "gone".into() })),
        _ => network(Duration::from_millis(1), Ok(vec![1])),
    });
    let started = Arc::clone(&fake.started);
    let source: Arc<dyn RecordSource> = Arc::new(fake);
    let mut batches = iterate(&source, LoaderOptions { reads: 4, ..options(10) });
    assert!(next(&mut batches).is_err());
    let now = || started.load(std::sync::atomic::Ordering::SeqCst);
    std::thread::sleep(Duration::from_millis(50));
    let soon = now();
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(now(), soon, "reads go on after the error");
    assert!(soon < 5000, "{soon}");
}

fn refused(batches: &mut BatchIter) -> bool {
    let began = std::time::Instant::now();
    let refused = matches!(batches.next(DEADLINE), Err(LoaderError::Forked(_)));
    refused && began.elapsed() < Duration::from_secs(5)
}

#[test]
fn a_child_cannot_go_on_with_its_parents_iteration_but_begin_its_own() {
    let _turn = turn();
    let dir = tempfile::tempdir().unwrap();
    let base = format!("file://{}/", dir.path().display());
    let records: Vec<_> = (0..200).map(|index| content(index, 5000)).collect();
    write(&base, &records);
    let source = listed(&base);
    for round in 0..20 {
        let mut batches = iterate(&source, LoaderOptions { memory_budget: 1 << 20, ..options(3) });
        (0..round).for_each(|_| drop(next(&mut batches).unwrap().unwrap()));
        let running = Mutex::new(Some(batches));
        assert_eq!(
            crate::child::in_child(|| {
                let mut inherited = running.lock().unwrap().take().unwrap();
                let mut good = refused(&mut inherited) && inherited.stats().batches == 0;
                good &= !format!("{inherited:?}").is_empty();
                drop(inherited);
                let own = all(iterate(&source, options(7))).unwrap();
                let right = |batch: &s3dlio_loader::batch::Batch| {
                    samples(batch).iter().zip(&batch.indices).all(|(sample, &at)| bytes(sample) == records[at as usize])
                };
                good && own.len() == 29 && own.iter().all(right)
            }),
            0
        );
        // The parent's iteration is not disturbed.
        let batches = running.lock().unwrap().take().unwrap();
        assert_eq!(all(batches).unwrap().len(), 67 - round);
    }
}

#[test]
fn a_child_of_a_process_that_used_memory_is_told_so() {
    let _turn = turn();
    write("memory://failures-fork/", &[vec![1], vec![2]]);
    let loader = Loader::new(listed("memory://failures-fork/"), options(1)).unwrap();
    assert_eq!(
        crate::child::in_child(|| {
            matches!(loader.iterate(0, 0), Err(LoaderError::Store(StoreError::Forked { .. })))
        }),
        0
    );
}

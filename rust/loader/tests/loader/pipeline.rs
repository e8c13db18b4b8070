//! The running loader: order, batches, memory, limits and time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::common::{
    Fake, all, bytes, content, iterate, listed, named, network, never, next, options, samples, until, write,
};
use s3dlio_loader::batches::{Last, Sharding};
use s3dlio_loader::options::Shuffle;
use s3dlio_loader::pipeline::Next;
use s3dlio_loader::source::RecordSource;
use s3dlio_loader::{Loader, LoaderError, LoaderOptions};

/// Records of many sizes, some of them empty.
fn records(count: u64) -> Vec<Vec<u8>> {
    (0..count).map(|index| content(index, (index as usize * 37) % 900)).collect()
}

fn check_epoch(loader: &Loader, records: &[Vec<u8>], epoch: u64) {
    let sampler = loader.sampler();
    let plan = loader.plan();
    let batches = all(loader.iterate(epoch, 0).unwrap()).unwrap();
    assert_eq!(batches.len() as u64, plan.batches());
    for (k, batch) in batches.iter().enumerate() {
        let step = plan.step_of(k as u64);
        let span = plan.span(step);
        let expected: Vec<u64> = (0..span.len()).map(|slot| sampler.index(epoch, plan.position(step, slot))).collect();
        assert_eq!((batch.step, &batch.indices, batch.real), (step, &expected, span.real));
        assert!(batch.skipped.is_empty());
        assert_eq!(samples(batch).len(), expected.len());
        for (sample, &index) in samples(batch).iter().zip(&expected) {
            assert_eq!(bytes(sample), records[index as usize], "record {index}");
        }
    }
}

#[test]
fn an_epoch_is_the_samplers_order_whatever_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let records = records(101);
    for base in [format!("file://{}/", dir.path().display()), "memory://pipeline-order/".to_owned()] {
        let uris = write(&base, &records);
        for source in [listed(&base), named(uris)] {
            for (shuffle, seed) in [(Shuffle::None, 0), (Shuffle::Global, 0), (Shuffle::Global, 7)] {
                for batch_size in [1, 8, 101, 500] {
                    let options = LoaderOptions { shuffle, seed, ..options(batch_size) };
                    let loader = Loader::new(Arc::clone(&source), options).unwrap();
                    check_epoch(&loader, &records, 0);
                    check_epoch(&loader, &records, 3);
                }
            }
        }
    }
}

#[test]
fn every_rank_and_worker_gets_what_the_plan_says() {
    let records = records(43);
    let base = "memory://pipeline-plan/";
    write(base, &records);
    let source = listed(base);
    for last in [Last::Drop, Last::Pad, Last::Wrap, Last::Uneven] {
        for (batch_size, world, workers) in [(4, 1, 1), (4, 3, 1), (5, 2, 2), (1, 2, 3), (43, 1, 2), (60, 2, 2)] {
            let mut steps = Vec::new();
            for rank in 0..world {
                for worker in 0..workers {
                    let sharding = Sharding { rank, world, worker, workers };
                    let options = LoaderOptions {
                        last: Some(last),
                        sharding,
                        shuffle: Shuffle::Global,
                        prefetch: 2,
                        ..options(batch_size)
                    };
                    let loader = Loader::new(Arc::clone(&source), options).unwrap();
                    check_epoch(&loader, &records, 1);
                    let batches = all(loader.iterate(1, 0).unwrap()).unwrap();
                    steps.extend(batches.into_iter().map(|batch| (rank, batch.step)));
                }
            }
            steps.sort_unstable();
            let steps_of = |rank| {
                let sharding = Sharding { rank, world, worker: 0, workers: 1 };
                let options = LoaderOptions { last: Some(last), sharding, ..options(batch_size) };
                Loader::new(Arc::clone(&source), options).unwrap().plan().steps()
            };
            let expected: Vec<_> =
                (0..world).flat_map(|rank| (0..steps_of(rank)).map(move |step| (rank, step))).collect();
            assert_eq!(steps, expected, "{last} {batch_size} {world} {workers}");
        }
    }
}

#[test]
fn an_epoch_goes_on_from_any_step() {
    let records = records(50);
    write("memory://pipeline-resume/", &records);
    let source = listed("memory://pipeline-resume/");
    for workers in [1, 3] {
        for worker in 0..workers {
            let sharding = Sharding { rank: 0, world: 1, worker, workers };
            let options = LoaderOptions { shuffle: Shuffle::Global, seed: 5, sharding, ..options(4) };
            let loader = Loader::new(Arc::clone(&source), options).unwrap();
            let whole: Vec<_> =
                all(loader.iterate(2, 0).unwrap()).unwrap().into_iter().map(|b| (b.step, b.indices)).collect();
            for from in 0..16 {
                let rest: Vec<_> =
                    all(loader.iterate(2, from).unwrap()).unwrap().into_iter().map(|b| (b.step, b.indices)).collect();
                let expected: Vec<_> = whole.iter().filter(|(step, _)| *step >= from).cloned().collect();
                assert_eq!(rest, expected, "from {from}, worker {worker} of {workers}");
            }
        }
    }
}

#[test]
fn the_end_is_said_again_and_again() {
    let source: Arc<dyn RecordSource> =
        Arc::new(Fake::new(5, Some(1), |index| network(Duration::ZERO, Ok(content(index, 1)))));
    let mut batches = iterate(&source, options(2));
    for length in [2, 2, 1] {
        assert_eq!(next(&mut batches).unwrap().unwrap().indices.len(), length);
    }
    for _ in 0..3 {
        assert!(next(&mut batches).unwrap().is_none());
    }
    let stats = batches.stats();
    assert_eq!((stats.batches, stats.samples, stats.reads, stats.bytes, stats.skipped), (3, 5, 5, 5, 0));
}

#[test]
fn batches_are_complete_and_in_order_under_any_delays() {
    let delay = |index: u64| Duration::from_micros(index.wrapping_mul(2_654_435_761) % 5000);
    for size in [Some(100), None] {
        let source: Arc<dyn RecordSource> =
            Arc::new(Fake::new(600, size, move |index| network(delay(index), Ok(content(index, 100)))));
        let options = LoaderOptions { shuffle: Shuffle::Global, reads: 32, ..options(7) };
        let loader = Loader::new(source, options).unwrap();
        let records: Vec<_> = (0..600).map(|index| content(index, 100)).collect();
        check_epoch(&loader, &records, 9);
    }
}

#[test]
fn reads_in_flight_stay_within_their_limit() {
    for (reads, limit) in [(3, 3), (0, 64)] {
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (counted, peak) = (Arc::clone(&now), Arc::clone(&most));
        let source: Arc<dyn RecordSource> = Arc::new(Fake::new(400, Some(10), move |index| {
            let (counted, peak) = (Arc::clone(&counted), Arc::clone(&peak));
            s3dlio_loader::source::Access::Network(Box::pin(async move {
                peak.fetch_max(counted.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(1)).await;
                counted.fetch_sub(1, Ordering::SeqCst);
                Ok(content(index, 10).into())
            }))
        }));
        assert_eq!(all(iterate(&source, LoaderOptions { reads, ..options(10) })).unwrap().len(), 40);
        let most = most.load(Ordering::SeqCst);
        assert!(most <= limit && most > 1, "{most} of {limit}");
    }
}

#[test]
fn the_prefetch_limit_holds() {
    const BATCH: u64 = 4;
    for prefetch in [1_usize, 3] {
        let fake = Fake::new(200, Some(10), |index| network(Duration::ZERO, Ok(content(index, 10))));
        let started = Arc::clone(&fake.started);
        let source: Arc<dyn RecordSource> = Arc::new(fake);
        let mut batches = iterate(&source, LoaderOptions { prefetch, ..options(BATCH) });
        let ahead = |taken: u64| (taken + prefetch as u64) * BATCH;
        for taken in 0..20 {
            until("reading ahead", || started.load(Ordering::SeqCst) >= ahead(taken));
            std::thread::sleep(Duration::from_millis(5));
            assert_eq!(started.load(Ordering::SeqCst), ahead(taken), "after {taken} batches");
            next(&mut batches).unwrap().unwrap();
        }
    }
}

const MIB: u64 = 1 << 20;

fn known(count: u64, size: u64) -> Arc<dyn RecordSource> {
    let reading = move |index| network(Duration::ZERO, Ok(vec![index as u8; size as usize]));
    Arc::new(Fake::new(count, Some(size), reading))
}

#[test]
fn a_slow_consumer_keeps_the_loader_within_its_memory() {
    const SIZE: u64 = 64 << 10;
    const BATCH: u64 = 3;
    let source = known(90, SIZE);
    let mut batches = iterate(&source, LoaderOptions { memory_budget: MIB, ..options(BATCH) });
    while let Some(batch) = next(&mut batches).unwrap() {
        std::thread::sleep(Duration::from_millis(5));
        assert!(!samples(&batch).is_empty());
        let stats = batches.stats();
        assert_eq!(stats.budget_limit, MIB);
        assert!(stats.budget_peak <= MIB + BATCH * (SIZE + 256), "{stats:?}");
        assert!(stats.budget_used <= stats.budget_peak);
    }
    let stats = batches.stats();
    assert!(stats.budget_peak > MIB / 2, "the budget is used: {stats:?}");
    assert_eq!(stats.budget_used, 0);
}

#[test]
fn batches_above_the_whole_memory_still_flow() {
    for (size, batch_size) in [(256 << 10, 16), (3 * MIB, 1), (3 * MIB, 2)] {
        let source = known(32, size);
        let batches = iterate(&source, LoaderOptions { memory_budget: MIB, ..options(batch_size) });
        let mut seen = Vec::new();
        let mut batches = batches;
        while let Some(batch) = next(&mut batches).unwrap() {
            let stats = batches.stats();
            assert!(stats.budget_peak <= MIB.max(size) + batch_size * (size + 256), "{stats:?}");
            seen.extend(batch.indices);
        }
        assert_eq!(seen, (0..32).collect::<Vec<_>>());
    }
}

#[test]
fn records_of_unknown_size_soon_count_with_what_they_are() {
    const SIZE: u64 = 16 << 10;
    let dir = tempfile::tempdir().unwrap();
    let base = format!("file://{}/", dir.path().display());
    let records: Vec<_> = (0..400).map(|index| content(index, SIZE as usize)).collect();
    let file_uris = write(&base, &records);
    let memory_uris = write("memory://pipeline-unknown/", &records);
    for uris in [file_uris, memory_uris] {
        let source = named(uris);
        let mut batches = iterate(&source, LoaderOptions { memory_budget: 2 * MIB, ..options(8) });
        let mut seen = 0;
        while let Some(batch) = next(&mut batches).unwrap() {
            for (sample, index) in samples(&batch).iter().zip(&batch.indices) {
                assert_eq!(bytes(sample), records[*index as usize]);
                seen += 1;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(seen, 400);
        let stats = batches.stats();
        assert_eq!((stats.bytes, stats.budget_used), (400 * SIZE, 0));
        // The first batch may not wait, and before the first answer each of its records counts with a quarter.
        assert!(stats.budget_peak <= 8 * (MIB / 2 + 256), "{stats:?}");
    }
}

#[test]
fn large_records_of_unknown_size_keep_to_the_budget_after_the_first_batch() {
    let records: Vec<_> = (0..24).map(|index| content(index, MIB as usize)).collect();
    let source = named(write("memory://pipeline-unknown-large/", &records));
    let mut batches = iterate(&source, LoaderOptions { memory_budget: 4 * MIB, ..options(1) });
    while next(&mut batches).unwrap().is_some() {
        std::thread::sleep(Duration::from_millis(2));
    }
    let stats = batches.stats();
    assert_eq!((stats.samples, stats.budget_used), (24, 0));
    // A record and a quarter that a guess may be short by, for each of the reads that start on the first guess.
    assert!(stats.budget_peak <= 5 * (MIB + 256), "{stats:?}");
}

#[test]
fn a_wait_that_is_too_long_is_an_error_that_stays() {
    let source: Arc<dyn RecordSource> = Arc::new(Fake::new(10, Some(1), |index| match index {
        0 | 1 => network(Duration::ZERO, Ok(vec![1])),
        _ => never(),
    }));
    let mut batches = iterate(&source, LoaderOptions { timeout: Some(Duration::from_millis(200)), ..options(2) });
    next(&mut batches).unwrap().unwrap();
    // Time that the consumer spends on its own does not count.
    std::thread::sleep(Duration::from_millis(400));
    let began = Instant::now();
    let error = next(&mut batches).unwrap_err();
    assert!(matches!(error, LoaderError::Timeout { seconds, .. } if (seconds - 0.2).abs() < 1e-9), "{error:?}");
    assert!(error.to_string().contains("timeout_seconds"), "{error}");
    assert!(began.elapsed() >= Duration::from_millis(200) && began.elapsed() < Duration::from_secs(10));
    for _ in 0..3 {
        assert!(matches!(next(&mut batches), Err(LoaderError::Timeout { .. })));
    }
}

#[test]
fn waiting_in_slices_comes_back_in_between() {
    let source: Arc<dyn RecordSource> =
        Arc::new(Fake::new(1, Some(1), |_| network(Duration::from_millis(300), Ok(vec![1]))));
    let mut batches = iterate(&source, options(1));
    let mut pending = 0;
    while matches!(batches.next(Duration::from_millis(10)).unwrap(), Next::Pending) {
        pending += 1;
        assert!(pending < 1000);
    }
    assert!(pending >= 5, "{pending}");
    assert!(batches.stats().wait_nanos >= 250_000_000, "{:?}", batches.stats());
}

#[test]
fn two_iterations_of_one_loader_do_not_disturb_each_other() {
    let records = records(60);
    write("memory://pipeline-two/", &records);
    let loader =
        Loader::new(listed("memory://pipeline-two/"), LoaderOptions { shuffle: Shuffle::Global, ..options(7) })
            .unwrap();
    std::thread::scope(|scope| {
        for epoch in 0..4 {
            let (loader, records) = (&loader, &records);
            scope.spawn(move || check_epoch(loader, records, epoch));
        }
    });
}

#[test]
fn an_empty_epoch_is_over_at_once() {
    let source = known(3, 10);
    let loader = Loader::new(source, LoaderOptions { drop_last: true, ..options(4) }).unwrap();
    assert!(all(loader.iterate(0, 0).unwrap()).unwrap().is_empty());
    assert!(all(loader.iterate(0, 100).unwrap()).unwrap().is_empty());
    let loader = Loader::new(known(0, 10), options(4)).unwrap();
    assert!(all(loader.iterate(0, 0).unwrap()).unwrap().is_empty());
}

#[test]
fn records_are_read_once_each() {
    let counts: Arc<Vec<AtomicU64>> = Arc::new((0..100).map(|_| AtomicU64::new(0)).collect());
    let counted = Arc::clone(&counts);
    let source: Arc<dyn RecordSource> = Arc::new(Fake::new(100, Some(1), move |index| {
        counted[index as usize].fetch_add(1, Ordering::SeqCst);
        network(Duration::ZERO, Ok(vec![0]))
    }));
    all(iterate(&source, LoaderOptions { shuffle: Shuffle::Global, ..options(6) })).unwrap();
    assert!(counts.iter().all(|count| count.load(Ordering::SeqCst) == 1));
}

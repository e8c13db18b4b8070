//! Record files as sources: every record once, with few requests, and what is bad left out or replaced.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::common::files::{array_records, npz_members, server, tfrecords};
use crate::common::{all, content, iterate, options, samples, write};
use s3dlio_loader::batch::Batch;
use s3dlio_loader::batches::{Last, Sharding};
use s3dlio_loader::decode::{Decoder, Sample};
use s3dlio_loader::options::{Collate, OnError, Shuffle};
use s3dlio_loader::source::{self, ConcatSource, RecordSource, View};
use s3dlio_loader::{Loader, LoaderError, LoaderOptions};

const SHUFFLES: [Shuffle; 3] = [Shuffle::None, Shuffle::Block, Shuffle::Global];

fn records(count: u64) -> Vec<Vec<u8>> {
    (0..count).map(|index| content(index, 1 + (index as usize * 37) % 900)).collect()
}

fn data(sample: &Sample) -> &[u8] {
    match sample {
        Sample::Bytes(bytes) => bytes,
        Sample::Array(array) => &array.data,
        other => panic!("{other:?}"),
    }
}

/// Options that fit any source.
fn of(source: &Arc<dyn RecordSource>, batch_size: u64) -> LoaderOptions {
    let decoder = source.decoder().unwrap_or(Decoder::Bytes);
    LoaderOptions { decoder, collate: Collate::List, ..options(batch_size) }
}

fn check(batches: &[Batch], records: &[Vec<u8>]) {
    for batch in batches {
        assert_eq!(samples(batch).len(), batch.indices.len());
        for (sample, &index) in samples(batch).iter().zip(&batch.indices) {
            assert_eq!(data(sample), records[index as usize], "record {index}");
        }
    }
}

fn indices(batches: &[Batch]) -> Vec<u64> {
    batches.iter().flat_map(|batch| batch.indices.iter().copied()).collect()
}

fn sources(base: &str, records: &[Vec<u8>]) -> Vec<(&'static str, Arc<dyn RecordSource>)> {
    let one = array_records(&format!("{base}one/"), records, 3, "group_size:1");
    vec![
        ("chunks of one", Arc::clone(&one)),
        ("chunks", array_records(&format!("{base}ten/"), records, 2, "group_size:10,zstd:1")),
        ("tfrecord", tfrecords(&format!("{base}tf/"), records, 2)),
        ("npz", npz_members(&format!("{base}npz/"), records, 3)),
        ("concat", {
            let uris = write(&format!("{base}objects/"), &records[..20]);
            let objects = crate::common::named(uris);
            let rest = View::range(one, 20..records.len() as u64).unwrap();
            Arc::new(ConcatSource::new(vec![objects, Arc::new(rest)]).unwrap())
        }),
    ]
}

#[test]
fn every_record_comes_once_in_every_order() {
    let records = records(153);
    let folder = tempfile::tempdir().unwrap();
    for base in [format!("file://{}/", folder.path().display()), "memory://records-once/".to_owned()] {
        for (name, source) in sources(&base, &records) {
            assert_eq!(source.len(), 153, "{name}");
            for shuffle in SHUFFLES {
                let loader = Loader::new(Arc::clone(&source), LoaderOptions { shuffle, ..of(&source, 8) }).unwrap();
                for epoch in [0, 3] {
                    let batches = all(loader.iterate(epoch, 0).unwrap()).unwrap();
                    check(&batches, &records);
                    let found = indices(&batches);
                    let expected: Vec<u64> = (0..153).map(|p| loader.sampler().index(epoch, p)).collect();
                    assert_eq!(found, expected, "{name} {shuffle}");
                    assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), 153, "{name} {shuffle}");
                }
            }
        }
    }
}

#[test]
fn ranks_and_workers_share_the_records_exactly() {
    let records = records(97);
    let source = array_records("memory://records-ranks/", &records, 2, "group_size:7");
    for shuffle in SHUFFLES {
        for (world, workers) in [(1, 2), (2, 1), (3, 2), (8, 3)] {
            let mut found = Vec::new();
            for rank in 0..world {
                for worker in 0..workers {
                    let sharding = Sharding { rank, world, worker, workers };
                    let last = Some(Last::Uneven);
                    let options = LoaderOptions { shuffle, sharding, last, seed: 3, ..of(&source, 5) };
                    let batches = all(iterate(&source, options)).unwrap();
                    check(&batches, &records);
                    found.extend(indices(&batches));
                }
            }
            found.sort_unstable();
            assert_eq!(found, (0..97).collect::<Vec<_>>(), "{shuffle} {world} {workers}");
        }
    }
}

#[test]
fn an_epoch_of_a_remote_file_costs_few_requests() {
    let (server, base) = server();
    let records: Vec<Vec<u8>> = (0..3000).map(|index| content(index, 2000)).collect();
    let gets = || server.counts().operations.get("GetObject").copied().unwrap_or(0);
    for (name, source) in [
        ("chunks", array_records(&format!("{base}ten/"), &records, 1, "group_size:10,uncompressed")),
        ("chunks of one", array_records(&format!("{base}one/"), &records, 1, "group_size:1,uncompressed")),
        ("tfrecord", tfrecords(&format!("{base}tf/"), &records, 1)),
    ] {
        for shuffle in [Shuffle::None, Shuffle::Block] {
            let before = gets();
            let batches = all(iterate(&source, LoaderOptions { shuffle, ..of(&source, 16) })).unwrap();
            check(&batches, &records);
            // 6 MB in blocks of 1 MiB, of which neighbours may come together; decoded chunks may be there still.
            let requests = gets() - before;
            assert!(requests <= 8, "{name} {shuffle}: {requests} requests");
        }
        // Two batches of a global shuffle, the first of which does not wait for the second.
        let first = LoaderOptions { shuffle: Shuffle::Global, prefetch: 1, ..of(&source, 64) };
        let before = gets();
        let mut batches = iterate(&source, first);
        check(&[crate::common::next(&mut batches).unwrap().unwrap()], &records);
        drop(batches);
        let requests = gets() - before;
        assert!(requests <= 3 * 64, "{name}: {requests} requests");
    }
}

#[test]
fn a_packed_source_is_the_same_elsewhere() {
    let records = records(60);
    let folder = tempfile::tempdir().unwrap();
    for (name, source) in sources(&format!("file://{}/", folder.path().display()), &records) {
        let Some(packed) = source.pack() else { continue };
        let again = source::unpack(&packed).unwrap().wait().unwrap().unwrap();
        assert_eq!(
            (again.len(), again.fingerprint(), again.layout()),
            (60, source.fingerprint(), source.layout()),
            "{name}"
        );
        check(&all(iterate(&again, of(&again, 7))).unwrap(), &records);
        for cut in [0, 3, 9, packed.len() / 2, packed.len() - 1] {
            assert!(matches!(source::unpack(&packed[..cut]), Err(LoaderError::StateInvalid(_))), "{name} {cut}");
        }
    }
}

#[test]
fn views_and_mixtures_hold_what_they_say() {
    let records = records(50);
    let source = array_records("memory://records-views/", &records, 2, "group_size:4");
    let list = View::list(Arc::clone(&source), &[7, 3, 3, 49]).unwrap();
    let list: Arc<dyn RecordSource> = Arc::new(list);
    let found = all(iterate(&list, of(&list, 2))).unwrap();
    let content: Vec<&[u8]> = found.iter().flat_map(|batch| samples(batch).iter().map(data)).collect();
    assert_eq!(content, [&records[7][..], &records[3], &records[3], &records[49]]);
    let twice: Arc<dyn RecordSource> = Arc::new(View::repeat(Arc::clone(&source), 2).unwrap());
    let mut found = Vec::new();
    for batch in all(iterate(&twice, LoaderOptions { shuffle: Shuffle::Block, ..of(&twice, 9) })).unwrap() {
        found.extend(samples(&batch).iter().map(|sample| data(sample).to_vec()));
    }
    let mut expected = [records.clone(), records.clone()].concat();
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
    for wrong in [View::range(Arc::clone(&source), 40..51), View::list(Arc::clone(&source), &[50])] {
        assert!(matches!(wrong, Err(LoaderError::Config { option: "indices", .. })));
    }
    let small = array_records("memory://records-small/", &records[..10], 1, "group_size:2");
    let mixed: Arc<dyn RecordSource> = Arc::new(ConcatSource::mix(vec![source, small], &[1, 3]).unwrap());
    for shuffle in SHUFFLES {
        let loader = Loader::new(Arc::clone(&mixed), LoaderOptions { shuffle, ..of(&mixed, 6) }).unwrap();
        let found: Vec<u64> =
            (0..5).flat_map(|epoch| indices(&all(loader.iterate(epoch, 0).unwrap()).unwrap())).collect();
        // 300 draws: 75 of the first, a pass and a half, and 225 of the second, 22.5 passes.
        let first: Vec<u64> = found.iter().copied().filter(|&index| index < 50).collect();
        let second: Vec<u64> = found.iter().copied().filter(|&index| index >= 50).collect();
        assert_eq!((first.len(), second.len()), (75, 225));
        assert_eq!(first[..50].iter().collect::<BTreeSet<_>>().len(), 50, "{shuffle}");
        assert!(second.chunks_exact(10).all(|pass| pass.iter().collect::<BTreeSet<_>>().len() == 10), "{shuffle}");
        assert!(found.chunks_exact(4).all(|cycle| cycle.iter().filter(|&&index| index < 50).count() == 1));
    }
}

/// Flips a byte of the first file at so many thousandths of its length.
fn damage(path: &std::path::Path, at: usize) {
    let mut content = std::fs::read(path).unwrap();
    let at = content.len() * at / 1000;
    content[at] ^= 0x55;
    std::fs::write(path, content).unwrap();
}

#[test]
fn damage_is_raised_left_out_or_replaced_where_it_is() {
    let records: Vec<Vec<u8>> = (0..200).map(|index| content(index, 3000)).collect();
    let folder = tempfile::tempdir().unwrap();
    let base = format!("file://{}/", folder.path().display());
    for (name, source) in [
        ("part-0.array_record", array_records(&base, &records, 1, "group_size:5,uncompressed")),
        ("part-0.tfrecord", tfrecords(&base, &records, 1)),
    ] {
        damage(&folder.path().join(name), 300);
        for shuffle in SHUFFLES {
            let with = |on_error| LoaderOptions { on_error, shuffle, ..of(&source, 8) };
            let error = all(iterate(&source, with(OnError::Raise))).unwrap_err();
            assert!(matches!(&error, LoaderError::Record(_)) && error.to_string().contains(name), "{error:?}");

            let batches = all(iterate(&source, with(OnError::Skip))).unwrap();
            check(&batches, &records);
            let skipped: Vec<_> = batches.iter().flat_map(|batch| &batch.skipped).collect();
            assert!((1..=5).contains(&skipped.len()), "{name}: {skipped:?}");
            assert!(skipped.iter().all(|bad| bad.uri.contains(name) && bad.reason.contains("byte")), "{skipped:?}");
            let mut found = indices(&batches);
            found.extend(skipped.iter().map(|bad| bad.index));
            found.sort_unstable();
            assert_eq!(found, (0..200).collect::<Vec<_>>());

            let batches = all(iterate(&source, with(OnError::Replace))).unwrap();
            check(&batches, &records);
            assert!(batches.iter().all(|batch| batch.indices.len() == 8 && batch.real == 8));
            let again = all(iterate(&source, LoaderOptions { prefetch: 1, ..with(OnError::Replace) })).unwrap();
            assert_eq!(indices(&batches), indices(&again), "{name} {shuffle}");

            let limited = LoaderOptions { max_errors: Some(0), ..with(OnError::Skip) };
            assert!(matches!(all(iterate(&source, limited)), Err(LoaderError::TooMany { limit: 0, .. })));
        }
    }
}

#[test]
fn a_batch_without_a_good_record_is_still_a_batch() {
    let records: Vec<Vec<u8>> = (0..40).map(|index| content(index, 500)).collect();
    let folder = tempfile::tempdir().unwrap();
    let base = format!("file://{}/", folder.path().display());
    let uris = write(&base, &records);
    for bad in 8..16 {
        std::fs::remove_file(folder.path().join(format!("{bad:04}"))).unwrap();
    }
    let source = crate::common::named(uris);
    for world in [1, 2] {
        let mut counts = Vec::new();
        for rank in 0..world {
            let sharding = Sharding { rank, world, worker: 0, workers: 1 };
            let options = LoaderOptions { on_error: OnError::Skip, sharding, ..options(4) };
            let batches = all(iterate(&source, options)).unwrap();
            check(&batches, &records);
            assert!(batches.iter().all(|batch| !batch.indices.is_empty()));
            counts.push(batches.len());
        }
        assert!(counts.iter().all(|&count| count == 10 / world as usize), "{counts:?}");
    }
}

#[test]
fn a_wait_is_told_by_its_cause() {
    let records = records(100);
    let source = tfrecords("memory://records-waits/", &records, 1);
    let mut batches = iterate(&source, of(&source, 10));
    while crate::common::next(&mut batches).unwrap().is_some() {}
    let stats = batches.stats();
    let waits = stats.waits;
    let sum = waits.budget + waits.request + waits.bytes + waits.decode + waits.assemble;
    assert!(sum <= stats.wait_nanos, "{stats:?}");
    assert_eq!(stats.samples, 100);
}

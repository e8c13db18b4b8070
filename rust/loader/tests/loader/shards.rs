//! Records in order: every one once, mixed or not, and exact resume.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::common::{DEADLINE, content};
use s3dlio_formats::riegeli::OnDamage;
use s3dlio_loader::LoaderError;
use s3dlio_loader::batches::Sharding;
use s3dlio_loader::shards::{
    DiskyShards, NextRecords, RecordShards, ShardIter, ShardLoader, ShardOptions, ShardState, TfRecordShards,
};
use s3dlio_records::{disky, tfrecord};
use s3dlio_store::Uri;

const WHOLE: ShardOptions =
    ShardOptions { batch_size: 7, drop_last: false, buffer: 0, seed: 3, sharding: Sharding::WHOLE };

fn records(count: u64) -> Vec<Vec<u8>> {
    (0..count).map(|index| [&index.to_le_bytes()[..], &content(index, (index as usize * 37) % 300)].concat()).collect()
}

fn number(record: &[u8]) -> u64 {
    u64::from_le_bytes(record[..8].try_into().unwrap())
}

fn tfrecords(base: &str, records: &[Vec<u8>], files: usize) -> Arc<dyn RecordShards> {
    let uris = records.chunks(records.len().div_ceil(files)).enumerate().map(|(file, part)| {
        let uri = Uri::parse(&format!("{base}{file}.tfrecord")).unwrap();
        let writer = tfrecord::Writer::create(&uri, &tfrecord::WriterOptions::default()).unwrap();
        for record in part {
            if writer.append(record).unwrap() {
                writer.pass_on().unwrap().wait().unwrap().unwrap();
            }
        }
        writer.finish().unwrap().wait().unwrap().unwrap();
        uri
    });
    Arc::new(TfRecordShards::new(uris.collect(), true))
}

/// Disky files as the golden ones are; their records are texts of other kinds.
fn disky_files() -> Vec<Uri> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/disky/valid");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let readable = |path: &std::path::PathBuf| {
        let uri = Uri::parse(&format!("file://{}", path.display())).ok()?;
        disky::count(&uri, OnDamage::Stop).ok()?.wait().ok()?.ok().filter(|&count| count > 0).map(|_| uri)
    };
    files.iter().filter_map(readable).collect()
}

fn next(batches: &mut ShardIter) -> Result<Option<Vec<Vec<u8>>>, LoaderError> {
    let began = Instant::now();
    loop {
        match batches.next(Duration::from_millis(20))? {
            NextRecords::Batch(batch) => return Ok(Some(batch.iter().map(|record| record.to_vec()).collect())),
            NextRecords::Done => return Ok(None),
            NextRecords::Pending => assert!(began.elapsed() < DEADLINE, "no batch came: {batches:?}"),
        }
    }
}

fn all(batches: &mut ShardIter) -> Vec<Vec<Vec<u8>>> {
    std::iter::from_fn(|| next(batches).unwrap()).collect()
}

fn epoch(shards: &Arc<dyn RecordShards>, options: ShardOptions, epoch: u64) -> Vec<Vec<Vec<u8>>> {
    let loader = ShardLoader::new(Arc::clone(shards), options).unwrap();
    all(&mut loader.iterate(loader.begin(epoch)))
}

#[test]
fn records_come_once_in_order_or_mixed() {
    let records = records(300);
    let folder = tempfile::tempdir().unwrap();
    for base in [format!("file://{}/", folder.path().display()), "memory://shards-once/".to_owned()] {
        let shards = tfrecords(&base, &records, 6);
        assert_eq!(epoch(&shards, WHOLE, 0).concat(), records);
        for buffer in [2, 50, 1000] {
            let mixed = epoch(&shards, ShardOptions { buffer, ..WHOLE }, 0).concat();
            assert_ne!(mixed, records);
            assert_ne!(mixed, epoch(&shards, ShardOptions { buffer, ..WHOLE }, 1).concat());
            let mut numbers: Vec<u64> = mixed.iter().map(|record| number(record)).collect();
            numbers.sort_unstable();
            assert_eq!(numbers, (0..300).collect::<Vec<_>>());
        }
        for (world, workers) in [(2, 1), (1, 3), (3, 2)] {
            let mut numbers = Vec::new();
            for rank in 0..world {
                for worker in 0..workers {
                    let sharding = Sharding { rank, world, worker, workers };
                    let own = epoch(&shards, ShardOptions { buffer: 20, sharding, ..WHOLE }, 2);
                    numbers.extend(own.concat().iter().map(|record| number(record)));
                }
            }
            numbers.sort_unstable();
            assert_eq!(numbers, (0..300).collect::<Vec<_>>(), "{world} {workers}");
        }
    }
}

#[test]
fn a_state_goes_on_exactly() {
    let tf = tfrecords("memory://shards-resume/", &records(120), 5);
    let disky: Arc<dyn RecordShards> = Arc::new(DiskyShards::new(disky_files()));
    assert!(disky.len() > 2);
    for shards in [tf, disky] {
        for buffer in [0, 13, 64] {
            for drop_last in [false, true] {
                let loader =
                    ShardLoader::new(Arc::clone(&shards), ShardOptions { buffer, drop_last, ..WHOLE }).unwrap();
                let whole = epoch(&shards, *loader.options(), 1);
                let mut batches = loader.iterate(loader.begin(1));
                // Of long data sets the beginning and some places will do.
                for given in 0..whole.len() {
                    if given < 20 || given % 97 == 0 {
                        let state = batches.state().to_json();
                        assert!(state.len() < 1024);
                        let mut resumed = loader.iterate(loader.resume(&state).unwrap());
                        for expected in whole[given..].iter().take(30) {
                            assert_eq!(next(&mut resumed).unwrap().as_ref(), Some(expected), "{buffer} {given}");
                        }
                    }
                    assert_eq!(next(&mut batches).unwrap().as_ref(), Some(&whole[given]));
                }
                assert!(next(&mut batches).unwrap().is_none());
            }
        }
    }
}

#[test]
fn what_cannot_be_is_refused() {
    let shards = tfrecords("memory://shards-refused/", &records(10), 2);
    let sharding = Sharding { rank: 0, world: 3, worker: 0, workers: 1 };
    let refused = ShardLoader::new(Arc::clone(&shards), ShardOptions { sharding, ..WHOLE });
    assert!(matches!(refused, Err(LoaderError::Config { option: "shard_world_size", .. })));
    let refused = ShardLoader::new(Arc::clone(&shards), ShardOptions { batch_size: 0, ..WHOLE });
    assert!(matches!(refused, Err(LoaderError::Config { option: "batch_size", .. })));
    let loader = ShardLoader::new(Arc::clone(&shards), WHOLE).unwrap();
    let state = loader.begin(0);
    for other in [
        ShardState { seed: 4, ..state.clone() },
        ShardState { fp: "00".into(), ..state.clone() },
        ShardState { buffer: 9, ..state.clone() },
        ShardState { reader: [0, 2, 0, 1], ..state.clone() },
    ] {
        assert!(matches!(loader.resume(&other.to_json()), Err(LoaderError::StateMismatch { .. })));
    }
    for text in ["", "{}", "[]", &state.to_json().replace("\"shards\":1", "\"shards\":2")] {
        assert!(matches!(loader.resume(text), Err(LoaderError::StateInvalid(_))), "{text}");
    }
    let missing: Arc<dyn RecordShards> =
        Arc::new(TfRecordShards::new(vec![Uri::parse("memory://shards-refused/none").unwrap()], true));
    let loader = ShardLoader::new(missing, WHOLE).unwrap();
    let mut batches = loader.iterate(loader.begin(0));
    assert!(matches!(next(&mut batches), Err(LoaderError::Store(_))));
    assert!(matches!(next(&mut batches), Err(LoaderError::Store(_))), "again and again");
}

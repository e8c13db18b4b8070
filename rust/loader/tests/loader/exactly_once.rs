//! Every record comes exactly once, whoever reads it and wherever a run was stopped and went on.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use crate::common::files::{array_records, npz_members, tfrecords};
use crate::common::{Fake, all, bytes, content, listed, network, options, samples, write};
use bytes::Bytes;
use proptest::prelude::*;
use s3dlio_loader::batches::{Last, Sharding};
use s3dlio_loader::decode::Decoder;
use s3dlio_loader::options::{OnError, Shuffle};
use s3dlio_loader::source::{MemorySource, RecordSource};
use s3dlio_loader::{Loader, LoaderOptions};
use s3dlio_store::StoreError;

/// Records of each source; primes and squares, so that hardly anything divides them.
const COUNTS: [u64; 4] = [1, 7, 25, 61];

const LENGTH: usize = 40;

/// What reads the records, whether they are arrays of NumPy, and which of them are bad.
struct Given {
    source: Arc<dyn RecordSource>,
    decoder: Decoder,
    bad: BTreeSet<u64>,
}

/// Each kind of source with each count: in memory, one object a record, in files of records, with bad records.
static SOURCES: LazyLock<Vec<Given>> = LazyLock::new(|| COUNTS.iter().flat_map(|&count| sources(count)).collect());

fn sources(count: u64) -> Vec<Given> {
    let records: Vec<Vec<u8>> = (0..count).map(|index| content(index, LENGTH)).collect();
    let base = format!("memory://exactly-once/{count}/");
    write(&format!("{base}objects/"), &records);
    let bad: BTreeSet<u64> = (0..count).filter(|index| index % 5 == 3).collect();
    let given = |source, decoder| Given { source, decoder, bad: BTreeSet::new() };
    let fails = bad.clone();
    let failing = Fake::new(count, Some(LENGTH as u64), move |index| {
        let missing = || StoreError::NotFound { uri: format!("fake://{index}"), detail: "gone".into() };
        let found = if fails.contains(&index) { Err(missing()) } else { Ok(content(index, LENGTH)) };
        network(Duration::ZERO, found)
    });
    vec![
        given(Arc::new(MemorySource::new(records.iter().cloned().map(Bytes::from).collect()).unwrap()), Decoder::Bytes),
        given(listed(&format!("{base}objects/")), Decoder::Bytes),
        given(array_records(&base, &records, 2, "group_size:4"), Decoder::Bytes),
        given(tfrecords(&base, &records, 2), Decoder::Bytes),
        given(npz_members(&base, &records, 2), Decoder::Npy),
        Given { source: Arc::new(failing), decoder: Decoder::Bytes, bad },
    ]
}

/// One way to share an epoch.
#[derive(Debug, Clone, Copy)]
struct Shape {
    world: u64,
    workers: u64,
    batch_size: u64,
}

/// What is the same before and after a stop.
#[derive(Debug, Clone, Copy)]
struct Order {
    shuffle: Shuffle,
    window: u64,
    seed: u64,
    epoch: u64,
}

fn loader(given: &Given, shape: Shape, order: Order, rank: u64, worker: u64) -> Loader {
    let Shape { world, workers, batch_size } = shape;
    let options = LoaderOptions {
        shuffle: order.shuffle,
        shuffle_window: order.window,
        seed: order.seed,
        decoder: given.decoder.clone(),
        on_error: OnError::Skip,
        // A batch of bad records alone is empty then, and no good record stands in for them.
        keep_batches: false,
        last: Some(Last::Uneven),
        sharding: Sharding { rank, world, worker, workers },
        ..options(batch_size)
    };
    Loader::new(Arc::clone(&given.source), options).unwrap()
}

/// What all workers of all ranks give of the steps in `steps`: records that came, and those that were reported as bad.
fn given(given: &Given, shape: Shape, order: Order, from: impl Fn(&Loader) -> u64, until: u64) -> (Vec<u64>, Vec<u64>) {
    let (mut came, mut left_out) = (Vec::new(), Vec::new());
    for (rank, worker) in (0..shape.world).flat_map(|rank| (0..shape.workers).map(move |worker| (rank, worker))) {
        let loader = loader(given, shape, order, rank, worker);
        for batch in all(loader.iterate(order.epoch, from(&loader)).unwrap()).unwrap() {
            if batch.step >= until {
                break;
            }
            if given.decoder == Decoder::Bytes {
                for (sample, &index) in samples(&batch).iter().zip(&batch.indices) {
                    assert_eq!(bytes(sample), content(index, LENGTH));
                }
            }
            came.extend(batch.indices);
            left_out.extend(batch.skipped.iter().map(|skipped| skipped.index));
        }
    }
    (came, left_out)
}

fn shape() -> impl Strategy<Value = (Shape, Shape)> {
    let worlds = prop::sample::select(vec![1_u64, 2, 3, 8]);
    (worlds.clone(), worlds, 1_u64..4, prop::sample::select(vec![1_u64, 2, 3]), prop::sample::select(vec![1_u64, 2, 3]))
        .prop_map(|(before, after, batch, workers, others)| {
            // The global batch stays, which is what a resume asks for.
            let old = Shape { world: before, workers, batch_size: batch * after };
            (old, Shape { world: after, workers: others, batch_size: batch * before })
        })
}

fn order() -> impl Strategy<Value = Order> {
    let shuffle = prop::sample::select(vec![Shuffle::None, Shuffle::Global, Shuffle::Block]);
    (shuffle, 0_u64..4, any::<u64>(), 0_u64..5).prop_map(|(shuffle, window, seed, epoch)| Order {
        shuffle,
        // Only blocks have windows.
        window: if shuffle == Shuffle::Block { window } else { 0 },
        seed,
        epoch,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn whatever_reads_it_and_wherever_it_was_stopped(
        source in 0..COUNTS.len() * 6,
        (before, after) in shape(),
        order in order(),
        at in any::<prop::sample::Index>(),
    ) {
        let source = &SOURCES[source];
        // The state of a rank as a whole; that of one worker resumes this worker only.
        let plan = loader(source, Shape { workers: 1, ..before }, order, at.index(before.world as usize) as u64, 0);
        let step = at.index(usize::try_from(plan.plan().rounds()).unwrap() + 1) as u64;
        let (mut came, mut left_out) = given(source, before, order, |_| 0, step);
        let state = plan.state(order.epoch, step, 0).to_json();
        let from = |loader: &Loader| loader.resume(&state).unwrap().step;
        let (more, others) = given(source, after, order, from, u64::MAX);
        came.extend(more);
        left_out.extend(others);
        came.sort_unstable();
        left_out.sort_unstable();
        let good = (0..source.source.len()).filter(|index| !source.bad.contains(index));
        prop_assert_eq!(came, good.collect::<Vec<_>>());
        prop_assert_eq!(left_out, source.bad.iter().copied().collect::<Vec<_>>());
    }
}

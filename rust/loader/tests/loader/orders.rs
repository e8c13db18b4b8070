//! The orders of blocks and mixtures: golden vectors, that they permute, and exact resume of every order.
//!
//! The golden vectors come from a second implementation, written in another language from the specifications in
//! `sampler::block` and `sampler::mixture`.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use s3dlio_loader::batches::{Last, Sharding};
use s3dlio_loader::options::Shuffle;
use s3dlio_loader::sampler::{Block, Global, Mixture, Sampler, Sequential};
use s3dlio_loader::source::{Layout, RecordReader, RecordSource};
use s3dlio_loader::{Loader, LoaderOptions};

const ENDS: [u64; 7] = [3, 4, 9, 10, 16, 17, 20];

fn order(sampler: &dyn Sampler, epoch: u64) -> Vec<u64> {
    let order = sampler.order(epoch);
    (0..sampler.len(epoch)).map(|position| order.index(position)).collect()
}

#[test]
fn golden_vectors_of_blocks() {
    for (window, seed, epoch, expected) in [
        (1, 0, 0, [8, 7, 4, 6, 5, 16, 9, 18, 19, 17, 3, 14, 13, 12, 11, 10, 15, 1, 0, 2]),
        (2, 0, 0, [16, 6, 7, 8, 4, 5, 17, 9, 19, 18, 12, 11, 10, 3, 15, 13, 14, 1, 2, 0]),
        (2, 7, 1, [2, 9, 0, 1, 3, 16, 17, 14, 13, 11, 18, 19, 10, 15, 12, 5, 6, 8, 7, 4]),
        (3, 0, 5, [4, 15, 10, 12, 13, 5, 14, 7, 8, 11, 6, 3, 1, 16, 9, 0, 2, 19, 17, 18]),
        (100, 1, 0, [15, 9, 14, 18, 5, 19, 7, 3, 4, 11, 8, 0, 13, 17, 6, 12, 1, 16, 2, 10]),
    ] {
        assert_eq!(order(&Block::new(&ENDS, window, seed), epoch), expected, "{window} {seed} {epoch}");
    }
}

#[test]
fn golden_vectors_of_mixtures() {
    let plain = |ns: &[u64], weights: &[u64]| {
        let part = |(&n, &weight): (&u64, &u64)| (Box::new(Sequential { n }) as Box<dyn Sampler>, weight);
        Mixture::new(ns.iter().zip(weights).map(part).collect())
    };
    let shuffled = |ns: &[u64], weights: &[u64], seed| {
        let part = |(&n, &weight): (&u64, &u64)| (Box::new(Global { n, seed }) as Box<dyn Sampler>, weight);
        Mixture::new(ns.iter().zip(weights).map(part).collect())
    };
    assert_eq!(order(&plain(&[5, 3], &[1, 1]), 0), [0, 5, 1, 6, 2, 7, 3, 5]);
    assert_eq!(order(&shuffled(&[5, 3], &[2, 6], 0), 1), [6, 1, 5, 7, 6, 2, 5, 7]);
    assert_eq!(order(&shuffled(&[4, 4, 2], &[5, 3, 2], 9), 2), [3, 4, 8, 0, 0, 7, 1, 9, 6, 2]);
    assert!(order(&plain(&[], &[]), 0).is_empty());
    assert_eq!(plain(&[], &[]).index(0, 5), 0);
}

#[test]
fn a_window_of_blocks_is_used_up_before_the_next() {
    let ends: Vec<u64> = (1..=40).map(|block| block * 25).collect();
    for (epoch, window) in [(0, 1), (1, 4), (2, 7), (3, 40), (4, 100)] {
        let found = order(&Block::new(&ends, window, 11), epoch);
        let mut last: BTreeMap<u64, usize> = BTreeMap::new();
        let mut first: BTreeMap<u64, usize> = BTreeMap::new();
        for (position, index) in found.iter().enumerate() {
            first.entry(index / 25).or_insert(position);
            last.insert(index / 25, position);
        }
        let span = 25 * usize::try_from(window.min(40)).unwrap();
        assert!(first.iter().all(|(block, &begin)| last[block] / span == begin / span), "{epoch} {window}");
    }
}

/// A source of nothing but a layout, for orders and plans.
#[derive(Debug)]
struct Laid {
    layout: Layout,
    mixture: Option<Vec<(u64, u64)>>,
}

impl RecordSource for Laid {
    fn len(&self) -> u64 {
        self.layout.len()
    }

    fn fingerprint(&self) -> &str {
        "00"
    }

    fn name(&self, index: u64) -> String {
        format!("laid://{index}")
    }

    fn bytes(&self, index: u64) -> Option<u64> {
        Some(self.layout.record_bytes(index))
    }

    fn layout(&self) -> Option<&Layout> {
        Some(&self.layout)
    }

    fn mixture(&self) -> Option<&[(u64, u64)]> {
        self.mixture.as_deref()
    }

    fn reader(&self) -> s3dlio_store::Result<Box<dyn RecordReader>> {
        panic!("nothing is read here")
    }
}

fn laid(files: &[Vec<u64>], mixture: Option<Vec<(u64, u64)>>) -> Arc<dyn RecordSource> {
    let mut layout = Layout::default();
    for chunks in files {
        layout.push_file(chunks.iter().map(|&records| (records, records * (400 << 10))));
    }
    Arc::new(Laid { layout, mixture })
}

/// The records that a rank's workers give from a state on, by step.
fn rest(loader: &Loader, epoch: u64, step: u64) -> Vec<(u64, Vec<u64>)> {
    let order = loader.sampler().order(epoch);
    let plan = loader.plan();
    let record = |step, slot| order.index(plan.position(step, slot));
    (step..plan.steps())
        .map(|step| (step, (0..plan.span(step).len()).map(|slot| record(step, slot)).collect()))
        .collect()
}

fn shuffle() -> impl Strategy<Value = Shuffle> {
    prop_oneof![Just(Shuffle::None), Just(Shuffle::Global), Just(Shuffle::Block)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// What all ranks gave before a state and what other ranks give from it on are the epoch, each record once.
    #[test]
    fn resuming_elsewhere_gives_every_record_once(
        files in prop::collection::vec(prop::collection::vec(1_u64..9, 1..6), 1..4),
        shuffle in shuffle(),
        (batch, worlds) in (1_u64..4, prop::sample::select(vec![(1_u64, 2_u64), (2, 1), (2, 4), (4, 2), (3, 6), (8, 1), (6, 3)])),
        (seed, epoch, window, at) in (any::<u64>(), 0_u64..5, 0_u64..4, any::<prop::sample::Index>()),
    ) {
        let (before, after) = worlds;
        // The global batch stays.
        let sizes = (batch * after, batch * before);
        let source = laid(&files, None);
        let loader = |rank, world, batch_size| {
            let sharding = Sharding { rank, world, worker: 0, workers: 1 };
            let last = Some(Last::Uneven);
            let options = LoaderOptions {
                batch_size, shuffle, seed, sharding, last, shuffle_window: window, ..LoaderOptions::default()
            };
            Loader::new(Arc::clone(&source), options).unwrap()
        };
        let old: Vec<Loader> = (0..before).map(|rank| loader(rank, before, sizes.0)).collect();
        let step = at.index(usize::try_from(old[0].plan().rounds()).unwrap() + 1) as u64;
        let state = old[at.index(old.len())].state(epoch, step, 0).to_json();
        prop_assert!(state.len() < 1024);
        let mut found: Vec<u64> = Vec::new();
        for rank in &old {
            found.extend(rest(rank, epoch, 0).into_iter().filter(|(s, _)| *s < step).flat_map(|(_, batch)| batch));
        }
        for rank in 0..after {
            let new = loader(rank, after, sizes.1);
            let cursor = new.resume(&state).unwrap();
            prop_assert_eq!((cursor.epoch, cursor.sample), (epoch, 0));
            found.extend(rest(&new, epoch, cursor.step).into_iter().flat_map(|(_, batch)| batch));
        }
        found.sort_unstable();
        prop_assert_eq!(found, (0..source.len()).collect::<Vec<_>>());
    }

    /// Blocks and windows of any sizes permute.
    #[test]
    fn blocks_permute(lengths in prop::collection::vec(1_u64..12, 1..20), window in 0_u64..25, seed: u64, epoch: u64) {
        let ends: Vec<u64> = lengths.iter().scan(0, |end, length| { *end += length; Some(*end) }).collect();
        let mut found = order(&Block::new(&ends, window, seed), epoch);
        found.sort_unstable();
        prop_assert!(found.into_iter().eq(0..lengths.iter().sum()));
    }

    /// Every part of a mixture is drawn from as often as its weight says, within one draw, whatever the epoch.
    #[test]
    fn mixtures_keep_their_weights(
        parts in prop::collection::vec((1_u64..30, 1_u64..10), 1..5), seed: u64, epoch in 0_u64..10, shuffle in shuffle(),
    ) {
        let files: Vec<Vec<u64>> = parts.iter().map(|&(n, _)| vec![1; usize::try_from(n).unwrap()]).collect();
        let source = laid(&files, Some(parts.clone()));
        let loader = Loader::new(source, LoaderOptions { shuffle, seed, ..LoaderOptions::default() }).unwrap();
        let found = order(loader.sampler().as_ref(), epoch);
        let total: u64 = parts.iter().map(|(_, weight)| weight).sum();
        let mut start = 0;
        for &(n, weight) in &parts {
            let drawn = found.iter().filter(|&&index| (start..start + n).contains(&index)).count() as f64;
            let expected = found.len() as f64 * weight as f64 / total as f64;
            prop_assert!((drawn - expected).abs() <= 2.0, "{drawn} {expected}");
            start += n;
        }
    }
}

#[test]
fn layouts_slice_and_append() {
    let source = laid(&[vec![3, 1, 4], vec![2, 2]], None);
    let layout = source.layout().unwrap();
    assert_eq!((layout.len(), layout.block_ends()), (12, &[3, 8, 12][..]));
    assert_eq!((layout.chunk(3), layout.block(3), layout.chunk(11)), (3..4, 3..8, 10..12));
    let mut twice = layout.clone();
    twice.append(layout);
    assert_eq!(twice.len(), 24);
    assert_eq!(&twice.slice(&(12..24)), layout);
    let part = layout.slice(&(2..9));
    assert_eq!((part.len(), part.block_ends(), part.chunk(2)), (7, &[1, 6, 7][..], 2..6));
}

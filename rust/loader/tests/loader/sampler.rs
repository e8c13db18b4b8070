//! The samplers: golden vectors of the global shuffle, that it permutes, and that it looks like a uniform shuffle.
//!
//! The golden vectors come from a second implementation, written in another language from the specification in
//! `sampler::permutation`. The statistical tests run over fixed keys, so that they give the same result at each run; their
//! bounds are five to six standard deviations of a uniform shuffle.

use std::collections::HashSet;

use proptest::prelude::*;
use s3dlio_loader::sampler::{Global, Permutation, Sampler, Sequential};

/// `(n, seed, epoch, the first elements)`.
type Golden = (u64, u64, u64, &'static [u64]);

const GOLDEN: &[Golden] = &[
    (1, 0, 0, &[0]),
    (2, 0, 0, &[1, 0]),
    (2, 1, 0, &[1, 0]),
    (2, 0, 1, &[0, 1]),
    (10, 0, 0, &[3, 1, 9, 4, 2, 5, 8, 7, 0, 6]),
    (10, 0, 1, &[9, 5, 2, 3, 7, 8, 0, 6, 1, 4]),
    (10, 1, 0, &[4, 2, 6, 9, 1, 8, 3, 7, 0, 5]),
    (10, u64::MAX, u64::MAX, &[3, 6, 1, 5, 8, 4, 2, 9, 0, 7]),
    (
        64,
        42,
        3,
        &[
            0, 43, 1, 31, 7, 22, 33, 9, 28, 13, 14, 59, 61, 20, 24, 40, 57, 6, 17, 54, 12, 37, 16, 27, 2, 48, 3, 5, 41,
            26, 56, 4, 51, 39, 49, 53, 19, 50, 44, 58, 63, 38, 45, 32, 62, 8, 15, 52, 47, 29, 21, 46, 11, 35, 25, 30,
            34, 42, 18, 10, 55, 60, 36, 23,
        ],
    ),
    (1000, 0, 0, &[435, 621, 796, 825, 312, 485, 765, 383, 994, 849, 15, 17, 999, 642, 487, 981]),
    (1000, 42, 7, &[490, 198, 381, 684, 452, 379, 633, 657, 354, 962, 98, 928, 243, 117, 362, 43]),
    (1000000000, 0, 0, &[516466273, 292089560, 564452426, 86278804, 842354100, 327322572, 125864016, 186517247]),
    (1000000000, 123456789, 2, &[327770952, 844297735, 42616361, 163262310, 248047246, 619708888, 432098382, 74635559]),
    (4294967300, 0, 0, &[2007546456, 1978403860, 974838236, 2624862553]),
    (4294967300, 7, 1, &[2885182805, 4186104313, 2132429317, 1779768234]),
    (9223372036854775807, 5, 6, &[4455149795626672130, 7096266414079928523, 3803874622220222726, 125699310321237227]),
    (u64::MAX, 5, 6, &[14484635021733128479, 1825670294973529252, 16620267766255312827, 2469029388930412101]),
];

fn elements(n: u64, seed: u64, epoch: u64) -> Vec<u64> {
    Permutation::new(n, seed, epoch).iter().collect()
}

fn assert_permutes(n: u64, seed: u64, epoch: u64) {
    let mut sorted = elements(n, seed, epoch);
    sorted.sort_unstable();
    assert!(sorted.iter().copied().eq(0..n), "n {n}, seed {seed}, epoch {epoch}");
}

#[test]
fn golden_vectors() {
    for &(n, seed, epoch, expected) in GOLDEN {
        let permutation = Permutation::new(n, seed, epoch);
        let positions = 0..expected.len() as u64;
        let found: Vec<u64> = positions.map(|position| permutation.index(position)).collect();
        assert_eq!(found, expected, "n {n}, seed {seed}, epoch {epoch}");
    }
}

#[test]
fn every_small_size_is_permuted() {
    for n in 0..=300 {
        for seed in [0, 1, 99, u64::MAX] {
            for epoch in 0..3 {
                assert_permutes(n, seed, epoch);
            }
        }
    }
}

#[test]
fn sizes_around_powers_of_two_are_permuted() {
    for n in (9..18).flat_map(|bits| [(1 << bits) - 1, 1 << bits, (1 << bits) + 1]) {
        assert_permutes(n, 3, n);
    }
}

#[test]
fn the_largest_sizes_have_distinct_elements_in_range() {
    for n in [1 << 32, (1 << 32) + 1, 1 << 63, (1 << 63) + 1, u64::MAX - 1, u64::MAX] {
        let permutation = Permutation::new(n, 11, 12);
        let positions = (0..2000).chain(n / 2 - 1000..n / 2 + 1000).chain(n - 2000..n);
        let found: Vec<u64> = positions.map(|position| permutation.index(position)).collect();
        assert!(found.iter().all(|&element| element < n));
        assert_eq!(found.iter().collect::<HashSet<_>>().len(), found.len(), "n {n}");
    }
}

#[test]
fn empty_and_single() {
    for epoch in 0..10 {
        let empty = Permutation::new(0, 1, epoch);
        assert!(empty.is_empty());
        assert_eq!(empty.iter().count(), 0);
        assert_eq!((empty.index(0), empty.index(u64::MAX)), (0, 0));
        assert_eq!(elements(1, 1, epoch), [0]);
    }
}

#[test]
fn positions_past_the_end_count_on_from_the_beginning() {
    for n in [1, 2, 7, 64, 1000] {
        let samplers: [&dyn Sampler; 2] = [&Sequential { n }, &Global { n, seed: 5 }];
        for sampler in samplers {
            for position in [n, n + 1, 3 * n - 1, u64::MAX] {
                assert_eq!(sampler.index(4, position), sampler.index(4, position % n));
            }
        }
    }
    assert_eq!(Sequential { n: 0 }.index(0, 7), 0);
    assert_eq!(Global { n: 0, seed: 1 }.index(0, 7), 0);
}

#[test]
fn samplers_are_their_definition() {
    let (plain, global) = (Sequential { n: 50 }, Global { n: 50, seed: 9 });
    for epoch in [0, 1, u64::MAX] {
        assert_eq!((plain.len(epoch), global.len(epoch)), (50, 50));
        let permutation = Permutation::new(50, 9, epoch);
        assert_eq!(permutation, global.permutation(epoch));
        for position in 0..50 {
            assert_eq!(plain.index(epoch, position), position);
            assert_eq!(global.index(epoch, position), permutation.index(position));
        }
    }
}

/// The number of a permutation among all of its size.
fn lehmer(permutation: &[u64]) -> usize {
    let smaller_later = |i: usize| permutation[i..].iter().filter(|&&x| x < permutation[i]).count();
    (0..permutation.len()).fold(0, |rank, i| rank * (permutation.len() - i) + smaller_later(i))
}

/// How many standard deviations the chi-square statistic of `counts` lies above its mean for equal frequencies.
fn excess(counts: &[u64]) -> f64 {
    let total: u64 = counts.iter().sum();
    let expected = total as f64 / counts.len() as f64;
    let chi_square: f64 = counts.iter().map(|&count| (count as f64 - expected).powi(2) / expected).sum();
    let freedom = counts.len() as f64 - 1.0;
    (chi_square - freedom) / (2.0 * freedom).sqrt()
}

#[test]
fn every_permutation_of_few_elements_is_equally_frequent() {
    const KEYS: u64 = 50_000;
    for n in 2..=6 {
        let keys: [fn(u64) -> (u64, u64); 3] = [|k| (k, 0), |k| (42, k), |k| (k << 32, k)];
        for (kind, key) in keys.into_iter().enumerate() {
            let mut counts = vec![0; (1..=n as usize).product()];
            for (seed, epoch) in (0..KEYS).map(key) {
                counts[lehmer(&elements(n, seed, epoch))] += 1;
            }
            assert!(counts.iter().all(|&count| count > 0));
            let excess = excess(&counts);
            assert!(excess < 5.0, "n {n}, keys {kind}: {excess}");
        }
    }
}

#[test]
fn pairs_of_positions_are_uniform() {
    for (n, first, second) in [(7, 0, 6), (9, 0, 1), (16, 7, 8), (31, 0, 30), (129, 0, 1), (129, 64, 128)] {
        let mut counts = vec![0; (n * (n - 1)) as usize];
        for seed in 0..200_000 {
            let permutation = Permutation::new(n, seed, 1);
            let (a, b) = (permutation.index(first), permutation.index(second));
            counts[(a * (n - 1) + b - u64::from(b > a)) as usize] += 1;
        }
        let excess = excess(&counts);
        assert!(excess < 5.0, "n {n}, positions {first} and {second}: {excess}");
    }
}

#[test]
fn powers_of_two_reach_even_and_odd_permutations() {
    const KEYS: u64 = 4000;
    for n in [4, 8, 16, 32, 64] {
        let odd = (0..KEYS).filter(|&seed| inversions(&elements(n, seed, 0)) % 2 == 1).count();
        assert!((1840..=2160).contains(&odd), "n {n}: {odd} of {KEYS} are odd");
    }
}

fn inversions(values: &[u64]) -> usize {
    let later_smaller = |i: usize| values[i..].iter().filter(|&&x| x < values[i]).count();
    (0..values.len()).map(later_smaller).sum()
}

/// The correlation of two sequences of equal length.
fn correlation(a: &[u64], b: &[u64]) -> f64 {
    let mean = |values: &[u64]| values.iter().sum::<u64>() as f64 / values.len() as f64;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (&x, &y) in a.iter().zip(b) {
        let (x, y) = (x as f64 - mean_a, y as f64 - mean_b);
        ab += x * y;
        aa += x * x;
        bb += y * y;
    }
    ab / (aa * bb).sqrt()
}

/// Asserts mean 0 and variance 1 of values that are so for a uniform shuffle.
fn assert_standard(what: &str, values: &[f64]) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| value * value).sum::<f64>() / count;
    assert!(mean.abs() < 5.0 / count.sqrt(), "{what}: mean {mean}");
    assert!((variance - 1.0).abs() < 5.0 * (2.0 / count).sqrt(), "{what}: variance {variance}");
}

#[test]
fn a_thousand_elements_are_spread_like_a_uniform_shuffle() {
    const N: u64 = 1000;
    let n = N as f64;
    let identity: Vec<u64> = (0..N).collect();
    let shuffles: Vec<Vec<u64>> = (0..600).map(|key| elements(N, key / 2, key % 2)).collect();
    let each = |statistic: &dyn Fn(&Vec<u64>) -> f64| shuffles.iter().map(statistic).collect::<Vec<_>>();

    let footrule = each(&|s| {
        let sum: u64 = s.iter().zip(&identity).map(|(&a, &b)| a.abs_diff(b)).sum();
        (sum as f64 - (n * n - 1.0) / 3.0) / ((n + 1.0) * (2.0 * n * n + 7.0) / 45.0).sqrt()
    });
    assert_standard("displacement", &footrule);

    let spearman = each(&|s| correlation(s, &identity) * (n - 1.0).sqrt());
    assert_standard("rank correlation with the identity", &spearman);

    for lag in [1, 2, 32, 500] {
        let adjacent = each(&|s| {
            let pairs = n - lag as f64;
            (correlation(&s[lag..], &s[..s.len() - lag]) + 1.0 / n) * pairs.sqrt()
        });
        let mean = adjacent.iter().sum::<f64>() / adjacent.len() as f64;
        assert!(mean.abs() < 0.25, "correlation at distance {lag}: {mean} standard deviations");
    }

    let kendall =
        each(&|s| (inversions(s) as f64 - n * (n - 1.0) / 4.0) / (n * (n - 1.0) * (2.0 * n + 5.0) / 72.0).sqrt());
    assert_standard("inversions", &kendall);

    let fixed = each(&|s| s.iter().zip(&identity).filter(|(a, b)| a == b).count() as f64 - 1.0);
    assert_standard("fixed points", &fixed);
}

#[test]
fn neighbouring_keys_are_unrelated() {
    const N: u64 = 1000;
    let others: [fn(u64) -> (u64, u64); 5] =
        [|k| (k, k + 1), |k| (k + 1, k), |k| (k + 1, k + 1), |k| (k ^ (1 << 63), k), |k| (k, k ^ (1 << 63))];
    for (kind, other) in others.into_iter().enumerate() {
        let (mut agreements, mut correlations) = (Vec::new(), Vec::new());
        for key in 0..400 {
            let (seed, epoch) = other(key);
            let (a, b) = (elements(N, key, key), elements(N, seed, epoch));
            agreements.push(a.iter().zip(&b).filter(|(a, b)| a == b).count() as f64 - 1.0);
            correlations.push(correlation(&a, &b) * (N as f64 - 1.0).sqrt());
        }
        assert_standard(&format!("agreements, kind {kind}"), &agreements);
        assert_standard(&format!("correlations, kind {kind}"), &correlations);
    }
}

#[test]
fn keys_do_not_collide() {
    let mut seen = HashSet::new();
    for seed in 0..100 {
        for epoch in 0..100 {
            assert!(seen.insert(elements(40, seed, epoch)), "seed {seed}, epoch {epoch}");
        }
    }
}

proptest! {
    #[test]
    fn any_key_permutes(n in 0_u64..5000, seed: u64, epoch: u64) {
        assert_permutes(n, seed, epoch);
    }

    #[test]
    fn any_window_of_any_size_is_distinct_and_in_range(n in 1_u64.., seed: u64, epoch: u64, start: u64) {
        let global = Global { n, seed };
        let start = start % n;
        let positions = start..n.min(start.saturating_add(200));
        let found: Vec<u64> = positions.clone().map(|position| global.index(epoch, position)).collect();
        prop_assert!(found.iter().all(|&element| element < n));
        prop_assert_eq!(found.iter().collect::<HashSet<_>>().len(), found.len());
        let again: Vec<u64> = positions.map(|position| Permutation::new(n, seed, epoch).index(position)).collect();
        prop_assert_eq!(found, again);
    }
}

//! A histogram of durations that any thread adds to without a lock.
//!
//! Buckets are spaced logarithmically, eight to each power of two, so a quantile is off by at most a sixteenth
//! however long the operation took. One addition costs three atomic increments; extremes are only written when they
//! change.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Buckets to each power of two, as a power of two: the width of a bucket is at most an eighth of its lower edge.
const SPLIT: u32 = 3;

/// The last bucket ends at 2 to this power in nanoseconds, 73 minutes; longer durations are counted there too.
const TOP: u32 = 42;

const BUCKETS: usize = ((TOP - SPLIT + 1) << SPLIT) as usize;

const NANOS: f64 = 1e9;

/// A histogram of durations.
#[derive(Debug)]
pub struct Histogram {
    nanos: AtomicU64,
    longest: AtomicU64,
    /// The complement of the shortest, so that zeros mean an empty histogram.
    shortest: AtomicU64,
    buckets: [AtomicU64; BUCKETS],
}

impl Histogram {
    /// An empty histogram.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            nanos: AtomicU64::new(0),
            longest: AtomicU64::new(0),
            shortest: AtomicU64::new(0),
            buckets: [const { AtomicU64::new(0) }; BUCKETS],
        }
    }

    /// Adds a duration.
    pub fn add(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[bucket(nanos)].fetch_add(1, Ordering::Relaxed);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
        raise(&self.longest, nanos);
        raise(&self.shortest, !nanos);
    }

    /// The figures at this moment. Additions of other threads meanwhile may be in some of them only.
    #[must_use]
    pub fn latency(&self) -> Latency {
        let counts = self.buckets.iter().enumerate();
        let buckets: Vec<(u64, u64)> = counts
            .map(|(at, count)| (upper_edge(at), count.load(Ordering::Relaxed)))
            .filter(|&(_, count)| count > 0)
            .collect();
        let longest = self.longest.load(Ordering::Relaxed);
        Latency {
            count: buckets.iter().map(|&(_, count)| count).sum(),
            nanos: self.nanos.load(Ordering::Relaxed),
            // Between the two writes of the first addition the shortest can still be unset.
            shortest: (!self.shortest.load(Ordering::Relaxed)).min(longest),
            longest,
            buckets,
        }
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

fn raise(extreme: &AtomicU64, to: u64) {
    if extreme.load(Ordering::Relaxed) < to {
        extreme.fetch_max(to, Ordering::Relaxed);
    }
}

fn bucket(nanos: u64) -> usize {
    if nanos < 1 << SPLIT {
        return nanos as usize;
    }
    let power = nanos.ilog2();
    let part = (nanos >> (power - SPLIT)) as usize & ((1 << SPLIT) - 1);
    ((((power - SPLIT + 1) as usize) << SPLIT) | part).min(BUCKETS - 1)
}

/// The first number of nanoseconds behind a bucket.
fn upper_edge(bucket: usize) -> u64 {
    let (row, part) = (bucket >> SPLIT, (bucket & ((1 << SPLIT) - 1)) as u64);
    if row == 0 { part + 1 } else { ((1 << SPLIT) + part + 1) << (row - 1) }
}

/// What a [`Histogram`] holds at one moment. Times in nanoseconds unless a name says otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Latency {
    /// Durations added.
    pub count: u64,
    /// Their sum.
    pub nanos: u64,
    /// The shortest; 0 without any.
    pub shortest: u64,
    /// The longest; 0 without any.
    pub longest: u64,
    /// Buckets that are not empty, in ascending order: their upper edge and the durations in each.
    pub buckets: Vec<(u64, u64)>,
}

impl Latency {
    /// The duration in seconds that the part `quantile` (0 to 1) of all durations does not exceed, within 7 %; 0
    /// without any.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> f64 {
        let rank = ((self.count as f64 * quantile).ceil() as u64).clamp(1, self.count.max(1));
        let mut seen = 0;
        for &(edge, count) in &self.buckets {
            seen += count;
            if seen >= rank {
                let middle = edge - width(edge) / 2;
                return middle.clamp(self.shortest, self.longest) as f64 / NANOS;
            }
        }
        0.0
    }

    /// The sum in seconds.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.nanos as f64 / NANOS
    }
}

/// The width of the bucket that ends at `edge`.
fn width(edge: u64) -> u64 {
    1 << (edge - 1).max(1).ilog2().saturating_sub(SPLIT)
}

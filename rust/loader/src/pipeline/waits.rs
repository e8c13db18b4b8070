//! What the consumer waited for.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::slot::Timeline;

/// Time that the consumer waited, in nanoseconds, by what the batch that it waited for was waiting for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waits {
    /// For memory of the budget, or for its turn.
    pub budget: u64,
    /// For the first of its records.
    pub request: u64,
    /// For the rest of its records.
    pub bytes: u64,
    /// For its records to be decoded.
    pub decode: u64,
    /// For its samples to be put together.
    pub assemble: u64,
}

#[derive(Debug, Default)]
pub(super) struct WaitCounters {
    parts: [AtomicU64; 5],
}

impl WaitCounters {
    /// Shares out a wait from `began` to now among what the batch went through meanwhile.
    pub(super) fn add(&self, began: Instant, times: &Timeline) {
        let at = |nanos: u64| times.planned + Duration::from_nanos(nanos);
        let marks = [times.planned, at(times.first_read), at(times.last_read), at(times.decoded), at(times.assembled)];
        let now = Instant::now();
        let mut from = began;
        for (counter, mark) in self.parts.iter().zip(marks) {
            let until = mark.clamp(from, now.max(from));
            counter.fetch_add(u64::try_from((until - from).as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
            from = until;
        }
    }

    pub(super) fn read(&self) -> Waits {
        let [budget, request, bytes, decode, assemble] =
            [0, 1, 2, 3, 4].map(|part: usize| self.parts[part].load(Ordering::Relaxed));
        Waits { budget, request, bytes, decode, assemble }
    }
}

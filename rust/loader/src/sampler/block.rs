//! The shuffle of sources that are read by blocks: each block is read once, and its records are mixed with those of
//! others.
//!
//! # Algorithm
//!
//! The mapping is a stable format, as that of [`permutation`](super::permutation), whose terms it uses; golden vectors
//! in `tests/loader/sampler.rs` pin it. The blocks are visited in the order of the permutation of their numbers by
//! `(seed, epoch)`. Every `w` blocks in this order are a window. The records of window `k` stand in the order of the
//! permutation of their numbers by `(hash(seed, epoch, k), epoch)`, where they are numbered through the blocks in the
//! order of visiting.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use super::permutation::hash;
use super::{Order, Permutation, Sampler};

/// Blocks in a random order, and the records of a window of blocks in a random order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// How many records there are up to the end of each block.
    ends: Arc<[u64]>,
    /// Blocks of a window, at least 1.
    window: u64,
    seed: u64,
}

impl Block {
    /// A shuffle of the blocks that end behind so many records each; a window of 0 blocks is one of 1.
    #[must_use]
    pub fn new(ends: &[u64], window: u64, seed: u64) -> Self {
        Self { ends: ends.into(), window: window.max(1), seed }
    }

    fn n(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }
}

impl Sampler for Block {
    fn len(&self, _epoch: u64) -> u64 {
        self.n()
    }

    fn order(&self, epoch: u64) -> Box<dyn Order> {
        let blocks = Permutation::new(self.ends.len() as u64, self.seed, epoch);
        let mut order = BlockOrder { sampler: self.clone(), blocks, epoch, ends: Vec::new(), last: Mutex::default() };
        let (mut total, mut number) = (0, 0);
        while number < blocks.len() {
            total += order.block(number).1;
            number += 1;
            if number.is_multiple_of(self.window) || number == blocks.len() {
                order.ends.push(total);
            }
        }
        Box::new(order)
    }
}

#[derive(Debug)]
struct BlockOrder {
    sampler: Block,
    blocks: Permutation,
    epoch: u64,
    /// How many positions there are up to the end of each window.
    ends: Vec<u64>,
    /// The window that was asked for last: positions mostly come one after the other, and to find the blocks of a window
    /// takes longer than all else.
    last: Mutex<Option<Window>>,
}

/// What is the same for all positions of a window.
#[derive(Debug)]
struct Window {
    positions: Range<u64>,
    inside: Permutation,
    /// For each of its blocks, in the order of visiting: records of the window up to its end, and its first record.
    blocks: Vec<(u64, u64)>,
}

impl BlockOrder {
    /// First record and length of the block that is visited as the `number`-th.
    fn block(&self, number: u64) -> (u64, u64) {
        let block = usize::try_from(self.blocks.index(number)).unwrap_or(usize::MAX);
        let start = block.checked_sub(1).and_then(|before| self.sampler.ends.get(before)).copied().unwrap_or(0);
        (start, self.sampler.ends.get(block).map_or(0, |end| end - start))
    }

    fn window(&self, position: u64) -> Window {
        let number = self.ends.partition_point(|&end| end <= position);
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        let positions = start..self.ends[number];
        let key = hash(&[self.sampler.seed, self.epoch, number as u64]);
        let inside = Permutation::new(positions.end - start, key, self.epoch);
        let first = number as u64 * self.sampler.window;
        let mut end = 0;
        let blocks = (first..self.blocks.len().min(first.saturating_add(self.sampler.window))).map(|number| {
            let (first, length) = self.block(number);
            end += length;
            (end, first)
        });
        Window { positions, inside, blocks: blocks.collect() }
    }
}

impl Window {
    fn index(&self, position: u64) -> u64 {
        let record = self.inside.index(position - self.positions.start);
        let at = self.blocks.partition_point(|&(end, _)| end <= record);
        let before = at.checked_sub(1).map_or(0, |before| self.blocks[before].0);
        self.blocks[at].1 + record - before
    }
}

impl Order for BlockOrder {
    fn index(&self, position: u64) -> u64 {
        let Some(position) = position.checked_rem(self.sampler.n()) else { return 0 };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match last.as_ref().filter(|window| window.positions.contains(&position)) {
            Some(window) => window.index(position),
            None => last.insert(self.window(position)).index(position),
        }
    }
}

//! Where each state goes, so that the frequent ones are reached by one transition byte.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// States that one transition byte can tell apart: six bits of it are for that.
const REACH: usize = 64;

/// What stands at a position of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Item {
    /// The state with this number.
    State(u32),
    /// A step in between, from which the items of this block are reached.
    Block(u32),
}

/// The positions of the states that transitions lead to, as blocks of at most 64, the first of them at position 0.
#[derive(Debug, Default)]
pub(super) struct Places {
    pub items: Vec<Item>,
    /// Where each block starts.
    pub blocks: Vec<u32>,
    /// For each state the offsets on the way to it from position 0, the first one first: a part of `offsets`.
    paths: Vec<(u32, u32)>,
    offsets: Vec<u8>,
}

impl Places {
    /// Places the states that transitions lead to, `arrivals[i]` times in the case of state i.
    ///
    /// More of them than one byte can tell apart make a tree with 64 branches, the rarest furthest from the root.
    pub fn new(arrivals: &[u64]) -> Self {
        let (root, mut blocks) = tree(arrivals);
        let mut places = Self { blocks: vec![0; blocks.len()], paths: vec![(0, 0); arrivals.len()], ..Self::default() };
        let mut waiting = VecDeque::from([(None, root, Vec::new())]);
        while let Some((index, block, mut path)) = waiting.pop_front() {
            if let Some(index) = index {
                places.blocks[index] = places.items.len() as u32;
            }
            for (item, offset) in block.into_iter().zip(0..) {
                places.items.push(item);
                path.push(offset);
                match item {
                    Item::State(state) => {
                        places.paths[state as usize] = (places.offsets.len() as u32, path.len() as u32);
                        places.offsets.extend_from_slice(&path);
                    }
                    Item::Block(index) => {
                        let index = index as usize;
                        waiting.push_back((Some(index), std::mem::take(&mut blocks[index]), path.clone()));
                    }
                }
                path.pop();
            }
        }
        places
    }

    /// The offsets that lead to `state`.
    #[inline]
    pub fn path(&self, state: u32) -> &[u8] {
        let (start, len) = self.paths[state as usize];
        &self.offsets[start as usize..][..len as usize]
    }
}

/// The root block and the others, the most frequent items first in each.
fn tree(arrivals: &[u64]) -> (Vec<Item>, Vec<Vec<Item>>) {
    let reached = arrivals.iter().zip(0..).filter(|(count, _)| **count > 0);
    let mut heap: BinaryHeap<_> = reached.map(|(count, state)| Reverse((*count, Item::State(state)))).collect();
    let mut blocks = Vec::new();
    // A merge of k items leaves k - 1 fewer. The first one takes as many as make all later ones and the root full.
    let mut size = heap.len().saturating_sub(REACH + 1) % (REACH - 1) + 2;
    while heap.len() > REACH {
        let (sum, block) = rarest(&mut heap, size);
        heap.push(Reverse((sum, Item::Block(blocks.len() as u32))));
        blocks.push(block);
        size = REACH;
    }
    (rarest(&mut heap, REACH).1, blocks)
}

/// Takes the `count` rarest items; returns how often they occur in all, and the items, the most frequent first.
fn rarest(heap: &mut BinaryHeap<Reverse<(u64, Item)>>, count: usize) -> (u64, Vec<Item>) {
    let taken = std::iter::from_fn(|| heap.pop()).take(count);
    let (mut sum, mut items) = (0, Vec::new());
    for Reverse((occurrences, item)) in taken {
        sum += occurrences;
        items.push(item);
    }
    items.reverse();
    (sum, items)
}

//! The machine for a sequence of operations, and the transitions that take it through them.

use super::NO_OP;
use super::columns::{Columns, Op};
use super::place::{Item, Places};
use crate::varint;

/// No operation precedes it, or none has been seen yet.
const NONE: u32 = u32::MAX;
/// Several operations precede it.
const SEVERAL: u32 = u32::MAX - 1;

/// Low bits of a transition byte: how many moves without a byte follow it at most.
const MOST_FREE: u8 = 3;

/// What is known of each operation, by its number.
struct Tally {
    visits: Vec<u64>,
    /// The one that precedes it, which the machine, running backwards, visits next.
    previous: Vec<u32>,
}

impl Tally {
    fn new(columns: &Columns, ops: &[Op]) -> Self {
        let mut visits = vec![0; columns.ops()];
        let mut previous = vec![NONE; columns.ops()];
        let mut last = NONE;
        for &Op { op, .. } in ops {
            visits[op as usize] += 1;
            let known = &mut previous[op as usize];
            // The first operation of all has none before it, and must not seem to have one: the machine stops there.
            if *known == NONE {
                *known = if last == NONE { SEVERAL } else { last };
            } else if *known != last {
                *known = SEVERAL;
            }
            last = op;
        }
        Self { visits, previous }
    }

    /// The operation that follows in the machine without a transition. Such steps lead in no circle, as a circle is never
    /// left and the machine gets to the first operation, which has none.
    fn implicit(&self, op: u32) -> Option<u32> {
        Some(self.previous[op as usize]).filter(|previous| *previous < SEVERAL)
    }

    /// How often a transition leads to each operation. (The last operation, where the machine starts, is counted as if
    /// one did, which costs nothing.)
    fn arrivals(&self) -> Vec<u64> {
        let mut arrivals = self.visits.clone();
        for (op, visits) in self.visits.iter().enumerate() {
            if let Some(previous) = self.implicit(op as u32) {
                arrivals[previous as usize] -= visits;
            }
        }
        arrivals
    }
}

/// A machine, as the header describes it, and its transitions.
pub(super) struct Plan {
    /// The states' part of the header.
    pub states: Vec<u8>,
    pub transitions: Vec<u8>,
}

impl Plan {
    /// The machine for `ops`. `buffers` tells the buffer of each field.
    pub fn new(columns: &Columns, ops: &[Op], buffers: &[u32]) -> Self {
        let tally = Tally::new(columns, ops);
        let places = Places::new(&tally.arrivals());
        let mut items = places.items.clone();
        // Visited, but never by a transition: at any position behind the tree.
        let placed = |op: &u32| tally.visits[*op as usize] > 0 && places.path(*op).is_empty();
        items.extend((0..columns.ops() as u32).filter(placed).map(Item::State));
        if items.is_empty() {
            // A machine has one state at least, also where there are no records.
            return Self { states: vec![1, NO_OP as u8, 0, 0], transitions: Vec::new() };
        }
        let transitions = transitions(ops, &tally, &places);
        let first = ops.last().map_or(0, |op| op.op);
        Self { states: describe(columns, buffers, &items, &tally, &places, first), transitions }
    }
}

/// The states' part of the header.
fn describe(columns: &Columns, buffers: &[u32], items: &[Item], tally: &Tally, places: &Places, first: u32) -> Vec<u8> {
    let mut positions = vec![0; columns.ops()];
    for (item, position) in items.iter().zip(0_u64..) {
        if let Item::State(op) = item {
            positions[*op as usize] = position;
        }
    }
    let (mut out, mut next, mut subtypes, mut indices) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    varint::put(&mut out, items.len() as u64);
    for item in items {
        match *item {
            Item::Block(block) => {
                out.push(NO_OP as u8);
                varint::put(&mut next, u64::from(places.blocks[block as usize]));
            }
            Item::State(op) => {
                let (tag, subtype, has_buffer) = columns.describe(op);
                varint::put(&mut out, u64::from(tag));
                let implicit = tally.implicit(op).map_or(0, |op| items.len() as u64 + positions[op as usize]);
                varint::put(&mut next, implicit);
                subtypes.extend(subtype);
                if has_buffer {
                    varint::put(&mut indices, u64::from(buffers[columns.owner(op) as usize]));
                }
            }
        }
    }
    out.extend(next.into_iter().chain(subtypes).chain(indices));
    varint::put(&mut out, positions[first as usize]);
    out
}

/// The moves from the last operation to the first. A move to offset 0 is appended to the byte before it if it can be.
fn transitions(ops: &[Op], tally: &Tally, places: &Places) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::new();
    for pair in ops.windows(2).rev() {
        if tally.implicit(pair[1].op).is_some() {
            continue;
        }
        for &offset in places.path(pair[0].op) {
            match out.last_mut() {
                Some(byte) if offset == 0 && *byte & MOST_FREE < MOST_FREE => *byte += 1,
                _ => out.push(offset << 2),
            }
        }
    }
    out
}

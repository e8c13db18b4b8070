//! Drawing from several sources in proportion to weights.
//!
//! # Algorithm
//!
//! The mapping is a stable format; golden vectors in `tests/loader/sampler.rs` pin it. The weights are divided by their
//! greatest common divisor; `W` is their sum. A cycle of `W` slots is dealt out: slot `s` goes to the source for which
//! `weight * (s + 1) - W * (slots that it has)` is largest, the first of several. The positions of all epochs behind
//! each other are one sequence of such cycles: position `p` of epoch `e` is the number `g = e * n + p` of it. If that
//! is the `k`-th of source `i`, it holds the record that source `i` alone would have at position `k % n_i` of epoch
//! `k / n_i`: every source goes through all of its records before one comes again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Order, Sampler};

/// Orders of passes that are kept: one in use and one that begins, for each of many sources.
const KEPT: usize = 64;

/// Several samplers, drawn from by weight.
#[derive(Debug, Clone)]
pub struct Mixture(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    parts: Vec<Part>,
    n: u64,
    /// For each slot of a cycle: the source, and how many earlier slots are the source's.
    slots: Vec<(u32, u64)>,
}

#[derive(Debug)]
struct Part {
    sampler: Box<dyn Sampler>,
    /// Index of its first record.
    base: u64,
    n: u64,
    /// Slots of a cycle.
    weight: u64,
}

impl Mixture {
    /// A mixture of samplers, each with its weight; the records of each stand behind those of the ones before it. Samplers
    /// without records and weights of 0 are passed over.
    #[must_use]
    pub fn new(samplers: Vec<(Box<dyn Sampler>, u64)>) -> Self {
        let mut parts = Vec::new();
        let mut n = 0;
        for (sampler, weight) in samplers {
            let (base, length) = (n, sampler.len(0));
            n += length;
            if length > 0 && weight > 0 {
                parts.push(Part { sampler, base, n: length, weight });
            }
        }
        let divisor = parts.iter().fold(0, |divisor, part| gcd(divisor, part.weight)).max(1);
        parts.iter_mut().for_each(|part| part.weight /= divisor);
        let slots = deal(&parts.iter().map(|part| part.weight).collect::<Vec<_>>());
        Self(Arc::new(Inner { parts, n, slots }))
    }
}

fn deal(weights: &[u64]) -> Vec<(u32, u64)> {
    let total: u64 = weights.iter().sum();
    let mut dealt = vec![0_u64; weights.len()];
    let mut slots = Vec::new();
    for slot in 0..total {
        let mut best: Option<(i128, usize)> = None;
        for (number, &weight) in weights.iter().enumerate() {
            let behind = i128::from(weight) * i128::from(slot + 1) - i128::from(total) * i128::from(dealt[number]);
            if best.is_none_or(|(most, _)| behind > most) {
                best = Some((behind, number));
            }
        }
        let number = best.map_or(0, |(_, number)| number);
        slots.push((u32::try_from(number).unwrap_or(u32::MAX), dealt[number]));
        dealt[number] += 1;
    }
    slots
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

impl Sampler for Mixture {
    fn len(&self, _epoch: u64) -> u64 {
        self.0.n
    }

    fn order(&self, epoch: u64) -> Box<dyn Order> {
        Box::new(MixtureOrder { mixture: self.clone(), epoch, passes: Mutex::default() })
    }
}

#[derive(Debug)]
struct MixtureOrder {
    mixture: Mixture,
    epoch: u64,
    /// Orders by source and pass.
    passes: Mutex<HashMap<(u32, u64), Arc<dyn Order>>>,
}

impl Order for MixtureOrder {
    fn index(&self, position: u64) -> u64 {
        let Inner { parts, n, slots } = &*self.mixture.0;
        let Some(position) = position.checked_rem(*n).filter(|_| !slots.is_empty()) else { return 0 };
        let global = u128::from(self.epoch) * u128::from(*n) + u128::from(position);
        let cycle = global / slots.len() as u128;
        let (number, earlier) = slots[(global % slots.len() as u128) as usize];
        let part = &parts[number as usize];
        let draw = cycle * u128::from(part.weight) + u128::from(earlier);
        let pass = (draw / u128::from(part.n)) as u64;
        let order = {
            let mut passes = self.passes.lock().unwrap_or_else(PoisonError::into_inner);
            if passes.len() >= KEPT.max(2 * parts.len()) && !passes.contains_key(&(number, pass)) {
                passes.clear();
            }
            Arc::clone(passes.entry((number, pass)).or_insert_with(|| part.sampler.order(pass).into()))
        };
        part.base + order.index((draw % u128::from(part.n)) as u64)
    }
}

//! A budget in bytes: what bounds the memory of a pipeline.
//!
//! A queue length says nothing about 1 KiB against 1 GiB objects, so every fetched part carries a [`Permit`] for
//! its bytes until its consumer has it. Permits are granted first come, first served.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

#[derive(Debug, Default)]
struct State {
    used: u64,
    peak: u64,
    next_ticket: u64,
    queue: VecDeque<u64>,
}

impl State {
    fn take(&mut self, bytes: u64) {
        self.used = self.used.saturating_add(bytes);
        self.peak = self.peak.max(self.used);
    }
}

#[derive(Debug)]
struct Shared {
    limit: u64,
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is three numbers that are never left half changed, so a poisoned lock is still a good one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a waiter wants to happen while the budget is full; asked again at every change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// Wait until the bytes fit.
    Wait,
    /// Go ahead over the limit: the consumer is waiting for just these bytes, so nothing would be freed otherwise.
    Now,
    /// Give up: the pipeline is being dropped.
    Cancel,
}

/// A shared budget of bytes; clones are the same budget.
#[derive(Debug, Clone)]
pub struct ByteBudget(Arc<Shared>);

impl ByteBudget {
    /// A budget of `limit` bytes.
    #[must_use]
    pub fn new(limit: u64) -> Self {
        Self(Arc::new(Shared { limit, state: Mutex::default(), changed: Condvar::new() }))
    }

    /// Waits until `bytes` fit and takes them; `None` when `urgency` says [`Urgency::Cancel`].
    ///
    /// More bytes than the whole budget are granted once nothing else is held, or at [`Urgency::Now`]. `urgency` is
    /// asked before every wait; whoever changes its answer calls [`ByteBudget::wake`].
    pub fn acquire(&self, bytes: u64, mut urgency: impl FnMut() -> Urgency) -> Option<Permit> {
        let mut state = self.0.lock();
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        state.queue.push_back(ticket);
        let granted = loop {
            let first = state.queue.front() == Some(&ticket);
            let fits = first && (state.used == 0 || state.used.saturating_add(bytes) <= self.0.limit);
            match urgency() {
                Urgency::Cancel => break false,
                Urgency::Now => break true,
                Urgency::Wait if fits => break true,
                Urgency::Wait => {
                    state = self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
        };
        state.queue.retain(|&t| t != ticket);
        if granted {
            state.take(bytes);
        }
        drop(state);
        self.0.changed.notify_all();
        granted.then(|| Permit { budget: self.clone(), bytes })
    }

    /// Takes `bytes` if that is possible without waiting and out of nobody's turn.
    pub fn try_acquire(&self, bytes: u64) -> Option<Permit> {
        let mut state = self.0.lock();
        let fits = state.used == 0 || state.used.saturating_add(bytes) <= self.0.limit;
        if !fits || !state.queue.is_empty() {
            return None;
        }
        state.take(bytes);
        drop(state);
        Some(Permit { budget: self.clone(), bytes })
    }

    /// Lets every waiter ask its urgency again.
    pub fn wake(&self) {
        // Taking the lock orders this wake after the check of a waiter that is about to sleep.
        drop(self.0.lock());
        self.0.changed.notify_all();
    }

    /// The limit in bytes.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.0.limit
    }

    /// Bytes held at this moment.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.0.lock().used
    }

    /// The most bytes ever held at once.
    #[must_use]
    pub fn peak(&self) -> u64 {
        self.0.lock().peak
    }
}

/// Bytes taken from a budget; dropping it gives them back.
#[derive(Debug)]
pub struct Permit {
    budget: ByteBudget,
    bytes: u64,
}

impl Permit {
    /// Bytes that this permit holds.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Sets the permit to the true size, once that is known.
    ///
    /// Growing never waits, because the bytes are already there: the budget may pass its limit and grants nothing
    /// more until it is back under it.
    pub fn resize(&mut self, bytes: u64) {
        let mut state = self.budget.0.lock();
        state.used = state.used.saturating_sub(self.bytes);
        state.take(bytes);
        let freed = bytes < self.bytes;
        self.bytes = bytes;
        drop(state);
        if freed {
            self.budget.0.changed.notify_all();
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.budget.0.lock();
        state.used = state.used.saturating_sub(self.bytes);
        drop(state);
        self.budget.0.changed.notify_all();
    }
}

//! One piece of blocking work on several threads: the calling one, and those of the reading pool that are free.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use s3dlio_runtime::pool;

#[derive(Default)]
struct Gate {
    closed: bool,
    inside: usize,
}

#[derive(Default)]
struct Shared {
    gate: Mutex<Gate>,
    left: Condvar,
}

impl Shared {
    fn with<T>(&self, change: impl FnOnce(&mut Gate) -> T) -> T {
        change(&mut self.gate.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Closes the gate and waits for those inside, also when the caller's own share panics.
struct Owner<'a>(&'a Shared);

impl Drop for Owner<'_> {
    fn drop(&mut self) {
        let mut gate = self.0.gate.lock().unwrap_or_else(PoisonError::into_inner);
        gate.closed = true;
        while gate.inside > 0 {
            gate = self.0.left.wait(gate).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

struct Helper<'a>(&'a Shared);

impl Drop for Helper<'_> {
    fn drop(&mut self) {
        self.0.with(|gate| gate.inside -= 1);
        self.0.left.notify_all();
    }
}

/// Calls `work` on this thread and at the same time on at most `helpers` threads of the reading pool.
///
/// The threads share the work out among themselves. A helper that the pool has no thread for in time never begins, so
/// a full pool, or a caller that is one of its threads, costs speed and never waits for itself.
pub(super) fn together(helpers: usize, work: &(dyn Fn() + Sync)) {
    let shared = Arc::new(Shared::default());
    // SAFETY: only the lifetime changes. A helper calls the closure after it has passed the open gate, and `Owner`
    // shuts the gate and waits for all inside before this function returns or unwinds, while the borrow still lives.
    let lent = unsafe { std::mem::transmute::<&(dyn Fn() + Sync), &'static (dyn Fn() + Sync)>(work) };
    let owner = Owner(&shared);
    for _ in 0..helpers {
        let shared = Arc::clone(&shared);
        pool::io().run(move || {
            let entered = shared.with(|gate| {
                gate.inside += usize::from(!gate.closed);
                !gate.closed
            });
            if entered {
                let _leave = Helper(&shared);
                lent();
            }
        });
    }
    work();
    drop(owner);
}

//! Fork generations: how live values notice that they were inherited by a child process.
//!
//! `fork` copies memory but only the calling thread, so a runtime, pool or connection of the parent is a ruin in
//! the child: its threads are gone and its locks may be held for ever. A child handler bumps one atomic number and
//! does nothing else (it runs between `fork` and the first instruction of the child, where almost nothing is
//! allowed); every live value remembers the number it was built under.

use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};

static GENERATION: AtomicU64 = AtomicU64::new(0);
static INSTALLED: AtomicBool = AtomicBool::new(false);

extern "C" fn in_child() {
    GENERATION.fetch_add(1, Ordering::Release);
}

/// Registers the child handler; call it once, early, from the thread that loads the library.
///
/// Further calls do nothing. An atomic flag and not a `Once` guards it: a `Once` that is running at the moment of
/// a fork would block the child.
pub fn install() {
    // Every look at the generation passes here, so the common case must not write to the shared flag.
    if !INSTALLED.load(Ordering::Acquire) && !INSTALLED.swap(true, Ordering::AcqRel) {
        // SAFETY: `in_child` is an `extern "C"` function that lives as long as the process and only touches an atomic.
        unsafe {
            libc::pthread_atfork(None, None, Some(in_child));
        }
    }
}

/// The number of forks between the first process that loaded the library and this one.
#[must_use]
pub fn generation() -> u64 {
    install();
    GENERATION.load(Ordering::Acquire)
}

struct Slot<T> {
    generation: u64,
    value: T,
}

/// A value that belongs to one process: a child that inherits it builds its own on first use.
///
/// The parent's value is leaked in the child, never dropped: dropping a runtime or a pool would join threads that
/// do not exist there. No lock is involved, because a lock can be held by another thread at the moment of a fork;
/// two threads that build at once publish by compare-exchange and the loser's value is dropped.
pub struct ForkLocal<T> {
    slot: AtomicPtr<Slot<T>>,
}

impl<T> ForkLocal<T> {
    /// An empty cell.
    #[must_use]
    pub const fn new() -> Self {
        Self { slot: AtomicPtr::new(std::ptr::null_mut()) }
    }

    /// This process's value, built by `build` when there is none yet or when the present one came through a fork.
    pub fn get_or_init(&self, build: impl FnOnce() -> T) -> &T {
        let current = self.slot.load(Ordering::Acquire);
        let generation = generation();
        if let Some(slot) = Self::fresh(current, generation) {
            return &slot.value;
        }
        let built = Box::into_raw(Box::new(Slot { generation, value: build() }));
        match self.slot.compare_exchange(current, built, Ordering::AcqRel, Ordering::Acquire) {
            // SAFETY: `built` came from `Box::into_raw` above and is now owned by the cell, which frees a slot only
            // in `drop`, when no borrow of the cell is left.
            Ok(_) => unsafe { &(*built).value },
            Err(winner) => {
                // SAFETY: the exchange failed, so `built` was never published and this thread still owns it.
                drop(unsafe { Box::from_raw(built) });
                // SAFETY: a published slot lives until the cell is dropped, and `&self` keeps the cell alive.
                unsafe { &(*winner).value }
            }
        }
    }

    /// This process's value, if it has been built in this process.
    pub fn get(&self) -> Option<&T> {
        Self::fresh(self.slot.load(Ordering::Acquire), generation()).map(|slot| &slot.value)
    }

    fn fresh<'a>(slot: *mut Slot<T>, generation: u64) -> Option<&'a Slot<T>> {
        // SAFETY: a non-null slot was published by `get_or_init` and stays allocated until the cell is dropped; all
        // callers hold a borrow of the cell for the returned lifetime.
        unsafe { slot.as_ref() }.filter(|slot| slot.generation == generation)
    }
}

impl<T> Default for ForkLocal<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Drop for ForkLocal<T> {
    fn drop(&mut self) {
        let slot = *self.slot.get_mut();
        if Self::fresh(slot, generation()).is_some() {
            // SAFETY: `&mut self` means that no borrow is left, and the slot was made by `Box::into_raw`.
            drop(unsafe { Box::from_raw(slot) });
        }
    }
}

// SAFETY: the cell hands out `&T` to any thread that holds `&ForkLocal` (needs `T: Sync`) and may build or drop the
// value on a thread other than the one that made the cell (needs `T: Send`).
unsafe impl<T: Send + Sync> Sync for ForkLocal<T> {}
// SAFETY: as above; moving the cell moves the value.
unsafe impl<T: Send> Send for ForkLocal<T> {}

impl<T> std::fmt::Debug for ForkLocal<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ForkLocal").field("built", &self.get().is_some()).finish()
    }
}

//! Memory that a caller lends to be filled, by several threads in disjoint parts.

use std::fmt;
use std::sync::Arc;

/// Memory that stays in place while it is lent.
///
/// # Safety
/// `pointer` must be valid for reads and writes of `length` initialised bytes for the life of the value, on any thread, and
/// nobody else may hold a reference to them meanwhile. Both must always give the same.
pub unsafe trait Memory: Send + Sync {
    /// The first byte.
    fn pointer(&self) -> *mut u8;
    /// Bytes.
    fn length(&self) -> usize;
}

/// A part of lent memory: only the holder of a part writes to it, and the lender keeps it in place while any part lives.
pub struct Region {
    start: *mut u8,
    length: usize,
    filled: usize,
    lender: Arc<dyn Memory>,
}

// SAFETY: a region is the only one to write to its part, and what keeps the memory in place can be sent and shared.
unsafe impl Send for Region {}

impl Region {
    /// All of this memory, which is given back when the last part of it is dropped.
    #[must_use]
    pub fn new(memory: impl Memory + 'static) -> Self {
        Self::of(Arc::new(memory))
    }

    pub(crate) fn of(lender: Arc<dyn Memory>) -> Self {
        Self { start: lender.pointer(), length: lender.length(), filled: 0, lender }
    }

    /// Bytes of the part.
    #[must_use]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether the part has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Bytes that have been appended.
    #[must_use]
    pub fn filled(&self) -> usize {
        self.filled
    }

    /// The whole part.
    pub fn memory(&mut self) -> &mut [u8] {
        if self.length == 0 {
            return &mut [];
        }
        // SAFETY: the contract of `Memory`, whose value lives in `lender`, and parts are disjoint; the borrow of `self`
        // keeps it exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.length) }
    }

    /// Fills what comes next; what does not fit is left out.
    pub fn append(&mut self, bytes: &[u8]) {
        let filled = self.filled;
        let fits = bytes.len().min(self.length - filled);
        self.memory()[filled..filled + fits].copy_from_slice(&bytes[..fits]);
        self.filled += fits;
    }

    /// Cuts the part at `at` (at most its length) and returns what lies behind.
    #[must_use]
    pub fn split_off(&mut self, at: usize) -> Self {
        let at = at.min(self.length);
        // SAFETY: `at` is at most the length, so the place is in or one past the same memory.
        let start = unsafe { self.start.add(at) };
        let rest = Self { start, length: self.length - at, filled: 0, lender: Arc::clone(&self.lender) };
        self.length = at;
        self.filled = self.filled.min(at);
        rest
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Region").field("length", &self.length).field("filled", &self.filled).finish_non_exhaustive()
    }
}

/// Memory of this process's own, to be had back when it is filled.
#[derive(Debug)]
pub struct Owned(Arc<Allocation>);

#[derive(Debug)]
struct Allocation {
    start: *mut [u8],
}

// SAFETY: the allocation belongs to the value alone and moves with it.
unsafe impl Send for Allocation {}
// SAFETY: shared access hands out only a pointer, whose use is bound by the contract of `Memory`.
unsafe impl Sync for Allocation {}

// SAFETY: the allocation is initialised and lives as long as the value; only the one region over it refers to it, as
// `Owned` looks at it when it is the last to hold it.
unsafe impl Memory for Allocation {
    fn pointer(&self) -> *mut u8 {
        self.start.cast()
    }

    fn length(&self) -> usize {
        self.start.len()
    }
}

impl Drop for Allocation {
    fn drop(&mut self) {
        // SAFETY: the pointer came from `Box::into_raw`, and is freed only here or, in `into_bytes`, after it was exchanged.
        drop(unsafe { Box::from_raw(self.start) });
    }
}

impl Owned {
    /// So many zeros, and the region that fills them.
    #[must_use]
    pub fn zeroed(length: usize) -> (Self, Region) {
        let memory = Arc::new(Allocation { start: Box::into_raw(vec![0_u8; length].into_boxed_slice()) });
        let region = Region::of(Arc::<Allocation>::clone(&memory));
        (Self(memory), region)
    }

    /// The bytes; `None` while parts of the region are alive, which may still be written to.
    #[must_use]
    pub fn into_bytes(self) -> Option<Vec<u8>> {
        let mut allocation = Arc::try_unwrap(self.0).ok()?;
        let empty = Box::into_raw(Vec::new().into_boxed_slice());
        let start = std::mem::replace(&mut allocation.start, empty);
        // SAFETY: the pointer came from `Box::into_raw`, and its value does not know it any more.
        Some(unsafe { Box::from_raw(start) }.into_vec())
    }
}

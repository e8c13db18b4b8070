//! Memory that a caller lends to be filled, by several threads in disjoint parts.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// A part of lent memory: only the holder of a part writes to it, and the lender keeps it in place while any part lives.
pub struct Region {
    start: *mut u8,
    length: usize,
    filled: usize,
    lender: Arc<dyn Any + Send + Sync>,
}

// SAFETY: a region is the only one to write to its part, and what keeps the memory in place can be sent and shared.
unsafe impl Send for Region {}

impl Region {
    /// The `length` bytes at `start`, which stay in place for as long as `lender` lives.
    ///
    /// # Safety
    /// The memory must be initialised and valid for reads and writes of `length` bytes until `lender` is dropped, and nobody
    /// else may hold a reference to it until then.
    #[must_use]
    pub unsafe fn new(start: *mut u8, length: usize, lender: Arc<dyn Any + Send + Sync>) -> Self {
        Self { start, length, filled: 0, lender }
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
        // SAFETY: the constructor's contract, and parts are disjoint; the borrow of `self` keeps it exclusive.
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

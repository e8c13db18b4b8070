//! Memory that tensors are read into: the caller's own.

use std::ops::Range;
use std::sync::Arc;

/// Memory that stays in place while it is shared.
///
/// # Safety
/// `pointer` must be valid for reads and writes of `length` bytes for the life of the value, on any thread, and nobody
/// else may read or write them meanwhile.
pub unsafe trait Memory: Send + Sync {
    /// The first byte.
    fn pointer(&self) -> *mut u8;
    /// Bytes.
    fn length(&self) -> usize;
}

/// A place for one tensor.
#[derive(Clone)]
pub struct Target(Arc<dyn Memory>);

impl Target {
    /// A place in this memory.
    pub fn new(memory: impl Memory + 'static) -> Self {
        Self(Arc::new(memory))
    }

    /// Bytes.
    #[must_use]
    pub fn length(&self) -> usize {
        self.0.length()
    }

    /// Some of the bytes.
    ///
    /// # Safety
    /// No two slices that overlap may be alive at the same time.
    #[expect(clippy::mut_from_ref, reason = "threads fill parts of one memory; the caller keeps them apart")]
    pub(crate) unsafe fn slice(&self, range: Range<usize>) -> Option<&mut [u8]> {
        if range.start > range.end || range.end > self.length() {
            return None;
        }
        // SAFETY: the range lies inside memory that is valid by the contract of `Memory`; the caller keeps slices apart.
        Some(unsafe { std::slice::from_raw_parts_mut(self.0.pointer().add(range.start), range.end - range.start) })
    }
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target").field("length", &self.length()).finish()
    }
}

/// Memory of its own, to be taken back when the reading is over.
#[derive(Debug)]
pub struct Owned {
    pointer: *mut u8,
    length: usize,
}

// SAFETY: the allocation belongs to the value alone and moves with it.
unsafe impl Send for Owned {}
// SAFETY: shared access hands out only a pointer, whose use is bound by the contract of `Memory`.
unsafe impl Sync for Owned {}

impl Owned {
    /// Zeros.
    #[must_use]
    pub fn zeroed(length: usize) -> Arc<Self> {
        let memory = vec![0_u8; length].into_boxed_slice();
        Arc::new(Self { pointer: Box::into_raw(memory).cast(), length })
    }

    /// A place in it.
    #[must_use]
    pub fn target(self: &Arc<Self>) -> Target {
        Target(Arc::<Self>::clone(self))
    }

    /// The bytes; `None` while a reading may still write to them.
    pub fn bytes(self: &mut Arc<Self>) -> Option<&[u8]> {
        let owned = Arc::get_mut(self)?;
        // SAFETY: no other handle exists, so nobody writes; the allocation has `length` bytes.
        Some(unsafe { std::slice::from_raw_parts(owned.pointer, owned.length) })
    }
}

// SAFETY: the allocation lives as long as the value; only holders of a `Target` write to it.
unsafe impl Memory for Owned {
    fn pointer(&self) -> *mut u8 {
        self.pointer
    }

    fn length(&self) -> usize {
        self.length
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        let memory = std::ptr::slice_from_raw_parts_mut(self.pointer, self.length);
        // SAFETY: the pointer came from `Box::into_raw` of a slice of this length, and is freed only here.
        drop(unsafe { Box::from_raw(memory) });
    }
}

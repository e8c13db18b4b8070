//! Memory for the content of files and objects: aligned for `O_DIRECT`, and used again.
//!
//! Page-faulting new memory costs more than copying into it, so a buffer returns to the pool of its process when the
//! last view of it is gone.

use std::alloc::Layout;
use std::collections::BTreeMap;
use std::io;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};
use s3dlio_runtime::fork::ForkLocal;

use crate::region::Memory;

/// Every buffer begins at a multiple of this, and the devices met so far ask for no more.
const PAGE: usize = 4096;

/// From this size on a buffer is a mapping of its own: the huge page of x86-64 and of most ARM kernels.
///
/// Huge pages are not asked for. Clearing 1 GiB of fresh ones took 0.2 s at best, where usual ones took 0.5 s, but up to
/// 3.6 s on a virtual machine whose host had taken free memory back. A system that is set to give them always does, as
/// the mappings are aligned to them.
pub(crate) const HUGE: usize = 2 << 20;

/// Bytes that the pool keeps for the next reader: a few objects of the usual shard size, and little beside a training
/// process even when each of its workers keeps as much.
const KEPT: usize = 64 << 20;

static POOL: ForkLocal<Mutex<Pool>> = ForkLocal::new();

/// Memory that nobody uses at present.
#[derive(Default)]
struct Pool {
    free: BTreeMap<usize, Vec<Region>>,
    bytes: usize,
}

impl Pool {
    fn take(&mut self, capacity: usize) -> Option<Region> {
        // A buffer that is a quarter too large is still better than fresh memory.
        let (&found, regions) = self.free.range_mut(capacity..=capacity + capacity / 4).next()?;
        let region = regions.pop();
        if regions.is_empty() {
            self.free.remove(&found);
        }
        self.bytes -= region.as_ref().map_or(0, |region| region.capacity);
        region
    }

    /// Keeps `region`; what has to go for it is returned, to be freed outside the lock.
    fn give(&mut self, region: Region) -> BTreeMap<usize, Vec<Region>> {
        let mut old = BTreeMap::new();
        if self.bytes + region.capacity > KEPT {
            // Sizes that are no longer asked for would otherwise stay for ever. At most once for each `KEPT` bytes read.
            old = std::mem::take(&mut self.free);
            self.bytes = 0;
        }
        self.bytes += region.capacity;
        self.free.entry(region.capacity).or_default().push(region);
        old
    }
}

enum Origin {
    Heap(Layout),
    Mapping { start: NonNull<u8>, length: usize },
}

/// A piece of memory of this process.
struct Region {
    start: NonNull<u8>,
    capacity: usize,
    origin: Origin,
}

// SAFETY: a region owns its memory, which is not tied to a thread.
unsafe impl Send for Region {}
// SAFETY: a shared region is only read.
unsafe impl Sync for Region {}

impl Region {
    fn heap(capacity: usize, align: usize) -> io::Result<Self> {
        let layout = Layout::from_size_align(capacity, align).map_err(|_| no_memory(capacity))?;
        // SAFETY: `capacity` is at least one page, so the layout has a size.
        let start = NonNull::new(unsafe { std::alloc::alloc(layout) }).ok_or_else(|| no_memory(capacity))?;
        Ok(Self { start, capacity, origin: Origin::Heap(layout) })
    }

    fn mapping(capacity: usize, align: usize) -> io::Result<Self> {
        let align = align.max(HUGE);
        let length = capacity.checked_add(align).ok_or_else(|| no_memory(capacity))?;
        // SAFETY: asks for new memory at an address of the kernel's choice, so nothing that exists is touched.
        let mapped = unsafe {
            mmap_anonymous(std::ptr::null_mut(), length, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE)
        };
        let mapped = NonNull::new(mapped.map_err(|_| no_memory(capacity))?.cast::<u8>());
        let mapped = mapped.ok_or_else(|| no_memory(capacity))?;
        let skip = mapped.align_offset(align);
        // SAFETY: `skip` is below `align`, and the mapping is `align` bytes longer than the capacity.
        let start = unsafe { mapped.add(skip) };
        Ok(Self { start, capacity, origin: Origin::Mapping { start: mapped, length } })
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        match self.origin {
            // SAFETY: allocated with just this layout, and nobody else holds the region.
            Origin::Heap(layout) => unsafe { std::alloc::dealloc(self.start.as_ptr(), layout) },
            Origin::Mapping { start, length } => {
                // SAFETY: the mapping belongs to this region alone. There is nothing to do about a refusal.
                let _ = unsafe { munmap(start.as_ptr().cast(), length) };
            }
        }
    }
}

fn no_memory(capacity: usize) -> io::Error {
    io::Error::new(io::ErrorKind::OutOfMemory, format!("no memory for {capacity} bytes"))
}

/// Memory to read into or to write from.
pub(crate) struct Buffer {
    region: Option<Region>,
}

impl Buffer {
    /// At least `capacity` bytes that begin at a multiple of `align` (a power of two); their content is arbitrary.
    pub(crate) fn new(capacity: usize, align: usize) -> io::Result<Self> {
        let align = align.max(PAGE);
        // Steps of an eighth: few enough sizes that a pool serves them, and little memory wasted.
        let step = (capacity.checked_next_power_of_two().ok_or_else(|| no_memory(capacity))? / 8).max(PAGE);
        let capacity = capacity.max(1).checked_next_multiple_of(step).ok_or_else(|| no_memory(capacity))?;
        if let Some(region) = (align == PAGE).then(|| pool(|pool| pool.take(capacity))).flatten() {
            return Ok(Self { region: Some(region) });
        }
        let region = if capacity < HUGE { Region::heap(capacity, align)? } else { Region::mapping(capacity, align)? };
        Ok(Self { region: Some(region) })
    }

    /// Like [`Buffer::new`], with zeros in all of it.
    pub(crate) fn zeroed(capacity: usize, align: usize) -> io::Result<Self> {
        let mut buffer = Self::new(capacity, align)?;
        buffer.spare().fill(MaybeUninit::new(0));
        Ok(buffer)
    }

    /// Copies `data` to the place `at`, and gives the copy; what does not fit is left out.
    pub(crate) fn copy_of(&mut self, at: usize, data: &[u8]) -> &[u8] {
        let memory = self.spare();
        let start = at.min(memory.len());
        let length = data.len().min(memory.len() - start);
        // SAFETY: both ranges were just cut to their memory, and a buffer lends its memory to nobody else meanwhile.
        unsafe { std::ptr::copy_nonoverlapping(data.as_ptr(), memory.as_mut_ptr().add(start).cast(), length) };
        // SAFETY: written in the line above.
        unsafe { self.filled(start..start + length) }
    }

    /// All of the memory.
    pub(crate) fn spare(&mut self) -> &mut [MaybeUninit<u8>] {
        match &self.region {
            // SAFETY: the region is `capacity` bytes long, and the borrow of `self` keeps others away from it.
            Some(region) => unsafe {
                std::slice::from_raw_parts_mut(region.start.as_ptr().cast::<MaybeUninit<u8>>(), region.capacity)
            },
            None => &mut [],
        }
    }

    /// Bytes of memory.
    pub(crate) fn capacity(&self) -> usize {
        self.region.as_ref().map_or(0, |region| region.capacity)
    }

    /// The memory of `range`, to be written while others read what is beside it; nothing where it is too long.
    ///
    /// # Safety
    /// Nobody reads or writes `range` as long as the result lives.
    #[expect(clippy::mut_from_ref, reason = "the caller vouches for this part of the memory")]
    pub(crate) unsafe fn part_mut(&self, range: Range<usize>) -> &mut [MaybeUninit<u8>] {
        match &self.region {
            Some(region) if range.start <= range.end && range.end <= region.capacity => {
                // SAFETY: inside the region, and the caller's alone.
                unsafe {
                    let start = region.start.as_ptr().add(range.start).cast::<MaybeUninit<u8>>();
                    std::slice::from_raw_parts_mut(start, range.end - range.start)
                }
            }
            _ => &mut [],
        }
    }

    /// The bytes of `range`.
    ///
    /// # Safety
    /// They have been written.
    pub(crate) unsafe fn filled(&self, range: Range<usize>) -> &[u8] {
        match &self.region {
            Some(region) if range.start <= range.end && range.end <= region.capacity => {
                // SAFETY: inside the region, and initialised by the caller's promise.
                unsafe { std::slice::from_raw_parts(region.start.as_ptr().add(range.start), range.end - range.start) }
            }
            _ => &[],
        }
    }

    /// The bytes of `range` as a value that owns the memory.
    ///
    /// # Safety
    /// They have been written.
    pub(crate) unsafe fn freeze(self, range: Range<usize>) -> Bytes {
        Bytes::from_owner(View { buffer: self, range })
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let Some(region) = self.region.take() else { return };
        let poolable = match region.origin {
            Origin::Heap(layout) => layout.align() == PAGE,
            Origin::Mapping { .. } => true,
        };
        if poolable && region.capacity <= KEPT {
            drop(pool(|pool| pool.give(region)));
        }
    }
}

fn pool<T>(with: impl FnOnce(&mut Pool) -> T) -> T {
    with(&mut POOL.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner))
}

/// Written bytes of a buffer.
struct View {
    buffer: Buffer,
    range: Range<usize>,
}

impl AsRef<[u8]> for View {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: `freeze` made this view of bytes that are written.
        unsafe { self.buffer.filled(self.range.clone()) }
    }
}

/// A large buffer that is lent to those who fetch its content.
pub(crate) struct Lent {
    buffer: Buffer,
    length: usize,
}

impl Lent {
    /// Memory for `length` bytes; below 2 MiB it is filled with zeros.
    pub(crate) fn new(length: usize) -> io::Result<Self> {
        let buffer = if length < HUGE { Buffer::zeroed(length, PAGE) } else { Buffer::new(length, PAGE) };
        Ok(Self { buffer: buffer?, length })
    }

    /// The first `filled` bytes.
    pub(crate) fn freeze(self, filled: usize) -> Bytes {
        // SAFETY: as for `Memory` below, all of it has been initialised.
        unsafe { self.buffer.freeze(0..filled.min(self.length)) }
    }
}

// SAFETY: a buffer keeps its memory in place. All of it is initialised: that of a mapping by the system, the rest in `new`;
// only the regions over it refer to it before it is frozen, which takes the value.
unsafe impl Memory for Lent {
    fn pointer(&self) -> *mut u8 {
        self.buffer.region.as_ref().map_or(std::ptr::dangling_mut(), |region| region.start.as_ptr())
    }

    fn length(&self) -> usize {
        self.length
    }
}

/// Written bytes of a buffer that is shared.
pub(crate) struct Part {
    buffer: Arc<Buffer>,
    range: Range<usize>,
}

impl Part {
    /// The bytes of `range`.
    ///
    /// # Safety
    /// They have been written, and nobody writes them again.
    pub(crate) unsafe fn new(buffer: Arc<Buffer>, range: Range<usize>) -> Self {
        Self { buffer, range }
    }
}

impl AsRef<[u8]> for Part {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: promised to `new`.
        unsafe { self.buffer.filled(self.range.clone()) }
    }
}

//! Small files in common memory, which goes back to the pool of the process when the last of them is gone.
//!
//! Page-faulting fresh memory costs more than reading a file into it, and single buffers of this size would not come back.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::Mode;
use super::read::Reader;
use crate::buffer::{Buffer, Part};
use crate::error::{Result, StoreError};

/// Bytes of a block. Below a huge page: on virtual machines whose host takes free memory back, the first touch of one
/// of these costs ten times what its small pages do.
const BLOCK: usize = 1 << 20;

/// Bytes of the first block, for those who read only a few files.
const FIRST: usize = 256 << 10;

/// Files above this get memory of their own, so that no block ends with more than a quarter of it unused.
const SMALL: u64 = 256 << 10;

/// Every file begins at a multiple of this: a line of the processor's cache, and the alignment of every number.
const ALIGNMENT: usize = 64;

/// Reads files into memory that they share. Whoever keeps the bytes of one keeps its block, 1 MiB at most.
#[derive(Default)]
pub struct Arena {
    block: Option<Arc<Buffer>>,
    used: usize,
}

impl Arena {
    /// Reads a whole file.
    ///
    /// # Errors
    /// As [`read`](super::read).
    pub fn read(&mut self, path: &str, mode: Mode) -> Result<Bytes> {
        let reader = Reader::open(path, mode)?;
        let size = reader.wanted(0, None);
        if size == 0 || size > SMALL || mode != Mode::Buffered {
            return reader.read(0, None);
        }
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let block = self.block_for(size).map_err(|source| StoreError::io(format!("file://{path}"), &source))?;
        let range = self.used..self.used + size;
        // SAFETY: nobody but this arena writes into the block, and bytes from `used` on were given to nobody.
        let memory = unsafe { block.part_mut(range.clone()) };
        reader.exactly(0, memory, size, size, 0)?;
        reader.still(0, size)?;
        self.used = range.end.next_multiple_of(ALIGNMENT);
        // SAFETY: `exactly` has filled the range.
        Ok(Bytes::from_owner(unsafe { Part::new(block, range) }))
    }

    /// A block with room for `size` more bytes.
    fn block_for(&mut self, size: usize) -> io::Result<Arc<Buffer>> {
        if let Some(block) = &self.block
            && self.used + size <= block.capacity()
        {
            return Ok(Arc::clone(block));
        }
        let capacity = if self.block.is_some() || size > FIRST { BLOCK } else { FIRST };
        let block = Arc::new(Buffer::new(capacity, ALIGNMENT)?);
        self.used = 0;
        self.block = Some(Arc::clone(&block));
        Ok(block)
    }
}

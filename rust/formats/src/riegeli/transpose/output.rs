//! Bytes that are written from the last to the first.

use bytes::Bytes;

use super::fault::Fault;

/// Bytes of one store. Every short piece is written as a whole word that ends where the piece ends: what it leaves
/// before the piece is overwritten by the pieces that follow.
const WORD: usize = 16;

/// Grows towards the front, up to a limit.
pub(super) struct Output {
    /// The first [`WORD`] bytes only take what words leave before their piece.
    space: Vec<u8>,
    /// Where the written part starts; at least [`WORD`].
    start: usize,
    limit: u64,
}

impl Output {
    /// Room for `likely` bytes, and never for more than `limit`.
    pub fn new(likely: u64, limit: u64) -> Result<Self, Fault> {
        let space = room(likely.min(limit))?;
        Ok(Self { start: space.len(), space, limit })
    }

    /// Bytes written.
    pub fn len(&self) -> usize {
        self.space.len() - self.start
    }

    /// Prepends the `len` lowest bytes of `word`, 1 to [`WORD`] of them.
    #[inline]
    pub fn word(&mut self, word: u128, len: usize) -> Result<(), Fault> {
        if self.start < WORD + len {
            self.grow(len)?;
        }
        let aligned = word << (8 * (WORD - len));
        self.space[self.start - WORD..self.start].copy_from_slice(&aligned.to_le_bytes());
        self.start -= len;
        Ok(())
    }

    /// Prepends `bytes`.
    #[inline]
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        if self.start - WORD < bytes.len() {
            self.grow(bytes.len())?;
        }
        let start = self.start - bytes.len();
        self.space[start..self.start].copy_from_slice(bytes);
        self.start = start;
        Ok(())
    }

    /// Makes room for `more` bytes, by doubling, so that memory follows what was decoded and not what was announced.
    #[cold]
    fn grow(&mut self, more: usize) -> Result<(), Fault> {
        let len = self.len() as u64;
        let needed = len.saturating_add(more as u64);
        if needed > self.limit {
            return Err(Fault::TooLarge { found: needed, expected: self.limit });
        }
        let mut space = room(len.saturating_mul(2).clamp(needed, self.limit))?;
        let start = space.len() - self.len();
        space[start..].copy_from_slice(&self.space[self.start..]);
        (self.space, self.start) = (space, start);
        Ok(())
    }

    /// What was written, without a copy.
    pub fn finish(self) -> Bytes {
        Bytes::from(self.space).slice(self.start..)
    }
}

/// Zeros for `bytes` and the [`WORD`] before them.
fn room(bytes: u64) -> Result<Vec<u8>, Fault> {
    let no_memory = || Fault::NoMemory { bytes };
    let len = usize::try_from(bytes).ok().and_then(|len| len.checked_add(WORD)).ok_or_else(no_memory)?;
    let mut space = Vec::new();
    space.try_reserve_exact(len).map_err(|_| no_memory())?;
    space.resize(len, 0);
    Ok(space)
}

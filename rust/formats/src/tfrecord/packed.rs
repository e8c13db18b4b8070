//! An index as bytes, for another process of the same program.

use super::index::{Entry, Index};

impl Index {
    /// The index in 16 bytes a record; [`unpack`](Self::unpack) makes it again.
    #[must_use]
    pub fn pack(&self) -> Vec<u8> {
        self.iter().flat_map(|entry| [entry.offset, entry.size]).flat_map(u64::to_le_bytes).collect()
    }

    /// What [`pack`](Self::pack) gave; `None` for anything else.
    #[must_use]
    pub fn unpack(packed: &[u8]) -> Option<Self> {
        let (entries, rest) = packed.as_chunks::<16>();
        let entry = |bytes: &[u8; 16]| {
            let (offset, size) = bytes.split_at(8);
            let number = |half: &[u8]| half.try_into().map(u64::from_le_bytes).unwrap_or_default();
            Entry { offset: number(offset), size: number(size) }
        };
        rest.is_empty().then(|| entries.iter().map(entry).collect())
    }
}

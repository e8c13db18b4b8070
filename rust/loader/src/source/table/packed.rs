//! A table as bytes, for another process or another run.

use s3dlio_formats::varint;

use super::{BLOCK, ObjectTable, Sizes};
use crate::error::{LoaderError, Result};

/// First bytes of a packed table; the digit is the version of the layout.
const MAGIC: &[u8; 8] = b"S3DLTAB2";

/// Appends what tells a key from the one before: the bytes that it shares with that, and its own.
pub(super) fn put_key(out: &mut Vec<u8>, shared: usize, own: &[u8]) {
    varint::put(out, shared as u64);
    varint::put(out, own.len() as u64);
    out.extend_from_slice(own);
}

/// Turns the key before into the next one; gives what lies behind it.
pub(super) fn take_key<'a>(mut bytes: &'a [u8], key: &mut Vec<u8>) -> Option<&'a [u8]> {
    let mut number = || usize::try_from(varint::get_u64(&mut bytes).ok()?).ok();
    let (shared, length) = (number()?, number()?);
    if shared > key.len() {
        return None;
    }
    let (own, rest) = bytes.split_at_checked(length)?;
    key.truncate(shared);
    key.extend_from_slice(own);
    Some(rest)
}

impl ObjectTable {
    /// The table as bytes, for another process; [`ObjectTable::unpack`] reads it.
    #[must_use]
    pub fn pack(&self) -> Vec<u8> {
        let roots = self.roots.join("\n");
        let mut out = Vec::with_capacity(64 + roots.len() + self.keys.len() + 12 * self.len());
        out.extend_from_slice(MAGIC);
        let width = match self.sizes {
            Sizes::Small(_) => 4,
            Sizes::Large(_) => 8,
        };
        for count in [roots.len(), self.keys.len(), self.len(), self.root_of.len(), width] {
            out.extend_from_slice(&(count as u64).to_le_bytes());
        }
        out.extend_from_slice(roots.as_bytes());
        out.extend_from_slice(&self.keys);
        match &self.sizes {
            Sizes::Small(sizes) => sizes.iter().for_each(|size| out.extend_from_slice(&size.to_le_bytes())),
            Sizes::Large(sizes) => sizes.iter().for_each(|size| out.extend_from_slice(&size.to_le_bytes())),
        }
        self.root_of.iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
        out
    }

    /// Reads what [`ObjectTable::pack`] wrote.
    ///
    /// # Errors
    /// [`LoaderError::StateInvalid`] for anything else.
    pub fn unpack(bytes: &[u8]) -> Result<Self> {
        let bad = || LoaderError::StateInvalid(format!("not a packed object table: {} bytes", bytes.len()));
        Self::parse(bytes).and_then(Self::rebuilt).ok_or_else(bad)
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes.strip_prefix(MAGIC)?;
        let mut take = |count: usize| {
            let (head, tail) = rest.split_at_checked(count)?;
            rest = tail;
            Some(head)
        };
        let counts: Vec<usize> = take(40)?.chunks_exact(8).filter_map(number).map(|n| n as usize).collect();
        let [roots, keys, objects, root_of, width] = counts.try_into().ok()?;
        let roots = std::str::from_utf8(take(roots)?).ok()?.split('\n').map(str::to_owned).collect();
        let keys = take(keys)?.to_vec();
        let sizes = match width {
            4 => Sizes::Small(take(objects.checked_mul(4)?)?.chunks_exact(4).filter_map(small).collect()),
            8 => Sizes::Large(take(objects.checked_mul(8)?)?.chunks_exact(8).filter_map(number).collect()),
            _ => return None,
        };
        let root_of = take(root_of.checked_mul(4)?)?.chunks_exact(4).filter_map(small).collect();
        rest.is_empty().then(|| Self { roots, keys, sizes, root_of, ..Self::default() })
    }

    /// The table with what is not kept in its packed form; `None` where its parts contradict each other.
    fn rebuilt(mut self) -> Option<Self> {
        if !self.root_of.is_empty() && self.root_of.len() != self.len() {
            return None;
        }
        if self.root_of.iter().any(|&root| root as usize >= self.roots.len()) {
            return None;
        }
        let (mut rest, mut before, mut blocks) = (self.keys.as_slice(), Vec::new(), Vec::new());
        self.ascending = !self.is_empty();
        for index in 0..self.len() {
            if index.is_multiple_of(BLOCK) {
                blocks.push((self.keys.len() - rest.len()) as u64);
                self.last.clear();
            }
            rest = take_key(rest, &mut self.last)?;
            std::str::from_utf8(&self.last).ok()?;
            self.ascending &= index == 0 || before.as_slice() < self.last.as_slice();
            before.clone_from(&self.last);
        }
        if !rest.is_empty() {
            return None;
        }
        self.blocks = blocks;
        Some(self)
    }
}

fn number(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

fn small(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

//! A compact table of objects: all keys in one arena, no string of their own each.
//!
//! Keys of a data set mostly begin like their predecessors, so that each is kept as the number of bytes that it shares
//! with the key before and the bytes behind these. Every sixteenth key is whole: from there a key is put together.

mod packed;

use highway::{HighwayHash, HighwayHasher, Key};

/// Keys from one whole key to the next: more would save little, and each costs a step when the last of them is read.
const BLOCK: usize = 16;

/// Says that a size is not known.
const UNKNOWN: u64 = u64::MAX;

/// The objects of a data set, in order.
///
/// Ten million keys like `train/n01440764/n01440764_10026.JPEG` take less than 200 MiB, and any of 40 characters less than
/// 450 MiB: the tests of discovery hold both. The roots (`s3://bucket/`) are kept once each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObjectTable {
    roots: Vec<String>,
    /// Of each key: bytes shared with the one before, number of the others, and these.
    keys: Vec<u8>,
    /// Where every `BLOCK`-th key begins in `keys`.
    blocks: Vec<u64>,
    sizes: Sizes,
    /// Root of each object; empty while all belong to the first.
    root_of: Vec<u32>,
    /// The newest key.
    last: Vec<u8>,
    /// Whether each key comes behind the one before.
    ascending: bool,
}

/// Sizes in half the memory while all are below 4 GiB.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Sizes {
    Small(Vec<u32>),
    Large(Vec<u64>),
}

impl Default for Sizes {
    fn default() -> Self {
        Self::Small(Vec::new())
    }
}

impl Sizes {
    fn len(&self) -> usize {
        match self {
            Self::Small(sizes) => sizes.len(),
            Self::Large(sizes) => sizes.len(),
        }
    }

    fn get(&self, index: usize) -> Option<u64> {
        match self {
            Self::Small(sizes) => sizes.get(index).map(|&size| if size == u32::MAX { UNKNOWN } else { size.into() }),
            Self::Large(sizes) => sizes.get(index).copied(),
        }
    }

    fn push(&mut self, size: u64) {
        match (&mut *self, Self::small(size)) {
            (Self::Small(sizes), Some(size)) => sizes.push(size),
            (Self::Large(sizes), _) => sizes.push(size),
            (Self::Small(_), None) => self.widen().push(size),
        }
    }

    fn set(&mut self, index: usize, size: u64) {
        match (&mut *self, Self::small(size)) {
            (Self::Small(sizes), Some(size)) => sizes[index] = size,
            (Self::Large(sizes), _) => sizes[index] = size,
            (Self::Small(_), None) => self.widen()[index] = size,
        }
    }

    fn small(size: u64) -> Option<u32> {
        if size == UNKNOWN { Some(u32::MAX) } else { u32::try_from(size).ok().filter(|&size| size != u32::MAX) }
    }

    fn widen(&mut self) -> &mut Vec<u64> {
        if let Self::Small(_) = self {
            *self = Self::Large((0..self.len()).filter_map(|index| self.get(index)).collect());
        }
        match self {
            Self::Large(sizes) => sizes,
            Self::Small(_) => unreachable!("the sizes have just been widened"),
        }
    }

    fn memory(&self) -> usize {
        match self {
            Self::Small(sizes) => 4 * sizes.capacity(),
            Self::Large(sizes) => 8 * sizes.capacity(),
        }
    }

    fn shrink(&mut self) {
        match self {
            Self::Small(sizes) => sizes.shrink_to_fit(),
            Self::Large(sizes) => sizes.shrink_to_fit(),
        }
    }
}

impl ObjectTable {
    /// Appends an object.
    pub fn push(&mut self, root: &str, key: &str, size: Option<u64>) {
        // Consecutive objects mostly share their root, so the search begins at the newest.
        let root = self.roots.iter().rposition(|known| known == root).unwrap_or_else(|| {
            self.roots.push(root.to_owned());
            self.roots.len() - 1
        });
        if root > 0 && self.root_of.is_empty() {
            self.root_of = vec![0; self.len()];
        }
        if self.roots.len() > 1 {
            self.root_of.push(u32::try_from(root).unwrap_or(u32::MAX));
        }
        self.push_key(key.as_bytes());
        self.sizes.push(size.unwrap_or(UNKNOWN));
    }

    fn push_key(&mut self, key: &[u8]) {
        let mut shared = self.last.iter().zip(key).take_while(|(one, other)| one == other).count();
        self.ascending = if self.is_empty() { true } else { self.ascending && self.last.as_slice() < key };
        self.last.truncate(shared);
        self.last.extend_from_slice(&key[shared..]);
        if self.len().is_multiple_of(BLOCK) {
            self.blocks.push(self.keys.len() as u64);
            shared = 0;
        }
        packed::put_key(&mut self.keys, shared, &key[shared..]);
    }

    /// Appends all objects of another table.
    pub fn append(&mut self, other: &Self) {
        let mut walk = other.walk();
        while let Some((root, key, size)) = walk.next() {
            // What is no text was never put in.
            self.push(root, std::str::from_utf8(key).unwrap_or_default(), size);
        }
    }

    /// Number of objects.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sizes.len()
    }

    /// Whether there is no object.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The distinct roots (`s3://bucket/`, `file://`).
    #[must_use]
    pub fn roots(&self) -> &[String] {
        &self.roots
    }

    /// Root and key of an object; `None` behind the end.
    #[must_use]
    pub fn entry(&self, index: usize) -> Option<(&str, String)> {
        let (root, key) = self.place(index)?;
        Some((self.roots.get(root)?, key))
    }

    /// Number of the root (in [`ObjectTable::roots`]) and key of an object; `None` behind the end.
    #[must_use]
    pub fn place(&self, index: usize) -> Option<(usize, String)> {
        if index >= self.len() {
            return None;
        }
        let mut rest = self.keys.get(usize::try_from(*self.blocks.get(index / BLOCK)?).ok()?..)?;
        let mut key = Vec::with_capacity(64);
        for _ in 0..=index % BLOCK {
            rest = packed::take_key(rest, &mut key)?;
        }
        Some((self.root_of.get(index).map_or(0, |&root| root as usize), String::from_utf8(key).ok()?))
    }

    /// Bytes of an object, where the listing told them.
    #[must_use]
    pub fn size(&self, index: usize) -> Option<u64> {
        self.sizes.get(index).filter(|&size| size != UNKNOWN)
    }

    /// Asks for the sizes that are not known.
    pub(super) fn fill_sizes(&mut self, ask: impl Fn(&str, &str) -> Option<u64>) {
        let mut found = Vec::new();
        let mut walk = self.walk();
        let mut index = 0;
        while let Some((root, key, size)) = walk.next() {
            if size.is_none()
                && let Some(size) = std::str::from_utf8(key).ok().and_then(|key| ask(root, key))
            {
                found.push((index, size));
            }
            index += 1;
        }
        found.into_iter().for_each(|(index, size)| self.sizes.set(index, size));
    }

    /// Bytes that the table holds in memory.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.keys.capacity() + 8 * self.blocks.capacity() + self.sizes.memory() + 4 * self.root_of.capacity()
    }

    /// Gives back the memory that was taken for more objects than have come.
    pub fn shrink(&mut self) {
        self.keys.shrink_to_fit();
        self.blocks.shrink_to_fit();
        self.sizes.shrink();
        self.root_of.shrink_to_fit();
    }

    /// Whether each key comes behind the one before, by their bytes.
    pub(super) fn is_ascending(&self) -> bool {
        self.ascending
    }

    /// The same objects in ascending order of their keys' bytes.
    #[must_use]
    pub(super) fn sorted(self) -> Self {
        if self.ascending || self.is_empty() {
            return self;
        }
        let (mut arena, mut ends) = (Vec::new(), Vec::with_capacity(self.len()));
        let mut walk = self.walk();
        while let Some((_, key, _)) = walk.next() {
            arena.extend_from_slice(key);
            ends.push(arena.len());
        }
        let key = |index: usize| &arena[index.checked_sub(1).map_or(0, |before| ends[before])..ends[index]];
        let mut order: Vec<usize> = (0..self.len()).collect();
        order.sort_unstable_by(|&one, &other| key(one).cmp(key(other)));
        let mut sorted = Self::default();
        for index in order {
            let root = self.root_of.get(index).map_or(0, |&root| root as usize);
            sorted.push(&self.roots[root], std::str::from_utf8(key(index)).unwrap_or_default(), self.size(index));
        }
        sorted
    }

    /// The first `count` objects.
    #[must_use]
    pub(super) fn head(&self, count: usize) -> Self {
        let mut head = Self::default();
        let mut walk = self.walk();
        while head.len() < count
            && let Some((root, key, size)) = walk.next()
        {
            head.push(root, std::str::from_utf8(key).unwrap_or_default(), size);
        }
        head
    }

    /// A sorted table without the empty objects by which other tools mark a directory. The key of one ends in a slash,
    /// which the client cuts off, so that it looks like an object with others below it; reading it would give "not
    /// found".
    #[must_use]
    pub(super) fn without_markers(self) -> Self {
        let markers: Vec<usize> = (0..self.len()).filter(|&index| self.is_marker(index)).collect();
        if markers.is_empty() {
            return self;
        }
        let mut kept = Self::default();
        let mut walk = self.walk();
        let mut index = 0;
        while let Some((root, key, size)) = walk.next() {
            if markers.binary_search(&index).is_err() {
                kept.push(root, std::str::from_utf8(key).unwrap_or_default(), size);
            }
            index += 1;
        }
        kept
    }

    fn is_marker(&self, index: usize) -> bool {
        if self.size(index) != Some(0) {
            return false;
        }
        let Some((_, key)) = self.place(index) else { return false };
        let below = format!("{key}/");
        // Between an object and what is below its name only names can come that begin with it too.
        let (mut low, mut high) = (index + 1, self.len());
        match self.place(low) {
            Some((_, next)) if next.starts_with(&key) => {}
            _ => return false,
        }
        while low < high {
            let middle = low + (high - low) / 2;
            match self.place(middle) {
                Some((_, other)) if other < below => low = middle + 1,
                _ => high = middle,
            }
        }
        self.place(low).is_some_and(|(_, next)| next.starts_with(&below))
    }

    /// A 64-bit digest of names, order and known sizes, in hexadecimal.
    ///
    /// HighwayHash with a fixed key: stable across releases, because saved states carry it. Roots and the directory
    /// that all keys share are left out, so that a data set that was copied to another bucket or folder still resumes.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut hasher = HighwayHasher::new(Key([0x7333_646c, 0x696f_2d66, 0x696e_6765, 0x7270_7431]));
        let shared = self.shared_directory();
        let mut walk = self.walk();
        while let Some((_, key, size)) = walk.next() {
            let key = &key[shared..];
            hasher.append(&(key.len() as u64).to_le_bytes());
            hasher.append(key);
            hasher.append(&size.unwrap_or(UNKNOWN).to_le_bytes());
        }
        format!("{:016x}", hasher.finalize64())
    }

    /// Bytes of the longest path that ends in `/` and that all keys begin with.
    fn shared_directory(&self) -> usize {
        let Some((_, first)) = self.entry(0) else { return 0 };
        let (first, mut shared) = (first.as_bytes(), first.len());
        let mut walk = self.walk();
        while let Some((_, key, _)) = walk.next() {
            shared = first[..shared].iter().zip(key).take_while(|(one, other)| one == other).count();
        }
        first[..shared].iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1)
    }

    /// All objects in order, one after the other in the same memory.
    fn walk(&self) -> Walk<'_> {
        Walk { table: self, rest: &self.keys, key: Vec::new(), index: 0 }
    }
}

/// Goes through a table; no iterator, because each key lies in memory that the next one takes.
struct Walk<'a> {
    table: &'a ObjectTable,
    rest: &'a [u8],
    key: Vec<u8>,
    index: usize,
}

impl<'a> Walk<'a> {
    fn next(&mut self) -> Option<(&'a str, &[u8], Option<u64>)> {
        if self.index >= self.table.len() {
            return None;
        }
        self.rest = packed::take_key(self.rest, &mut self.key)?;
        let root = self.table.root_of.get(self.index).map_or(0, |&root| root as usize);
        let size = self.table.size(self.index);
        self.index += 1;
        Some((self.table.roots.get(root)?, &self.key, size))
    }
}

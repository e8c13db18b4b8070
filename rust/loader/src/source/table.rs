//! A compact table of objects: keys in one arena, no string of their own each.

use highway::{HighwayHash, HighwayHasher, Key};

use crate::error::{LoaderError, Result};

/// Says that a size is not known.
const UNKNOWN: u64 = u64::MAX;

/// First bytes of a packed table; the digit is the version of the layout.
const MAGIC: &[u8; 8] = b"S3DLTAB1";

/// The objects of a data set, in order.
///
/// A key costs its bytes and 16 more (end offset and size); the roots (`s3://bucket/`) are kept once each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObjectTable {
    roots: Vec<String>,
    keys: Vec<u8>,
    ends: Vec<u64>,
    sizes: Vec<u64>,
    /// Root of each object; empty while all belong to the first.
    root_of: Vec<u32>,
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
            self.root_of = vec![0; self.ends.len()];
        }
        if self.roots.len() > 1 {
            self.root_of.push(u32::try_from(root).unwrap_or(u32::MAX));
        }
        self.keys.extend_from_slice(key.as_bytes());
        self.ends.push(self.keys.len() as u64);
        self.sizes.push(size.unwrap_or(UNKNOWN));
    }

    /// Number of objects.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no object.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The distinct roots (`s3://bucket/`, `file://`).
    #[must_use]
    pub fn roots(&self) -> &[String] {
        &self.roots
    }

    /// Root and key of an object; `None` behind the end.
    #[must_use]
    pub fn entry(&self, index: usize) -> Option<(&str, &str)> {
        let (root, key) = self.place(index)?;
        Some((self.roots.get(root)?, key))
    }

    /// Number of the root (in [`ObjectTable::roots`]) and key of an object; `None` behind the end.
    #[must_use]
    pub fn place(&self, index: usize) -> Option<(usize, &str)> {
        let end = usize::try_from(*self.ends.get(index)?).ok()?;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        let key = std::str::from_utf8(self.keys.get(start..end)?).ok()?;
        Some((self.root_of.get(index).map_or(0, |&root| root as usize), key))
    }

    /// Bytes of an object, where the listing told them.
    #[must_use]
    pub fn size(&self, index: usize) -> Option<u64> {
        self.sizes.get(index).copied().filter(|&size| size != UNKNOWN)
    }

    /// Bytes that the table holds in memory.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.keys.capacity() + 8 * (self.ends.capacity() + self.sizes.capacity()) + 4 * self.root_of.capacity()
    }

    /// A 64-bit digest of names, order and known sizes, in hexadecimal.
    ///
    /// HighwayHash with a fixed key: stable across releases, because saved states carry it. Roots and the directory
    /// that all keys share are left out, so that a data set that was copied to another bucket or folder still resumes.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut hasher = HighwayHasher::new(Key([0x7333_646c, 0x696f_2d66, 0x696e_6765, 0x7270_7431]));
        let shared = self.shared_directory();
        for (index, size) in self.sizes.iter().enumerate() {
            let key = self.entry(index).map_or("", |(_, key)| &key[shared..]);
            hasher.append(&(key.len() as u64).to_le_bytes());
            hasher.append(key.as_bytes());
            hasher.append(&size.to_le_bytes());
        }
        format!("{:016x}", hasher.finalize64())
    }

    /// Bytes of the longest path that ends in `/` and that all keys begin with.
    fn shared_directory(&self) -> usize {
        let Some((_, first)) = self.entry(0) else { return 0 };
        let common = |shared: usize, index: usize| {
            let key = self.entry(index).map_or(&[][..], |(_, key)| key.as_bytes());
            first.as_bytes()[..shared].iter().zip(key).take_while(|(a, b)| a == b).count()
        };
        let shared = (0..self.len()).fold(first.len(), common);
        // The byte behind a slash begins a character, so slicing there is safe whatever the keys hold.
        first.as_bytes()[..shared].iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1)
    }

    /// The table as bytes, for another process; [`ObjectTable::unpack`] reads it.
    #[must_use]
    pub fn pack(&self) -> Vec<u8> {
        let roots = self.roots.join("\n");
        let mut out = Vec::with_capacity(64 + roots.len() + self.keys.len() + 20 * self.len());
        out.extend_from_slice(MAGIC);
        for count in [roots.len(), self.keys.len(), self.ends.len(), self.root_of.len()] {
            out.extend_from_slice(&(count as u64).to_le_bytes());
        }
        out.extend_from_slice(roots.as_bytes());
        out.extend_from_slice(&self.keys);
        self.ends.iter().chain(&self.sizes).for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
        self.root_of.iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
        out
    }

    /// Reads what [`ObjectTable::pack`] wrote.
    ///
    /// # Errors
    /// [`LoaderError::StateInvalid`] for anything else.
    pub fn unpack(bytes: &[u8]) -> Result<Self> {
        let bad = || LoaderError::StateInvalid(format!("not a packed object table: {} bytes", bytes.len()));
        Self::parse(bytes).filter(Self::consistent).ok_or_else(bad)
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes.strip_prefix(MAGIC)?;
        let mut take = |count: usize| {
            let (head, tail) = rest.split_at_checked(count)?;
            rest = tail;
            Some(head)
        };
        let counts: Vec<usize> = take(32)?.chunks_exact(8).filter_map(number).map(|n| n as usize).collect();
        let [roots, keys, objects, root_of] = counts.try_into().ok()?;
        let roots = std::str::from_utf8(take(roots)?).ok()?.split('\n').map(str::to_owned).collect();
        let keys = take(keys)?.to_vec();
        let ends = take(objects.checked_mul(8)?)?.chunks_exact(8).filter_map(number).collect();
        let sizes = take(objects.checked_mul(8)?)?.chunks_exact(8).filter_map(number).collect();
        let root_of = take(root_of.checked_mul(4)?)?
            .chunks_exact(4)
            .filter_map(|b| Some(u32::from_le_bytes(b.try_into().ok()?)))
            .collect();
        rest.is_empty().then_some(Self { roots, keys, ends, sizes, root_of })
    }

    fn consistent(&self) -> bool {
        let ordered = self.ends.windows(2).all(|pair| pair[0] <= pair[1]);
        let rooted = self.root_of.is_empty() || self.root_of.len() == self.ends.len();
        ordered
            && rooted
            && self.ends.last().is_none_or(|&end| end == self.keys.len() as u64)
            && std::str::from_utf8(&self.keys).is_ok()
            && self.root_of.iter().all(|&root| (root as usize) < self.roots.len())
            && (0..self.len()).all(|index| self.entry(index).is_some())
    }
}

fn number(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

//! Buckets of keys that nobody stored.

use serde::{Deserialize, Serialize};

/// A bucket whose objects are computed: millions of keys without memory.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Synthetic {
    /// Name of the bucket.
    pub bucket: String,
    /// Number of objects.
    pub keys: u64,
    /// What every key begins with.
    #[serde(default)]
    pub prefix: String,
    /// What every key ends with.
    #[serde(default)]
    pub suffix: String,
    /// Digits of the number between them; leading zeros make the order of the numbers that of the keys.
    #[serde(default = "digits")]
    pub digits: usize,
    /// Bytes in each object: the pattern whose seed is the object's number.
    #[serde(default)]
    pub size: u64,
}

fn digits() -> usize {
    9
}

impl Synthetic {
    pub(crate) fn key(&self, number: u64) -> String {
        format!("{}{number:0width$}{}", self.prefix, self.suffix, width = self.digits)
    }

    pub(crate) fn number(&self, key: &str) -> Option<u64> {
        let digits = key.strip_prefix(self.prefix.as_str())?.strip_suffix(self.suffix.as_str())?;
        let number = digits.parse().ok().filter(|number| *number < self.keys)?;
        (self.key(number) == key).then_some(number)
    }

    /// The number of the first key that does not come before `start`.
    pub(crate) fn first(&self, start: &str) -> u64 {
        let (mut low, mut high) = (0, self.keys);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.key(middle).as_str() < start {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// Why these settings cannot work.
    pub(crate) fn fault(&self) -> Option<String> {
        let room = 10_u64.checked_pow(u32::try_from(self.digits).unwrap_or(u32::MAX));
        let fits = room.is_none_or(|room| self.keys <= room);
        (!fits).then(|| format!("digits: {} are too few for {} keys in order", self.digits, self.keys))
    }
}

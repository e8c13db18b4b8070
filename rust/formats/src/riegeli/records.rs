//! The records of one chunk: their bytes end to end, and where each of them ends.

use bytes::Bytes;

/// Decoded records of a chunk, in file order. Cloning shares the bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Records {
    data: Bytes,
    ends: Ends,
}

/// Files with one record a chunk are common and read one record at a time, so that case allocates nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Ends {
    One,
    Many(Vec<usize>),
}

impl Default for Ends {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl Records {
    /// One record.
    #[must_use]
    #[inline]
    pub fn one(record: Bytes) -> Self {
        Self { data: record, ends: Ends::One }
    }

    /// Records that lie in `data` end to end, the i-th up to `ends[i]`; `None` where the ends descend or do not reach
    /// exactly the end of `data`.
    #[must_use]
    pub fn new(data: Bytes, ends: Vec<usize>) -> Option<Self> {
        let whole = ends.last().copied().unwrap_or(0) == data.len();
        (whole && ends.is_sorted()).then(|| Self { data, ends: Ends::Many(ends) })
    }

    /// As [`new`](Self::new), of a caller that has made sure of the order.
    #[inline]
    pub(crate) fn from_sorted(data: Bytes, ends: Vec<usize>) -> Self {
        debug_assert!(ends.is_sorted() && ends.last().copied().unwrap_or(0) == data.len());
        Self { data, ends: Ends::Many(ends) }
    }

    /// Number of records.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        match &self.ends {
            Ends::One => 1,
            Ends::Many(ends) => ends.len(),
        }
    }

    /// True where there is no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All records end to end.
    #[must_use]
    pub fn data(&self) -> &Bytes {
        &self.data
    }

    /// Where record `index` lies in [`data`](Self::data).
    #[must_use]
    #[inline]
    pub fn range(&self, index: usize) -> Option<std::ops::Range<usize>> {
        match &self.ends {
            Ends::One => (index == 0).then_some(0..self.data.len()),
            Ends::Many(ends) => {
                let end = *ends.get(index)?;
                let start = if index == 0 { 0 } else { ends[index - 1] };
                Some(start..end)
            }
        }
    }

    /// Record `index`, sharing the bytes.
    #[must_use]
    #[inline]
    pub fn get(&self, index: usize) -> Option<Bytes> {
        self.range(index).map(|range| self.data.slice(range))
    }

    /// The records as slices.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> + DoubleEndedIterator {
        self.view().into_iter()
    }

    /// A borrowed form, for encoders.
    #[must_use]
    #[inline]
    pub fn view(&self) -> RecordsRef<'_> {
        match &self.ends {
            Ends::One => RecordsRef::one(&self.data),
            Ends::Many(ends) => RecordsRef { data: &self.data, ends: Some(ends) },
        }
    }
}

/// Borrowed records, as encoders take them: bytes end to end, and where each record ends.
#[derive(Debug, Clone, Copy)]
pub struct RecordsRef<'a> {
    data: &'a [u8],
    /// `None` stands for one record, all of `data`.
    ends: Option<&'a [usize]>,
}

impl<'a> RecordsRef<'a> {
    /// One record.
    #[must_use]
    #[inline]
    pub const fn one(record: &'a [u8]) -> Self {
        Self { data: record, ends: None }
    }

    /// Number of records.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.ends.map_or(1, <[usize]>::len)
    }

    /// True where there is no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All records end to end.
    #[must_use]
    #[inline]
    pub const fn data(&self) -> &'a [u8] {
        self.data
    }

    /// Lengths of the records in bytes.
    #[inline]
    pub fn sizes(&self) -> impl Iterator<Item = usize> + use<'a> {
        let one = self.ends.is_none().then_some(self.data.len());
        let mut start = 0;
        one.into_iter().chain(self.ends.unwrap_or_default().iter().map(move |&end| {
            let size = end - start;
            start = end;
            size
        }))
    }
}

impl<'a> IntoIterator for RecordsRef<'a> {
    type Item = &'a [u8];
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        Iter { next: 0, until: self.len(), records: self }
    }
}

/// The records of a chunk as slices, from both ends.
#[derive(Debug, Clone)]
pub struct Iter<'a> {
    records: RecordsRef<'a>,
    next: usize,
    until: usize,
}

impl<'a> Iter<'a> {
    #[inline]
    fn at(&self, index: usize) -> &'a [u8] {
        match self.records.ends {
            None => self.records.data,
            Some(ends) => &self.records.data[if index == 0 { 0 } else { ends[index - 1] }..ends[index]],
        }
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        (self.next < self.until).then(|| {
            self.next += 1;
            self.at(self.next - 1)
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.until - self.next, Some(self.until - self.next))
    }
}

impl DoubleEndedIterator for Iter<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        (self.next < self.until).then(|| {
            self.until -= 1;
            self.at(self.until)
        })
    }
}

impl ExactSizeIterator for Iter<'_> {}

/// Collects the records of one chunk.
#[derive(Debug, Clone, Default)]
pub struct Group {
    data: Vec<u8>,
    ends: Vec<usize>,
}

impl Group {
    /// Adds a record, copying it.
    #[inline]
    pub fn push(&mut self, record: &[u8]) {
        self.data.extend_from_slice(record);
        self.ends.push(self.data.len());
    }

    /// Adds a record that `append` appends to the bytes of the others.
    pub(crate) fn push_with(&mut self, append: impl FnOnce(&mut Vec<u8>)) {
        append(&mut self.data);
        self.ends.push(self.data.len());
    }

    /// Number of records.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// True where there is no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes of all records together.
    #[must_use]
    #[inline]
    pub fn byte_len(&self) -> usize {
        self.data.len()
    }

    /// A borrowed form, for encoders.
    #[must_use]
    pub fn view(&self) -> RecordsRef<'_> {
        RecordsRef { data: &self.data, ends: Some(&self.ends) }
    }

    /// Forgets the records and keeps the memory.
    pub fn clear(&mut self) {
        self.data.clear();
        self.ends.clear();
    }

    /// Hands over the records and starts anew, with room for as much again.
    #[must_use]
    pub fn take(&mut self) -> Records {
        let next = Self { data: Vec::with_capacity(self.data.len()), ends: Vec::with_capacity(self.ends.len()) };
        let full = std::mem::replace(self, next);
        Records::from_sorted(Bytes::from(full.data), full.ends)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_and_many_read_alike() {
        let one = Records::one(Bytes::from_static(b"abc"));
        let same = Records::new(Bytes::from_static(b"abc"), vec![3]).unwrap();
        for records in [&one, &same] {
            assert_eq!(records.len(), 1);
            assert_eq!(records.get(0).unwrap(), "abc");
            assert_eq!(records.get(1), None);
            assert_eq!(records.iter().collect::<Vec<_>>(), [b"abc"]);
            assert_eq!(records.view().sizes().collect::<Vec<_>>(), [3]);
        }
    }

    #[test]
    fn ends_must_fit() {
        let data = Bytes::from_static(b"abcde");
        let records = Records::new(data.clone(), vec![0, 2, 2, 5]).unwrap();
        assert_eq!(records.iter().collect::<Vec<_>>(), [&b""[..], b"ab", b"", b"cde"]);
        assert_eq!(records.iter().rev().collect::<Vec<_>>(), [&b"cde"[..], b"", b"ab", b""]);
        assert_eq!(records.view().sizes().collect::<Vec<_>>(), [0, 2, 0, 3]);
        assert_eq!(records.get(3).unwrap(), "cde");
        for ends in [vec![], vec![4], vec![6], vec![3, 2, 5]] {
            assert_eq!(Records::new(data.clone(), ends), None);
        }
        assert!(Records::new(Bytes::new(), vec![]).unwrap().is_empty());
    }

    #[test]
    fn groups_start_anew_when_taken() {
        let mut group = Group::default();
        group.push(b"a");
        group.push(b"");
        assert_eq!((group.len(), group.byte_len()), (2, 1));
        assert_eq!(group.take().iter().collect::<Vec<_>>(), [&b"a"[..], b""]);
        assert!(group.is_empty());
    }
}

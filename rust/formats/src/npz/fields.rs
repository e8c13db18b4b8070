//! Little-endian numbers, one after the other.

/// What is left of a header.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    fn chunk<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (chunk, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*chunk)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.chunk().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.chunk().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.chunk().map(u64::from_le_bytes)
    }

    pub(super) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }
}

/// The content of the ZIP64 field among the extra fields of a header.
pub(super) fn zip64(extra: &[u8]) -> Option<Fields<'_>> {
    const ZIP64: u16 = 1;
    let mut fields = Fields(extra);
    loop {
        let (id, len) = (fields.u16()?, fields.u16()?);
        let content = fields.take(usize::from(len))?;
        if id == ZIP64 {
            return Some(Fields(content));
        }
    }
}

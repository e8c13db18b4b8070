//! Decisions made by the bytes of the input. Once they are used up, everything is zero.

pub struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Up to `len` bytes.
    pub fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    pub fn rest(&mut self) -> &'a [u8] {
        self.take(usize::MAX)
    }

    pub fn byte(&mut self) -> u8 {
        self.number(1) as u8
    }

    /// A number of `len` bytes, the lowest first.
    pub fn number(&mut self, len: usize) -> u64 {
        self.take(len).iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    /// Up to 255 bytes, their number first.
    pub fn short(&mut self) -> &'a [u8] {
        let len = self.byte();
        self.take(usize::from(len))
    }

    /// Up to 65535 bytes, their number first.
    pub fn long(&mut self) -> &'a [u8] {
        let len = self.number(2);
        self.take(len as usize)
    }

    /// Changes single bytes of `file`, as many as one byte says.
    pub fn damage(&mut self, file: &mut [u8]) {
        for _ in 0..self.byte() % 8 {
            let (at, mask) = (self.number(3) as usize, self.byte());
            if let Some(byte) = file.get_mut(at) {
                *byte ^= mask;
            }
        }
    }
}

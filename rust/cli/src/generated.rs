//! Objects that are generated when they are written.

use std::ops::Range;

use bytes::Bytes;
use s3dlio_formats::FormatError;
use s3dlio_formats::generate::{Content, Kind};
use s3dlio_store::StoreError;
use s3dlio_store::ops::Produce;

/// The content of generated objects, as the bulk put takes it.
#[derive(Debug, Clone, Copy)]
pub struct Generated {
    /// What they contain.
    pub content: Content,
    /// Bytes made at a time, where an object is made while it is uploaded; `None` makes it whole before.
    pub chunk: Option<usize>,
}

impl Produce for Generated {
    fn whole(&self, number: u64) -> Result<Bytes, StoreError> {
        let failed = |error: FormatError| StoreError::Store { uri: String::new(), detail: error.to_string() };
        self.content.object(number).map(Bytes::from).map_err(failed)
    }

    fn streamed(&self) -> Option<u64> {
        let plain = matches!(self.content.kind, Kind::Zeros | Kind::Random);
        self.chunk.filter(|_| plain).map(|_| self.content.size)
    }

    fn part(&self, number: u64, range: Range<u64>) -> Bytes {
        let mut part = vec![0; usize::try_from(range.end - range.start).unwrap_or(usize::MAX)];
        let mut at = range.start;
        for piece in part.chunks_mut(self.chunk.unwrap_or(usize::MAX).max(1)) {
            self.content.fill(number, at, piece);
            at += piece.len() as u64;
        }
        Bytes::from(part)
    }
}

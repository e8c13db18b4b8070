//! From bytes to records.

use std::mem;

use bytes::Bytes;

use super::{HEADER, OVERHEAD, TfRecordError, length, masked_crc};

/// Cuts a stream of bytes, pushed in pieces of any size, into records.
///
/// A record that lies in one piece is a slice of it; only one that spans several is put together in memory of its own,
/// which grows with the bytes that are there and never by what a header announces.
#[derive(Debug, Default)]
pub struct Decoder {
    verify: bool,
    /// Bytes of the present piece that are not used yet.
    piece: Bytes,
    /// The beginning of a record whose rest is in later pieces.
    begun: Vec<u8>,
    offset: u64,
    record: u64,
}

impl Decoder {
    /// A decoder at the beginning of a file; with `verify` both checksums of every record are compared.
    #[must_use]
    pub fn new(verify: bool) -> Self {
        Self { verify, ..Self::default() }
    }

    /// Byte at which the next record begins; after an error, the record that it is about.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Number of the next record, from 0; after an error, of the record that it is about.
    #[must_use]
    pub fn record(&self) -> u64 {
        self.record
    }

    /// Takes the next bytes of the file. [`next_record`](Self::next_record) is to be called first until it gives `None`.
    pub fn push(&mut self, piece: Bytes) {
        // What is left of the piece before is the beginning of one record.
        self.begun.extend_from_slice(&self.piece);
        self.piece = piece;
    }

    /// Drops the incomplete record at the end of the present piece, and takes a piece that begins at
    /// [`offset`](Self::offset) instead: for whoever can read the same bytes again, which saves the copy.
    pub fn restart(&mut self, piece: Bytes) {
        self.begun.clear();
        self.piece = piece;
    }

    /// The length that the header of the next record announces, if the header is there.
    fn announced(&self) -> Result<Option<u64>, TfRecordError> {
        let mut header = [0; HEADER];
        let begun = self.begun.len().min(HEADER);
        header[..begun].copy_from_slice(&self.begun[..begun]);
        let Some(rest) = self.piece.get(..HEADER - begun) else { return Ok(None) };
        header[begun..].copy_from_slice(rest);
        length(&header, self.verify).map(Some)
    }

    /// Bytes from [`offset`](Self::offset) on that the next record needs, as far as they are known: those of a header,
    /// or of the record whose header is there.
    ///
    /// # Errors
    /// [`TfRecordError::LengthChecksum`].
    pub fn needed(&self) -> Result<u64, TfRecordError> {
        Ok(self.announced()?.map_or(HEADER as u64, |length| length.saturating_add(OVERHEAD as u64)))
    }

    /// The next record; `None` when it needs further bytes.
    ///
    /// # Errors
    /// [`TfRecordError::LengthChecksum`], [`TfRecordError::DataChecksum`]; the decoder is then of no more use but to tell
    /// the place.
    pub fn next_record(&mut self) -> Result<Option<Bytes>, TfRecordError> {
        let needed = self.needed()?;
        let have = self.begun.len() + self.piece.len();
        let Some(total) = usize::try_from(needed).ok().filter(|&total| total <= have) else { return Ok(None) };
        if total < OVERHEAD {
            return Ok(None);
        }
        let frame = if self.begun.is_empty() {
            self.piece.split_to(total)
        } else {
            let missing = self.piece.split_to(total - self.begun.len());
            let mut begun = mem::take(&mut self.begun);
            begun.extend_from_slice(&missing);
            Bytes::from(begun)
        };
        if self.verify {
            check(&frame)?;
        }
        self.offset += needed;
        self.record += 1;
        Ok(Some(frame.slice(HEADER..total - 4)))
    }

    /// Says that the file ends here.
    ///
    /// # Errors
    /// [`TfRecordError::TruncatedHeader`] or [`TfRecordError::Truncated`] where a record has begun.
    pub fn finish(&self) -> Result<(), TfRecordError> {
        let found = (self.begun.len() + self.piece.len()) as u64;
        match self.announced()? {
            Some(length) => Err(TfRecordError::Truncated { length, found: found - HEADER as u64 }),
            None if found > 0 => Err(TfRecordError::TruncatedHeader { found }),
            None => Ok(()),
        }
    }
}

/// Compares the checksum behind a payload.
fn check(frame: &Bytes) -> Result<(), TfRecordError> {
    let (front, stored) = frame.split_at(frame.len() - 4);
    let payload = &front[HEADER..];
    let found = masked_crc(payload);
    let expected = stored.try_into().map(u32::from_le_bytes).unwrap_or_default();
    if found == expected {
        return Ok(());
    }
    Err(TfRecordError::DataChecksum { length: payload.len() as u64, found, expected })
}

/// The payload of one whole record, as an index names it.
///
/// # Errors
/// [`TfRecordError::IndexSize`] for a record of another size, and with `verify` those of wrong checksums.
pub fn record(frame: &Bytes, verify: bool) -> Result<Bytes, TfRecordError> {
    let expected = frame.len() as u64;
    let Some(header) = frame.first_chunk::<HEADER>() else {
        return Err(TfRecordError::IndexSize { found: HEADER as u64, expected });
    };
    let found = length(header, verify)?.saturating_add(OVERHEAD as u64);
    if found != expected {
        return Err(TfRecordError::IndexSize { found, expected });
    }
    if verify {
        check(frame)?;
    }
    Ok(frame.slice(HEADER..frame.len() - 4))
}

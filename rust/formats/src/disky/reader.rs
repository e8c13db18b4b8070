//! From the bytes of a file to its records, one chunk at a time.

use bytes::Bytes;

use crate::riegeli::walk::{Damage, Need, OnDamage, Step, Walker};
use crate::riegeli::{self, Chunk, Dialect, Records, Result, RiegeliError};

/// What a reader has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Bytes are missing: see [`Reader::supply`].
    Need(Need),
    /// The records of a chunk, at least one.
    Records {
        /// Where the chunk begins. This and the index of a record in the chunk are the record's position in the file.
        begin: u64,
        /// The records.
        records: Records,
    },
    /// Damage, only with [`OnDamage::Skip`]. No record of what is lost is ever returned.
    Damage(Damage),
    /// The file's end. It stays that.
    End,
}

/// Reads the records of a file from front to back.
///
/// ```
/// use s3dlio_formats::disky::{Next, Options, Reader, Writer};
/// use s3dlio_formats::riegeli::OnDamage;
///
/// # fn main() -> Result<(), s3dlio_formats::FormatError> {
/// let mut file = Vec::new();
/// let mut writer = Writer::new(Options::default(), &mut file);
/// writer.push(b"a record", &mut file)?;
/// writer.flush(&mut file)?;
///
/// let file = bytes::Bytes::from(file);
/// let mut reader = Reader::new(file.len() as u64, OnDamage::Stop);
/// reader.supply(0, file);
/// while let Next::Records { records, .. } = reader.next_step()? {
///     assert_eq!(records.get(0).as_deref(), Some(&b"a record"[..]));
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Reader {
    walker: Walker,
    on_damage: OnDamage,
    failed: Option<RiegeliError>,
}

impl Reader {
    /// A reader from the start of a file of `size` bytes.
    #[must_use]
    pub fn new(size: u64, on_damage: OnDamage) -> Self {
        Self::from(0, size, on_damage)
    }

    /// A reader from `begin` on, which a reader has returned for the same file or which is 0.
    #[must_use]
    pub fn from(begin: u64, size: u64, on_damage: OnDamage) -> Self {
        Self { walker: Walker::from(begin, size, on_damage), on_damage, failed: None }
    }

    /// Asks for at least `bytes` at a time, up to the end of the file; 1 MiB unless set.
    #[must_use]
    pub fn read_ahead(mut self, bytes: u64) -> Self {
        self.walker = self.walker.read_ahead(bytes);
        self
    }

    /// Looks also at what fills chunks up, which carries no meaning.
    #[must_use]
    pub fn thorough(mut self) -> Self {
        self.walker = self.walker.thorough();
        self
    }

    /// Where the next chunk begins, or the damage that is being passed over.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.walker.position()
    }

    /// Hands over bytes of the file that begin at `offset`, usually those asked for. No bytes mean that the file ends
    /// there, whatever its size was said to be.
    pub fn supply(&mut self, offset: u64, bytes: Bytes) {
        self.walker.supply(offset, bytes);
    }

    /// The next step. With [`OnDamage::Stop`], all records of the chunks before the damage have been returned before it
    /// is an error.
    ///
    /// # Errors
    /// [`RiegeliError`] with [`OnDamage::Stop`] only; the same again at each later call. It names the file offset.
    pub fn next_step(&mut self) -> Result<Next> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        loop {
            let chunk = match self.walker.step()? {
                Step::Need(need) => return Ok(Next::Need(need)),
                Step::Damage(damage) => return Ok(Next::Damage(damage)),
                Step::End => return Ok(Next::End),
                Step::Chunk(chunk) => chunk,
            };
            match decode(&chunk) {
                Ok(records) if records.is_empty() => {}
                Ok(records) => return Ok(Next::Records { begin: chunk.begin, records }),
                Err(error) if self.on_damage == OnDamage::Skip => {
                    let lost = chunk.begin..self.walker.position();
                    return Ok(Next::Damage(Damage { error, lost }));
                }
                Err(error) => {
                    self.failed = Some(error.clone());
                    return Err(error);
                }
            }
        }
    }
}

/// The records of one chunk of a file, whoever wrote it; none of chunks that are not for records.
///
/// # Errors
/// [`RiegeliError::Chunk`].
pub(super) fn decode(chunk: &Chunk) -> Result<Records> {
    riegeli::decode_chunk(chunk, Dialect::of(chunk))
}

//! From records to chunks.

use super::{DEFAULT_GROUP_SIZE, Placer, Result, WriterOptions};
use crate::riegeli::{Compression, Dialect, EncodedChunk, Group, Records, RecordsRef, simple, transpose};

/// Record bytes that close the first group of a file whose group size is not given: 16 MiB. The number of its records is
/// then the size of all groups, so that large records do not pile up in memory and small ones still make large groups.
pub const FIRST_GROUP_BYTES: usize = 16 << 20;

/// Makes chunks of groups of records. Groups do not depend on each other, so that several may be encoded at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encoder {
    compression: Compression,
    /// Bytes of columns that are compressed together, where records are split into columns.
    bucket_size: Option<u64>,
}

impl Encoder {
    /// An encoder with these options.
    #[must_use]
    pub fn new(options: &WriterOptions) -> Self {
        let bucket_size = options.transpose.then_some(options.transpose_bucket_size);
        Self { compression: options.compression, bucket_size }
    }

    /// The chunk of a group, which can be [placed](Placer::place) anywhere.
    ///
    /// # Errors
    /// What the compressor refuses; a transposed chunk takes no record of 4 GiB or more.
    pub fn encode(&self, records: &Records) -> Result<EncodedChunk> {
        Ok(match self.bucket_size {
            Some(bucket_size) => transpose::encode(records.view(), self.compression, bucket_size)?,
            None => simple::encode(records, self.compression, Dialect::Riegeli)?,
        })
    }
}

/// Collects records until they make a group.
#[derive(Debug, Clone)]
pub struct Grouper {
    group: Group,
    /// Records in a group; not known before the first one closes where the options do not give it.
    size: Option<u32>,
}

impl Grouper {
    /// A grouper with these options.
    #[must_use]
    pub fn new(options: &WriterOptions) -> Self {
        Self { group: Group::default(), size: options.group_size }
    }

    /// Adds a record, copying it; true where the group is complete and has to be [taken](Self::take).
    #[inline]
    pub fn push(&mut self, record: &[u8]) -> bool {
        self.group.push(record);
        let len = self.group.len();
        match self.size {
            Some(size) => len >= size as usize,
            None if len >= DEFAULT_GROUP_SIZE as usize || self.group.byte_len() >= FIRST_GROUP_BYTES => {
                self.size = Some(len as u32);
                true
            }
            None => false,
        }
    }

    /// The records so far; the group is empty then.
    #[must_use]
    pub fn take(&mut self) -> Records {
        self.group.take()
    }

    /// The records that wait for their group to close.
    #[must_use]
    pub fn group(&self) -> &Group {
        &self.group
    }

    /// Records in a group, once that is known.
    #[must_use]
    pub fn size(&self) -> Option<u32> {
        self.size
    }
}

/// Appends the bytes of a file to a vector, which its owner writes out and clears whenever it likes.
///
/// ```
/// use s3dlio_formats::array_record::{Opened, Opener, Writer, WriterOptions};
///
/// # fn main() -> Result<(), s3dlio_formats::array_record::ArrayRecordError> {
/// let mut file = Vec::new();
/// let mut writer = Writer::new("group_size:2,zstd:1".parse()?, &mut file);
/// for record in ["first", "second", "third"] {
///     writer.push(record.as_bytes(), &mut file)?;
/// }
/// writer.finish(&mut file)?;
///
/// let file = bytes::Bytes::from(file);
/// let mut opener = Opener::new(file.len() as u64, 0)?;
/// opener.supply(0, file.clone());
/// let Opened::Index(index) = opener.next_step()? else { panic!("the file is at hand") };
/// let (chunk, inner) = index.locate(2).expect("a record");
/// let range = index.range(chunk).expect("a chunk");
/// let records = index.decode(chunk, &file.slice(range.start as usize..range.end as usize))?;
/// assert_eq!(records.get(inner).as_deref(), Some(&b"third"[..]));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Writer {
    encoder: Encoder,
    grouper: Grouper,
    placer: Placer,
}

impl Writer {
    /// Starts a file: the signature goes to `out` at once.
    pub fn new(options: WriterOptions, out: &mut Vec<u8>) -> Self {
        let (encoder, grouper) = (Encoder::new(&options), Grouper::new(&options));
        Self { encoder, grouper, placer: Placer::new(options, out) }
    }

    /// Adds a record; where it completes a group, the chunk goes to `out`.
    ///
    /// # Errors
    /// As [`Encoder::encode`] and [`Placer::place`].
    #[inline]
    pub fn push(&mut self, record: &[u8], out: &mut Vec<u8>) -> Result<()> {
        // A group of one record is the record, so that nothing has to be collected.
        if self.grouper.size == Some(1) && self.encoder.bucket_size.is_none() {
            return self.placer.place_simple(RecordsRef::one(record), out);
        }
        if self.grouper.push(record) { self.flush(out) } else { Ok(()) }
    }

    /// Closes the last group and puts the index to `out`, which completes the file; returns the file's size.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<u64> {
        if !self.grouper.group.is_empty() {
            self.flush(out)?;
        }
        self.placer.finish(out)
    }

    /// Records given to the writer so far.
    #[must_use]
    pub fn num_records(&self) -> u64 {
        self.placer.num_records() + self.grouper.group.len() as u64
    }

    fn flush(&mut self, out: &mut Vec<u8>) -> Result<()> {
        if self.encoder.bucket_size.is_some() {
            let chunk = self.encoder.encode(&self.grouper.take())?;
            return self.placer.place(&chunk, out);
        }
        self.placer.place_simple(self.grouper.group.view(), out)?;
        self.grouper.group.clear();
        Ok(())
    }
}

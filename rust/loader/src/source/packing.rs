//! Sources of record files as bytes, for worker processes and for fingerprints.

use std::sync::Arc;

use highway::{HighwayHash, HighwayHasher, Key};
use s3dlio_store::Work;

use super::{ArrayRecordSource, Layout, MemorySource, NpzSource, ParquetSource, RecordSource, TfRecordSource};
use crate::error::{LoaderError, Result};

/// First bytes of a packed source; the digit is the version of the layout.
const MAGIC: &[u8; 8] = b"S3DLSRC1";

/// Which source was packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    ArrayRecord = 1,
    TfRecord = 2,
    Npz = 3,
    Memory = 4,
    Parquet = 5,
}

/// Reads what [`RecordSource::pack`] wrote. What the source does not keep in its packed form it reads again from its files.
///
/// # Errors
/// [`LoaderError::StateInvalid`] for other bytes; from the work, what opening the files can raise.
pub fn unpack(packed: &[u8]) -> Result<Work<Result<Arc<dyn RecordSource>>>> {
    let bad = || LoaderError::StateInvalid(format!("not a packed data set: {} bytes", packed.len()));
    let (kind, from) = Unpacker::new(packed).ok_or_else(bad)?;
    match kind {
        Kind::ArrayRecord => {
            let source: Arc<dyn RecordSource> = Arc::new(ArrayRecordSource::unpack(from).ok_or_else(bad)?);
            Ok(Work::here(move || Ok(Ok(source))))
        }
        Kind::TfRecord => Ok(TfRecordSource::unpack(from, bad)?.map(|source| source.map(shared))),
        Kind::Npz => Ok(NpzSource::unpack(from, bad)?.map(|source| source.map(shared))),
        Kind::Parquet => Ok(ParquetSource::unpack(from, bad)?.map(|source| source.map(shared))),
        Kind::Memory => {
            let source = shared(MemorySource::unpack(from).ok_or_else(bad)?);
            Ok(Work::here(move || Ok(Ok(source))))
        }
    }
}

fn shared(source: impl RecordSource + 'static) -> Arc<dyn RecordSource> {
    Arc::new(source)
}

/// Writes numbers and texts behind each other.
pub(super) struct Packer(Vec<u8>);

impl Packer {
    pub fn new(kind: Kind) -> Self {
        let mut out = MAGIC.to_vec();
        out.push(kind as u8);
        Self(out)
    }

    /// Seven bits a byte, the lowest first: most numbers are small.
    pub fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    pub fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    /// The blocks, each with its bytes and its chunks.
    pub fn layout(&mut self, layout: &Layout) {
        self.number(layout.block_ends().len() as u64);
        let mut start = 0;
        for (&end, &bytes) in layout.block_ends().iter().zip(layout.block_bytes()) {
            self.number(bytes);
            self.number(end - start);
            while start < end {
                let chunk = layout.chunk(start);
                self.number(chunk.end - start);
                start = chunk.end;
            }
        }
    }

    pub fn done(self) -> Vec<u8> {
        self.0
    }
}

/// Reads what a [`Packer`] wrote; `None` for anything else.
pub(super) struct Unpacker<'a>(&'a [u8]);

impl<'a> Unpacker<'a> {
    fn new(packed: &'a [u8]) -> Option<(Kind, Self)> {
        let (&kind, rest) = packed.strip_prefix(MAGIC)?.split_first()?;
        let kind_of = [Kind::ArrayRecord, Kind::TfRecord, Kind::Npz, Kind::Memory, Kind::Parquet];
        let kind = kind_of.into_iter().find(|&known| known as u8 == kind)?;
        Some((kind, Self(rest)))
    }

    pub fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (head, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(head)
    }

    pub fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    pub fn layout(&mut self) -> Option<Layout> {
        let mut layout = Layout::default();
        for _ in 0..self.number()? {
            let (bytes, mut left) = (self.number()?, self.number()?);
            let mut chunks = Vec::new();
            while left > 0 {
                let records = self.number()?;
                left = left.checked_sub(records).filter(|_| records > 0)?;
                chunks.push(records);
            }
            layout.push_block(&chunks, bytes);
        }
        Some(layout)
    }
}

/// A 64-bit digest of names and numbers, in hexadecimal.
///
/// HighwayHash with a fixed key: stable across releases, because saved states carry it. The directory that all names share
/// is left out, so that a data set that was copied to another bucket or folder still resumes.
pub(crate) struct Digest {
    hasher: HighwayHasher,
    shared: usize,
}

impl Digest {
    pub fn new<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let mut names = names.map(str::as_bytes);
        let first = names.next().unwrap_or_default();
        let common = names.fold(first.len(), |shared, name| {
            first[..shared].iter().zip(name).take_while(|(one, other)| one == other).count()
        });
        let shared = first[..common].iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
        let hasher = HighwayHasher::new(Key([0x7333_646c, 0x696f_2d66, 0x696e_6765, 0x7270_7432]));
        Self { hasher, shared }
    }

    pub fn add(&mut self, name: &str, numbers: &[u64]) {
        let name = name.as_bytes().get(self.shared..).unwrap_or_default();
        self.hasher.append(&(name.len() as u64).to_le_bytes());
        self.hasher.append(name);
        numbers.iter().for_each(|number| self.hasher.append(&number.to_le_bytes()));
    }

    pub fn content(&mut self, content: &[u8]) {
        self.hasher.append(&(content.len() as u64).to_le_bytes());
        self.hasher.append(content);
    }

    pub fn finish(self) -> String {
        format!("{:016x}", self.hasher.finalize64())
    }
}

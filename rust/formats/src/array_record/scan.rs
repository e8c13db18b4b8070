//! The records of a file whose index is lost: chunks describe themselves.

use bytes::Bytes;

use super::Index;
use super::index::Builder;
use super::messages::{Entry, FooterMetadata, MAGIC, Metadata, Postscript, VERSION};
use crate::riegeli::chunk::Check;
use crate::riegeli::walk::{Damage, Need, OnDamage, Step, Walker};
use crate::riegeli::{self, Chunk, ChunkKind, Dialect, Records, block};

use prost::Message;

/// What a scan has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scanned {
    /// Bytes are missing: see [`Scan::supply`].
    Need(Need),
    /// Damage, and what is lost by it.
    Damage(Damage),
    /// The file's end, and an index of all that was found. Its chunks have been decoded, so that they can be read. It stays
    /// that.
    Index(Index),
}

/// What a look at the next chunk has come to.
pub(super) enum Event {
    Need(Need),
    Damage(Damage),
    /// A group of records, which has gone to the index.
    Group {
        begin: u64,
        records: Records,
    },
    End,
}

/// Goes through a file from front to back and makes an index of the groups that are whole. It is meant for files that
/// cannot be opened, because their writer never finished them or because their end is damaged.
#[derive(Debug)]
pub struct Scan {
    walker: Walker,
    size: u64,
    found: Builder,
    is_damaged: bool,
    footer: Option<(u64, Option<String>)>,
    /// Where the index begins, if the end of the file tells.
    known_footer: Option<u64>,
    index: Option<Index>,
}

impl Scan {
    /// A scan of a file of `size` bytes.
    #[must_use]
    pub fn new(size: u64) -> Self {
        let (walker, found) = (Walker::new(size, OnDamage::Skip), Builder::default());
        Self { walker, size, found, is_damaged: false, footer: None, known_footer: None, index: None }
    }

    /// As [`new`](Self::new), of a file whose index can be read: chunks are looked for where it has them, too.
    pub(super) fn guided(size: u64, index: &Index) -> Self {
        let mut scan = Self::new(size);
        scan.walker.set_landmarks(index.begins());
        scan.known_footer = Some(index.end());
        scan
    }

    /// Hands over bytes of the file that begin at `offset`, usually those asked for. No bytes mean that the file ends
    /// there, whatever its size was said to be.
    pub fn supply(&mut self, offset: u64, bytes: Bytes) {
        self.walker.supply(offset, bytes);
    }

    /// The next step.
    pub fn next_step(&mut self) -> Scanned {
        loop {
            match self.event() {
                Event::Need(need) => return Scanned::Need(need),
                Event::Damage(damage) => return Scanned::Damage(damage),
                Event::Group { .. } => {}
                Event::End => return Scanned::Index(self.finish()),
            }
        }
    }

    pub(super) fn event(&mut self) -> Event {
        loop {
            let chunk = match self.walker.step() {
                Ok(Step::Need(need)) => return Event::Need(need),
                Ok(Step::Damage(damage)) => return self.damaged(damage),
                Ok(Step::End) => return Event::End,
                Ok(Step::Chunk(chunk)) => chunk,
                // A walker that passes over damage has nothing to fail with.
                Err(error) => return self.damaged(Damage { error, lost: self.walker.position()..self.size }),
            };
            let end = self.walker.position();
            match riegeli::decode_chunk(&chunk, Dialect::Riegeli) {
                Ok(records) if records.is_empty() => {}
                Ok(records) if self.add(&chunk, &records) => return Event::Group { begin: chunk.begin, records },
                Ok(_) => {}
                Err(error) => return self.damaged(Damage { error, lost: chunk.begin..end }),
            }
        }
    }

    fn damaged(&mut self, damage: Damage) -> Event {
        self.is_damaged = true;
        Event::Damage(damage)
    }

    /// Adds a chunk to the index, unless it is no part of the data.
    fn add(&mut self, chunk: &Chunk, records: &Records) -> bool {
        if self.footer.is_some() || self.known_footer.is_some_and(|begin| chunk.begin >= begin) {
            return false;
        }
        if chunk.header.kind == ChunkKind::Simple {
            if self.known_footer.is_none() && self.is_footer(chunk.begin, records) {
                let metadata = metadata(records).and_then(|metadata| metadata.writer_options);
                self.footer = Some((chunk.begin, metadata));
                return false;
            }
            if is_postscript(chunk, records) {
                return false;
            }
        }
        // Positions ascend and the chunk has records, so that nothing is left to be wrong.
        let pushed = self.found.push(chunk.begin, chunk.header.num_records, Some(chunk.header.decoded_size));
        self.is_damaged |= pushed.is_err();
        pushed.is_ok()
    }

    /// True for records that are an index: one that counts its entries and the chunks before it right, or one of whose
    /// entries most name a chunk that has been found, whatever else is wrong with it. No other records do either.
    fn is_footer(&self, begin: u64, records: &Records) -> bool {
        let offset = |record| Entry::decode(record).ok().and_then(|entry| entry.chunk_offset);
        let (entries, found) = (records.len() - 1, self.found.offsets());
        let known = records.iter().skip(1).filter_map(offset).filter(|at| found.binary_search(at).is_ok()).count();
        if known * 2 > entries {
            return true;
        }
        let Some(metadata) = metadata(records) else { return false };
        let is_counted = metadata.version == Some(VERSION) && metadata.num_chunks.unwrap_or(0) == entries as u64;
        // Where chunks are lost, the entries that are not known must be theirs.
        let is_complete = entries == found.len() || self.is_damaged;
        is_counted && is_complete && records.iter().skip(1).all(|record| offset(record).is_some_and(|at| at < begin))
    }

    fn finish(&mut self) -> Index {
        let (found, footer, size) = (&mut self.found, &mut self.footer, self.size);
        let index = self.index.get_or_insert_with(|| {
            let (end, options) = footer.take().unwrap_or((size, None));
            std::mem::take(found).finish(end, options, Check::Hashes)
        });
        index.clone()
    }
}

/// What the first record of an index says.
fn metadata(records: &Records) -> Option<Metadata> {
    FooterMetadata::decode(records.iter().next()?).ok()?.array_record
}

/// A postscript begins a block and holds nothing else.
pub(super) fn is_postscript(chunk: &Chunk, records: &Records) -> bool {
    let is_one = |record| Postscript::decode(record).is_ok_and(|message| message.magic == Some(MAGIC));
    block::is_boundary(chunk.begin) && records.iter().all(is_one)
}

//! Going through the chunks of a file one after another, without reading the file: the walker says which bytes it needs.
//!
//! The chunks describe themselves, so a walker needs no block headers to find its way. Where it is told to go on at
//! damage, a broken block header therefore costs nothing; a broken chunk costs that chunk, if its header tells where it
//! ends; and behind a broken chunk header, the next sound block header tells where a chunk begins or ends.

use std::ops::Range;

use bytes::Bytes;

use super::block::{self, BlockHeader};
use super::chunk::{self, Check, Chunk, ChunkHeader, HEADER_SPAN};
use super::window::Window;
use super::{BLOCK, BLOCK_HEADER, Result, RiegeliError};

/// Bytes asked for at a time where the next chunk is shorter.
const READ_AHEAD: u64 = 1 << 20;

/// What to do at damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OnDamage {
    /// Return the error, at once and ever after.
    Stop,
    /// Report it and go on with the next chunk that can be found.
    Skip,
}

/// Bytes of the file that are needed next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need {
    /// Where they begin in the file.
    pub offset: u64,
    /// How many are worth reading at once. Fewer will do, and more do no harm.
    pub len: u64,
}

/// Something that is wrong with the file, and what is lost by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// What is wrong. It names where.
    pub error: RiegeliError,
    /// The part of the file that is passed over for it. Empty where nothing is lost, as with a broken block header.
    pub lost: Range<u64>,
}

/// What a walker has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Bytes are missing: see [`Walker::supply`].
    Need(Need),
    /// A chunk of any kind, its hashes checked.
    Chunk(Chunk),
    /// Damage, only with [`OnDamage::Skip`].
    Damage(Damage),
    /// The file's end. It stays that.
    End,
}

/// Goes through the chunks of a file.
#[derive(Debug)]
pub struct Walker {
    size: u64,
    on_damage: OnDamage,
    read_ahead: u64,
    is_thorough: bool,
    position: u64,
    state: State,
    window: Window,
    /// Where chunks begin according to somebody who may be wrong, in ascending order.
    landmarks: Vec<u64>,
}

#[derive(Debug)]
enum State {
    /// A chunk begins at the position.
    Chunk(Check),
    /// The chunk at the position is broken. Block headers from `block` on are searched for a way to go on; `end` is
    /// where the chunk ends, if its header says.
    Search {
        error: RiegeliError,
        block: u64,
        end: Option<u64>,
    },
    Failed(RiegeliError),
    Done,
}

impl Walker {
    /// A walker from the start of a file of `size` bytes.
    #[must_use]
    pub fn new(size: u64, on_damage: OnDamage) -> Self {
        Self::from(0, size, on_damage)
    }

    /// A walker from `begin` on, where a chunk of the file begins.
    #[must_use]
    pub fn from(begin: u64, size: u64, on_damage: OnDamage) -> Self {
        let state = State::Chunk(Check::All);
        let (window, landmarks) = (Window::default(), Vec::new());
        Self { size, on_damage, read_ahead: READ_AHEAD, is_thorough: false, position: begin, state, window, landmarks }
    }

    /// Asks for at least `bytes` at a time, up to the end of the file; 1 MiB unless set.
    #[must_use]
    pub fn read_ahead(mut self, bytes: u64) -> Self {
        self.read_ahead = bytes;
        self
    }

    /// Looks also at what fills chunks up, which carries no meaning.
    #[must_use]
    pub fn thorough(mut self) -> Self {
        self.is_thorough = true;
        self
    }

    /// Tells where chunks begin, in ascending order, as far as an index knows. A chunk header that is damaged then costs no
    /// chunk behind it. Chunks are found without it where it is wrong.
    pub fn set_landmarks(&mut self, mut begins: Vec<u64>) {
        begins.retain(|&begin| block::is_legal(begin));
        self.landmarks = begins;
    }

    /// Where the next chunk begins, or the one that is damaged.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Hands over bytes of the file that begin at `offset`. No bytes mean that the file ends there, whatever its size
    /// was said to be.
    pub fn supply(&mut self, offset: u64, bytes: Bytes) {
        if bytes.is_empty() {
            self.size = self.size.min(offset);
        }
        self.window.supply(offset, bytes);
    }

    /// The next step.
    ///
    /// # Errors
    /// [`RiegeliError`] with [`OnDamage::Stop`] only; the same again at each later call.
    pub fn step(&mut self) -> Result<Step> {
        loop {
            let step = match &self.state {
                State::Chunk(check) => self.chunk(*check),
                State::Search { .. } => return Ok(self.search()),
                State::Failed(error) => return Err(error.clone()),
                State::Done => return Ok(Step::End),
            };
            let (error, end) = match step {
                Ok(step) => return Ok(step),
                Err(failure) => failure,
            };
            if self.on_damage == OnDamage::Stop {
                self.state = State::Failed(error);
                continue;
            }
            if is_around(&error) {
                self.state = State::Chunk(Check::Hashes);
                return Ok(Step::Damage(Damage { error, lost: self.position..self.position }));
            }
            let block = self.position.checked_next_multiple_of(BLOCK).unwrap_or(self.size);
            self.state = State::Search { error, block, end };
        }
    }

    /// Reads the chunk at the position. A failure comes with the chunk's end, if that is known.
    fn chunk(&mut self, check: Check) -> Result<Step, (RiegeliError, Option<u64>)> {
        let begin = self.position;
        // A file has at least a signature, so that one without a byte is broken.
        if begin == self.size && begin > 0 {
            return Ok(Step::End);
        }
        self.window.forget_before(begin);
        let span = begin..begin.saturating_add(HEADER_SPAN).min(self.size.max(begin));
        if let Some(need) = self.need(&span) {
            return Ok(Step::Need(need));
        }
        let header = chunk::header(begin, &self.window.slice(span), check).map_err(|error| (error, None))?;
        let read = self.content(header, check);
        read.map_err(|error| (error, header.end(begin).ok()))
    }

    fn content(&mut self, header: ChunkHeader, check: Check) -> Result<Step> {
        let begin = self.position;
        let (content, end) = (begin..header.content_end(begin)?, header.end(begin)?);
        if content.end > self.size {
            return Err(RiegeliError::Truncated { begin, expected: content.end, found: self.size });
        }
        // What fills a chunk up is looked at only together with block headers, whose damage does not count either.
        let with_fill = begin..if self.is_thorough && check == Check::All { end.min(self.size) } else { content.end };
        if let Some(need) = self.need(&with_fill) {
            return Ok(Step::Need(need));
        }
        let bytes = self.window.slice(with_fill);
        let chunk = chunk::read_data(begin, header, &bytes, check)?;
        if self.is_thorough && check == Check::All && end <= self.size {
            chunk::check_fill(begin, &header, &bytes)?;
        }
        self.resume(end);
        Ok(Step::Chunk(chunk))
    }

    /// Searches block headers for a way around the broken chunk at the position.
    fn search(&mut self) -> Step {
        loop {
            let State::Search { block, end, .. } = &self.state else { return Step::End };
            let (block, end) = (*block, *end);
            match end.or_else(|| self.landmark()) {
                // No block header speaks against what the chunk says about its end, or an index about the next one.
                Some(end) if block >= end => return self.give_up_until(end),
                _ if block.saturating_add(BLOCK_HEADER) > self.size => return self.give_up_until(self.size),
                _ => {}
            }
            let range = block..block + BLOCK_HEADER;
            self.window.forget_before(block);
            if let Some(need) = self.need(&range) {
                return Step::Need(need);
            }
            let header = BlockHeader::parse(&self.window.slice(range)).filter(|header| header.is_possible(block));
            if let Some(next) = header.and_then(|header| self.way_on(block, header, end)) {
                return self.give_up_until(next);
            }
            if let State::Search { block, .. } = &mut self.state {
                *block += BLOCK;
            }
        }
    }

    /// Where to go on according to a sound block header, if it tells more than the broken chunk did.
    fn way_on(&self, block: u64, header: BlockHeader, end: Option<u64>) -> Option<u64> {
        let begin = block - header.previous;
        let next = block + header.next;
        if begin == self.position && end == Some(next) {
            return None;
        }
        [begin, next].into_iter().find(|&way| way > self.position && way <= self.size && block::is_legal(way))
    }

    /// Where the next chunk begins according to an index.
    fn landmark(&self) -> Option<u64> {
        let next = self.landmarks.partition_point(|&begin| begin <= self.position);
        self.landmarks.get(next).copied()
    }

    /// Reports the broken chunk and what is lost with it.
    fn give_up_until(&mut self, next: u64) -> Step {
        let next = next.min(self.size);
        let lost = self.position.min(next)..next;
        self.position = next;
        let state = if next == self.size { State::Done } else { State::Chunk(Check::All) };
        match std::mem::replace(&mut self.state, state) {
            State::Search { error, .. } => Step::Damage(Damage { error, lost }),
            _ => Step::End,
        }
    }

    fn resume(&mut self, position: u64) {
        self.position = position;
        self.state = State::Chunk(Check::All);
    }

    /// What has to be read before `range` is at hand.
    fn need(&self, range: &Range<u64>) -> Option<Need> {
        if range.is_empty() || self.window.has(range) {
            return None;
        }
        let joins = range.start <= self.window.end() && self.window.has(&(range.start..self.window.end()));
        let offset = if joins { self.window.end() } else { range.start };
        let wanted = (range.end - offset).max(self.read_ahead);
        Some(Need { offset, len: wanted.min(self.size.saturating_sub(offset)) })
    }
}

/// True for damage around a chunk, which leaves its hashes to tell whether it is sound.
fn is_around(error: &RiegeliError) -> bool {
    matches!(
        error,
        RiegeliError::BlockHash { .. }
            | RiegeliError::BlockMismatch { .. }
            | RiegeliError::NotSignature { .. }
            | RiegeliError::Fill { .. }
    )
}

//! Whether a file ends where a chunk ends, so that more can be written behind it.

use bytes::Bytes;

use crate::riegeli::block::BlockHeader;
use crate::riegeli::walk::{Need, OnDamage, Step, Walker};
use crate::riegeli::{BLOCK, BLOCK_HEADER, RiegeliError};

/// How a file ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tail {
    /// Bytes are missing: see [`AppendCheck::supply`].
    Need(Need),
    /// The file ends with a whole chunk.
    Whole,
    /// It does not.
    Damaged {
        /// Where the last whole chunk before the damage ends: to go on there, the file is first cut to this length.
        /// Where it is 0, nothing of the file is whole.
        whole: u64,
        /// What is wrong behind it.
        error: RiegeliError,
    },
}

/// Looks at the end of a file before it is appended to.
///
/// It goes back to the last block with a sound header, which tells where a chunk begins, and reads the chunks from there
/// to the end. What lies before is not looked at.
#[derive(Debug)]
pub struct AppendCheck {
    size: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The block header there is to be looked at; the bytes, once they are at hand.
    Back(u64, Bytes),
    Walk(Walker),
}

impl AppendCheck {
    /// A check of a file of `size` bytes.
    #[must_use]
    pub fn new(size: u64) -> Self {
        // A header at the very end would belong to a chunk that is not there yet.
        let block = size.saturating_sub(1) / BLOCK * BLOCK;
        Self { size, state: State::Back(block, Bytes::new()) }
    }

    /// Hands over the bytes asked for, which begin at `offset`.
    pub fn supply(&mut self, offset: u64, bytes: Bytes) {
        match &mut self.state {
            State::Back(block, header) if *block == offset => *header = bytes,
            State::Back(..) => {}
            State::Walk(walker) => walker.supply(offset, bytes),
        }
    }

    /// What is known of the end.
    pub fn next_step(&mut self) -> Tail {
        loop {
            match &mut self.state {
                State::Back(block, bytes) => {
                    let block = *block;
                    let len = BLOCK_HEADER.min(self.size.saturating_sub(block));
                    if len < BLOCK_HEADER || block == 0 {
                        self.state = self.before(block);
                    } else if bytes.is_empty() {
                        return Tail::Need(Need { offset: block, len });
                    } else {
                        let header = BlockHeader::parse(bytes).filter(|header| header.is_possible(block));
                        self.state = match header {
                            Some(header) => self.walk(block - header.previous),
                            None => self.before(block),
                        };
                    }
                }
                State::Walk(walker) => {
                    return match walker.step() {
                        Ok(Step::Need(need)) => Tail::Need(need),
                        Ok(Step::End) => Tail::Whole,
                        Ok(Step::Chunk(_) | Step::Damage(_)) => continue,
                        Err(error) => Tail::Damaged { whole: walker.position(), error },
                    };
                }
            }
        }
    }

    fn before(&self, block: u64) -> State {
        if block < BLOCK { self.walk(0) } else { State::Back(block - BLOCK, Bytes::new()) }
    }

    fn walk(&self, begin: u64) -> State {
        State::Walk(Walker::from(begin, self.size, OnDamage::Stop))
    }
}

//! From the end of a file to its index.

use bytes::Bytes;

use super::messages::{MAGIC, Postscript, decode};
use super::{ArrayRecordError, Index, Result, SHORTEST, TAIL};
use crate::riegeli::chunk::{self, Check};
use crate::riegeli::walk::Need;
use crate::riegeli::window::Window;
use crate::riegeli::{self, BLOCK, Chunk, Dialect, HEADER_SPAN, RiegeliError, block};

/// Bytes of the last block that are read at first. The postscript is shorter, and zeros follow it.
const POSTSCRIPT_SPAN: u64 = 512;

/// Bytes of the footer that are read at first, where nothing has been read with the last block.
const FOOTER_SPAN: u64 = 256 << 10;

/// What is known of a file that is being opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// Bytes are missing: see [`Opener::supply`].
    Need(Need),
    /// The index.
    Index(Index),
}

/// Reads the index of a file, usually with one read where it is prefetched together with the last block, otherwise with
/// two or three.
#[derive(Debug)]
pub struct Opener {
    size: u64,
    prefetch: u64,
    footer: Option<u64>,
    cut: Option<u64>,
    window: Window,
}

impl Opener {
    /// Opens a file of `size` bytes; `prefetch` bytes before the last block are asked for together with it.
    ///
    /// # Errors
    /// [`ArrayRecordError::FileSize`].
    pub fn new(size: u64, prefetch: u64) -> Result<Self> {
        if size < SHORTEST || !size.is_multiple_of(BLOCK) {
            return Err(ArrayRecordError::FileSize { size });
        }
        Ok(Self { size, prefetch, footer: None, cut: None, window: Window::default() })
    }

    /// Hands over bytes of the file that begin at `offset`, usually those asked for. No bytes mean that the file ends
    /// there, whatever its size was said to be.
    pub fn supply(&mut self, offset: u64, bytes: Bytes) {
        if bytes.is_empty() {
            self.cut = Some(offset);
        }
        self.window.supply(offset, bytes);
    }

    /// The next step.
    ///
    /// # Errors
    /// [`ArrayRecordError`], where the end of the file is damaged or the index makes no sense.
    pub fn next_step(&mut self) -> Result<Opened> {
        if let Some(found) = self.cut {
            return Err(RiegeliError::Truncated { begin: found, expected: self.size, found }.into());
        }
        let postscript = self.size - TAIL;
        let footer = match self.footer {
            Some(footer) => footer,
            None => {
                let ahead = self.prefetch.min(postscript);
                let chunk = match self.chunk(postscript, self.size, postscript - ahead, ahead + POSTSCRIPT_SPAN)? {
                    Ok(chunk) => chunk,
                    Err(need) => return Ok(Opened::Need(need)),
                };
                let footer = footer_offset(&chunk)?;
                self.footer = Some(footer);
                footer
            }
        };
        match self.chunk(footer, postscript, footer, FOOTER_SPAN.max(self.prefetch))? {
            Ok(chunk) => {
                let records = riegeli::decode_chunk(&chunk, Dialect::Riegeli)?;
                Ok(Opened::Index(Index::from_footer(footer, &records)?))
            }
            Err(need) => Ok(Opened::Need(need)),
        }
    }

    /// The chunk at `begin`, which has to end by `limit`. Where its header is not at hand yet, `len` bytes from `offset` on
    /// are asked for.
    fn chunk(&self, begin: u64, limit: u64, offset: u64, len: u64) -> Result<Result<Chunk, Need>> {
        let span = begin..begin.saturating_add(HEADER_SPAN).min(limit);
        if !self.window.has(&span) {
            return Ok(Err(self.need(offset, len.min(limit - offset))));
        }
        let header = chunk::header(begin, &self.window.slice(span), Check::All)?;
        let content = begin..header.content_end(begin)?;
        if header.end(begin)? > limit {
            return Err(ArrayRecordError::FooterOffset { offset: begin, limit });
        }
        if !self.window.has(&content) {
            return Ok(Err(self.need(begin, content.end - begin)));
        }
        Ok(Ok(chunk::read_data(begin, header, &self.window.slice(content), Check::All)?))
    }
}

impl Opener {
    /// What is missing of `len` bytes from `offset` on: what follows those that are there, so that the pieces join.
    fn need(&self, offset: u64, len: u64) -> Need {
        let (end, there) = (offset + len, self.window.end());
        let begun = offset < there && there < end && self.window.has(&(offset..there));
        let from = if begun { there } else { offset };
        Need { offset: from, len: end - from }
    }
}

/// Where the footer begins according to the postscript.
fn footer_offset(chunk: &Chunk) -> Result<u64> {
    let begin = chunk.begin;
    let records = riegeli::decode_chunk(chunk, Dialect::Riegeli)?;
    let postscript: Postscript = decode(records.iter().next().unwrap_or_default(), "the postscript", begin)?;
    let found = postscript.magic.unwrap_or(0);
    if found != MAGIC {
        return Err(ArrayRecordError::Magic { begin, found });
    }
    let offset = postscript.footer_offset.unwrap_or(0);
    if offset < HEADER_SPAN || offset >= begin || !block::is_legal(offset) {
        return Err(ArrayRecordError::FooterOffset { offset, limit: begin });
    }
    Ok(offset)
}

//! The content of a member, checked while it passes by.

use crc32fast::Hasher;
use flate2::{Decompress, FlushDecompress, Status};

use super::member::{DEFLATED, ENCRYPTED, LOCAL_LEN, Member, STORED, method_name};
use crate::error::{FormatError, Result};

/// Inflated bytes that are hashed at a time.
const PIECE: usize = 64 << 10;

/// Checks a member that arrives in pieces: its headers, its length and its checksum. Memory is bounded whatever its size.
pub struct Check {
    member: Member,
    part: Part,
    /// Bytes of the content that are to come, as they are stored.
    left: u64,
    hasher: Hasher,
    /// Bytes of the content so far, inflated.
    len: u64,
    inflate: Option<Decompress>,
    ended: bool,
    buffer: Vec<u8>,
}

enum Part {
    /// The header so far.
    Header(Vec<u8>),
    Content,
    /// What follows the content, so far.
    End(Vec<u8>),
}

impl Check {
    /// A check of this member.
    ///
    /// # Errors
    ///
    /// [`FormatError::Member`] around [`FormatError::Encrypted`] or [`FormatError::Method`].
    pub fn new(member: &Member) -> Result<Self> {
        let unsupported = |error: FormatError| Err(error.in_member(&member.name));
        if member.flags & ENCRYPTED != 0 {
            return unsupported(FormatError::Encrypted);
        }
        let inflate = match member.method {
            STORED => None,
            DEFLATED => Some(Decompress::new(false)),
            other => return unsupported(FormatError::Method { method: method_name(other) }),
        };
        Ok(Self {
            member: member.clone(),
            part: Part::Header(Vec::new()),
            left: member.stored_len,
            hasher: Hasher::new(),
            len: 0,
            inflate,
            ended: false,
            buffer: Vec::new(),
        })
    }

    /// Takes the next bytes of [`Member::range`].
    ///
    /// # Errors
    ///
    /// [`FormatError::Member`] around what is wrong.
    pub fn push(&mut self, piece: &[u8]) -> Result<()> {
        self.take(piece).map_err(|error| error.in_member(&self.member.name))
    }

    /// Says that all bytes have come.
    ///
    /// # Errors
    ///
    /// [`FormatError::Member`] around what is wrong.
    pub fn finish(self) -> Result<()> {
        self.end().map_err(|error| error.in_member(&self.member.name))
    }

    fn take(&mut self, mut piece: &[u8]) -> Result<()> {
        if let Part::Header(header) = &mut self.part {
            header.extend_from_slice(piece);
            let lens = header.get(26..30).map_or(0, |lens| {
                u64::from(u16::from_le_bytes([lens[0], lens[1]])) + u64::from(u16::from_le_bytes([lens[2], lens[3]]))
            });
            if (header.len() as u64) < LOCAL_LEN + lens {
                return Ok(());
            }
            let header = std::mem::take(header);
            let start = self.member.header(&header)?;
            self.part = Part::Content;
            return self.take(&header[start..]);
        }
        if let Part::Content = self.part {
            let content = usize::try_from(self.left).map_or(piece.len(), |left| left.min(piece.len()));
            let (content, rest) = piece.split_at(content);
            self.left -= content.len() as u64;
            self.content(content)?;
            if self.left > 0 {
                return Ok(());
            }
            self.part = Part::End(Vec::new());
            piece = rest;
        }
        if let Part::End(end) = &mut self.part {
            // No descriptor is longer than 24 bytes; what is more is wrong however long it is.
            end.extend_from_slice(&piece[..piece.len().min(32_usize.saturating_sub(end.len()))]);
        }
        Ok(())
    }

    fn content(&mut self, mut stored: &[u8]) -> Result<()> {
        let Some(inflate) = &mut self.inflate else {
            self.hasher.update(stored);
            self.len += stored.len() as u64;
            return Ok(());
        };
        let offset = self.member.extent.start;
        let damaged = |detail: &str| FormatError::Inflate { offset, detail: detail.to_owned() };
        self.buffer.resize(PIECE, 0);
        loop {
            if self.ended {
                return if stored.is_empty() { Ok(()) } else { Err(damaged("bytes follow its end")) };
            }
            let (taken, made) = (inflate.total_in(), inflate.total_out());
            let status = inflate.decompress(stored, &mut self.buffer, FlushDecompress::None);
            let status = status.map_err(|error| damaged(&error.to_string()))?;
            stored = &stored[usize::try_from(inflate.total_in() - taken).unwrap_or(usize::MAX)..];
            let made = usize::try_from(inflate.total_out() - made).unwrap_or(usize::MAX);
            self.hasher.update(&self.buffer[..made]);
            self.len += made as u64;
            self.ended = status == Status::StreamEnd;
            if self.len > self.member.len {
                return Err(FormatError::InflatedSize { found: self.len, expected: self.member.len });
            }
            if stored.is_empty() && made < PIECE && !self.ended {
                return Ok(());
            }
            if !self.ended && made == 0 && inflate.total_in() == taken {
                return Err(damaged("it makes no progress"));
            }
        }
    }

    fn end(&self) -> Result<()> {
        let Part::End(end) = &self.part else { return Err(self.member.no_room()) };
        if self.inflate.is_none() && self.member.stored_len != self.member.len {
            let Member { stored_len: stored, len: announced, .. } = self.member;
            return Err(FormatError::StoredSize { stored, announced });
        }
        if self.len != self.member.len || (self.inflate.is_some() && !self.ended) {
            return Err(FormatError::InflatedSize { found: self.len, expected: self.member.len });
        }
        let found = self.hasher.clone().finalize();
        if found != self.member.crc32 {
            return Err(FormatError::Checksum { found, expected: self.member.crc32 });
        }
        self.member.check_end(end)
    }
}

impl std::fmt::Debug for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Check").field("member", &self.member).field("len", &self.len).finish_non_exhaustive()
    }
}

impl Member {
    /// The first bytes of the content, at least as many as an array's header of usual length has where the content does;
    /// `extent` is the beginning of [`range`](Self::range). Nothing of the content is checked.
    ///
    /// # Errors
    ///
    /// [`FormatError::Member`] around what is wrong with the member's own header, and what cannot be decompressed.
    pub fn head(&self, extent: &[u8]) -> Result<Vec<u8>> {
        self.first(extent).map_err(|error| error.in_member(&self.name))
    }

    fn first(&self, extent: &[u8]) -> Result<Vec<u8>> {
        let stored = &extent[self.header(extent)?..];
        match self.method {
            _ if self.flags & ENCRYPTED != 0 => Err(FormatError::Encrypted),
            STORED => Ok(stored.to_vec()),
            DEFLATED => {
                let mut head = vec![0; PIECE];
                let mut inflate = Decompress::new(false);
                let inflated = inflate.decompress(stored, &mut head, FlushDecompress::None);
                let damaged = |detail: String| FormatError::Inflate { offset: self.extent.start, detail };
                inflated.map_err(|error| damaged(error.to_string()))?;
                head.truncate(usize::try_from(inflate.total_out()).unwrap_or(usize::MAX));
                Ok(head)
            }
            other => Err(FormatError::Method { method: method_name(other) }),
        }
    }
}

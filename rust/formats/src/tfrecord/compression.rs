//! The compression that a whole TFRecord file may have: none, gzip or zlib.

use flate2::{Decompress, FlushDecompress, Status};

use super::{HEADER, TfRecordError, announced};

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// As gzip does it, in one member or several.
    Gzip,
    /// As zlib does it.
    Zlib,
}

/// Bytes that [`Compression::detect`] looks at.
pub const DETECT: usize = HEADER;

impl Compression {
    /// Its name, as options and messages have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Zlib => "zlib",
        }
    }

    /// The compression of this name, in any case; an empty one means none, as in TensorFlow.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "" | "none" => Some(Self::None),
            "gzip" => Some(Self::Gzip),
            "zlib" => Some(Self::Zlib),
            _ => None,
        }
    }

    /// What the first bytes of a file say ([`DETECT`] of them, or all of a shorter file).
    ///
    /// A right checksum of the first length tells a plain file for sure; only without one do the marks of the others
    /// count, which a length could have as well.
    #[must_use]
    pub fn detect(first: &[u8]) -> Self {
        if first.first_chunk::<HEADER>().is_some_and(|header| announced(header).1) {
            return Self::None;
        }
        match first {
            [0x1f, 0x8b, 8, ..] => Self::Gzip,
            // Deflate in a window of at most 32 KiB, a check of both bytes, and no preset dictionary.
            [method, flags, ..]
                if method & 0x0f == 8
                    && method >> 4 <= 7
                    && u16::from_be_bytes([*method, *flags]) % 31 == 0
                    && flags & 0x20 == 0 =>
            {
                Self::Zlib
            }
            _ => Self::None,
        }
    }
}

/// Bytes of output that are made room for at a time.
const PIECE: usize = 256 << 10;

/// The largest window of deflate, as a power of two; data with a smaller one is read with it as well.
const WINDOW: u8 = 15;

/// Undoes the compression of a stream that arrives in pieces.
#[derive(Debug)]
pub struct Inflate {
    kind: Compression,
    inner: Decompress,
    /// The present member is complete.
    ended: bool,
}

impl Inflate {
    /// At the beginning of a file; `None` for one that is not compressed.
    #[must_use]
    pub fn new(kind: Compression) -> Option<Self> {
        let inner = match kind {
            Compression::None => return None,
            Compression::Gzip => Decompress::new_gzip(WINDOW),
            Compression::Zlib => Decompress::new(true),
        };
        Some(Self { kind, inner, ended: false })
    }

    /// Decompresses `input`, which becomes at most a thousand times as long, and appends the result to `out`.
    ///
    /// # Errors
    /// [`TfRecordError::Inflate`].
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), TfRecordError> {
        let (mut used, mut full) = (0, false);
        while used < input.len() || full {
            if self.ended {
                // Gzip files may be put behind each other, which gives the file of all their contents.
                if self.kind != Compression::Gzip {
                    return Err(self.damaged("bytes follow its end"));
                }
                self.inner = Decompress::new_gzip(WINDOW);
                self.ended = false;
            }
            out.reserve(PIECE);
            let before = (self.inner.total_in(), out.len());
            let status = self.inner.decompress_vec(&input[used..], out, FlushDecompress::None);
            let status = status.map_err(|source| self.damaged(&source.to_string()))?;
            used += usize::try_from(self.inner.total_in() - before.0).unwrap_or(usize::MAX);
            self.ended = status == Status::StreamEnd;
            if !self.ended && !full && (self.inner.total_in(), out.len()) == before {
                return Err(self.damaged("it makes no progress"));
            }
            // Without room left there may be more to come from what it has taken.
            full = !self.ended && out.len() == out.capacity();
        }
        Ok(())
    }

    /// Says that the file ends here.
    ///
    /// # Errors
    /// [`TfRecordError::Inflate`] where the compressed data does not.
    pub fn finish(&self) -> Result<(), TfRecordError> {
        if self.ended || self.inner.total_in() == 0 {
            return Ok(());
        }
        Err(self.damaged("the file ends inside it"))
    }

    fn damaged(&self, detail: &str) -> TfRecordError {
        TfRecordError::Inflate { kind: self.kind.name(), detail: detail.to_owned() }
    }
}

//! Compression of object bodies: incremental encoders for writers, and decoding of whole bodies under a limit.
//!
//! All three formats are the frames that their reference tools write (`zstd`, `gzip`, `lz4`), with a checksum of the
//! content, so that what a writer produced can be read without this library.

use std::fmt;
use std::io::{self, Read, Write};

use bytes::Bytes;
use flate2::write::GzEncoder;
use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};

use crate::error::{Result, StoreError};

/// Highest level of zstd; the levels above 19 take hundreds of megabytes of memory.
const ZSTD_LEVELS: (i32, i32) = (1, 22);
const GZIP_LEVELS: (i32, i32) = (1, 9);

/// What a writer does to the bytes before they go to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Nothing.
    #[default]
    None,
    /// A zstd frame; level 1 to 22.
    Zstd(i32),
    /// A gzip member; level 1 to 9.
    Gzip(u32),
    /// An LZ4 frame; there is one level.
    Lz4,
}

impl Compression {
    /// From a name (`none`, `zstd`, `gzip`, `lz4`) and a level; without one zstd takes 3 and gzip 6, the defaults of
    /// their tools.
    ///
    /// # Errors
    /// [`StoreError::Config`] for another name, a level outside the range of the method, or one where there is none.
    pub fn parse(method: &str, level: Option<i32>) -> Result<Self> {
        let within = |default: i32, (low, high): (i32, i32)| match level.unwrap_or(default) {
            level if (low..=high).contains(&level) => Ok(level),
            level => Err(bad("compression_level", level, format!("{low} to {high} for {method}"))),
        };
        match method {
            "zstd" => within(3, ZSTD_LEVELS).map(Self::Zstd),
            "gzip" => within(6, GZIP_LEVELS).map(|level| Self::Gzip(level.unsigned_abs())),
            "none" | "lz4" => match level {
                Some(level) => Err(bad("compression_level", level, format!("None: {method} has no levels"))),
                None if method == "lz4" => Ok(Self::Lz4),
                None => Ok(Self::None),
            },
            other => Err(bad("compression", format!("{other:?}"), "none, zstd, gzip or lz4".into())),
        }
    }

    /// The file name extension of the format, with its dot; empty for none.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Zstd(_) => ".zst",
            Self::Gzip(_) => ".gz",
            Self::Lz4 => ".lz4",
        }
    }
}

fn bad(option: &str, found: impl fmt::Display, expected: String) -> StoreError {
    StoreError::Config { option: option.into(), found: found.to_string(), expected }
}

/// Compresses a stream piece by piece; what has come out so far waits in [`Encoder::output`].
pub enum Encoder {
    /// See [`Compression::Zstd`].
    Zstd(Box<zstd::stream::write::Encoder<'static, Vec<u8>>>),
    /// See [`Compression::Gzip`].
    Gzip(Box<GzEncoder<Vec<u8>>>),
    /// See [`Compression::Lz4`].
    Lz4(Box<FrameEncoder<Vec<u8>>>),
}

impl Encoder {
    /// An encoder at the beginning of its stream; `None` where nothing is to be compressed.
    ///
    /// # Errors
    /// Those of the codec (out of memory).
    pub fn new(compression: Compression) -> io::Result<Option<Self>> {
        Ok(match compression {
            Compression::None => None,
            Compression::Zstd(level) => {
                let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), level)?;
                encoder.include_checksum(true)?;
                Some(Self::Zstd(Box::new(encoder)))
            }
            Compression::Gzip(level) => {
                Some(Self::Gzip(Box::new(GzEncoder::new(Vec::new(), flate2::Compression::new(level)))))
            }
            Compression::Lz4 => {
                // Linked blocks let matches cross block borders; 256 KiB is what one piece of a writer brings.
                let frame = FrameInfo::new()
                    .block_mode(BlockMode::Linked)
                    .block_size(BlockSize::Max256KB)
                    .content_checksum(true);
                Some(Self::Lz4(Box::new(FrameEncoder::with_frame_info(frame, Vec::new()))))
            }
        })
    }

    /// Takes the next bytes of the stream.
    ///
    /// # Errors
    /// Those of the codec.
    pub fn push(&mut self, data: &[u8]) -> io::Result<()> {
        match self {
            Self::Zstd(encoder) => encoder.write_all(data),
            Self::Gzip(encoder) => encoder.write_all(data),
            Self::Lz4(encoder) => encoder.write_all(data),
        }
    }

    /// The compressed bytes so far, for the caller to take and clear.
    pub fn output(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Zstd(encoder) => encoder.get_mut(),
            Self::Gzip(encoder) => encoder.get_mut(),
            Self::Lz4(encoder) => encoder.get_mut(),
        }
    }

    /// Ends the stream and returns its last bytes.
    ///
    /// # Errors
    /// Those of the codec.
    pub fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Zstd(encoder) => encoder.finish(),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Lz4(encoder) => encoder.finish().map_err(io::Error::other),
        }
    }
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Zstd(_) => "Encoder::Zstd",
            Self::Gzip(_) => "Encoder::Gzip",
            Self::Lz4(_) => "Encoder::Lz4",
        })
    }
}

/// How a body is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Codec {
    /// What the extension of the URI says (`.zst`, `.gz`, `.lz4`), else what the first bytes say; a body that is
    /// neither is returned as it is.
    #[default]
    Auto,
    /// The body as it is.
    None,
    /// zstd frames.
    Zstd,
    /// gzip members.
    Gzip,
    /// LZ4 frames.
    Lz4,
}

/// Codecs, their names, extensions and the bytes that their formats begin with.
const FORMATS: [(Codec, &str, &str, &[u8]); 3] = [
    (Codec::Zstd, "zstd", ".zst", &[0x28, 0xb5, 0x2f, 0xfd]),
    (Codec::Gzip, "gzip", ".gz", &[0x1f, 0x8b]),
    (Codec::Lz4, "lz4", ".lz4", &[0x04, 0x22, 0x4d, 0x18]),
];

impl Codec {
    /// From a name: `auto`, `none`, `zstd`, `gzip`, `lz4`.
    ///
    /// # Errors
    /// [`StoreError::Config`] for another name.
    pub fn parse(name: &str) -> Result<Self> {
        match name {
            "auto" => Ok(Self::Auto),
            "none" => Ok(Self::None),
            other => FORMATS
                .iter()
                .find(|format| format.1 == other)
                .map(|format| format.0)
                .ok_or_else(|| bad("decompress", format!("{other:?}"), "auto, none, zstd, gzip or lz4".into())),
        }
    }

    /// The codec that is meant for this body: never [`Codec::Auto`].
    #[must_use]
    pub fn resolve(self, uri: &str, data: &[u8]) -> Self {
        let named = || FORMATS.iter().find(|format| uri.ends_with(format.2));
        let begun = || FORMATS.iter().find(|format| data.starts_with(format.3));
        match self {
            Self::Auto => named().or_else(begun).map_or(Self::None, |format| format.0),
            codec => codec,
        }
    }
}

/// Decodes a whole body; several frames one after another are one body.
///
/// `limit` is the number of bytes that may come out: a hostile body of a few kilobytes can announce gigabytes.
///
/// # Errors
/// [`StoreError::Corrupt`] for a body that is damaged, cut short, of another format or larger than `limit`.
pub fn decompress(uri: &str, data: Bytes, codec: Codec, limit: u64) -> Result<Bytes> {
    let corrupt = |detail: String| StoreError::Corrupt { uri: uri.to_owned(), detail };
    let codec = codec.resolve(uri, &data);
    let decoded = match codec {
        Codec::Auto | Codec::None => return Ok(data),
        // An empty stream has a frame too: without one the body has been lost.
        _ if data.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
        Codec::Zstd => zstd::stream::read::Decoder::with_buffer(&data[..]).and_then(|decoder| take(decoder, limit)),
        Codec::Gzip => take(flate2::bufread::MultiGzDecoder::new(&data[..]), limit),
        Codec::Lz4 => lz4_frames(&data, limit),
    };
    let name = FORMATS.iter().find(|format| format.0 == codec).map_or("", |format| format.1);
    let mut decoded = decoded.map_err(|source| corrupt(format!("{name}: {source}")))?;
    if decoded.len() as u64 > limit {
        return Err(corrupt(format!("{name}: more than the {limit} bytes that are allowed")));
    }
    decoded.shrink_to_fit();
    Ok(decoded.into())
}

/// Reads one byte more than the limit at most, so that the caller sees that it is passed.
fn take(decoder: impl Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut decoded = Vec::new();
    decoder.take(limit.saturating_add(1)).read_to_end(&mut decoded)?;
    Ok(decoded)
}

/// The decoder takes an end of input between two blocks for the end of the frame, so its input reports that as an
/// error of its own; and it stops after each frame.
struct Unended<'a>(&'a [u8]);

impl Read for Unended<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() && !buffer.is_empty() {
            return Err(io::Error::other("the stream is cut short"));
        }
        self.0.read(buffer)
    }
}

fn lz4_frames(data: &[u8], limit: u64) -> io::Result<Vec<u8>> {
    let mut decoder = FrameDecoder::new(Unended(data));
    let mut decoded = Vec::new();
    while !decoder.get_ref().0.is_empty() && decoded.len() as u64 <= limit {
        let room = limit.saturating_add(1) - decoded.len() as u64;
        (&mut decoder).take(room).read_to_end(&mut decoded)?;
    }
    Ok(decoded)
}

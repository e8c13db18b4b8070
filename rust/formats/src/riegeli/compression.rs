//! Compression of the parts of a chunk.
//!
//! Contexts of Zstandard are kept by each thread, because setting one up costs more than decoding a small chunk.
//!
//! Output grows as it is produced. A size that a file announces is only ever compared with what came out, never
//! reserved beforehand, except where so many bytes of input make it likely.

use std::cell::RefCell;

use brotli::enc::StandardAlloc;
use brotli::enc::{BrotliCompress, BrotliEncoderParams};
use brotli::{BrotliDecompressStream, BrotliResult, BrotliState};
use bytes::Bytes;
use zstd::zstd_safe::{self, CCtx, CParameter, DCtx, DParameter, ResetDirective};

use super::{Result, RiegeliError};
use crate::varint;

/// Longest window that the formats allow, as a power of two; Zstandard's own default limit is 27.
const MAX_WINDOW_LOG: u32 = 31;

/// Windows above this need Brotli's large-window format.
const BROTLI_ORDINARY_WINDOW_LOG: u8 = 24;

/// Brotli's window where none is asked for, as upstream has it.
const BROTLI_WINDOW_LOG: u8 = 22;

/// Output reserved beforehand whatever the input.
const ALWAYS_RESERVED: u64 = 1 << 20;

/// Output reserved beforehand for each byte of input. Records rarely shrink to less than a hundredth.
const LIKELY_RATIO: u64 = 100;

/// By how much the output grows each time it turns out too small: attempts at Zstandard start over, so that this bounds
/// them to a few.
const GROWTH: u64 = 8;

/// A byte of Snappy makes at most this many: three bytes can stand for 64.
const SNAPPY_RATIO: u64 = 22;

/// The four ways to store the parts of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// As they are.
    None,
    /// One Brotli stream, large windows included.
    Brotli,
    /// One Zstandard frame.
    Zstd,
    /// One raw Snappy block.
    Snappy,
}

impl Codec {
    /// The byte that stands for it in a chunk.
    #[must_use]
    pub const fn byte(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Brotli => b'b',
            Self::Zstd => b'z',
            Self::Snappy => b's',
        }
    }

    /// What `byte` stands for.
    ///
    /// # Errors
    /// [`RiegeliError::UnknownCompression`].
    pub const fn from_byte(byte: u8) -> Result<Self> {
        match byte {
            0 => Ok(Self::None),
            b'b' => Ok(Self::Brotli),
            b'z' => Ok(Self::Zstd),
            b's' => Ok(Self::Snappy),
            found => {
                let expected = "0x62 (brotli), 0x7a (zstd) or 0x73 (snappy)";
                Err(RiegeliError::UnknownCompression { found, expected })
            }
        }
    }

    /// Its name in messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "uncompressed",
            Self::Brotli => "brotli",
            Self::Zstd => "zstd",
            Self::Snappy => "snappy",
        }
    }

    /// Undoes a compressed buffer: its decompressed size, then the stream; nothing but the bytes where uncompressed.
    ///
    /// # Errors
    /// As [`decompress`](Self::decompress), and [`RiegeliError::Size`] where more than `limit` bytes are announced.
    pub fn get_buffer(self, mut buffer: Bytes, part: &'static str, limit: u64) -> Result<Bytes> {
        let size = if self == Self::None {
            buffer.len() as u64
        } else {
            let mut rest = &buffer[..];
            let size = varint::get_u64(&mut rest).map_err(|error| RiegeliError::Varint { part, error })?;
            let prefix = buffer.len() - rest.len();
            bytes::Buf::advance(&mut buffer, prefix);
            size
        };
        if size > limit {
            return Err(RiegeliError::Size { part, found: size, expected: limit });
        }
        self.decompress(buffer, part, size)
    }

    /// Undoes a stream that makes exactly `size` bytes.
    ///
    /// # Errors
    /// [`RiegeliError::Decompress`] where the stream is damaged or not the only one, [`RiegeliError::Size`] where it
    /// makes more or less, [`RiegeliError::NoMemory`].
    pub fn decompress(self, stream: Bytes, part: &'static str, size: u64) -> Result<Bytes> {
        let out = match self {
            Self::None => stream,
            Self::Brotli => brotli_decompress(&stream, part, size)?.into(),
            Self::Zstd => zstd_decompress(&stream, part, size)?.into(),
            Self::Snappy => snappy_decompress(&stream, part, size)?.into(),
        };
        let found = out.len() as u64;
        if found == size { Ok(out) } else { Err(RiegeliError::Size { part, found, expected: size }) }
    }

    fn damaged(self, detail: impl ToString) -> RiegeliError {
        RiegeliError::Decompress { codec: self.name(), detail: detail.to_string() }
    }
}

/// How a writer compresses. Levels and windows are those of the compressors; values outside their ranges are theirs to
/// refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not at all.
    None,
    /// Brotli.
    Brotli {
        /// 0 to 11.
        level: u8,
        /// 10 to 30, as a power of two; 22 where `None`. Above 24 the stream is a large-window one.
        window_log: Option<u8>,
    },
    /// Zstandard.
    Zstd {
        /// -131072 to 22; 0 means 3.
        level: i32,
        /// 10 to 31, as a power of two; the level's own where `None`.
        window_log: Option<u8>,
    },
    /// Snappy.
    Snappy,
}

impl Compression {
    /// Which of the four ways.
    #[must_use]
    pub const fn codec(self) -> Codec {
        match self {
            Self::None => Codec::None,
            Self::Brotli { .. } => Codec::Brotli,
            Self::Zstd { .. } => Codec::Zstd,
            Self::Snappy => Codec::Snappy,
        }
    }

    /// Appends `input` as a compressed buffer: its size, then the stream; nothing but the bytes where uncompressed.
    ///
    /// # Errors
    /// [`RiegeliError::Compress`].
    pub fn put_buffer(self, input: &[u8], out: &mut Vec<u8>) -> Result<()> {
        if self != Self::None {
            varint::put(out, input.len() as u64);
        }
        self.compress(input, out)
    }

    /// Appends the stream for `input`.
    ///
    /// # Errors
    /// [`RiegeliError::Compress`].
    pub fn compress(self, input: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let done = match self {
            Self::None => {
                out.extend_from_slice(input);
                Ok(())
            }
            Self::Brotli { level, window_log } => brotli_compress(input, out, level, window_log),
            Self::Zstd { level, window_log } => zstd_compress(input, out, level, window_log),
            Self::Snappy => snappy_compress(input, out),
        };
        let codec = self.codec().name();
        done.map_err(|detail| RiegeliError::Compress { codec, len: input.len() as u64, detail })
    }
}

/// A first size for the output of `input` bytes: what is announced, unless so few bytes hardly make it.
fn likely(input: usize, size: u64) -> u64 {
    size.min(ALWAYS_RESERVED.max((input as u64).saturating_mul(LIKELY_RATIO)))
}

fn reserve(out: &mut Vec<u8>, len: u64) -> Result<()> {
    let no_memory = || RiegeliError::NoMemory { bytes: len };
    let additional = usize::try_from(len).map_err(|_| no_memory())?.saturating_sub(out.len());
    out.try_reserve_exact(additional).map_err(|_| no_memory())
}

/// A compressor and the settings it was last given.
struct Encoder {
    context: CCtx<'static>,
    settings: Option<(i32, Option<u8>)>,
}

thread_local! {
    static ENCODER: RefCell<Option<Encoder>> = const { RefCell::new(None) };
    static DECODER: RefCell<Option<DCtx<'static>>> = const { RefCell::new(None) };
}

fn zstd_name(code: usize) -> String {
    zstd_safe::get_error_name(code).to_owned()
}

fn zstd_compress(input: &[u8], out: &mut Vec<u8>, level: i32, window_log: Option<u8>) -> Result<(), String> {
    ENCODER.with_borrow_mut(|kept| {
        if kept.is_none() {
            let context = CCtx::try_create().ok_or("no memory for a context")?;
            *kept = Some(Encoder { context, settings: None });
        }
        let Some(encoder) = kept else { return Err("no context".to_owned()) };
        if encoder.settings != Some((level, window_log)) {
            encoder.settings = None;
            let context = &mut encoder.context;
            context.reset(ResetDirective::SessionAndParameters).map_err(zstd_name)?;
            context.set_parameter(CParameter::CompressionLevel(level)).map_err(zstd_name)?;
            if let Some(log) = window_log {
                context.set_parameter(CParameter::WindowLog(u32::from(log))).map_err(zstd_name)?;
            }
            encoder.settings = Some((level, window_log));
        }
        let start = out.len();
        out.try_reserve(zstd_safe::compress_bound(input.len())).map_err(|error| error.to_string())?;
        // The compressor writes from the start of what it is given, so what is there already is set aside.
        let mut target = std::io::Cursor::new(std::mem::take(out));
        target.set_position(start as u64);
        let done = encoder.context.compress2(&mut target, input).map_err(zstd_name);
        *out = target.into_inner();
        done.map(drop)
    })
}

fn zstd_decompress(stream: &[u8], part: &'static str, size: u64) -> Result<Vec<u8>> {
    let damaged = |code| Codec::Zstd.damaged(zstd_name(code));
    if stream.get(..4) != Some(&zstd_safe::MAGICNUMBER.to_le_bytes()) {
        return Err(Codec::Zstd.damaged("it does not begin with a frame"));
    }
    let frame = zstd_safe::find_frame_compressed_size(stream).map_err(damaged)?;
    if frame != stream.len() {
        return Err(RiegeliError::Trailing { part, bytes: (stream.len() - frame) as u64 });
    }
    DECODER.with_borrow_mut(|kept| {
        if kept.is_none() {
            let mut context = DCtx::try_create().ok_or(RiegeliError::NoMemory { bytes: 0 })?;
            context.set_parameter(DParameter::WindowLogMax(MAX_WINDOW_LOG)).map_err(damaged)?;
            *kept = Some(context);
        }
        let Some(context) = kept else { return Err(RiegeliError::NoMemory { bytes: 0 }) };
        let mut room = likely(stream.len(), size);
        loop {
            let mut out = Vec::new();
            reserve(&mut out, room)?;
            match context.decompress(&mut out, stream) {
                Ok(_) => return Ok(out),
                Err(code) if room >= size || !is_too_small(code) => return Err(damaged(code)),
                Err(_) => room = size.min(room.saturating_mul(GROWTH)),
            }
        }
    })
}

/// Whether the decompressor asks for more room. It tells by name only.
fn is_too_small(code: usize) -> bool {
    zstd_safe::get_error_name(code) == "Destination buffer is too small"
}

fn brotli_compress(input: &[u8], out: &mut Vec<u8>, level: u8, window_log: Option<u8>) -> Result<(), String> {
    let window_log = window_log.unwrap_or(BROTLI_WINDOW_LOG);
    let params = BrotliEncoderParams {
        quality: i32::from(level),
        lgwin: i32::from(window_log),
        large_window: window_log > BROTLI_ORDINARY_WINDOW_LOG,
        size_hint: input.len(),
        ..BrotliEncoderParams::default()
    };
    BrotliCompress(&mut &input[..], out, &params).map(drop).map_err(|error| error.to_string())
}

fn brotli_decompress(stream: &[u8], part: &'static str, size: u64) -> Result<Vec<u8>> {
    let mut state = BrotliState::new(StandardAlloc::default(), StandardAlloc::default(), StandardAlloc::default());
    let (mut left, mut read, mut written, mut total) = (stream.len(), 0, 0, 0);
    let mut out = Vec::new();
    let mut room = likely(stream.len(), size);
    loop {
        reserve(&mut out, room)?;
        out.resize(room as usize, 0);
        let mut free = out.len() - written;
        let result = BrotliDecompressStream(
            &mut left,
            &mut read,
            stream,
            &mut free,
            &mut written,
            &mut out,
            &mut total,
            &mut state,
        );
        match result {
            BrotliResult::ResultSuccess if left > 0 => {
                return Err(RiegeliError::Trailing { part, bytes: left as u64 });
            }
            BrotliResult::ResultSuccess => {
                out.truncate(written);
                return Ok(out);
            }
            BrotliResult::NeedsMoreOutput if room < size => room = size.min(room.saturating_mul(GROWTH)),
            BrotliResult::NeedsMoreOutput => return Err(Codec::Brotli.damaged("it makes more than announced")),
            BrotliResult::NeedsMoreInput => return Err(Codec::Brotli.damaged("it is cut off")),
            BrotliResult::ResultFailure => return Err(Codec::Brotli.damaged(format!("{:?}", state.error_code))),
        }
    }
}

fn snappy_compress(input: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    let start = out.len();
    let most = snap::raw::max_compress_len(input.len());
    if most == 0 {
        return Err("it takes at most 4 GiB at once".to_owned());
    }
    out.resize(start + most, 0);
    let len = snap::raw::Encoder::new().compress(input, &mut out[start..]).map_err(|error| error.to_string())?;
    out.truncate(start + len);
    Ok(())
}

fn snappy_decompress(stream: &[u8], part: &'static str, size: u64) -> Result<Vec<u8>> {
    let found = snap::raw::decompress_len(stream).map_err(|error| Codec::Snappy.damaged(error))? as u64;
    if found != size {
        return Err(RiegeliError::Size { part, found, expected: size });
    }
    if size > (stream.len() as u64).saturating_mul(SNAPPY_RATIO) {
        return Err(Codec::Snappy.damaged(format!("{} bytes cannot make {size}", stream.len())));
    }
    let mut out = Vec::new();
    reserve(&mut out, size)?;
    out.resize(size as usize, 0);
    let len = snap::raw::Decoder::new().decompress(stream, &mut out).map_err(|error| Codec::Snappy.damaged(error))?;
    out.truncate(len);
    Ok(out)
}

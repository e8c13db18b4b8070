//! Options of writers and readers, as texts.
//!
//! A text is a list of `key` or `key:value`, separated by commas. Keys, ranges and defaults are those of the reference
//! implementation; sizes may also be spelt with a `B` behind the letter (`16MB`), as its documentation has them, and a
//! bare `pad_to_block_boundary` means true.

use std::str::FromStr;

use super::error::OptionError;
use super::writer::DEFAULT_GROUP_SIZE;
use crate::riegeli::Compression;
use crate::riegeli::transpose::DEFAULT_BUCKET_SIZE;

type Result<T, E = OptionError> = std::result::Result<T, E>;

/// Window of Zstandard where the options do not say, as a power of two.
const ZSTD_WINDOW_LOG: u8 = 20;

/// How records are grouped and compressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriterOptions {
    /// Records of a chunk (`group_size`); `None` for [`DEFAULT_GROUP_SIZE`], or fewer where records are large.
    pub group_size: Option<u64>,
    /// Chunks that are compressed at the same time (`max_parallelism`); `None` for as many as there are cores.
    pub max_parallelism: Option<u32>,
    /// Milliseconds between two looks at a writer that is ahead of its compressors (`saturation_delay_ms`, 10).
    pub saturation_delay_ms: u32,
    /// Whether messages are split into columns (`transpose`, false).
    pub transpose: bool,
    /// Bytes of values that are compressed together in transposed chunks (`transpose_bucket_size`, 256).
    pub transpose_bucket_size: u64,
    /// `uncompressed`, `brotli`, `zstd` (the default, level 3) or `snappy`, and `window_log`.
    pub compression: Compression,
    /// Whether each chunk is followed by padding up to the next 64 KiB (`pad_to_block_boundary`, false).
    pub pad_to_block_boundary: bool,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self {
            group_size: None,
            max_parallelism: None,
            saturation_delay_ms: 10,
            transpose: false,
            transpose_bucket_size: DEFAULT_BUCKET_SIZE,
            compression: Compression::Zstd { level: 3, window_log: Some(ZSTD_WINDOW_LOG) },
            pad_to_block_boundary: false,
        }
    }
}

/// How a file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReaderOptions {
    /// Bytes of the file that sequential reading is ahead at most (`readahead_buffer_size`, 16 MiB); 0 for none. Random
    /// access never reads ahead.
    pub readahead: u64,
    /// Chunks that are read and decoded at the same time (`max_parallelism`); `None` for as many as there are cores, 0 for
    /// the calling thread alone.
    pub max_parallelism: Option<u32>,
    /// Whether the index stays in memory (`index_storage_option`, `in_memory`); otherwise each call reads it anew.
    pub index_in_memory: bool,
    /// Bytes before the last 64 KiB that are read along when a file of a network store is opened, as they are likely to
    /// hold the index (`footer_prefetch_bytes`, 1 MiB).
    pub footer_prefetch: u64,
}

impl Default for ReaderOptions {
    fn default() -> Self {
        Self { readahead: 16 << 20, max_parallelism: None, index_in_memory: true, footer_prefetch: 1 << 20 }
    }
}

const WRITER_KEYS: &[&str] = &[
    "default",
    "group_size",
    "max_parallelism",
    "saturation_delay_ms",
    "transpose",
    "transpose_bucket_size",
    "uncompressed",
    "brotli",
    "zstd",
    "snappy",
    "window_log",
    "pad_to_block_boundary",
];

const READER_KEYS: &[&str] =
    &["readahead_buffer_size", "max_parallelism", "index_storage_option", "footer_prefetch_bytes"];

const COMPRESSIONS: [&str; 4] = ["uncompressed", "brotli", "zstd", "snappy"];

/// The options of a text, each at most once.
struct Parsed<'a>(Vec<(&'a str, Option<&'a str>)>);

impl<'a> Parsed<'a> {
    fn parse(text: &'a str, keys: &[&str]) -> Result<Self> {
        let mut found: Vec<(&str, Option<&str>)> = Vec::new();
        for option in text.split(',').filter(|option| !option.is_empty()) {
            let (key, value) = option.split_once(':').map_or((option, None), |(key, value)| (key, Some(value)));
            if !keys.contains(&key) {
                return Err(error(key, "no option of that name", &format!("one of {}", keys.join(", "))));
            }
            if found.iter().any(|(earlier, _)| *earlier == key) {
                return Err(error(key, "it more than once", "it once"));
            }
            if key == "default" && !found.is_empty() {
                return Err(error(key, &format!("it behind {}", found[0].0), "it in front of all others"));
            }
            found.push((key, value));
        }
        Ok(Self(found))
    }

    /// Whether an option is there, and its value.
    fn get(&self, key: &str) -> Option<Option<&'a str>> {
        self.0.iter().find(|(found, _)| *found == key).map(|(_, value)| *value)
    }

    fn bare(&self, key: &str) -> Result<bool> {
        match self.get(key) {
            Some(Some(value)) => Err(error(key, &format!("{value:?}"), "no value")),
            found => Ok(found.is_some()),
        }
    }

    /// A number with a name for "let the library choose".
    fn number<T: FromStr + PartialOrd>(
        &self,
        key: &str,
        range: std::ops::RangeInclusive<T>,
        auto: bool,
        expected: &str,
    ) -> Result<Option<T>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        if auto && value == Some("auto") {
            return Ok(None);
        }
        let number = value.and_then(|value| value.trim().parse().ok()).filter(|number| range.contains(number));
        number.map(Some).ok_or_else(|| error(key, &shown(value), expected))
    }

    /// As [`number`](Self::number), of an option whose bare form means `default`.
    fn level<T: FromStr + PartialOrd>(
        &self,
        key: &str,
        default: T,
        range: std::ops::RangeInclusive<T>,
        expected: &str,
    ) -> Result<Option<T>> {
        if self.get(key) == Some(None) { Ok(Some(default)) } else { self.number(key, range, false, expected) }
    }

    fn flag(&self, key: &str) -> Result<bool> {
        match self.get(key) {
            None | Some(Some("false")) => Ok(false),
            Some(None | Some("true")) => Ok(true),
            Some(value) => Err(error(key, &shown(value), "true or false")),
        }
    }

    /// A number of bytes, `None` for `auto`.
    fn size(&self, key: &str, range: std::ops::RangeInclusive<u64>, expected: &str) -> Result<Option<u64>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        if value == Some("auto") {
            return Ok(None);
        }
        let size = value.and_then(bytes).filter(|size| range.contains(size));
        size.map(Some).ok_or_else(|| error(key, &shown(value), expected))
    }
}

impl WriterOptions {
    /// Reads options from a text.
    ///
    /// # Errors
    /// [`OptionError`] for an option that does not exist, is given twice, has a value out of range, or contradicts
    /// another.
    pub fn parse(text: &str) -> Result<Self> {
        const COUNT: &str = "an integer from 1 to 2147483647";
        let most = i32::MAX as u32;
        let parsed = Parsed::parse(text, WRITER_KEYS)?;
        parsed.bare("default")?;
        let default = Self::default();
        Ok(Self {
            group_size: parsed.number("group_size", 1..=u64::from(most), false, COUNT)?,
            max_parallelism: parsed.number("max_parallelism", 1..=most, true, "auto, or an integer from 1")?,
            saturation_delay_ms: parsed
                .number("saturation_delay_ms", 1..=most, false, COUNT)?
                .unwrap_or(default.saturation_delay_ms),
            transpose: parsed.flag("transpose")?,
            transpose_bucket_size: parsed
                .size("transpose_bucket_size", 1..=u64::MAX, "auto, or a size of at least 1, such as 4K")?
                .unwrap_or(DEFAULT_BUCKET_SIZE),
            compression: compression(&parsed)?,
            pad_to_block_boundary: parsed.flag("pad_to_block_boundary")?,
        })
    }

    /// The text that a file keeps of its writer's options, for groups of `group_size` records.
    ///
    /// Chunks do not depend on how many were compressed at a time; the reference implementation always writes 1.
    #[must_use]
    pub fn text(&self, group_size: u64) -> String {
        let mut text = format!(
            "group_size:{group_size},transpose:{},pad_to_block_boundary:{}",
            self.transpose, self.pad_to_block_boundary
        );
        if self.transpose {
            text += &format!(",transpose_bucket_size:{}", self.transpose_bucket_size);
        }
        let (codec, window_log) = match self.compression {
            Compression::None => (",uncompressed".into(), None),
            Compression::Brotli { level, window_log } => (format!(",brotli:{level}"), window_log),
            Compression::Zstd { level, window_log } => {
                (format!(",zstd:{level}"), Some(window_log.unwrap_or(ZSTD_WINDOW_LOG)))
            }
            Compression::Snappy => (",snappy".into(), None),
        };
        text += &codec;
        if let Some(window_log) = window_log {
            text += &format!(",window_log:{window_log}");
        }
        text + ",max_parallelism:1"
    }

    /// Records of a full group, before a first group has closed early.
    #[must_use]
    pub fn group_size_or_default(&self) -> u64 {
        self.group_size.unwrap_or(DEFAULT_GROUP_SIZE)
    }
}

fn compression(parsed: &Parsed<'_>) -> Result<Compression> {
    let given: Vec<&str> = COMPRESSIONS.into_iter().filter(|key| parsed.get(key).is_some()).collect();
    if let [first, second, ..] = given[..] {
        return Err(error(second, &format!("it beside {first}"), "one compression"));
    }
    let window = |range, expected| parsed.number("window_log", range, true, expected);
    Ok(match given.first().copied().unwrap_or("zstd") {
        "brotli" => Compression::Brotli {
            level: parsed.level("brotli", 6, 0..=11, "a level from 0 to 11")?.unwrap_or(6),
            window_log: window(10..=30, "auto, or an integer from 10 to 30 (brotli)")?,
        },
        "zstd" => {
            let level = parsed.level("zstd", 3, -131_072..=22, "a level from -131072 to 22")?.unwrap_or(3);
            let window_log = window(10..=31, "auto, or an integer from 10 to 31 (zstd)")?;
            Compression::Zstd {
                level: if level == 0 { 3 } else { level },
                window_log: Some(window_log.unwrap_or(ZSTD_WINDOW_LOG)),
            }
        }
        other => {
            if other == "snappy" {
                parsed.level("snappy", 1, 1..=2, "a level from 1 to 2")?;
            } else {
                parsed.bare(other)?;
            }
            if parsed.get("window_log").is_some() {
                return Err(error("window_log", &format!("it beside {other}"), "it beside brotli or zstd"));
            }
            if other == "snappy" { Compression::Snappy } else { Compression::None }
        }
    })
}

impl ReaderOptions {
    /// Reads options from a text.
    ///
    /// # Errors
    /// As [`WriterOptions::parse`].
    pub fn parse(text: &str) -> Result<Self> {
        let parsed = Parsed::parse(text, READER_KEYS)?;
        let default = Self::default();
        let index_in_memory = match parsed.get("index_storage_option") {
            None | Some(Some("" | "in_memory")) => true,
            Some(Some("offloaded")) => false,
            Some(value) => return Err(error("index_storage_option", &shown(value), "in_memory or offloaded")),
        };
        Ok(Self {
            readahead: parsed
                .size("readahead_buffer_size", 0..=1 << 30, "auto, or a size up to 1G, such as 16MB")?
                .unwrap_or(default.readahead),
            max_parallelism: parsed.number(
                "max_parallelism",
                0..=i32::MAX as u32,
                true,
                "auto, or an integer from 0",
            )?,
            index_in_memory,
            footer_prefetch: parsed
                .size("footer_prefetch_bytes", 0..=u64::MAX, "auto, or a size, such as 1M")?
                .unwrap_or(default.footer_prefetch),
        })
    }
}

/// A real number with an optional suffix, a power of 1024, rounded to bytes.
fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let text = text.strip_suffix('B').unwrap_or(text);
    let (number, shift) = match text.char_indices().last()? {
        (at, 'k' | 'K') => (&text[..at], 10),
        (at, 'M') => (&text[..at], 20),
        (at, 'G') => (&text[..at], 30),
        (at, 'T') => (&text[..at], 40),
        (at, 'P') => (&text[..at], 50),
        (at, 'E') => (&text[..at], 60),
        _ => (text, 0),
    };
    // Words such as `inf` are numbers to the parser, and not to users.
    let plain = number.starts_with(|first: char| first.is_ascii_digit() || first == '.');
    let size = number.parse::<f64>().ok().filter(|_| plain)? * (1_u64 << shift) as f64;
    (size < u64::MAX as f64).then_some(size.round() as u64)
}

fn shown(value: Option<&str>) -> String {
    value.map_or_else(|| "no value".into(), |value| format!("{value:?}"))
}

fn error(option: &str, found: &str, expected: &str) -> OptionError {
    OptionError { option: option.into(), found: found.into(), expected: expected.into() }
}

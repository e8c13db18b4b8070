//! Option strings of writers and readers.

use std::fmt::Write as _;
use std::str::FromStr;

use super::OptionError;
use super::size::{Item, items};
use crate::riegeli::Compression;
use crate::riegeli::transpose::DEFAULT_BUCKET_SIZE;

/// Records in a group where nothing else limits it.
pub const DEFAULT_GROUP_SIZE: u32 = 65536;

/// Window of Zstandard where none is asked for, as upstream has it.
const ZSTD_WINDOW_LOG: u8 = 20;

/// Level of Zstandard where none is asked for.
const ZSTD_LEVEL: i32 = 3;

/// Level of Brotli where none is asked for.
const BROTLI_LEVEL: u8 = 6;

const MOST: i64 = i32::MAX as i64;

const MEBIBYTE: u64 = 1 << 20;

/// How an ArrayRecord file is written. Made from an option string by [`str::parse`].
///
/// Options are separated by commas, each is a key or `key:value`, and none may occur twice. `brotli`, `zstd`, `snappy`
/// and `uncompressed` exclude each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriterOptions {
    /// `group_size`, 1 to 2147483647: records in a chunk. Where `None`, the default, a group has
    /// [`DEFAULT_GROUP_SIZE`] records or as many as first make up [`FIRST_GROUP_BYTES`](super::FIRST_GROUP_BYTES).
    pub group_size: Option<u32>,
    /// `transpose`: whether records are taken for protobuf messages and split into columns; false by default.
    pub transpose: bool,
    /// `transpose_bucket_size`: bytes of columns that are compressed together, 256 by default.
    pub transpose_bucket_size: u64,
    /// `uncompressed`, `brotli[:0..11]`, `zstd[:-131072..22]` (the default, level 3), `snappy[:1..2]`, with `window_log`
    /// 10 to 30 for Brotli (22 by default) and 10 to 31 for Zstandard (20 by default). Both levels of Snappy make the
    /// same bytes.
    pub compression: Compression,
    /// `pad_to_block_boundary`: whether each chunk begins at a multiple of 64 KiB; false by default, true where the option
    /// has no value.
    pub pad_to_block_boundary: bool,
    /// `max_parallelism`, 1 to 2147483647: groups that may be compressed at a time; the writer chooses where `None`, the
    /// default.
    pub max_parallelism: Option<u32>,
    /// `saturation_delay_ms`, 1 to 2147483647: milliseconds for which a writer whose groups all wait may hold up its
    /// caller before it looks again; 10 by default. It has no effect on the file.
    pub saturation_delay_ms: u32,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self {
            group_size: None,
            transpose: false,
            transpose_bucket_size: DEFAULT_BUCKET_SIZE,
            compression: Compression::Zstd { level: ZSTD_LEVEL, window_log: Some(ZSTD_WINDOW_LOG) },
            pad_to_block_boundary: false,
            max_parallelism: None,
            saturation_delay_ms: 10,
        }
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

const WRITER_LIST: &str = "default, group_size, max_parallelism, saturation_delay_ms, transpose, transpose_bucket_size, \
                           uncompressed, brotli, zstd, snappy, window_log, pad_to_block_boundary";

const POSITIVE: &str = "1 to 2147483647";

impl FromStr for WriterOptions {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<Self, OptionError> {
        let items = items(text, WRITER_KEYS, WRITER_LIST)?;
        let mut options = Self::default();
        let mut chosen: Option<&'static str> = None;
        let mut window: Option<&Item<'_>> = None;
        for item in &items {
            match item.key {
                "default" if item.is_first => item.flag()?,
                "default" => return Err(OptionError::DefaultNotFirst),
                "group_size" => options.group_size = Some(item.number(1..=MOST, POSITIVE)? as u32),
                "max_parallelism" if item.is_auto() => options.max_parallelism = None,
                "max_parallelism" => {
                    options.max_parallelism = Some(item.number(1..=MOST, "auto or 1 to 2147483647")? as u32);
                }
                "saturation_delay_ms" => options.saturation_delay_ms = item.number(1..=MOST, POSITIVE)? as u32,
                "transpose" => options.transpose = item.switch()?,
                "transpose_bucket_size" if item.is_auto() => options.transpose_bucket_size = DEFAULT_BUCKET_SIZE,
                "transpose_bucket_size" => {
                    let expected = "auto or a number of bytes, at least 1";
                    options.transpose_bucket_size = item.bytes(1..=u64::MAX, expected)?;
                }
                "pad_to_block_boundary" => options.pad_to_block_boundary = item.switch()?,
                "window_log" => window = Some(item),
                _ => {
                    if let Some(other) = chosen.replace(item.key) {
                        return Err(OptionError::Conflict { key: item.key, other });
                    }
                    options.compression = compression(item)?;
                }
            }
        }
        if let Some(item) = window {
            set_window(&mut options.compression, item)?;
        }
        Ok(options)
    }
}

fn compression(item: &Item<'_>) -> Result<Compression, OptionError> {
    Ok(match (item.key, item.value) {
        ("brotli", None) => Compression::Brotli { level: BROTLI_LEVEL, window_log: None },
        ("brotli", _) => Compression::Brotli { level: item.number(0..=11, "0 to 11")? as u8, window_log: None },
        ("zstd", None) => Compression::Zstd { level: ZSTD_LEVEL, window_log: Some(ZSTD_WINDOW_LOG) },
        ("zstd", _) => {
            let level = item.number(-131_072..=22, "-131072 to 22")? as i32;
            Compression::Zstd { level, window_log: Some(ZSTD_WINDOW_LOG) }
        }
        ("snappy", None) => Compression::Snappy,
        ("snappy", _) => item.number(1..=2, "1 to 2").map(|_| Compression::Snappy)?,
        _ => item.flag().map(|()| Compression::None)?,
    })
}

/// Window logs come before or behind the compression that they are for.
fn set_window(compression: &mut Compression, item: &Item<'_>) -> Result<(), OptionError> {
    match compression {
        Compression::Zstd { .. } | Compression::Brotli { .. } if item.is_auto() => {}
        Compression::Zstd { window_log, .. } => {
            *window_log = Some(item.number(10..=31, "auto or 10 to 31 with zstd")? as u8);
        }
        Compression::Brotli { window_log, .. } => {
            *window_log = Some(item.number(10..=30, "auto or 10 to 30 with brotli")? as u8);
        }
        Compression::Snappy => return Err(OptionError::Conflict { key: item.key, other: "snappy" }),
        Compression::None => return Err(OptionError::Conflict { key: item.key, other: "uncompressed" }),
    }
    Ok(())
}

impl WriterOptions {
    /// The text that a file of groups of `group_size` records keeps of its options. It has the parallelism of the
    /// reference's writer, which is always 1, so that files do not depend on the machine that wrote them.
    #[must_use]
    pub fn text(&self, group_size: u32) -> String {
        let Self { transpose, pad_to_block_boundary, .. } = self;
        let mut text =
            format!("group_size:{group_size},transpose:{transpose},pad_to_block_boundary:{pad_to_block_boundary}");
        // Writing to a string does not fail.
        let mut add = |part: std::fmt::Arguments<'_>| text.write_fmt(part).unwrap_or_default();
        if *transpose {
            add(format_args!(",transpose_bucket_size:{}", self.transpose_bucket_size));
        }
        let window = match self.compression {
            Compression::None => {
                add(format_args!(",uncompressed"));
                None
            }
            Compression::Snappy => {
                add(format_args!(",snappy"));
                None
            }
            Compression::Brotli { level, window_log } => {
                add(format_args!(",brotli:{level}"));
                window_log
            }
            Compression::Zstd { level, window_log } => {
                add(format_args!(",zstd:{level}"));
                window_log
            }
        };
        if let Some(log) = window {
            add(format_args!(",window_log:{log}"));
        }
        add(format_args!(",max_parallelism:1"));
        text
    }
}

/// Where a reader keeps the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IndexStorage {
    /// In memory, about 8 bytes a chunk and at most three times as much.
    #[default]
    InMemory,
    /// In the file, from where it is read again when it is needed.
    Offloaded,
}

/// How an ArrayRecord file is read. Made from an option string by [`str::parse`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReaderOptions {
    /// `readahead_buffer_size`, 0 to 1 GiB: bytes that sequential reading may fetch ahead; 16 MiB by default. It does not
    /// concern random access.
    pub readahead_buffer_size: u64,
    /// `max_parallelism`, 0 to 2147483647: chunks decoded at a time, 0 for none but the caller's; the reader chooses where
    /// `None`, the default.
    pub max_parallelism: Option<u32>,
    /// `index_storage_option`: `in_memory`, which is the default, or `offloaded`.
    pub index_storage: IndexStorage,
    /// `footer_prefetch_bytes`: bytes before the last block that are read together with it, in the hope that they hold
    /// the index; 1 MiB by default.
    pub footer_prefetch_bytes: u64,
}

impl Default for ReaderOptions {
    fn default() -> Self {
        Self {
            readahead_buffer_size: 16 * MEBIBYTE,
            max_parallelism: None,
            index_storage: IndexStorage::InMemory,
            footer_prefetch_bytes: MEBIBYTE,
        }
    }
}

const READER_KEYS: &[&str] =
    &["readahead_buffer_size", "max_parallelism", "index_storage_option", "footer_prefetch_bytes"];

const READER_LIST: &str = "readahead_buffer_size, max_parallelism, index_storage_option, footer_prefetch_bytes";

impl FromStr for ReaderOptions {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<Self, OptionError> {
        let mut options = Self::default();
        for item in items(text, READER_KEYS, READER_LIST)? {
            match item.key {
                _ if item.is_auto() && item.key != "index_storage_option" => {}
                "readahead_buffer_size" => {
                    let expected = "auto or a number of bytes, at most 1G";
                    options.readahead_buffer_size = item.bytes(0..=1024 * MEBIBYTE, expected)?;
                }
                "max_parallelism" => {
                    options.max_parallelism = Some(item.number(0..=MOST, "auto or 0 to 2147483647")? as u32);
                }
                "footer_prefetch_bytes" => {
                    options.footer_prefetch_bytes = item.bytes(0..=u64::MAX, "auto or a number of bytes")?;
                }
                _ => {
                    options.index_storage = match item.value {
                        Some("in_memory" | "") => IndexStorage::InMemory,
                        Some("offloaded") => IndexStorage::Offloaded,
                        _ => return Err(item.wrong("in_memory or offloaded")),
                    }
                }
            }
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(options: &str) -> String {
        options.parse::<WriterOptions>().unwrap().text(DEFAULT_GROUP_SIZE)
    }

    #[test]
    fn what_files_keep_of_their_options() {
        let plain = "group_size:65536,transpose:false,pad_to_block_boundary:false";
        for (options, kept) in [
            ("", ",zstd:3,window_log:20"),
            (",,default,", ",zstd:3,window_log:20"),
            ("zstd:-5,window_log: 31 ", ",zstd:-5,window_log:31"),
            ("window_log:auto,zstd", ",zstd:3,window_log:20"),
            ("window_log:12,brotli:11", ",brotli:11,window_log:12"),
            ("brotli,window_log:auto", ",brotli:6"),
            ("snappy:2,max_parallelism:auto,saturation_delay_ms:5", ",snappy"),
            ("uncompressed,max_parallelism:4", ",uncompressed"),
        ] {
            assert_eq!(text(options), format!("{plain}{kept},max_parallelism:1"), "{options}");
        }
        let transposed = "group_size:65536,transpose:true,pad_to_block_boundary:true,transpose_bucket_size:4096,snappy";
        let options = "transpose,transpose_bucket_size:4k,pad_to_block_boundary,snappy";
        assert_eq!(text(options), format!("{transposed},max_parallelism:1"));
    }

    #[test]
    fn wrong_writer_options() {
        for options in [
            "blah",
            "Zstd",
            " zstd",
            "zstd:23",
            "zstd:-131073",
            "zstd:",
            "zstd:x",
            "brotli:12",
            "brotli:-1",
            "snappy:0",
            "snappy:3",
            "uncompressed:true",
            "uncompressed:",
            "zstd,brotli",
            "uncompressed,snappy",
            "zstd,zstd",
            "group_size:0",
            "group_size:2147483648",
            "group_size",
            "group_size:1,group_size:1",
            "max_parallelism:0",
            "saturation_delay_ms:0",
            "transpose:yes",
            "transpose_bucket_size:0",
            "transpose_bucket_size:x",
            "window_log:9",
            "window_log:32",
            "brotli,window_log:31",
            "snappy,window_log:20",
            "uncompressed,window_log:auto",
            "pad_to_block_boundary:1",
            "zstd,default",
            "default:1",
            "readahead_buffer_size:0",
        ] {
            assert!(options.parse::<WriterOptions>().is_err(), "{options}");
        }
    }

    #[test]
    fn reader_options() {
        let parse = str::parse::<ReaderOptions>;
        assert_eq!(parse(""), Ok(ReaderOptions::default()));
        assert_eq!(parse("readahead_buffer_size:auto,max_parallelism:auto").unwrap(), ReaderOptions::default());
        let options = parse("readahead_buffer_size:16MB,max_parallelism:0,index_storage_option:offloaded").unwrap();
        assert_eq!(options.readahead_buffer_size, 16 << 20);
        assert_eq!(options.max_parallelism, Some(0));
        assert_eq!(options.index_storage, IndexStorage::Offloaded);
        assert_eq!(parse("index_storage_option:,footer_prefetch_bytes:0").unwrap().footer_prefetch_bytes, 0);
        for wrong in [
            "group_size:1",
            "default",
            "readahead_buffer_size:-1",
            "readahead_buffer_size:1.1G",
            "readahead_buffer_size",
            "max_parallelism:-1",
            "index_storage_option:disk",
            "index_storage_option:auto",
            "readahead_buffer_size:0,readahead_buffer_size:0",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}

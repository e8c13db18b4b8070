//! The end of a file, which says where its row groups are.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, FooterTail, ParquetMetaData, ParquetMetaDataReader};
use s3dlio_formats::FormatError;
use s3dlio_store::Uri;

use crate::error::{Place, RecordError, Result};

/// Bytes of the end that are read first, unless the caller says otherwise: the default that users of this name know.
pub const FOOTER_CAP: u64 = 4 << 20;

/// Bytes of a length and four letters behind the footer.
const END: u64 = 8;

/// Bytes of the longest footer that is read: the bound that directories of archives have, against files that lie.
const LONGEST: u64 = 256 << 20;

/// What the end of a file says, checked against the length of the file.
#[derive(Debug)]
pub struct Footer {
    pub(super) metadata: Arc<ParquetMetaData>,
    /// First row of each row group, and behind the last one the number of rows.
    rows: Vec<u64>,
}

/// What is known after a look at the last bytes of a file.
pub(super) enum Look {
    Read(Footer),
    /// How many of the last bytes the footer takes.
    Needs(u64),
}

impl Footer {
    /// Reads the footer in `tail`, the last bytes of a file of `size` bytes.
    pub(super) fn look(uri: &Uri, size: u64, tail: &Bytes) -> Result<Look> {
        let bad = |detail: String| wrong(uri, detail);
        let Some(end) = tail.last_chunk::<{ END as usize }>() else {
            return Err(bad(format!("{size} bytes, expected at least {END} behind the footer")));
        };
        let end = FooterTail::try_new(end).map_err(|_| {
            bad(format!("the file ends with {:?}, expected \"PAR1\"", end[4..].escape_ascii().to_string()))
        })?;
        if end.is_encrypted_footer() {
            let source = FormatError::ParquetUnsupported { detail: "the footer is encrypted".into() };
            return Err(RecordError::format(uri, Place::default(), source));
        }
        let length = end.metadata_length() as u64;
        if length > LONGEST || length + END > size {
            let most = LONGEST.min(size.saturating_sub(END));
            return Err(bad(format!("a footer of {length} bytes is announced, expected at most {most}")));
        }
        if length + END > tail.len() as u64 {
            return Ok(Look::Needs(length + END));
        }
        let from = tail.len() - (length + END) as usize;
        let metadata = guarded(|| ParquetMetaDataReader::decode_metadata(&tail[from..tail.len() - END as usize]));
        let metadata = metadata.map_err(|error| bad(format!("the footer: {error}")))?;
        let mut rows = vec![0_u64];
        for (number, group) in metadata.row_groups().iter().enumerate() {
            let count = u64::try_from(group.num_rows());
            let count = count.map_err(|_| bad(format!("row group {number} has {} rows", group.num_rows())))?;
            rows.push(rows[number].saturating_add(count));
            for column in group.columns() {
                range(column).filter(|range| range.end <= size).ok_or_else(|| {
                    let found = format!("{} bytes from {:?}", column.compressed_size(), column.data_page_offset());
                    bad(format!("a column of row group {number} has {found}, expected a place within {size} bytes"))
                })?;
            }
        }
        Ok(Look::Read(Self { metadata: Arc::new(metadata), rows }))
    }

    /// Row groups.
    #[must_use]
    pub fn groups(&self) -> usize {
        self.rows.len() - 1
    }

    /// First row of each row group, and behind the last one the number of rows.
    #[must_use]
    pub fn rows(&self) -> &[u64] {
        &self.rows
    }

    /// The row group that holds a row; for rows behind the end the last one, and for a file without any the first.
    #[must_use]
    pub fn group_of(&self, row: u64) -> usize {
        (self.rows.partition_point(|&first| first <= row).max(1) - 1).min(self.groups().saturating_sub(1))
    }

    /// Names of the columns at the root.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.metadata.file_metadata().schema_descr().root_schema().get_fields().iter().map(|field| field.name())
    }

    /// The places of the chunks of a row group that belong to columns at the root (all, if `None`), in the order of the
    /// file.
    pub(super) fn chunks(&self, group: usize, columns: Option<&[usize]>) -> Vec<Range<u64>> {
        let schema = self.metadata.file_metadata().schema_descr();
        let wanted = |leaf: usize| columns.is_none_or(|columns| columns.contains(&schema.get_column_root_idx(leaf)));
        let chunks = self.metadata.row_group(group).columns().iter().enumerate();
        let mut chunks: Vec<_> =
            chunks.filter(|(leaf, _)| wanted(*leaf)).filter_map(|(_, chunk)| range(chunk)).collect();
        chunks.sort_by_key(|chunk| chunk.start);
        chunks
    }

    /// Bytes that decoding columns of a row group makes (all, if `None`), by what the file says; 0 for groups behind the
    /// last.
    #[must_use]
    pub fn decoded(&self, group: usize, columns: Option<&[usize]>) -> u64 {
        let schema = self.metadata.file_metadata().schema_descr();
        let wanted = |leaf: usize| columns.is_none_or(|columns| columns.contains(&schema.get_column_root_idx(leaf)));
        let chunks = self.metadata.row_groups().get(group).map_or(&[][..], |group| group.columns());
        let chunks = chunks.iter().enumerate().filter(|(leaf, _)| wanted(*leaf));
        chunks
            .map(|(_, chunk)| u64::try_from(chunk.uncompressed_size()).unwrap_or(u64::MAX))
            .fold(0, u64::saturating_add)
    }

    /// Bytes of memory, about.
    pub(super) fn memory(&self) -> u64 {
        self.metadata.memory_size() as u64
    }
}

fn range(chunk: &ColumnChunkMetaData) -> Option<Range<u64>> {
    let start = u64::try_from(chunk.dictionary_page_offset().unwrap_or(chunk.data_page_offset())).ok()?;
    Some(start..start.checked_add(u64::try_from(chunk.compressed_size()).ok()?)?)
}

/// What is wrong with a file.
pub(super) fn wrong(uri: &Uri, detail: String) -> RecordError {
    RecordError::format(uri, Place::default(), FormatError::Parquet { detail })
}

/// Calls the decoder, which panics on some damaged input.
pub(super) fn guarded<T>(call: impl FnOnce() -> parquet::errors::Result<T>) -> parquet::errors::Result<T> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        Err(ParquetError::General(format!("decoding broke off: {}", text.unwrap_or("no reason given"))))
    })
}

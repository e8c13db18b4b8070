//! Column chunks that were fetched, for the decoder.

use std::io::Cursor;
use std::ops::Range;
use std::sync::Arc;

use arrow_ipc::writer::StreamWriter;
use arrow_select::concat::concat_batches;
use bytes::{Buf, Bytes};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};

use super::footer::Footer;

/// Rows decoded at a time. The decoder takes memory for so many at once, and the number of a group is not to be trusted.
const ROWS: usize = 1 << 16;

/// Parts of a file that are in memory.
pub(super) struct Chunks {
    /// Bytes of the file.
    pub size: u64,
    /// In the order of the file.
    pub parts: Vec<(Range<u64>, Bytes)>,
}

impl Chunks {
    fn part(&self, start: u64) -> Result<Bytes> {
        let at = self.parts.partition_point(|(range, _)| range.end <= start);
        match self.parts.get(at) {
            Some((range, bytes)) if range.start <= start => Ok(bytes.slice((start - range.start) as usize..)),
            _ => Err(ParquetError::General(format!("byte {start} lies in no chunk of the columns"))),
        }
    }
}

impl Length for Chunks {
    fn len(&self) -> u64 {
        self.size
    }
}

impl ChunkReader for Chunks {
    type T = bytes::buf::Reader<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        Ok(self.part(start)?.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let part = self.part(start)?;
        if part.len() < length {
            let detail =
                format!("{length} bytes from {start} on pass the end of their chunk, which has {}", part.len());
            return Err(ParquetError::General(detail));
        }
        Ok(part.slice(..length))
    }
}

/// Decodes columns of a row group into one record batch, as an Arrow IPC stream.
pub(super) fn arrow(footer: &Footer, group: usize, columns: Option<&[usize]>, chunks: Chunks) -> Result<Bytes> {
    let metadata = ArrowReaderMetadata::try_new(Arc::clone(&footer.metadata), ArrowReaderOptions::new())?;
    let schema = footer.metadata.file_metadata().schema_descr();
    let mask =
        columns.map_or_else(ProjectionMask::all, |columns| ProjectionMask::roots(schema, columns.iter().copied()));
    let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(chunks, metadata)
        .with_projection(mask)
        .with_row_groups(vec![group])
        .with_batch_size(ROWS)
        .build()?;
    let schema = arrow_array::RecordBatchReader::schema(&reader);
    let batches = reader.collect::<std::result::Result<Vec<_>, _>>()?;
    let rows: u64 = batches.iter().map(|batch| batch.num_rows() as u64).sum();
    let expected = footer.rows()[group + 1] - footer.rows()[group];
    if rows != expected {
        return Err(ParquetError::General(format!("{rows} rows were decoded, expected {expected}")));
    }
    let batch = match <[_; 1]>::try_from(batches) {
        Ok([batch]) => batch,
        Err(batches) => concat_batches(&schema, &batches)?,
    };
    let mut stream = StreamWriter::try_new(Cursor::new(Vec::new()), &schema)?;
    stream.write(&batch)?;
    Ok(stream.into_inner()?.into_inner().into())
}

//! Writing a transposed chunk.

use bytes::Bytes;

use super::columns::{Columns, Op};
use super::message::Splitter;
use super::plan::Plan;
use super::values::Values;
use crate::riegeli::chunk::{ChunkHeader, ChunkKind, EncodedChunk};
use crate::riegeli::{Compression, RecordsRef, Result, RiegeliError};
use crate::varint;

/// Bytes of values after which another bucket begins, where the caller does not say: the reference's default.
pub const DEFAULT_BUCKET_SIZE: u64 = 256;

/// The transposed chunk of `records`.
///
/// Values are compressed in buckets of about `bucket_size` bytes. Uncompressed chunks have one bucket for each kind of
/// value whatever the size.
///
/// # Errors
/// [`RiegeliError::Size`] for a record of 4 GiB or more, and what the compressor refuses.
pub fn encode(records: RecordsRef<'_>, compression: Compression, bucket_size: u64) -> Result<EncodedChunk> {
    let (columns, ops) = split(records)?;
    let values = Values::new(records.data(), &columns, &ops);
    let plan = Plan::new(&columns, &ops, &values.buffers);
    drop(ops);

    let mut header = Vec::new();
    let ends = buckets(&values, if compression == Compression::None { u64::MAX } else { bucket_size });
    varint::put(&mut header, ends.len() as u64);
    varint::put(&mut header, values.ends.len() as u64);
    let mut data = put_buckets(&mut header, values.data, &ends, compression)?;
    put_lengths(&mut header, &values.ends);
    header.extend_from_slice(&plan.states);
    compression.put_buffer(&plan.transitions, &mut data)?;

    let mut stored = Vec::new();
    compression.put_buffer(&header, &mut stored)?;
    let mut head = vec![compression.codec().byte()];
    varint::put(&mut head, stored.len() as u64);
    head.extend_from_slice(&stored);
    let decoded_size = records.data().len() as u64;
    let header = ChunkHeader::of(ChunkKind::Transposed, records.len() as u64, decoded_size, &[&head, &data]);
    Ok(EncodedChunk::new(header, head, Bytes::from(data)))
}

/// The operations that make the records, first record first.
fn split(records: RecordsRef<'_>) -> Result<(Columns, Vec<Op>)> {
    let mut splitter = Splitter::new(records.data());
    let (mut columns, mut ops, mut start) = (Columns::new(), Vec::new(), 0);
    for size in records.sizes() {
        if u32::try_from(size).is_err() {
            let expected = u64::from(u32::MAX);
            return Err(RiegeliError::Size { part: "record", found: size as u64, expected });
        }
        let (before, end) = (ops.len(), start + size);
        if columns.add(splitter.split(start, end), &mut ops).is_none() {
            ops.truncate(before);
            columns.add(splitter.whole(start, end), &mut ops);
        }
        start = end;
    }
    Ok((columns, ops))
}

/// Where each bucket ends.
fn buckets(values: &Values, bucket_size: u64) -> Vec<usize> {
    let (mut ends, mut start) = (Vec::new(), 0);
    for (next, &end) in (1..).zip(&values.ends) {
        let is_last = values.classes.contains(&next) || next == values.ends.len();
        if is_last || (end - start) as u64 >= bucket_size {
            ends.push(end);
            start = end;
        }
    }
    ends
}

/// Adds how far apart `ends` are.
fn put_lengths(header: &mut Vec<u8>, ends: &[usize]) {
    let mut start = 0;
    for &end in ends {
        varint::put(header, (end - start) as u64);
        start = end;
    }
}

/// The stored buckets end to end; adds how long each is to the header.
fn put_buckets(header: &mut Vec<u8>, values: Vec<u8>, ends: &[usize], compression: Compression) -> Result<Vec<u8>> {
    if compression == Compression::None {
        put_lengths(header, ends);
        return Ok(values);
    }
    let (mut out, mut start) = (Vec::new(), 0);
    for &end in ends {
        let before = out.len();
        compression.put_buffer(&values[start..end], &mut out)?;
        varint::put(header, (out.len() - before) as u64);
        start = end;
    }
    Ok(out)
}

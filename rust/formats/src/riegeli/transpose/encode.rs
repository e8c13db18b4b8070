//! Writing a transposed chunk.

use super::message::Splitter;
use super::plan::Plan;
use super::values::Values;
use crate::riegeli::chunk::{ChunkKind, EncodedChunk};
use crate::riegeli::{Compression, RecordsRef, Result};
use crate::varint;

/// Bytes of values after which another bucket begins, where the caller does not say: upstream's default.
pub const DEFAULT_BUCKET_SIZE: u64 = 256;

/// The transposed chunk of `records`.
///
/// Values are compressed in buckets of about `bucket_size` bytes; larger ones compress better. Uncompressed chunks have one
/// bucket for each kind of value whatever the size.
///
/// # Errors
/// [`RiegeliError::Size`] for a record of 4 GiB or more, and what the compressor refuses.
pub fn encode(records: RecordsRef<'_>, compression: Compression, bucket_size: u64) -> Result<EncodedChunk> {
    let mut splitter = Splitter::new(records.data());
    let mut start = 0;
    for size in records.sizes() {
        splitter.record(start, start + size)?;
        start += size;
    }
    let Splitter { columns, ops, .. } = splitter;
    let values = Values::new(records.data(), &columns, &ops);
    let plan = Plan::new(&columns, &ops, &values.buffers);
    drop(ops);

    let bucket_size = if compression == Compression::None { u64::MAX } else { bucket_size };
    let (buckets, stored) = put_buckets(&values, compression, bucket_size)?;
    let mut header = Vec::new();
    varint::put(&mut header, stored.len() as u64);
    varint::put(&mut header, values.ends.len() as u64);
    for len in stored {
        varint::put(&mut header, len);
    }
    let mut start = 0;
    for &end in &values.ends {
        varint::put(&mut header, (end - start) as u64);
        start = end;
    }
    header.extend_from_slice(&plan.states);
    let mut stored_header = Vec::new();
    compression.put_buffer(&header, &mut stored_header)?;

    let mut out = vec![compression.codec().byte()];
    varint::put(&mut out, stored_header.len() as u64);
    out.reserve(stored_header.len() + buckets.len() + plan.transitions.len() / 2);
    out.extend_from_slice(&stored_header);
    out.extend_from_slice(&buckets);
    compression.put_buffer(&plan.transitions, &mut out)?;
    Ok(EncodedChunk::of(ChunkKind::Transposed, records.len() as u64, records.data().len() as u64, out))
}

/// The compressed buckets end to end, and how long each is.
fn put_buckets(values: &Values, compression: Compression, bucket_size: u64) -> Result<(Vec<u8>, Vec<u64>)> {
    let (mut out, mut stored, mut start) = (Vec::new(), Vec::new(), 0);
    for (number, &end) in (1..).zip(&values.ends) {
        let is_last = values.classes.contains(&number) || number == values.ends.len();
        if is_last || (end - start) as u64 >= bucket_size {
            let before = out.len();
            compression.put_buffer(&values.data[start..end], &mut out)?;
            stored.push((out.len() - before) as u64);
            start = end;
        }
    }
    Ok((out, stored))
}

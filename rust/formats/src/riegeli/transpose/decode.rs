//! Reading a transposed chunk.

use bytes::Bytes;

use super::buffers::{cut, open_buckets, split_off};
use super::fault::Fault;
use super::machine::Machine;
use super::output::Output;
use super::states::Header;
use crate::riegeli::{Chunk, Codec, Records, Result, RiegeliError};
use crate::varint;

/// Bytes that a header, or the values, may have whatever the records' size.
const ALWAYS_ALLOWED: u64 = 1 << 20;

/// Bytes of header or transitions that one byte or record may account for, which is more than any writer spends: a field
/// takes a state of at most 16 bytes and the length of a buffer, of at most 10.
const ALLOWED_EACH: u64 = 64;

/// Bytes of the length of a record that is no message.
const LONGEST_LENGTH: u64 = 5;

/// Output reserved beforehand for each byte of the buffers and for each byte of transitions. A byte of transitions makes
/// four moves, and each of them may pass fields that have no value in a buffer.
const LIKELY_FROM_BUFFERS: u64 = 4;
const LIKELY_FROM_TRANSITIONS: u64 = 64;

/// The records of a transposed chunk. Their bytes are one allocation, which grows with what is decoded and up to
/// `decoded_size` of the chunk's header. A machine can make any number of bytes from few: who reads files of strangers
/// holds `decoded_size` against a limit first.
///
/// # Errors
/// [`RiegeliError::Transposed`] with what is wrong with the columns or the machine that joins them; otherwise as for the
/// parts of a simple chunk. The caller adds the chunk's place.
pub fn decode(chunk: &Chunk) -> Result<Records> {
    let (expected, num_records) = (chunk.header.decoded_size, chunk.header.num_records);
    let allowed = ALWAYS_ALLOWED.saturating_add(expected.saturating_add(num_records).saturating_mul(ALLOWED_EACH));
    let (codec, header, mut data) = open_header(&chunk.data, allowed)?;

    let values = header.buffers.iter().fold(0, |sum: u64, len| sum.saturating_add(*len));
    let most = ALWAYS_ALLOWED.saturating_add(expected).saturating_add(num_records.saturating_mul(LONGEST_LENGTH));
    if values > most {
        return Err(Fault::Count { what: "bytes of values", found: values, limit: most }.into());
    }
    let buckets = open_buckets(&mut data, &header.buckets, codec, values)?;
    let buffers = cut(&buckets, &header.buffers)?;
    let transitions = codec.get_buffer(data, "transitions", allowed)?;

    let likely = ALWAYS_ALLOWED.min(expected).max(
        values
            .saturating_mul(LIKELY_FROM_BUFFERS)
            .saturating_add((transitions.len() as u64).saturating_mul(LIKELY_FROM_TRANSITIONS)),
    );
    let machine = Machine::new(&header, buffers, Output::new(likely, expected)?, num_records);
    let (output, ends) = machine.run(&transitions)?;
    let found = output.len() as u64;
    if found != expected {
        return Err(Fault::TooSmall { found, expected }.into());
    }
    Ok(Records::from_sorted(output.finish(), ends))
}

/// The compression, the machine, and the data behind them.
fn open_header(data: &Bytes, allowed: u64) -> Result<(Codec, Header, Bytes)> {
    let mut rest = &data[..];
    let &codec = rest.split_off_first().ok_or(RiegeliError::Overrun { part: "compression", expected: 1, found: 0 })?;
    let codec = Codec::from_byte(codec)?;
    let len = varint::get_u64(&mut rest).map_err(|error| RiegeliError::Varint { part: "header length", error })?;
    let mut data = data.slice(data.len() - rest.len()..);
    let header = codec.get_buffer(split_off(&mut data, len, "header")?, "header", allowed)?;
    Ok((codec, Header::parse(&header)?, data))
}

//! The machine that glues the columns of a transposed chunk together again.

use super::fault::Fault;
use super::output::Output;
use super::states::{Header, Kind, State, check_state, varint_word};
use crate::varint;

/// Steps that are never too many, about half a second of them.
const FREE_STEPS: u64 = 64 << 20;

/// Steps granted for each byte, record or move. A field takes one step, and a move at most a few more in a machine
/// of sensible shape; only a machine made to waste time takes more.
const STEPS_EACH: u64 = 8;

/// Writers stop at 100 levels. This bounds the memory for a hostile chunk.
const MAX_DEPTH: usize = 1 << 20;

/// Records to make room for at first.
const MIN_RECORDS: usize = 64;

/// A submessage whose end was met, but not yet its start.
struct Open {
    /// Bytes written before it.
    end: usize,
    /// The state that has its tag.
    state: u32,
}

/// Decodes from the last record to the first, and each record from its last byte to its first.
pub(super) struct Machine<'a> {
    header: &'a Header,
    /// What is left of each buffer.
    buffers: Vec<&'a [u8]>,
    output: Output,
    open: Vec<Open>,
    /// For each finished record, the bytes written before it.
    begun: Vec<usize>,
    num_records: u64,
    /// Bytes written up to and including the last finished record.
    finished: usize,
}

impl<'a> Machine<'a> {
    pub fn new(header: &'a Header, buffers: Vec<&'a [u8]>, output: Output, num_records: u64) -> Self {
        Self { header, buffers, output, open: Vec::new(), begun: Vec::new(), num_records, finished: 0 }
    }

    /// Walks the machine until the transitions are used up. Returns the records' bytes, and the end of each record in
    /// them.
    pub fn run(mut self, transitions: &[u8]) -> Result<(Output, Vec<usize>), Fault> {
        let states = &self.header.states[..];
        let mut bytes = transitions.iter();
        let mut at = self.header.first;
        let mut state = &states[at as usize];
        let mut free = u32::from(state.implicit);
        let (mut steps, mut granted) = (0, FREE_STEPS);
        loop {
            self.step(at, state)?;
            steps += 1;
            if steps >= granted {
                granted = self.grant(steps, (transitions.len() - bytes.len()) as u64)?;
            }
            at = state.base;
            if free == 0 {
                let Some(&byte) = bytes.next() else { break };
                at = at.saturating_add(u32::from(byte >> 2));
                check_state("a transition leads to state", u64::from(at), states.len() as u32)?;
                state = &states[at as usize];
                free = u32::from(byte & 3) + u32::from(state.implicit);
            } else {
                state = &states[at as usize];
                free -= u32::from(!state.implicit);
            }
        }
        self.finish()
    }

    /// One visit of `state`, whose index is `at`.
    #[inline]
    fn step(&mut self, at: u32, state: &State) -> Result<(), Fault> {
        match state.kind {
            Kind::Literal => self.output.word(state.word, usize::from(state.tag_len)),
            Kind::Value => {
                let len = usize::from(state.value_len);
                let value = take_word(&mut self.buffers[state.buffer as usize], len, at)?;
                let word = state.word | value << (8 * state.tag_len);
                self.output.word(word, usize::from(state.tag_len) + len)
            }
            Kind::String => {
                let bytes = take_string(&mut self.buffers[state.buffer as usize], at)?;
                self.output.bytes(bytes)?;
                self.output.word(state.word, usize::from(state.tag_len))
            }
            Kind::SubmessageEnd => self.end_submessage(at),
            Kind::SubmessageStart => self.start_submessage(at),
            Kind::Record => self.record(),
            Kind::Raw => self.raw(at, state),
            Kind::NoOp => Ok(()),
        }
    }

    fn end_submessage(&mut self, state: u32) -> Result<(), Fault> {
        if self.open.len() == MAX_DEPTH {
            return Err(Fault::Depth { limit: MAX_DEPTH as u64 });
        }
        self.open.push(Open { end: self.output.len(), state });
        Ok(())
    }

    fn start_submessage(&mut self, at: u32) -> Result<(), Fault> {
        let Open { end, state } = self.open.pop().ok_or(Fault::NoSubmessage { state: at })?;
        let len = (self.output.len() - end) as u64;
        let (length, length_len) = varint_word(u32::try_from(len).map_err(|_| Fault::SubmessageSize { len })?);
        let State { word, tag_len, .. } = self.header.states[state as usize];
        self.output.word(word | length << (8 * tag_len), usize::from(tag_len + length_len))
    }

    fn raw(&mut self, at: u32, state: &State) -> Result<(), Fault> {
        // The lengths of all such records are in the last buffer, which exists as this state has one.
        let lengths = self.buffers.last_mut().ok_or(Fault::Length { state: at })?;
        let len = varint::get_u32(lengths).map_err(|_| Fault::Length { state: at })?;
        let bytes = take(&mut self.buffers[state.buffer as usize], len as usize, at)?;
        self.output.bytes(bytes)?;
        self.record()
    }

    fn record(&mut self) -> Result<(), Fault> {
        if !self.open.is_empty() {
            return Err(Fault::OpenSubmessages { open: self.open.len() as u64 });
        }
        let found = self.begun.len() as u64;
        if found == self.num_records {
            return Err(Fault::TooManyRecords { found: found + 1, expected: self.num_records });
        }
        if self.begun.len() == self.begun.capacity() {
            let more = self.begun.len().max(MIN_RECORDS);
            self.begun.try_reserve(more).map_err(|_| Fault::NoMemory { bytes: more as u64 * 8 })?;
        }
        self.begun.push(self.finished);
        self.finished = self.output.len();
        Ok(())
    }

    /// How many steps are fine in all, by what came of the `steps` so far.
    #[cold]
    fn grant(&self, steps: u64, moves: u64) -> Result<u64, Fault> {
        let (bytes, records) = (self.output.len() as u64, self.begun.len() as u64);
        let granted = FREE_STEPS.saturating_add((bytes + records + moves).saturating_mul(STEPS_EACH));
        if steps >= granted { Err(Fault::Steps { steps, bytes, records }) } else { Ok(granted) }
    }

    fn finish(self) -> Result<(Output, Vec<usize>), Fault> {
        let (len, found) = (self.output.len(), self.begun.len() as u64);
        if !self.open.is_empty() {
            return Err(Fault::OpenSubmessages { open: self.open.len() as u64 });
        }
        if found != self.num_records {
            return Err(Fault::TooFewRecords { found, expected: self.num_records });
        }
        if self.finished != len {
            return Err(Fault::Stray { bytes: (len - self.finished) as u64 });
        }
        // The last record was finished first, and what was written before it comes behind it.
        let ends = self.begun.iter().rev().map(|after| len - after).collect();
        Ok((self.output, ends))
    }
}

fn short(buffer: &[u8], needed: usize, state: u32) -> Fault {
    Fault::BufferEnd { state, needed: needed as u64, left: buffer.len() as u64 }
}

#[inline]
fn take<'a>(buffer: &mut &'a [u8], len: usize, state: u32) -> Result<&'a [u8], Fault> {
    let (taken, rest) = buffer.split_at_checked(len).ok_or_else(|| short(buffer, len, state))?;
    *buffer = rest;
    Ok(taken)
}

/// The next `len` bytes, at most 10, as a number with the first byte lowest.
#[inline]
fn take_word(buffer: &mut &[u8], len: usize, state: u32) -> Result<u128, Fault> {
    if let Some(word) = buffer.first_chunk() {
        *buffer = &buffer[len..];
        return Ok(u128::from_le_bytes(*word) & ((1 << (8 * len)) - 1));
    }
    let mut word = [0; 16];
    word[..len].copy_from_slice(take(buffer, len, state)?);
    Ok(u128::from_le_bytes(word))
}

/// A length as it is stored, and as many bytes.
#[inline]
fn take_string<'a>(buffer: &mut &'a [u8], state: u32) -> Result<&'a [u8], Fault> {
    let mut rest = *buffer;
    let len = varint::get_u32(&mut rest).map_err(|_| Fault::Length { state })? as usize;
    if len > rest.len() {
        return Err(short(rest, len, state));
    }
    take(buffer, buffer.len() - rest.len() + len, state)
}

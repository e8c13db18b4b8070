//! The states of a transposed chunk's machine, as its header describes them.

use super::fault::Fault;
use super::{
    FIRST_TAG, FIXED32, FIXED64, GROUP_END, GROUP_START, INLINE, LEN, RAW, RECORD, SUBMESSAGE_END, SUBMESSAGE_START,
    VARINT,
};
use crate::riegeli::{Result, RiegeliError};
use crate::varint::{self, VarintError};

/// What a visit does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing.
    NoOp,
    /// A record that is no protobuf message.
    Raw,
    /// The submessage that was ended last begins here.
    SubmessageStart,
    /// A submessage ends here.
    SubmessageEnd,
    /// A record begins here.
    Record,
    /// A tag, and a value that is part of the state.
    Literal,
    /// A tag, and a value of fixed size from the buffer.
    Value,
    /// A tag, a length and as many bytes from the buffer.
    String,
}

/// One state. Small and flat: the machine visits millions of them a second.
#[derive(Clone, Copy, Debug)]
pub(super) struct State {
    /// The tag's bytes, the first one lowest, and above them the bits to be set in the value.
    pub word: u128,
    /// The state that a move from here starts counting from.
    pub base: u32,
    /// Where the value comes from; meaningless for kinds without a buffer.
    pub buffer: u32,
    pub kind: Kind,
    /// Bytes of the tag.
    pub tag_len: u8,
    /// Bytes of a [`Kind::Value`].
    pub value_len: u8,
    /// Leaving costs no transition byte.
    pub implicit: bool,
}

impl State {
    /// A field's tag and `value`, which has `value_len` bytes; both fit a word, as a tag has at most 5 and a value 10.
    fn field(kind: Kind, tag: u32, value: u128, value_len: u8) -> Self {
        let (tag_word, tag_len) = varint_word(tag);
        let word = tag_word | value << (8 * tag_len);
        Self { word, base: 0, buffer: 0, kind, tag_len, value_len, implicit: false }
    }

    fn has_buffer(&self) -> bool {
        matches!(self.kind, Kind::Raw | Kind::Value | Kind::String)
    }
}

/// The varint of `value` with its first byte lowest, and how many bytes it has.
pub(super) fn varint_word(value: u32) -> (u128, u8) {
    let (mut word, mut len, mut rest) = (0, 0, value);
    loop {
        let low = u128::from(rest & 0x7f);
        rest >>= 7;
        if rest == 0 {
            return (word | low << (8 * len), len + 1);
        }
        word |= (low | 0x80) << (8 * len);
        len += 1;
    }
}

/// The machine, and the sizes of what it reads.
#[derive(Debug)]
pub(super) struct Header {
    /// Stored bytes of each bucket.
    pub buckets: Vec<u64>,
    /// Bytes of each buffer once its bucket is decompressed.
    pub buffers: Vec<u64>,
    pub states: Vec<State>,
    pub first: u32,
}

impl Header {
    /// Reads a decompressed header. Every count is held against the bytes that follow before anything is allocated.
    pub fn parse(mut input: &[u8]) -> Result<Self> {
        let input = &mut input;
        let buckets = number(input, "bucket count")?;
        let buffers = number(input, "buffer count")?;
        let sizes = u64::from(buckets) + u64::from(buffers);
        check_count("buckets and buffers", sizes, input.len() as u64)?;
        let buckets = lengths(input, buckets, "bucket length")?;
        let buffers = lengths(input, buffers, "buffer length")?;

        let count = number(input, "state count")?;
        // A tag and a successor: two bytes or more.
        check_count("states", u64::from(count), input.len() as u64 / 2)?;
        let mut states = Vec::with_capacity(count as usize);
        for state in 0..count {
            states.push(from_tag(number(input, "tag")?, state)?);
        }
        for state in &mut states {
            let next = number(input, "successor")?;
            state.implicit = next >= count;
            state.base = if state.implicit { next - count } else { next };
            check_state("a successor is state", u64::from(state.base), count)?;
        }
        read_subtypes(input, &mut states)?;
        read_buffer_indices(input, &mut states, buffers.len() as u32)?;
        let first = number(input, "first state")?;
        check_state("the first state is", u64::from(first), count)?;
        if !input.is_empty() {
            return Err(RiegeliError::Trailing { part: "header", bytes: input.len() as u64 });
        }
        reject_circles(&states)?;
        Ok(Self { buckets, buffers, states, first })
    }
}

fn number(input: &mut &[u8], part: &'static str) -> Result<u32> {
    varint::get_u32(input).map_err(|error| RiegeliError::Varint { part, error })
}

fn lengths(input: &mut &[u8], count: u32, part: &'static str) -> Result<Vec<u64>> {
    (0..count).map(|_| varint::get_u64(input).map_err(|error| RiegeliError::Varint { part, error })).collect()
}

fn check_count(what: &'static str, found: u64, limit: u64) -> Result<()> {
    if found > limit { Err(Fault::Count { what, found, limit }.into()) } else { Ok(()) }
}

pub(super) fn check_state(what: &'static str, found: u64, states: u32) -> Result<(), Fault> {
    if found >= u64::from(states) { Err(Fault::NoState { what, found, states }) } else { Ok(()) }
}

fn from_tag(tag: u32, state: u32) -> Result<State> {
    let plain = |kind| State { word: 0, base: 0, buffer: 0, kind, tag_len: 0, value_len: 0, implicit: false };
    Ok(match tag {
        super::NO_OP => plain(Kind::NoOp),
        RAW => plain(Kind::Raw),
        SUBMESSAGE_START => plain(Kind::SubmessageStart),
        RECORD => plain(Kind::Record),
        4..FIRST_TAG => return Err(Fault::Tag { state, tag }.into()),
        _ => match tag & 7 {
            // What kind of value it is comes with the subtype.
            VARINT => State::field(Kind::Value, tag, 0, 0),
            FIXED32 => State::field(Kind::Value, tag, 0, 4),
            FIXED64 => State::field(Kind::Value, tag, 0, 8),
            LEN => State::field(Kind::String, tag, 0, 0),
            GROUP_START | GROUP_END => State::field(Kind::Literal, tag, 0, 0),
            SUBMESSAGE_END => State::field(Kind::SubmessageEnd, tag - (SUBMESSAGE_END - LEN), 0, 0),
            _ => return Err(Fault::Tag { state, tag }.into()),
        },
    })
}

/// Varints get the rest of their description here: how long they are, or their value.
fn read_subtypes(input: &mut &[u8], states: &mut [State]) -> Result<()> {
    // Only a varint is still a value without a size.
    for (index, state) in states.iter_mut().enumerate().filter(|(_, s)| s.kind == Kind::Value && s.value_len == 0) {
        let (&subtype, rest) =
            input.split_first().ok_or(RiegeliError::Varint { part: "subtype", error: VarintError::Truncated })?;
        *input = rest;
        let shift = 8 * state.tag_len;
        match subtype {
            0..INLINE => {
                // Stored without their top bits, which all bytes but the last one have.
                let top_bits = 0x8080_8080_8080_8080_8080_u128 & ((1 << (8 * subtype)) - 1);
                state.word |= top_bits << shift;
                state.value_len = subtype + 1;
            }
            INLINE..=super::LAST_INLINE => {
                state.kind = Kind::Literal;
                state.word |= u128::from(subtype - INLINE) << shift;
                state.tag_len += 1;
            }
            _ => return Err(Fault::Subtype { state: index as u32, subtype }.into()),
        }
    }
    Ok(())
}

fn read_buffer_indices(input: &mut &[u8], states: &mut [State], buffers: u32) -> Result<()> {
    for (index, state) in states.iter_mut().enumerate().filter(|(_, state)| state.has_buffer()) {
        state.buffer = number(input, "buffer index")?;
        if state.buffer >= buffers {
            return Err(Fault::NoBuffer { state: index as u32, buffer: state.buffer, buffers }.into());
        }
    }
    Ok(())
}

/// A circle of states whose leaving costs nothing is never left. Each state is walked once: a walk that meets its own
/// mark is in a circle, one that meets another's has been here before.
fn reject_circles(states: &[State]) -> Result<()> {
    let mut marks = vec![u32::MAX; states.len()];
    for start in 0..states.len() {
        let mut at = start;
        while states[at].implicit && marks[at] == u32::MAX {
            marks[at] = start as u32;
            at = states[at].base as usize;
        }
        if states[at].implicit && marks[at] == start as u32 {
            return Err(Fault::Circle { state: at as u32 }.into());
        }
    }
    Ok(())
}

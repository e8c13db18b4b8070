//! Splitting records into the fields of protobuf messages.

use super::{
    FIRST_TAG, FIXED32, FIXED64, GROUP_END, GROUP_START, INLINE, LEN, RAW, RECORD, STRING, SUBMESSAGE_CLOSE,
    SUBMESSAGE_OPEN, VARINT,
};
use crate::varint;

/// Submessages and groups within each other; a submessage further inside stays a string. The reference's limit.
const MAX_DEPTH: usize = 100;

/// Varints up to this value are part of the state.
const LAST_INLINE: u64 = 3;

/// A part of a record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token {
    /// Where its value starts among the records' bytes.
    pub at: usize,
    /// Bytes of the value.
    pub len: u32,
    /// The field's, or one of the tags that are no fields.
    pub tag: u32,
    /// Which of the states that the field can have.
    pub sub: u8,
}

/// Where reading has come to, and where the message ends.
#[derive(Debug, Clone, Copy)]
struct Place {
    at: usize,
    end: usize,
}

/// A submessage or group that is being read.
#[derive(Debug)]
struct Frame {
    /// Where to go on in the message around it, once this submessage ends.
    outer: Place,
    tag: u32,
    /// Where its length starts.
    value: usize,
    /// Tokens before it.
    tokens: usize,
}

impl Frame {
    fn is_group(&self) -> bool {
        self.tag & 7 == GROUP_START
    }
}

/// Splits one record after another. A submessage is split while it is being checked, and taken back where it turns out
/// to be something else; either way each byte is looked at once.
pub(super) struct Splitter<'a> {
    data: &'a [u8],
    tokens: Vec<Token>,
    frames: Vec<Frame>,
}

impl<'a> Splitter<'a> {
    pub fn new(data: &'a [u8]) -> Self {
        Self { data, tokens: Vec::new(), frames: Vec::new() }
    }

    /// The parts of the record at `start..end`, which is shorter than 4 GiB: those of a message, or the record as a
    /// whole where it is none, or not in the one form that can be put together again.
    pub fn split(&mut self, start: usize, end: usize) -> &[Token] {
        self.tokens.clear();
        self.push(RECORD, 0, start, start);
        if self.message(Place { at: start, end }) { &self.tokens } else { self.whole(start, end) }
    }

    /// The record at `start..end` in one piece.
    pub fn whole(&mut self, start: usize, end: usize) -> &[Token] {
        self.tokens.clear();
        self.push(RAW, 0, start, end);
        &self.tokens
    }

    #[inline]
    fn push(&mut self, tag: u32, sub: u8, at: usize, end: usize) {
        self.tokens.push(Token { at, len: (end - at) as u32, tag, sub });
    }

    fn message(&mut self, mut place: Place) -> bool {
        self.frames.clear();
        loop {
            let sound = match place.at < place.end {
                true => self.field(&mut place),
                false if self.frames.is_empty() => return true,
                false => self.leave(&mut place),
            };
            if sound.is_none() {
                match self.take_back() {
                    Some(outer) => place = outer,
                    None => return false,
                }
            }
        }
    }

    /// Ends the submessage that `place` is at the end of.
    fn leave(&mut self, place: &mut Place) -> Option<()> {
        let frame = self.frames.pop_if(|frame| !frame.is_group())?;
        self.push(frame.tag, SUBMESSAGE_CLOSE, place.end, place.end);
        *place = frame.outer;
        Some(())
    }

    /// Makes the innermost submessage a string after all.
    fn take_back(&mut self) -> Option<Place> {
        while let Some(frame) = self.frames.pop() {
            if !frame.is_group() {
                self.tokens.truncate(frame.tokens);
                self.push(frame.tag, STRING, frame.value, frame.outer.at);
                return Some(frame.outer);
            }
        }
        None
    }

    /// Reads one field and moves `place` behind it, or into it.
    #[inline]
    fn field(&mut self, place: &mut Place) -> Option<()> {
        let mut input = self.data.get(place.at..place.end)?;
        let tag = u32::try_from(shortest(&mut input)?).ok()?;
        if tag < FIRST_TAG {
            return None;
        }
        let value = place.end - input.len();
        match tag & 7 {
            VARINT => {
                let number = shortest(&mut input)?;
                place.at = place.end - input.len();
                match number {
                    0..=LAST_INLINE => self.push(tag, INLINE + number as u8, place.at, place.at),
                    _ => self.push(tag, (place.at - value) as u8 - 1, value, place.at),
                }
            }
            FIXED32 => self.fixed(place, tag, value, 4)?,
            FIXED64 => self.fixed(place, tag, value, 8)?,
            LEN => {
                let len = usize::try_from(shortest(&mut input)?).ok()?;
                let content = place.end - input.len();
                place.at = content.checked_add(len).filter(|end| *end <= place.end)?;
                if len == 0 || self.frames.len() >= MAX_DEPTH {
                    self.push(tag, STRING, value, place.at);
                } else {
                    self.enter(*place, tag, value);
                    self.push(tag, SUBMESSAGE_OPEN, content, content);
                    *place = Place { at: content, end: place.at };
                }
            }
            GROUP_START => {
                self.enter(*place, tag, value);
                self.push(tag, 0, value, value);
                place.at = value;
            }
            GROUP_END => {
                self.frames.pop_if(|frame| frame.tag + (GROUP_END - GROUP_START) == tag)?;
                self.push(tag, 0, value, value);
                place.at = value;
            }
            _ => return None,
        }
        Some(())
    }

    fn fixed(&mut self, place: &mut Place, tag: u32, value: usize, len: usize) -> Option<()> {
        place.at = value.checked_add(len).filter(|end| *end <= place.end)?;
        self.push(tag, 0, value, place.at);
        Some(())
    }

    fn enter(&mut self, outer: Place, tag: u32, value: usize) {
        self.frames.push(Frame { outer, tag, value, tokens: self.tokens.len() });
    }
}

/// A varint in its shortest form, which is the only one that is written again.
#[inline]
fn shortest(input: &mut &[u8]) -> Option<u64> {
    match *input {
        [byte @ ..0x80, rest @ ..] => {
            *input = rest;
            Some(u64::from(*byte))
        }
        _ => {
            let before = input.len();
            let value = varint::get_u64(input).ok()?;
            (before - input.len() == varint::len(value)).then_some(value)
        }
    }
}

//! Splitting records into the fields of protobuf messages.

use super::columns::{
    Columns, FIRST_INLINE_OP, NONE, RAW, RECORD, ROOT, STRING_OP, SUBMESSAGE_END_OP, SUBMESSAGE_START_OP,
};
use super::{FIRST_TAG, FIXED32, FIXED64, GROUP_END, GROUP_START, LEN, VARINT};
use crate::riegeli::{Result, RiegeliError};
use crate::varint;

/// Submessages and groups within each other; a submessage further inside stays a string. The reference's limit.
const MAX_DEPTH: usize = 100;

/// Varints up to this value are part of the operation.
const LAST_INLINE: u64 = 3;

/// One step of the machine, and the bytes of the records that it takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Op {
    /// Where the value starts among the records' bytes.
    pub at: usize,
    /// Bytes of the value.
    pub len: u32,
    pub op: u32,
}

/// Where reading has come to, and in which message.
#[derive(Debug, Clone, Copy)]
struct Place {
    at: usize,
    /// Where the message ends.
    end: usize,
    /// The field that is the message.
    parent: u32,
    /// The field read last.
    before: u32,
}

/// A submessage or group that is being read.
#[derive(Debug)]
struct Frame {
    /// Where to go on in the message around it; behind this one where it is a submessage.
    outer: Place,
    field: u32,
    group: bool,
    /// Where its length starts.
    value: usize,
    /// Operations before it.
    ops: usize,
}

/// Splits records one after another. A submessage is split while it is being checked, and taken back where it turns out
/// to be something else; either way each byte is looked at once.
pub(super) struct Splitter<'a> {
    data: &'a [u8],
    pub columns: Columns,
    pub ops: Vec<Op>,
    frames: Vec<Frame>,
}

impl<'a> Splitter<'a> {
    pub fn new(data: &'a [u8]) -> Self {
        Self { data, columns: Columns::new(), ops: Vec::new(), frames: Vec::new() }
    }

    /// Adds the record at `start..end`.
    ///
    /// # Errors
    /// [`RiegeliError::Size`] where it has 4 GiB or more: the format has 32 bits for a length.
    pub fn record(&mut self, start: usize, end: usize) -> Result<()> {
        if u32::try_from(end - start).is_err() {
            let (found, expected) = ((end - start) as u64, u64::from(u32::MAX));
            return Err(RiegeliError::Size { part: "record", found, expected });
        }
        let before = self.ops.len();
        self.push(RECORD, start, start);
        if !self.message(Place { at: start, end, parent: ROOT, before: NONE }) {
            self.ops.truncate(before);
            self.push(RAW, start, end);
        }
        Ok(())
    }

    #[inline]
    fn push(&mut self, op: u32, at: usize, end: usize) {
        self.ops.push(Op { at, len: (end - at) as u32, op });
    }

    /// Splits the message at `place`; false if it is none, or not in the one form that can be put together again.
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

    /// Ends the submessage that `place` is at the end of, and moves behind it.
    fn leave(&mut self, place: &mut Place) -> Option<()> {
        let frame = self.frames.pop_if(|frame| !frame.group)?;
        self.push(self.columns.get(frame.field).op + SUBMESSAGE_END_OP, place.end, place.end);
        *place = frame.outer;
        Some(())
    }

    /// Makes the innermost submessage a string after all.
    fn take_back(&mut self) -> Option<Place> {
        while let Some(frame) = self.frames.pop() {
            if !frame.group {
                self.ops.truncate(frame.ops);
                self.push(self.columns.get(frame.field).op + STRING_OP, frame.value, frame.outer.at);
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
        if tag < FIRST_TAG || tag & 7 > FIXED32 {
            return None;
        }
        if tag & 7 == GROUP_END && self.frames.last().is_none_or(|frame| !frame.group || frame.value != tag as usize) {
            return None;
        }
        let field = self.columns.field(place.parent, place.before, tag)?;
        let first = self.columns.get(field).op;
        place.before = field;
        let start = place.end - input.len();
        match tag & 7 {
            VARINT => {
                let value = shortest(&mut input)?;
                place.at = place.end - input.len();
                match value {
                    0..=LAST_INLINE => self.push(first + FIRST_INLINE_OP + value as u32, place.at, place.at),
                    _ => self.push(first + (place.at - start) as u32 - 1, start, place.at),
                }
            }
            FIXED32 => self.fixed(place, first, start, 4)?,
            FIXED64 => self.fixed(place, first, start, 8)?,
            LEN => {
                let len = usize::try_from(shortest(&mut input)?).ok()?;
                let content = place.end - input.len();
                place.at = content.checked_add(len).filter(|end| *end <= place.end)?;
                if len == 0 || self.frames.len() >= MAX_DEPTH {
                    self.push(first + STRING_OP, start, place.at);
                } else {
                    self.enter(place, field, false, start);
                    (place.at, place.end) = (content, place.at);
                    self.push(first + SUBMESSAGE_START_OP, content, content);
                }
            }
            GROUP_START => {
                // The tag of its end takes the place of the value.
                self.enter(place, field, true, (tag + GROUP_END - GROUP_START) as usize);
                place.at = start;
                self.push(first, start, start);
            }
            _ => {
                let frame = self.frames.pop()?;
                *place = Place { at: start, ..frame.outer };
                self.push(first, start, start);
            }
        }
        Some(())
    }

    fn fixed(&mut self, place: &mut Place, op: u32, start: usize, len: usize) -> Option<()> {
        place.at = start.checked_add(len).filter(|end| *end <= place.end)?;
        self.push(op, start, place.at);
        Some(())
    }

    fn enter(&mut self, place: &mut Place, field: u32, group: bool, value: usize) {
        self.frames.push(Frame { outer: *place, field, group, value, ops: self.ops.len() });
        place.parent = field;
        place.before = NONE;
    }
}

/// A varint in its shortest form, which is the only one that is written again.
#[inline]
fn shortest(input: &mut &[u8]) -> Option<u64> {
    let before = input.len();
    let value = varint::get_u64(input).ok()?;
    (before - input.len() == varint::len(value)).then_some(value)
}

//! The columns of a chunk being written: a tree of the fields that occur, and the operations that use them.

use std::collections::HashMap;

use super::{FIXED32, FIXED64, LEN, VARINT};

/// Operations before those of the fields.
pub(super) const RECORD: u32 = 0;
pub(super) const RAW: u32 = 1;
/// The operations that belong to no field.
const COMMON: u32 = 2;

/// The record itself, whose children are its fields.
pub(super) const ROOT: u32 = 0;

/// No field.
pub(super) const NONE: u32 = u32::MAX;

/// More operations than this would not pay, and states are to be counted with 32 bits. What has no place stays a string.
const MAX_OPS: usize = 1 << 24;

/// Operations of a varint: ten lengths, then the values 0 to 3.
const VARINT_OPS: u32 = 14;
pub(super) const FIRST_INLINE_OP: u32 = 10;

/// Operations of a length-delimited field.
pub(super) const STRING_OP: u32 = 0;
pub(super) const SUBMESSAGE_START_OP: u32 = 1;
pub(super) const SUBMESSAGE_END_OP: u32 = 2;
const LEN_OPS: u32 = 3;

/// A field at one place in the tree of messages. Its values share a buffer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub tag: u32,
    /// The number of its first operation; the others follow.
    pub op: u32,
    parent: u32,
    /// The child that began the message last time.
    first: u32,
    /// The sibling that followed last time.
    after: u32,
}

/// The tree of fields. The root stands for the record, with the values that are no protobuf message.
#[derive(Debug)]
pub(super) struct Columns {
    fields: Vec<Field>,
    children: HashMap<(u32, u32), u32>,
    /// Which field each operation belongs to.
    owners: Vec<u32>,
}

impl Columns {
    pub fn new() -> Self {
        let root = Field { tag: 0, op: 0, parent: NONE, first: NONE, after: NONE };
        Self { fields: vec![root], children: HashMap::new(), owners: vec![ROOT; COMMON as usize] }
    }

    /// The field `tag` of the message `parent`, where `before` is the one that precedes it in the message, or [`NONE`].
    /// Messages of one kind have their fields in one order, so that what followed last time is right most of the time.
    /// `None` where there are too many fields.
    #[inline]
    pub fn field(&mut self, parent: u32, before: u32, tag: u32) -> Option<u32> {
        let guess =
            if before == NONE { self.fields[parent as usize].first } else { self.fields[before as usize].after };
        if let Some(field) = self.fields.get(guess as usize)
            && field.tag == tag
            && field.parent == parent
        {
            return Some(guess);
        }
        self.find(parent, before, tag)
    }

    fn find(&mut self, parent: u32, before: u32, tag: u32) -> Option<u32> {
        let next = self.fields.len() as u32;
        let found = *self.children.entry((parent, tag)).or_insert(next);
        if found == next {
            if self.owners.len() >= MAX_OPS {
                self.children.remove(&(parent, tag));
                return None;
            }
            let op = self.owners.len() as u32;
            self.fields.push(Field { tag, op, parent, first: NONE, after: NONE });
            let ops = match tag & 7 {
                VARINT => VARINT_OPS,
                LEN => LEN_OPS,
                _ => 1,
            };
            self.owners.resize((op + ops) as usize, found);
        }
        if before == NONE {
            self.fields[parent as usize].first = found;
        } else {
            self.fields[before as usize].after = found;
        }
        Some(found)
    }

    #[inline]
    pub fn get(&self, field: u32) -> Field {
        self.fields[field as usize]
    }

    /// How many fields there are, the root included.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// How many operations there are.
    pub fn ops(&self) -> usize {
        self.owners.len()
    }

    /// The field whose operation `op` is.
    #[inline]
    pub fn owner(&self, op: u32) -> u32 {
        self.owners[op as usize]
    }

    /// What the operation is: a state's tag, its subtype if it has one, and whether it takes values from the buffer.
    pub fn describe(&self, op: u32) -> (u32, Option<u8>, bool) {
        match op {
            RECORD => return (super::RECORD, None, false),
            RAW => return (super::RAW, None, true),
            _ => {}
        }
        let Field { tag, op: first, .. } = self.get(self.owner(op));
        match (tag & 7, op - first) {
            (VARINT, sub) => (tag, Some(sub as u8), sub < FIRST_INLINE_OP),
            (LEN, SUBMESSAGE_START_OP) => (super::SUBMESSAGE_START, None, false),
            (LEN, SUBMESSAGE_END_OP) => (tag - LEN + super::SUBMESSAGE_END, None, false),
            (LEN | FIXED32 | FIXED64, _) => (tag, None, true),
            _ => (tag, None, false),
        }
    }

    /// Where a column belongs among the buffers: values of one kind lie together.
    pub fn class(&self, field: u32) -> u8 {
        match self.get(field).tag & 7 {
            _ if field == ROOT => 4,
            VARINT => 0,
            FIXED32 => 1,
            FIXED64 => 2,
            _ => 3,
        }
    }
}

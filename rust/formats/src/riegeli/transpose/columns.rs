//! The columns of a chunk being written: a tree of the fields that occur, and the operations that use them.

use std::collections::HashMap;

use super::message::Token;
use super::{
    FIXED32, FIXED64, GROUP_END, GROUP_START, INLINE, LEN, RAW, RECORD, STRING, SUBMESSAGE_CLOSE, SUBMESSAGE_END,
    SUBMESSAGE_OPEN, SUBMESSAGE_START, VARINT,
};

/// The operations that belong to no field.
pub(super) const RECORD_OP: u32 = 0;
pub(super) const RAW_OP: u32 = 1;
const COMMON: usize = 2;

/// The record itself, whose children are its fields.
pub(super) const ROOT: u32 = 0;

/// No field.
const NONE: u32 = u32::MAX;

/// Operations of a varint: ten lengths, then the values 0 to 3.
const VARINT_OPS: usize = INLINE as usize + 4;

/// More operations than this would not pay, and positions in the machine have 32 bits.
const MAX_OPS: usize = 1 << 24;

/// One step of the machine, and the bytes of the records that it takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Op {
    /// Where the value starts among the records' bytes.
    pub at: usize,
    /// Bytes of the value.
    pub len: u32,
    pub op: u32,
}

/// A field at one place in the tree of messages. Its values share a buffer.
#[derive(Debug, Clone, Copy)]
struct Field {
    tag: u32,
    /// The number of its first operation; the others follow.
    op: u32,
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
    /// The messages around the one being added to.
    path: Vec<u32>,
}

impl Columns {
    pub fn new() -> Self {
        let root = Field { tag: 0, op: 0, parent: NONE, first: NONE, after: NONE };
        Self { fields: vec![root], children: HashMap::new(), owners: vec![ROOT; COMMON], path: Vec::new() }
    }

    /// Appends the operations of one record to `ops`. `None` where there are too many fields; some of its operations may
    /// be appended then.
    pub fn add(&mut self, tokens: &[Token], ops: &mut Vec<Op>) -> Option<()> {
        self.path.clear();
        let (mut parent, mut before) = (ROOT, NONE);
        for &Token { at, len, tag, sub } in tokens {
            let op = match (tag, tag & 7) {
                (RECORD, _) => RECORD_OP,
                (RAW, _) => RAW_OP,
                (_, LEN) if sub == SUBMESSAGE_CLOSE => {
                    let op = self.fields[parent as usize].op + u32::from(sub);
                    before = parent;
                    parent = self.path.pop()?;
                    op
                }
                (_, wire_type) => {
                    let field = self.field(parent, before, tag)?;
                    before = field;
                    if wire_type == GROUP_START || wire_type == LEN && sub == SUBMESSAGE_OPEN {
                        self.path.push(parent);
                        (parent, before) = (field, NONE);
                    } else if wire_type == GROUP_END {
                        before = parent;
                        parent = self.path.pop()?;
                    }
                    self.fields[field as usize].op + u32::from(sub)
                }
            };
            ops.push(Op { at, len, op });
        }
        Some(())
    }

    /// The field `tag` of the message `parent`, where `before` is the one that precedes it in the message, or [`NONE`].
    /// Messages of one kind have their fields in one order, so that what followed last time is right most of the time.
    #[inline]
    fn field(&mut self, parent: u32, before: u32, tag: u32) -> Option<u32> {
        let guess = match before {
            NONE => self.fields[parent as usize].first,
            _ => self.fields[before as usize].after,
        };
        match self.fields.get(guess as usize) {
            Some(field) if field.tag == tag && field.parent == parent => Some(guess),
            _ => self.find(parent, before, tag),
        }
    }

    fn find(&mut self, parent: u32, before: u32, tag: u32) -> Option<u32> {
        let found = match self.children.get(&(parent, tag)) {
            Some(found) => *found,
            None if self.owners.len() >= MAX_OPS => return None,
            None => self.insert(parent, tag),
        };
        match before {
            NONE => self.fields[parent as usize].first = found,
            _ => self.fields[before as usize].after = found,
        }
        Some(found)
    }

    fn insert(&mut self, parent: u32, tag: u32) -> u32 {
        let (field, op) = (self.fields.len() as u32, self.owners.len());
        self.children.insert((parent, tag), field);
        self.fields.push(Field { tag, op: op as u32, parent, first: NONE, after: NONE });
        let ops = match tag & 7 {
            VARINT => VARINT_OPS,
            LEN => usize::from(SUBMESSAGE_CLOSE) + 1,
            _ => 1,
        };
        self.owners.resize(op + ops, field);
        field
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
            RECORD_OP => return (RECORD, None, false),
            RAW_OP => return (RAW, None, true),
            _ => {}
        }
        let Field { tag, op: first, .. } = self.fields[self.owner(op) as usize];
        let sub = (op - first) as u8;
        match (tag & 7, sub) {
            (VARINT, _) => (tag, Some(sub), sub < INLINE),
            (LEN, SUBMESSAGE_OPEN) => (SUBMESSAGE_START, None, false),
            (LEN, SUBMESSAGE_CLOSE) => (tag - LEN + SUBMESSAGE_END, None, false),
            (LEN, STRING) | (FIXED32 | FIXED64, _) => (tag, None, true),
            _ => (tag, None, false),
        }
    }

    /// Where a column belongs among the buffers: values of one kind lie together, those of no message last.
    pub fn class(&self, field: u32) -> u8 {
        match self.fields[field as usize].tag & 7 {
            _ if field == ROOT => 4,
            VARINT => 0,
            FIXED32 => 1,
            FIXED64 => 2,
            _ => 3,
        }
    }

    /// Whether the values of a column are varints.
    #[inline]
    pub fn is_varint(&self, field: u32) -> bool {
        field != ROOT && self.fields[field as usize].tag & 7 == VARINT
    }
}

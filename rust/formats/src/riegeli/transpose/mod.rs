//! Transposed chunks: records that are protobuf messages, stored column by column.
//!
//! The values of each field lie together in a buffer, which compresses better than whole messages do, and a small state
//! machine says in which order they are joined again. Records that are no messages are kept whole.
//!
//! Reading: the header describes the `states` and the `buffers`, and the `machine` writes the `output` from the last
//! byte of the last record to the first byte of the first one. Writing: `message` splits records into operations on
//! `columns`, `plan` makes a machine of them, where `place` puts the states.

mod buffers;
mod columns;
mod decode;
mod encode;
mod fault;
mod machine;
mod message;
mod output;
mod place;
mod plan;
mod states;
mod values;

pub use decode::decode;
pub use encode::{DEFAULT_BUCKET_SIZE, encode};
pub use fault::Fault;

// Tags of states that are no fields.
const NO_OP: u32 = 0;
const RAW: u32 = 1;
const SUBMESSAGE_START: u32 = 2;
const RECORD: u32 = 3;

/// The smallest tag of a field: field 1, wire type 0.
const FIRST_TAG: u32 = 8;

// Protobuf's wire types, the low three bits of a tag.
const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const LEN: u32 = 2;
const GROUP_START: u32 = 3;
const GROUP_END: u32 = 4;
const FIXED32: u32 = 5;
/// Not protobuf's: the end of a submessage, whose tag has [`LEN`] in its place.
const SUBMESSAGE_END: u32 = 6;

// Which of a length-delimited field's states it is.
const STRING: u8 = 0;
const SUBMESSAGE_OPEN: u8 = 1;
const SUBMESSAGE_CLOSE: u8 = 2;

/// The first subtype of varints whose value is part of the state, and the last one.
const INLINE: u8 = 10;
const LAST_INLINE: u8 = 137;

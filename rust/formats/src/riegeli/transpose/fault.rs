//! What can be wrong with a transposed chunk.

use crate::riegeli::RiegeliError;

/// Why the data of a transposed chunk could not be decoded.
///
/// States, buckets and buffers are counted from 0, in the order of the chunk's header; positions in the output count
/// from the last byte of the last record, as decoding runs backwards.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// A count or length announces more than the bytes at hand can hold.
    #[error("{found} {what} announced, at most {limit} are possible")]
    Count {
        /// What is counted.
        what: &'static str,
        /// The number found.
        found: u64,
        /// The most that the bytes at hand allow.
        limit: u64,
    },
    /// A state's tag is neither a step of the machine nor the tag of a field.
    #[error("state {state} has tag {tag}, which means nothing")]
    Tag {
        /// The state.
        state: u32,
        /// The tag found.
        tag: u32,
    },
    /// The subtype of a varint's state is unknown.
    #[error("state {state} has subtype {subtype}, expected at most 137")]
    Subtype {
        /// The state.
        state: u32,
        /// The subtype found.
        subtype: u8,
    },
    /// A state that does not exist is to be visited.
    #[error("{what} {found}, but the machine has {states} states")]
    NoState {
        /// Which reference it is.
        what: &'static str,
        /// The state referred to.
        found: u64,
        /// How many states there are.
        states: u32,
    },
    /// A state reads a buffer that does not exist.
    #[error("state {state} reads buffer {buffer} of {buffers}")]
    NoBuffer {
        /// The state.
        state: u32,
        /// The buffer referred to.
        buffer: u32,
        /// How many buffers there are.
        buffers: u32,
    },
    /// The machine would run in a circle for ever.
    #[error("state {state} leads back to itself without an end")]
    Circle {
        /// A state on the circle.
        state: u32,
    },
    /// A buffer is larger than what is left of its bucket.
    #[error("buffer {buffer} of {len} bytes in a bucket with {left} left")]
    BufferOverBucket {
        /// The buffer.
        buffer: u32,
        /// Its announced length in bytes.
        len: u64,
        /// Bytes left in the bucket.
        left: u64,
    },
    /// There are no buckets for the buffers.
    #[error("{buffers} buffers but no bucket")]
    NoBucket {
        /// How many buffers there are.
        buffers: u32,
    },
    /// Buckets are left over behind the last buffer.
    #[error("{found} buckets, but the buffers end in the {used}th")]
    SpareBuckets {
        /// How many buckets there are.
        found: u32,
        /// How many of them the buffers use.
        used: u32,
    },
    /// Bytes are left over behind the last buffer.
    #[error("{bytes} bytes left over behind the last buffer")]
    SpareBytes {
        /// How many.
        bytes: u64,
    },
    /// A state needs more bytes than its buffer has left.
    #[error("state {state} needs {needed} bytes of its buffer, which has {left}")]
    BufferEnd {
        /// The state.
        state: u32,
        /// Bytes needed.
        needed: u64,
        /// Bytes left.
        left: u64,
    },
    /// A length inside a buffer is no valid number, or the buffer ends before it.
    #[error("state {state} finds no valid length in its buffer")]
    Length {
        /// The state.
        state: u32,
    },
    /// A submessage starts that was never ended. (Decoding meets the end first.)
    #[error("state {state} starts a submessage that has no end")]
    NoSubmessage {
        /// The state.
        state: u32,
    },
    /// A record starts inside a submessage, or the chunk does.
    #[error("{open} submessages have no start")]
    OpenSubmessages {
        /// How many.
        open: u64,
    },
    /// Submessages are nested deeper than any writer goes.
    #[error("submessages nested deeper than {limit}")]
    Depth {
        /// The deepest nesting accepted.
        limit: u64,
    },
    /// A submessage is longer than its length field can say.
    #[error("submessage of {len} bytes, expected less than 2^32")]
    SubmessageSize {
        /// Its length in bytes.
        len: u64,
    },
    /// The chunk does not hold as many records as its header says.
    #[error("{found} records or more, expected {expected}")]
    TooManyRecords {
        /// Records found so far.
        found: u64,
        /// Records announced.
        expected: u64,
    },
    /// The chunk does not hold as many records as its header says.
    #[error("{found} records, expected {expected}")]
    TooFewRecords {
        /// Records found.
        found: u64,
        /// Records announced.
        expected: u64,
    },
    /// The records are larger than the chunk's header says.
    #[error("records of {found} bytes or more, expected {expected}")]
    TooLarge {
        /// Bytes decoded so far, the next field included.
        found: u64,
        /// Bytes announced.
        expected: u64,
    },
    /// The records are smaller than the chunk's header says.
    #[error("records of {found} bytes, expected {expected}")]
    TooSmall {
        /// Bytes decoded.
        found: u64,
        /// Bytes announced.
        expected: u64,
    },
    /// Bytes precede the first record.
    #[error("{bytes} bytes belong to no record")]
    Stray {
        /// How many.
        bytes: u64,
    },
    /// The system refused the memory for what was decoded so far. Becomes [`RiegeliError::NoMemory`].
    #[error("no memory for {bytes} bytes")]
    NoMemory {
        /// Bytes asked for.
        bytes: u64,
    },
    /// The machine takes steps out of all proportion to what it decodes.
    #[error("{steps} steps for {bytes} bytes and {records} records")]
    Steps {
        /// Steps taken.
        steps: u64,
        /// Bytes decoded by then.
        bytes: u64,
        /// Records decoded by then.
        records: u64,
    },
}

impl From<Fault> for RiegeliError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::NoMemory { bytes } => Self::NoMemory { bytes },
            fault => Self::Transposed(fault),
        }
    }
}

//! Why a TFRecord file, its index or an example in it cannot be read.

/// Why a TFRecord file, its index or an example in it cannot be read.
///
/// Where in the file that is, whoever reads it knows: see [`Decoder`](super::decode::Decoder) and
/// [`Scan`](super::index::Scan).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TfRecordError {
    /// A length is not the one that was written, or no length of a record stands here.
    #[error(
        "the length of the record ({length} bytes) has the checksum {found:08x}, expected {expected:08x}: it is damaged, \
         or this is no TFRecord file"
    )]
    LengthChecksum {
        /// The length as it stands there.
        length: u64,
        /// Checksum of the length found.
        found: u32,
        /// Checksum in the file.
        expected: u32,
    },
    /// A payload is not the one that was written.
    #[error("the record of {length} bytes has the checksum {found:08x}, expected {expected:08x}: it is damaged")]
    DataChecksum {
        /// Bytes of the payload.
        length: u64,
        /// Checksum of the payload found.
        found: u32,
        /// Checksum in the file.
        expected: u32,
    },
    /// The file ends inside a header.
    #[error("the file ends inside the header of a record: found {found} bytes, expected 12")]
    TruncatedHeader {
        /// Bytes that are there.
        found: u64,
    },
    /// The file ends inside a record.
    #[error(
        "the file ends inside a record: found {found} bytes behind its header, expected {length} and a checksum of 4"
    )]
    Truncated {
        /// Bytes that the header announces.
        length: u64,
        /// Bytes behind the header.
        found: u64,
    },
    /// The whole file is compressed, so there is nothing to index.
    #[error(
        "the file is compressed ({kind}), so its records have no place of their own: it can be read from its beginning \
         but not indexed"
    )]
    NoPlaces {
        /// The compression.
        kind: &'static str,
    },
    /// The compressed data is damaged or cut short.
    #[error("the {kind} data is damaged: {detail}")]
    Inflate {
        /// The compression.
        kind: &'static str,
        /// What the decompressor found.
        detail: String,
    },
    /// A line of an index is not `offset size`.
    #[error("line {line} of the index: found {found:?}, expected an offset and a size")]
    IndexLine {
        /// Number of the line, from 1.
        line: u64,
        /// The line, shortened.
        found: String,
    },
    /// An entry of an index names bytes that the file does not have.
    #[error("the index has {size} bytes for this record, which end at byte {end} of a file of {length}")]
    IndexRange {
        /// Size in the index.
        size: u64,
        /// Where they would end.
        end: u64,
        /// Bytes of the file.
        length: u64,
    },
    /// An entry of an index is not the size of the record.
    #[error(
        "the record has {found} bytes with its frame, expected {expected} from the index: it belongs to another file"
    )]
    IndexSize {
        /// Size in the file.
        found: u64,
        /// Size in the index.
        expected: u64,
    },
    /// The index ends before the file does, or behind it.
    #[error("the index ends at byte {found}, expected {expected}: it belongs to another version of the file")]
    IndexEnd {
        /// Where the last record of the index ends.
        found: u64,
        /// Bytes of the file.
        expected: u64,
    },
    /// A record is no `tf.train.Example`.
    #[error("the record is no tf.train.Example: {detail}")]
    Example {
        /// What the decoder found.
        detail: String,
    },
    /// An example lacks a feature that has no default.
    #[error("no feature {name:?}, which has no default")]
    MissingFeature {
        /// The feature.
        name: String,
    },
    /// A feature holds values of another kind.
    #[error("feature {name:?} holds {found}, expected {expected}")]
    FeatureKind {
        /// The feature.
        name: String,
        /// Kind found.
        found: &'static str,
        /// Kind expected.
        expected: &'static str,
    },
    /// A feature of fixed length has another number of values.
    #[error("feature {name:?} has {found} values, expected {expected}")]
    FeatureLength {
        /// The feature.
        name: String,
        /// Values found.
        found: u64,
        /// Values expected.
        expected: u64,
    },
}

impl TfRecordError {
    /// True where the file is sound but what was asked for cannot be had from it.
    #[must_use]
    pub fn is_unsupported(&self) -> bool {
        matches!(self, Self::NoPlaces { .. })
    }
}

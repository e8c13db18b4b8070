//! The one error type of this crate.

use crate::image::ImageError;

/// Result of a codec.
pub type Result<T> = std::result::Result<T, FormatError>;

/// Why bytes could not be decoded: what was found, what was expected, and where.
///
/// Byte offsets count from the first byte of the NPY data, which inside an NPZ is the first byte of the member
/// after decompression. Everything that concerns one member of an NPZ is wrapped in [`FormatError::Member`].
///
/// Three questions sort the variants: [`is_unsupported`](Self::is_unsupported) for files that may well be sound but
/// that this crate does not read, [`is_not_found`](Self::is_not_found) for an array that the archive lacks, and
/// everything else means damaged data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The first bytes are not those of an NPY file.
    #[error("not NPY data: it starts with {found:02x?}, expected [93, 4e, 55, 4d, 50, 59] (\\x93NUMPY)")]
    NpyMagic {
        /// The first bytes, at most six.
        found: Vec<u8>,
    },
    /// A version of the NPY format that does not exist.
    #[error("NPY version {major}.{minor} at byte 6, expected 1.0, 2.0 or 3.0")]
    NpyVersion {
        /// Major version found.
        major: u8,
        /// Minor version found.
        minor: u8,
    },
    /// The bytes end before the part that they announce.
    #[error("NPY {part} at byte {offset} needs {expected} bytes, but only {found} follow")]
    NpyTruncated {
        /// Which part is short: "preamble", "header" or "data".
        part: &'static str,
        /// Where the part starts.
        offset: u64,
        /// Bytes the part needs.
        expected: u64,
        /// Bytes present from there on.
        found: u64,
    },
    /// The header is longer than any that describes a real array.
    #[error("NPY header of {len} bytes, expected at most {limit}")]
    NpyHeaderTooLong {
        /// Announced header length in bytes.
        len: u64,
        /// Longest header accepted, in bytes.
        limit: u64,
    },
    /// A version 3 header is not UTF-8.
    #[error("NPY header is not UTF-8 at byte {offset}")]
    NpyHeaderEncoding {
        /// First byte that is not part of a UTF-8 sequence.
        offset: u64,
    },
    /// A text is not UTF-8.
    #[error("no UTF-8 text: the byte at {offset} is not part of a character")]
    Text {
        /// First byte that is not part of a character.
        offset: u64,
    },
    /// The header is not a Python literal.
    #[error("NPY header at byte {offset}: found {found}, expected {expected}")]
    NpyHeaderSyntax {
        /// Where parsing stopped.
        offset: u64,
        /// What would have continued the literal.
        expected: &'static str,
        /// An excerpt of what is there.
        found: String,
    },
    /// The header is a literal, but not the dictionary that NPY asks for.
    #[error("NPY header: found {found}, expected {expected}")]
    NpyHeaderContent {
        /// What the format asks for.
        expected: &'static str,
        /// An excerpt of what is there.
        found: String,
    },
    /// `descr` does not describe a numpy dtype.
    #[error("NPY dtype {descr} is invalid: expected {expected}")]
    NpyDescr {
        /// The offending part of `descr`, shortened.
        descr: String,
        /// What would have been valid there.
        expected: &'static str,
    },
    /// The array would not fit the address space.
    #[error("NPY array of shape {shape:?} and {item_size} bytes per item is larger than any memory")]
    NpyTooLarge {
        /// Shape found in the header.
        shape: Vec<u64>,
        /// Bytes per item.
        item_size: usize,
    },
    /// The array holds Python objects, which numpy stores as a pickle.
    #[error("NPY dtype {descr} holds Python objects, stored as a pickle, which runs code when read: unsupported")]
    ObjectDtype {
        /// The dtype, shortened.
        descr: String,
    },
    /// The ZIP directory, or a header it points to, is damaged, or the bytes are no ZIP archive.
    #[error("damaged NPZ archive: at byte {offset} found {found}, expected {expected}")]
    Archive {
        /// Position in the archive, in bytes.
        offset: u64,
        /// What is there.
        found: String,
        /// What a sound archive has there.
        expected: &'static str,
    },
    /// A part of ZIP that this crate does not read, such as an archive split over several files.
    #[error("unsupported NPZ archive: {detail}")]
    ArchiveUnsupported {
        /// What is not supported.
        detail: String,
    },
    /// The archive has no array of this name.
    #[error("no array {name:?} in the NPZ archive, which has {available:?}")]
    NoSuchArray {
        /// The name asked for.
        name: String,
        /// Names in the archive, in archive order.
        available: Vec<String>,
    },
    /// Two members carry the same name, so that readers would disagree about which one counts.
    #[error("the name occurs twice in the archive, expected once")]
    DuplicateMember,
    /// The member is encrypted.
    #[error("encrypted: unsupported")]
    Encrypted,
    /// The member is compressed by a method other than stored (0) and deflate (8).
    #[error("compression method {method:?}: unsupported, expected stored (0) or deflate (8)")]
    Method {
        /// Name or number of the method found.
        method: String,
    },
    /// The member's bytes pass those of the next member, or the end of all members.
    #[error(
        "announces at least {len} bytes at byte {offset} of the archive, but byte {limit} belongs to what follows it"
    )]
    OutOfBounds {
        /// Where the member starts in the archive.
        offset: u64,
        /// Bytes that it needs at least: its header and its announced content.
        len: u64,
        /// Where the next member or the directory starts.
        limit: u64,
    },
    /// The name cannot stand in an archive.
    #[error("{name:?} cannot name a member: {reason}")]
    MemberName {
        /// The name, shortened.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Items and header do not belong together.
    #[error("an array of shape {shape:?} and dtype {descr} has {expected} bytes, but {found} were given")]
    ItemBytes {
        /// Shape of the array.
        shape: Vec<u64>,
        /// Its dtype, shortened.
        descr: String,
        /// Bytes that the array must have.
        expected: u64,
        /// Bytes given.
        found: u64,
    },
    /// A stored member must be as long outside the archive as inside.
    #[error("stored in {stored} bytes but announced as {announced}, expected equal sizes")]
    StoredSize {
        /// Bytes in the archive.
        stored: u64,
        /// Bytes announced for the content.
        announced: u64,
    },
    /// More output than deflate can make from so few bytes, so the directory lies.
    #[error("{compressed} deflated bytes announced as {announced}, expected at most {possible}")]
    ImpossibleRatio {
        /// Deflated bytes in the archive.
        compressed: u64,
        /// Bytes announced for the content.
        announced: u64,
        /// The most that deflate can make of that many bytes.
        possible: u64,
    },
    /// The member would need more memory than [`Limits`](crate::Limits) allows.
    #[error("inflates to {announced} bytes, the limit is {limit}")]
    OverLimit {
        /// Bytes announced for the content.
        announced: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The system refused the memory for the content.
    #[error("no memory for {announced} bytes")]
    NoMemory {
        /// Bytes announced for the content.
        announced: u64,
    },
    /// The deflated data is damaged.
    #[error("deflated data at byte {offset} of the archive is damaged: {detail}")]
    Inflate {
        /// Where the deflated data starts in the archive.
        offset: u64,
        /// What the decompressor found.
        detail: String,
    },
    /// The content is shorter than the directory says.
    #[error("inflates to {found} bytes, expected {expected}")]
    InflatedSize {
        /// Bytes that came out.
        found: u64,
        /// Bytes announced.
        expected: u64,
    },
    /// The content is not the one that was written.
    #[error("CRC-32 is {found:08x}, expected {expected:08x}: the data is damaged")]
    Checksum {
        /// CRC-32 of the bytes found.
        found: u32,
        /// CRC-32 in the archive.
        expected: u32,
    },
    /// What is wrong with a Riegeli file, the container of ArrayRecord and Disky.
    #[error(transparent)]
    Riegeli(#[from] crate::riegeli::RiegeliError),
    /// What is wrong with an ArrayRecord file.
    #[error(transparent)]
    ArrayRecord(#[from] crate::array_record::ArrayRecordError),
    /// What is wrong with an image.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// What is wrong with a TFRecord file, its index, or an example in it.
    #[error(transparent)]
    TfRecord(#[from] crate::tfrecord::TfRecordError),
    /// The compressor failed.
    #[error("cannot deflate: {detail}")]
    Deflate {
        /// What it said.
        detail: String,
    },
    /// A Parquet file is damaged, or none.
    #[error("Parquet: {detail}")]
    Parquet {
        /// What was found.
        detail: String,
    },
    /// A Parquet file uses something that is not supported.
    #[error("Parquet: {detail}")]
    ParquetUnsupported {
        /// What it uses.
        detail: String,
    },
    /// What is wrong with one member of an NPZ archive.
    #[error("NPZ member {member:?}: {error}")]
    Member {
        /// Full name of the member in the archive, such as `x.npy`.
        member: String,
        /// What is wrong with it.
        error: Box<FormatError>,
    },
}

impl FormatError {
    /// True where the file may be sound but uses something this crate refuses: Python objects, encryption, another
    /// compression method, a split archive, or more memory than the limits allow.
    pub fn is_unsupported(&self) -> bool {
        match self {
            Self::ObjectDtype { .. }
            | Self::ArchiveUnsupported { .. }
            | Self::ParquetUnsupported { .. }
            | Self::Encrypted
            | Self::Method { .. }
            | Self::OverLimit { .. }
            | Self::NoMemory { .. } => true,
            Self::TfRecord(error) => error.is_unsupported(),
            Self::Image(error) => matches!(error, ImageError::TooLarge { .. }),
            Self::Member { error, .. } => error.is_unsupported(),
            _ => false,
        }
    }

    /// True where the archive is sound but has no array of the name asked for.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NoSuchArray { .. })
    }

    /// Full name of the NPZ member concerned, where there is one.
    pub fn member(&self) -> Option<&str> {
        match self {
            Self::Member { member, .. } => Some(member),
            _ => None,
        }
    }

    pub(crate) fn in_member(self, member: &str) -> Self {
        Self::Member { member: member.to_owned(), error: Box::new(self) }
    }
}

/// Headers come from strangers and can be long; a message should not be.
pub(crate) fn excerpt(text: &str) -> String {
    const LONGEST: usize = 80;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

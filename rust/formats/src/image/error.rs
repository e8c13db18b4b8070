//! What can be wrong with an image.

/// Why an image could not be decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The first bytes are those of neither format.
    #[error("not an image: it starts with {found:02x?}, expected JPEG ([ff, d8, ff]) or PNG ([89, 50, 4e, 47])")]
    Magic {
        /// The first bytes, at most four.
        found: Vec<u8>,
    },
    /// The image has more pixels than any that is a sample.
    #[error("{format} image of {width} x {height} pixels, expected at most {limit} pixels")]
    TooLarge {
        /// "JPEG" or "PNG".
        format: &'static str,
        /// Pixels in a row.
        width: u32,
        /// Rows.
        height: u32,
        /// Most pixels accepted.
        limit: u64,
    },
    /// The content breaks off.
    #[error("{format} image of {bytes} bytes breaks off: found no end marker, expected one behind the last scan")]
    Truncated {
        /// "JPEG".
        format: &'static str,
        /// Bytes of the record.
        bytes: usize,
    },
    /// The decoder refuses the content.
    #[error("damaged or unknown {format} image: {reason}")]
    Damaged {
        /// "JPEG" or "PNG".
        format: &'static str,
        /// What the decoder said.
        reason: String,
    },
    /// An option is out of range.
    #[error("image size {height} x {width}, expected 1 to {limit} rows and columns")]
    Size {
        /// Rows asked for.
        height: u32,
        /// Columns asked for.
        width: u32,
        /// Most of either.
        limit: u32,
    },
}

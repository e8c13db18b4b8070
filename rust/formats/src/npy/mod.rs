//! NPY: one array in one file, as `numpy.save` writes it.
//!
//! A file is a magic, a version, the length of a header, the header, and the raw items. Versions 1.0, 2.0 and 3.0
//! differ only in the width of that length and in the header's encoding.

mod descr;
mod encode;
mod literal;

use std::borrow::Cow;

use bytes::Bytes;

use crate::error::{FormatError, Result, excerpt};
use literal::Literal;

pub use encode::encode_header;

const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// Longest header read, in bytes. numpy itself refuses 10 000 characters unless told otherwise; a structured dtype of
/// thousands of fields stays well below this.
const MAX_HEADER: u64 = 1 << 20;

/// numpy's own bound on the number of dimensions.
const MAX_DIMENSIONS: usize = 64;

/// An array whose items are a slice of the bytes it was parsed from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Array {
    /// numpy's description of the dtype, in one of two forms.
    ///
    /// - A plain dtype: its type string, without quotes, such as `<f4`, `|b1`, `<U5` or `<M8[ns]`.
    ///   In Python: `numpy.dtype(descr)`.
    /// - A structured dtype: a Python list literal, such as `[('a', '<f4'), ('b', '<i2', (2, 3))]`; it starts with
    ///   `[`, which no type string does. In Python: `numpy.lib.format.descr_to_dtype(ast.literal_eval(descr))`,
    ///   which unlike `numpy.dtype` drops the nameless fields that stand for padding.
    ///
    /// The spelling is canonical: equal text means equal dtype, whoever wrote the file.
    pub descr: String,
    /// Bytes per item; zero for dtypes such as `|V0`.
    pub item_size: usize,
    /// Items along each axis; empty for a scalar.
    pub shape: Vec<u64>,
    /// True where the first axis varies fastest in `data`.
    pub fortran_order: bool,
    /// The items, `len() * item_size` bytes in the byte order that `descr` names. Not aligned to the item size in
    /// general, since an archive puts its members at any offset.
    pub data: Bytes,
}

impl Array {
    /// Number of items: the product of the shape, one for a scalar.
    pub fn len(&self) -> u64 {
        if self.shape.contains(&0) { 0 } else { self.shape.iter().product() }
    }

    /// True where the array has no items.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of all items.
    pub fn byte_len(&self) -> usize {
        self.data.len()
    }

    /// The bytes of an NPY file in front of `data`; see [`encode_header`].
    ///
    /// # Errors
    ///
    /// As [`encode_header`]; [`FormatError::ItemBytes`] where `data` does not have the length that shape and dtype ask for.
    pub fn header(&self) -> Result<Vec<u8>> {
        let (header, expected) = encode_header(&self.descr, self.fortran_order, &self.shape)?;
        if expected != self.data.len() {
            return Err(FormatError::ItemBytes {
                shape: self.shape.clone(),
                descr: excerpt(&self.descr),
                expected: expected as u64,
                found: self.data.len() as u64,
            });
        }
        Ok(header)
    }

    /// True where `descr` is a list of fields.
    pub fn is_structured(&self) -> bool {
        self.descr.starts_with('[')
    }
}

/// What the header of an NPY file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// As [`Array::descr`].
    pub descr: String,
    /// As [`Array::item_size`].
    pub item_size: usize,
    /// As [`Array::shape`].
    pub shape: Vec<u64>,
    /// As [`Array::fortran_order`].
    pub fortran_order: bool,
    /// Where the items begin.
    pub data_offset: usize,
    /// Bytes of all items.
    pub data_len: usize,
}

/// Bytes that hold any header which [`parse_header`] reads.
pub const HEADER_SPAN: u64 = MAX_HEADER + 12;

/// Reads the header of an NPY array; `input` is the beginning of the file, the items need not be there.
///
/// # Errors
///
/// As [`parse`]; [`FormatError::NpyTruncated`] where the header is not all there.
pub fn parse_header(input: &[u8]) -> Result<Layout> {
    let (text, text_offset, data_offset) = header_text(input)?;
    let header = literal::parse(&text).map_err(|error| {
        let (before, found) = text.split_at(error.position);
        // A Latin-1 header holds one byte for each character of the text.
        let bytes_before = match &text {
            Cow::Borrowed(_) => before.len(),
            Cow::Owned(_) => before.chars().count(),
        };
        FormatError::NpyHeaderSyntax {
            offset: (text_offset + bytes_before) as u64,
            expected: error.expected,
            found: if found.is_empty() { "the end".to_owned() } else { format!("{:?}", excerpt(found)) },
        }
    })?;
    let Header { descr, fortran_order, shape } = Header::from_literal(header)?;
    let item_size = descr::item_size(&descr)?;
    let data_len = byte_size(&shape, item_size)?;
    let descr = match descr {
        Literal::Str(plain) => plain,
        structured => structured.to_string(),
    };
    Ok(Layout { descr, item_size, shape, fortran_order, data_offset, data_len })
}

impl Layout {
    /// Makes sure that a file of so many bytes holds all items.
    ///
    /// # Errors
    ///
    /// [`FormatError::NpyTruncated`].
    pub fn check(&self, size: u64) -> Result<()> {
        let available = size.saturating_sub(self.data_offset as u64);
        if self.data_len as u64 > available {
            return Err(FormatError::NpyTruncated {
                part: "data",
                offset: self.data_offset as u64,
                expected: self.data_len as u64,
                found: available,
            });
        }
        Ok(())
    }
}

/// Reads one NPY array, without copying its items.
///
/// Bytes after the last item are ignored, as `numpy.load` does.
///
/// # Errors
///
/// [`FormatError::ObjectDtype`] for arrays of Python objects; any other `Npy` variant of [`FormatError`] where the bytes
/// are not, or not all of, an NPY array.
pub fn parse(input: &Bytes) -> Result<Array> {
    let layout = parse_header(input)?;
    layout.check(input.len() as u64)?;
    let Layout { descr, item_size, shape, fortran_order, data_offset, data_len } = layout;
    Ok(Array { descr, item_size, shape, fortran_order, data: input.slice(data_offset..data_offset + data_len) })
}

/// The header's text, and the offsets of the text and of what follows it.
///
/// Borrowed text is UTF-8 as in the file; owned text was Latin-1 with characters beyond ASCII.
fn header_text(input: &[u8]) -> Result<(Cow<'_, str>, usize, usize)> {
    let (magic, after) = input.split_at(input.len().min(MAGIC.len()));
    if magic != MAGIC {
        return Err(FormatError::NpyMagic { found: magic.to_vec() });
    }
    let short = || FormatError::NpyTruncated {
        part: "preamble",
        offset: MAGIC.len() as u64,
        expected: if matches!(after.first(), Some(2 | 3)) { 6 } else { 4 },
        found: after.len() as u64,
    };
    let (version, after) = after.split_first_chunk::<2>().ok_or_else(short)?;
    let (len, after) = match version {
        [1, 0] => {
            let (len, after) = after.split_first_chunk().ok_or_else(short)?;
            (u32::from(u16::from_le_bytes(*len)), after)
        }
        [2 | 3, 0] => {
            let (len, after) = after.split_first_chunk().ok_or_else(short)?;
            (u32::from_le_bytes(*len), after)
        }
        [major, minor] => {
            return Err(FormatError::NpyVersion { major: *major, minor: *minor });
        }
    };
    let offset = input.len() - after.len();
    if u64::from(len) > MAX_HEADER {
        return Err(FormatError::NpyHeaderTooLong { len: len.into(), limit: MAX_HEADER });
    }
    let raw = after.get(..len as usize).ok_or(FormatError::NpyTruncated {
        part: "header",
        offset: offset as u64,
        expected: len.into(),
        found: after.len() as u64,
    })?;
    let text = decode(raw, version[0], offset)?;
    Ok((text, offset, offset + raw.len()))
}

/// Versions before 3.0 are Latin-1, which field names such as `é` make use of.
fn decode(raw: &[u8], major: u8, offset: usize) -> Result<Cow<'_, str>> {
    match std::str::from_utf8(raw) {
        Ok(text) if major >= 3 || raw.is_ascii() => Ok(Cow::Borrowed(text)),
        Err(error) if major >= 3 => {
            Err(FormatError::NpyHeaderEncoding { offset: (offset + error.valid_up_to()) as u64 })
        }
        _ => Ok(Cow::Owned(raw.iter().map(|&byte| char::from(byte)).collect())),
    }
}

struct Header {
    descr: Literal,
    fortran_order: bool,
    shape: Vec<u64>,
}

impl Header {
    fn from_literal(header: Literal) -> Result<Self> {
        let Literal::Dict(entries) = header else {
            return Err(content(&header, "a dictionary"));
        };
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        for (key, value) in entries {
            let entry = match &key {
                Literal::Str(name) if name == "descr" => &mut descr,
                Literal::Str(name) if name == "fortran_order" => &mut fortran_order,
                Literal::Str(name) if name == "shape" => &mut shape,
                _ => {
                    return Err(content(&key, "only the keys 'descr', 'fortran_order' and 'shape'"));
                }
            };
            if entry.replace(value).is_some() {
                return Err(content(&key, "each key once"));
            }
        }
        let missing = |expected| FormatError::NpyHeaderContent { expected, found: "no such key".to_owned() };
        let fortran_order = match fortran_order.ok_or_else(|| missing("the key 'fortran_order'"))? {
            Literal::Bool(flag) => flag,
            other => return Err(content(&other, "True or False for 'fortran_order'")),
        };
        Ok(Self {
            descr: descr.ok_or_else(|| missing("the key 'descr'"))?,
            fortran_order,
            shape: dimensions(&shape.ok_or_else(|| missing("the key 'shape'"))?)?,
        })
    }
}

fn content(found: &Literal, expected: &'static str) -> FormatError {
    FormatError::NpyHeaderContent { expected, found: excerpt(&found.to_string()) }
}

fn dimensions(shape: &Literal) -> Result<Vec<u64>> {
    let Literal::Tuple(dimensions) = shape else {
        return Err(content(shape, "a tuple for 'shape'"));
    };
    if dimensions.len() > MAX_DIMENSIONS {
        return Err(content(shape, "at most 64 dimensions"));
    }
    dimensions
        .iter()
        .map(|dimension| match dimension {
            Literal::Int(n) => u64::try_from(*n).ok(),
            _ => None,
        })
        .collect::<Option<_>>()
        .ok_or_else(|| content(shape, "integers of zero or more in 'shape'"))
}

/// Bytes of all items, where both the number of items and their size must be countable.
fn byte_size(shape: &[u64], item_size: usize) -> Result<usize> {
    let too_large = || FormatError::NpyTooLarge { shape: shape.to_vec(), item_size };
    if shape.contains(&0) {
        return Ok(0);
    }
    let items = shape.iter().try_fold(1u64, |product, &n| product.checked_mul(n)).ok_or_else(too_large)?;
    let bytes = items.checked_mul(item_size as u64).ok_or_else(too_large)?;
    isize::try_from(bytes).map_err(|_| too_large())?;
    usize::try_from(bytes).map_err(|_| too_large())
}

//! Writing the header of an NPY file, byte for byte as `numpy.save` does.

use super::literal::{self, Literal};
use super::{MAGIC, MAX_DIMENSIONS, MAX_HEADER, byte_size, descr};
use crate::error::{FormatError, Result, excerpt};

/// The header is padded to a multiple of this.
const ALIGNMENT: usize = 64;

/// numpy leaves room for this many digits of the axis that grows when items are appended to a file, so that the header
/// can then be changed in its place.
const GROWTH_DIGITS: usize = 21;

/// The bytes in front of an array's items, and how many bytes of items must follow them.
///
/// `descr` is written as [`Array::descr`](super::Array::descr) is read: a type string without quotes, or the list literal
/// of a structured dtype, which is taken as it is spelt. The header has the first version of the format that can hold it:
/// 1.0, 2.0 where it is longer than 64 KiB, 3.0 where a field has a name beyond Latin-1.
///
/// # Errors
///
/// [`FormatError::ObjectDtype`] for a dtype with Python objects; [`FormatError::NpyDescr`],
/// [`FormatError::NpyHeaderContent`], [`FormatError::NpyHeaderTooLong`] or [`FormatError::NpyTooLarge`] for what the
/// format cannot express or nobody could read.
pub fn encode_header(descr: &str, fortran_order: bool, shape: &[u64]) -> Result<(Vec<u8>, usize)> {
    let (parsed, spelt) = if descr.starts_with('[') {
        let invalid = |_| FormatError::NpyDescr { descr: excerpt(descr), expected: "a list of fields" };
        (literal::parse(descr).map_err(invalid)?, descr.to_owned())
    } else {
        let plain = Literal::Str(descr.to_owned());
        let spelt = plain.to_string();
        (plain, spelt)
    };
    let item_bytes = byte_size(shape, descr::item_size(&parsed)?)?;
    if shape.len() > MAX_DIMENSIONS {
        let found = format!("{} dimensions", shape.len());
        return Err(FormatError::NpyHeaderContent { expected: "at most 64 dimensions", found });
    }
    let order = if fortran_order { "True" } else { "False" };
    let mut header = format!("{{'descr': {spelt}, 'fortran_order': {order}, 'shape': {}, }}", tuple(shape));
    let grows = if fortran_order { shape.last() } else { shape.first() };
    if let Some(axis) = grows {
        let digits = axis.to_string().len();
        header.extend(std::iter::repeat_n(' ', GROWTH_DIGITS.saturating_sub(digits)));
    }
    Ok((wrapped(&header)?, item_bytes))
}

/// The shape as Python writes it.
fn tuple(shape: &[u64]) -> String {
    let items: Vec<_> = shape.iter().map(u64::to_string).collect();
    match items.as_slice() {
        [only] => format!("({only},)"),
        items => format!("({})", items.join(", ")),
    }
}

/// Magic, version, length, text, padding and newline.
fn wrapped(text: &str) -> Result<Vec<u8>> {
    let latin1: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
    let (major, encoded) = latin1.map_or_else(|| (3, text.as_bytes().to_vec()), |latin1| (1, latin1));
    let narrow = padded(encoded.len(), 2);
    let (major, width, len) = match u16::try_from(narrow) {
        Ok(_) if major == 1 => (1, 2, narrow),
        _ => (major.max(2), 4, padded(encoded.len(), 4)),
    };
    if len as u64 > MAX_HEADER {
        return Err(FormatError::NpyHeaderTooLong { len: len as u64, limit: MAX_HEADER });
    }
    let mut out = Vec::with_capacity(MAGIC.len() + 2 + width + len);
    out.extend(MAGIC);
    out.extend([major, 0]);
    out.extend(&(len as u32).to_le_bytes()[..width]);
    let end = out.len() + len - 1;
    out.extend(encoded);
    out.resize(end, b' ');
    out.push(b'\n');
    Ok(out)
}

/// Length of the header's text with padding and newline, given the width of the number that says it. There is always
/// some padding, as numpy has it.
fn padded(text: usize, width: usize) -> usize {
    let text = text + 1;
    text + ALIGNMENT - (MAGIC.len() + 2 + width + text) % ALIGNMENT
}

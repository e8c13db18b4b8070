//! Types of tensor elements, by the names that safetensors gives them.

/// Names and widths in bytes, widest first.
const KNOWN: [(&str, u64); 17] = [
    ("F64", 8),
    ("I64", 8),
    ("U64", 8),
    ("C64", 8),
    ("F32", 4),
    ("I32", 4),
    ("U32", 4),
    ("F16", 2),
    ("BF16", 2),
    ("I16", 2),
    ("U16", 2),
    ("F8_E5M2", 1),
    ("F8_E4M3", 1),
    ("F8_E8M0", 1),
    ("I8", 1),
    ("U8", 1),
    ("BOOL", 1),
];

/// Bytes of one element; `None` for a type that this crate does not know.
#[must_use]
pub fn width(name: &str) -> Option<u64> {
    KNOWN.iter().find(|(known, _)| *known == name).map(|(_, width)| *width)
}

/// Bytes of a tensor; `None` where the type is not known or the product does not fit 64 bits.
#[must_use]
pub fn size(name: &str, shape: &[u64]) -> Option<u64> {
    // A zero anywhere makes an empty tensor, however large the other lengths are.
    if shape.contains(&0) {
        return width(name).map(|_| 0);
    }
    shape.iter().try_fold(width(name)?, |size, length| size.checked_mul(*length))
}

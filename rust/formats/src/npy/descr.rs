//! The `descr` entry of an NPY header: numpy's description of a dtype.

use std::collections::HashSet;

use super::literal::Literal;
use crate::error::{FormatError, Result, excerpt};

/// numpy keeps an item's size in a C `int`.
const MAX_ITEM_SIZE: u64 = i32::MAX as u64;

/// Bytes per item of the dtype.
pub(super) fn item_size(descr: &Literal) -> Result<usize> {
    let size = match descr {
        Literal::Str(text) => scalar_size(text),
        Literal::List(fields) => record_size(fields),
        _ => Err(invalid(descr, "a string, or a list of fields")),
    };
    let size = size.map_err(|error| match error {
        FormatError::ObjectDtype { .. } => FormatError::ObjectDtype { descr: excerpt(&descr.to_string()) },
        other => other,
    })?;
    usize::try_from(size).map_err(|_| invalid(descr, "items of less than 2 GiB"))
}

fn invalid(part: &Literal, expected: &'static str) -> FormatError {
    FormatError::NpyDescr { descr: excerpt(&part.to_string()), expected }
}

fn record_size(fields: &[Literal]) -> Result<u64> {
    let mut names = HashSet::new();
    let mut total = 0;
    for field in fields {
        let (name, size) = field_size(field)?;
        // Padding has no name, any number of times.
        if !name.is_empty() && !names.insert(name) {
            return Err(invalid(field, "different names for all fields"));
        }
        total = bounded(total + size, field)?;
    }
    Ok(total)
}

/// Name and size of `(name, descr)` or `(name, descr, shape)`, where the name may be `(title, name)`.
fn field_size(field: &Literal) -> Result<(&str, u64)> {
    const FIELD: &str = "a field (name, descr) or (name, descr, shape)";
    let Literal::Tuple(parts) = field else {
        return Err(invalid(field, FIELD));
    };
    let (name, descr, shape) = match parts.as_slice() {
        [name, descr] => (name, descr, None),
        [name, descr, shape] => (name, descr, Some(shape)),
        _ => return Err(invalid(field, FIELD)),
    };
    let name = match name {
        Literal::Str(name) => name,
        Literal::Tuple(pair) => match pair.as_slice() {
            [Literal::Str(_), Literal::Str(name)] => name,
            _ => return Err(invalid(field, "a title and a name, both strings")),
        },
        _ => return Err(invalid(field, "a string for a name")),
    };
    let item = match descr {
        Literal::Str(text) => scalar_size(text)?,
        Literal::List(fields) => record_size(fields)?,
        _ => return Err(invalid(field, "a string, or a list of fields")),
    };
    Ok((name, bounded(item.saturating_mul(repeats(shape, field)?), field)?))
}

/// How many items a field's own shape holds.
fn repeats(shape: Option<&Literal>, field: &Literal) -> Result<u64> {
    let dimensions = match shape {
        None => return Ok(1),
        Some(Literal::Tuple(dimensions)) => dimensions.as_slice(),
        Some(single) => std::slice::from_ref(single),
    };
    dimensions.iter().try_fold(1, |product: u64, dimension| match dimension {
        Literal::Int(n) => match u64::try_from(*n) {
            Ok(n) => bounded(product.saturating_mul(n), field),
            Err(_) => Err(invalid(field, "dimensions of zero or more")),
        },
        _ => Err(invalid(field, "a tuple of integers for a shape")),
    })
}

fn bounded(size: u64, part: &Literal) -> Result<u64> {
    if size > MAX_ITEM_SIZE {
        return Err(invalid(part, "items of less than 2 GiB"));
    }
    Ok(size)
}

/// Bytes of a type string such as `<f4`: byte order, kind, number, and for times a unit.
fn scalar_size(text: &str) -> Result<u64> {
    let wrong = |expected| FormatError::NpyDescr { descr: excerpt(text), expected };
    let Some(body) = text.strip_prefix(['<', '>', '|']) else {
        return Err(wrong("a type string that starts with '<', '>' or '|'"));
    };
    let mut chars = body.chars();
    let kind = chars.next();
    let rest = chars.as_str();
    if kind == Some('O') {
        return Err(FormatError::ObjectDtype { descr: excerpt(text) });
    }
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = rest.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong("a number after the kind of type"))?;
    let (size, valid) = match kind {
        Some('b') => (number, number == 1),
        Some('i' | 'u') => (number, matches!(number, 1 | 2 | 4 | 8)),
        Some('f') => (number, matches!(number, 2 | 4 | 8 | 16)),
        Some('c') => (number, matches!(number, 8 | 16 | 32)),
        Some('m' | 'M') => (number, number == 8 && is_time_unit(unit)),
        Some('S' | 'a' | 'V') => (number, true),
        Some('U') => (number.saturating_mul(4), true),
        _ => return Err(wrong("one of the kinds b i u f c m M S U V")),
    };
    if !valid || (!unit.is_empty() && !matches!(kind, Some('m' | 'M'))) {
        return Err(wrong("a size and unit that the kind of type has"));
    }
    if size > MAX_ITEM_SIZE {
        return Err(wrong("items of less than 2 GiB"));
    }
    Ok(size)
}

/// A unit in brackets, with a multiple as in `[25us]`, or none at all, which numpy calls generic.
fn is_time_unit(text: &str) -> bool {
    if text.is_empty() {
        return true;
    }
    let Some(unit) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) else {
        return false;
    };
    let unit = unit.trim_start_matches(|c: char| c.is_ascii_digit());
    matches!(unit, "Y" | "M" | "W" | "D" | "h" | "m" | "s" | "ms" | "us" | "ns" | "ps" | "fs" | "as")
}

#[cfg(test)]
mod tests {
    use super::super::literal;
    use super::*;

    fn size(descr: &str) -> Result<usize> {
        item_size(&literal::parse(descr).unwrap())
    }

    #[test]
    fn sizes_of_plain_types() {
        for (descr, expected) in [
            ("|b1", 1),
            ("|i1", 1),
            (">u2", 2),
            ("<f2", 2),
            ("<f4", 4),
            (">f8", 8),
            ("<f16", 16),
            ("<c8", 8),
            ("<c32", 32),
            ("|S3", 3),
            ("|S0", 0),
            ("<U5", 20),
            ("|V7", 7),
            ("<V2", 2),
            ("<M8", 8),
            ("<M8[ns]", 8),
            (">m8[25us]", 8),
        ] {
            assert_eq!(size(&format!("'{descr}'")), Ok(expected), "{descr}");
        }
    }

    #[test]
    fn sizes_of_structured_types() {
        for (descr, expected) in [
            ("[]", 0),
            ("[('a', '<i4')]", 4),
            ("[('a', '|u1'), ('', '|V3'), ('b', '<f4', (2, 3)), ('', '|V4')]", 32),
            ("[(('a title', 'a'), '<i2'), ('b', [('c', '<f8', (3,)), ('d', '|S5')])]", 31),
            ("[('a', '<i4', 3)]", 12),
            ("[('a', '<i4', ())]", 4),
            ("[('a', '<i4', (0, 5))]", 0),
        ] {
            assert_eq!(size(descr), Ok(expected), "{descr}");
        }
    }

    #[test]
    fn objects_are_unsupported_at_any_depth() {
        for descr in ["'|O'", "'|O8'", "[('a', '<i4'), ('b', [('c', '|O')])]"] {
            let error = size(descr).unwrap_err();
            assert!(matches!(error, FormatError::ObjectDtype { .. }) && error.is_unsupported(), "{descr}");
        }
    }

    #[test]
    fn refuses_what_numpy_has_no_type_for() {
        for descr in [
            "''",
            "'f4'",
            "'<'",
            "'<f'",
            "'<f3'",
            "'<i16'",
            "'<x4'",
            "'<f4[s]'",
            "'<M4[s]'",
            "'<M8[x]'",
            "'<M8[s'",
            "'|S99999999999'",
            "'|S99999999999999999999'",
            "'<U1000000000'",
            "'\u{e9}'",
            "'<\u{e9}4'",
            "7",
            "None",
            "('<f4', (2,))",
            "['a']",
            "[('a',)]",
            "[('a', '<i4', (1,), 2)]",
            "[(1, '<i4')]",
            "[(('t', 1), '<i4')]",
            "[('a', 1)]",
            "[('a', '<i4', 'x')]",
            "[('a', '<i4', (-1,))]",
            "[('a', '<i4', (1 , 'x'))]",
            "[('a', '<i4'), ('a', '<i4')]",
            "[('a', '<i4', (65536, 65536))]",
            "[('a', '|V2000000000'), ('b', '|V2000000000')]",
            "[('a', '<i4', (9223372036854775807, 9223372036854775807))]",
        ] {
            let error = size(descr).unwrap_err();
            assert!(matches!(error, FormatError::NpyDescr { .. }) && !error.is_unsupported(), "{descr}: {error}");
        }
    }
}

//! Variable-length integers: seven bits a byte, lowest first, the top bit set on all bytes but the last.
//!
//! Two writers of record files disagree on the form. Protobuf and Riegeli write the shortest one ([`put`]); Disky adds
//! a byte wherever the highest group of seven bits is 127 ([`put_long`]). Every reader takes both.

/// Most bytes that a 64-bit number takes.
pub const MAX_LEN: usize = 10;

/// Why bytes are no number of the width asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VarintError {
    /// The bytes end inside the number.
    #[error("a variable-length number is cut off")]
    Truncated,
    /// The number has more bits than the width asked for.
    #[error("a variable-length number does not fit its width")]
    Overflow,
}

/// Appends the shortest form of `value`.
#[inline]
pub fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends `value` as Disky writes it: a byte longer than needed where the highest group of seven bits is 127.
#[inline]
pub fn put_long(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Bytes that [`put`] appends for `value`, 1 to 10.
#[must_use]
#[inline]
pub fn len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros()).div_ceil(7) as usize
}

/// Takes a number of at most 64 bits off the front of `input`.
///
/// # Errors
/// [`VarintError`] where the bytes end before the number does, or where it needs more than 10 bytes or 64 bits. `input`
/// is then left as it was.
#[inline]
pub fn get_u64(input: &mut &[u8]) -> Result<u64, VarintError> {
    match *input {
        [byte, rest @ ..] if *byte < 0x80 => {
            *input = rest;
            Ok(u64::from(*byte))
        }
        _ => get_long(input, 64),
    }
}

/// Takes a number of at most 32 bits off the front of `input`.
///
/// # Errors
/// [`VarintError`] where the bytes end before the number does, or where it needs more than 5 bytes or 32 bits. `input`
/// is then left as it was.
#[inline]
pub fn get_u32(input: &mut &[u8]) -> Result<u32, VarintError> {
    match *input {
        [byte, rest @ ..] if *byte < 0x80 => {
            *input = rest;
            Ok(u32::from(*byte))
        }
        _ => get_long(input, 32).map(|value| value as u32),
    }
}

fn get_long(input: &mut &[u8], bits: u32) -> Result<u64, VarintError> {
    let (mut value, mut shift) = (0_u64, 0);
    for (at, byte) in input.iter().enumerate() {
        let group = u64::from(byte & 0x7f);
        // Padding with empty groups stays within the bytes that the widest number takes, hence the two conditions.
        if shift >= bits || (bits - shift < 7 && group >> (bits - shift) != 0) {
            return Err(VarintError::Overflow);
        }
        value |= group << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            *input = &input[at + 1..];
            return Ok(value);
        }
    }
    Err(if shift >= bits { VarintError::Overflow } else { VarintError::Truncated })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(value: u64) -> (Vec<u8>, Vec<u8>) {
        let (mut short, mut long) = (Vec::new(), Vec::new());
        put(&mut short, value);
        put_long(&mut long, value);
        assert_eq!(short.len(), len(value), "{value}");
        (short, long)
    }

    #[test]
    fn both_forms_as_the_two_writers_have_them() {
        for (value, short, long) in [
            (126, &[0x7e][..], &[0x7e][..]),
            (127, &[0x7f], &[0xff, 0]),
            (128, &[0x80, 1], &[0x80, 1]),
            (16255, &[0xff, 0x7e], &[0xff, 0x7e]),
            (16256, &[0x80, 0x7f], &[0x80, 0xff, 0]),
            (16383, &[0xff, 0x7f], &[0xff, 0xff, 0]),
            (2_080_768, &[0x80, 0x80, 0x7f], &[0x80, 0x80, 0xff, 0]),
        ] {
            assert_eq!(both(value), (short.to_vec(), long.to_vec()));
            for mut form in [short, long] {
                assert_eq!(get_u64(&mut form), Ok(value));
                assert!(form.is_empty());
            }
        }
    }

    #[test]
    fn widths_are_strict() {
        for value in (0..64).flat_map(|bit| [1 << bit, (1 << bit) - 1]).chain([u64::MAX]) {
            let (short, long) = both(value);
            for form in [short, long] {
                assert_eq!(get_u64(&mut &form[..]), Ok(value));
                let narrow = u32::try_from(value).map_err(|_| VarintError::Overflow);
                assert_eq!(get_u32(&mut &form[..]), narrow, "{value}");
                assert_eq!(get_u64(&mut &form[..form.len() - 1]), Err(VarintError::Truncated));
            }
        }
        let mut eleven = [0x80; 11];
        eleven[10] = 0;
        assert_eq!(get_u64(&mut &eleven[..]), Err(VarintError::Overflow));
        assert_eq!(get_u64(&mut &eleven[1..]), Ok(0));
        assert_eq!(get_u32(&mut &eleven[6..]), Ok(0));
        assert_eq!(get_u32(&mut &eleven[5..]), Err(VarintError::Overflow));
        assert_eq!(get_u64(&mut &[][..]), Err(VarintError::Truncated));
    }
}

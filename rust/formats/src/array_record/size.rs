//! Option strings: how they are cut up, and the values that several options share.

use super::OptionError;

type Result<T> = std::result::Result<T, OptionError>;

/// One option: its key and, behind the first colon, its value.
pub(super) struct Item<'a> {
    pub(super) key: &'static str,
    pub(super) value: Option<&'a str>,
    pub(super) is_first: bool,
}

/// The options of a string in their order. Each key is one of `known` and occurs once.
pub(super) fn items<'a>(text: &'a str, known: &'static [&'static str], list: &'static str) -> Result<Vec<Item<'a>>> {
    let mut items: Vec<Item<'a>> = Vec::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once(':').map_or((part, None), |(name, value)| (name, Some(value)));
        let unknown = || OptionError::Unknown { key: name.to_owned(), expected: list };
        let key = *known.iter().find(|key| **key == name).ok_or_else(unknown)?;
        if items.iter().any(|item| item.key == key) {
            return Err(OptionError::Repeated { key });
        }
        items.push(Item { key, value, is_first: items.is_empty() });
    }
    Ok(items)
}

impl Item<'_> {
    pub(super) fn wrong(&self, expected: &'static str) -> OptionError {
        OptionError::Value { key: self.key, value: self.value.unwrap_or_default().to_owned(), expected }
    }

    /// An option that takes no value.
    pub(super) fn flag(&self) -> Result<()> {
        if self.value.is_none() { Ok(()) } else { Err(self.wrong("no value")) }
    }

    /// `true` or `false`; true without a value.
    pub(super) fn switch(&self) -> Result<bool> {
        match self.value {
            None | Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(_) => Err(self.wrong("true or false")),
        }
    }

    pub(super) fn is_auto(&self) -> bool {
        self.value == Some("auto")
    }

    /// A decimal number of this range, blanks around it ignored.
    pub(super) fn number(&self, range: std::ops::RangeInclusive<i64>, expected: &'static str) -> Result<i64> {
        let number = self.value.and_then(|value| value.trim_ascii().parse().ok());
        number.filter(|number| range.contains(number)).ok_or_else(|| self.wrong(expected))
    }

    /// A number of bytes of this range.
    pub(super) fn bytes(&self, range: std::ops::RangeInclusive<u64>, expected: &'static str) -> Result<u64> {
        let bytes = self.value.and_then(byte_size);
        bytes.filter(|bytes| range.contains(bytes)).ok_or_else(|| self.wrong(expected))
    }
}

/// A number of bytes: a real number and a suffix for a power of 1024, behind which another `B` may stand.
fn byte_size(text: &str) -> Option<u64> {
    let text = text.trim_ascii();
    let unit = |letter| {
        Some(match letter {
            b'B' => 0,
            b'k' | b'K' => 10,
            b'M' => 20,
            b'G' => 30,
            b'T' => 40,
            b'P' => 50,
            b'E' => 60,
            _ => return None,
        })
    };
    let (number, shift) = match text.as_bytes() {
        [.., letter, b'B'] if unit(*letter).is_some_and(|shift| shift > 0) => (&text[..text.len() - 2], unit(*letter)?),
        [.., letter] if unit(*letter).is_some() => (&text[..text.len() - 1], unit(*letter)?),
        _ => (text, 0),
    };
    let number: f64 = number.trim_ascii_end().parse().ok()?;
    let bytes = (number * (1_u64 << shift) as f64).round();
    // 2^64 is the first number beyond; the comparison also drops what is no number.
    (0.0..18_446_744_073_709_551_616.0).contains(&bytes).then_some(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("0", Some(0)),
            ("1", Some(1)),
            (" 12 ", Some(12)),
            ("12B", Some(12)),
            ("1.5k", Some(1536)),
            ("2K", Some(2048)),
            ("16M", Some(16 << 20)),
            ("16MB", Some(16 << 20)),
            ("16 MB", Some(16 << 20)),
            ("1e3", Some(1000)),
            ("0.3k", Some(307)),
            ("1G", Some(1 << 30)),
            ("1T", Some(1 << 40)),
            ("1P", Some(1 << 50)),
            ("1E", Some(1 << 60)),
            ("16E", None),
            ("-1", None),
            ("", None),
            ("B", None),
            ("M", None),
            ("1MM", None),
            ("1BB", None),
            ("1KiB", None),
            ("nan", None),
            ("inf", None),
            ("1x", None),
        ] {
            assert_eq!(byte_size(text), expected, "{text:?}");
        }
    }
}

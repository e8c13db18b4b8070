//! Features of `tf.train.Example` messages as samples.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use s3dlio_formats::error::FormatError;
use s3dlio_formats::npy::Array;
use s3dlio_formats::tfrecord::TfRecordError;
use s3dlio_formats::tfrecord::example::{self, Kind, Values};

/// Which features are wanted, and how: the text between the brackets of `example[label:int64,box:float32(4)]`.
///
/// A feature is written `name:kind(shape)=default`, its kind `float32`, `int64` or `bytes`. Without a shape it is one
/// value; `(2,3)` are as many as these make; `(*)` is any number, filled up with zeros in a batch, where the numbers of
/// values are the field `name.lengths`; `(?)` is any number, each sample's values for themselves. The default, one number,
/// stands for every value of an example that lacks the feature. Names with `%[](),:=` in them have these as `%` and two
/// hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example(Vec<Wanted>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub name: String,
    kind: Kind,
    pub rows: Rows,
    /// As it was written: a float has no total order, and the text is what the decoder is compared by.
    default: Option<String>,
}

/// What the values of one example form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Rows {
    Fixed(Vec<u64>),
    Padded,
    Listed,
}

/// The values of one feature in one sample.
#[derive(Debug, Clone)]
pub enum Field {
    /// Numbers.
    Array(Array),
    /// Byte strings, and the shape that they form.
    Bytes(Vec<Bytes>, Vec<u64>),
}

impl Field {
    /// Bytes of the values.
    #[must_use]
    pub fn data_bytes(&self) -> u64 {
        match self {
            Self::Array(array) => array.data.len() as u64,
            Self::Bytes(values, _) => values.iter().map(|value| value.len() as u64).sum(),
        }
    }
}

impl Example {
    /// Reads the text between the brackets; `None` if it is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut features: Vec<Wanted> = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let end = end_of_feature(rest);
            let wanted = Wanted::parse(&rest[..end])?;
            if features.iter().any(|known| known.fields().any(|name| wanted.fields().any(|own| own == name))) {
                return None;
            }
            features.push(wanted);
            rest = &rest[end..];
            if let Some(behind) = rest.strip_prefix(',') {
                rest = Some(behind).filter(|behind| !behind.is_empty())?;
            }
        }
        (!features.is_empty()).then_some(Self(features))
    }

    /// The names of the features, in their order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|wanted| wanted.name.as_str())
    }

    pub(crate) fn features(&self) -> &[Wanted] {
        &self.0
    }

    /// The wanted features of a record, in their order.
    pub(super) fn decode(&self, record: Bytes) -> Result<Vec<Field>, FormatError> {
        let mut found = example::parse(record)?;
        self.0.iter().map(|wanted| Ok(wanted.take(&mut found)?)).collect()
    }
}

/// Where the first feature ends: at a comma that stands in no brackets.
fn end_of_feature(text: &str) -> usize {
    let mut inside = false;
    let ends = |(_, byte): &(usize, u8)| {
        inside = (inside || *byte == b'(') && *byte != b')';
        *byte == b',' && !inside
    };
    text.bytes().enumerate().find(ends).map_or(text.len(), |(at, _)| at)
}

impl Wanted {
    fn parse(text: &str) -> Option<Self> {
        let (name, rest) = text.split_once(':')?;
        let (rest, default) = rest.split_once('=').map_or((rest, None), |(rest, value)| (rest, Some(value)));
        let (kind, rows) = match rest.split_once('(') {
            None => (rest, Rows::Fixed(Vec::new())),
            Some((kind, shape)) => (kind, rows(shape.strip_suffix(')')?)?),
        };
        let wanted =
            Self { name: unescape(name)?, kind: Kind::parse(kind)?, rows, default: default.map(str::to_owned) };
        let fits = match (default, wanted.kind) {
            (None, _) => true,
            (Some(_), Kind::Bytes) => false,
            (Some(value), Kind::Float) => value.parse::<f32>().is_ok(),
            (Some(value), Kind::Int64) => value.parse::<i64>().is_ok(),
        };
        let fixed = matches!(wanted.rows, Rows::Fixed(_));
        (fits && (default.is_none() || fixed) && !wanted.name.is_empty()).then_some(wanted)
    }

    /// The fields that it has in a batch.
    fn fields(&self) -> impl Iterator<Item = String> + use<'_> {
        let lengths = (self.rows == Rows::Padded).then(|| self.lengths());
        std::iter::once(self.name.clone()).chain(lengths)
    }

    pub(crate) fn lengths(&self) -> String {
        format!("{}.lengths", self.name)
    }

    fn take(&self, found: &mut BTreeMap<String, Values>) -> Result<Field, TfRecordError> {
        let values = match (found.remove(&self.name), &self.rows) {
            (Some(values), _) => values,
            (None, Rows::Fixed(shape)) => self.missing(shape)?,
            (None, _) => Values::none(self.kind),
        };
        if values.kind() != self.kind {
            let (found, expected) = (values.kind().name(), self.kind.name());
            return Err(TfRecordError::FeatureKind { name: self.name.clone(), found, expected });
        }
        let length = values.len() as u64;
        let shape = match &self.rows {
            Rows::Fixed(shape) => shape.clone(),
            _ => vec![length],
        };
        let expected = shape.iter().product();
        if length != expected {
            return Err(TfRecordError::FeatureLength { name: self.name.clone(), found: length, expected });
        }
        Ok(match values {
            Values::Bytes(values) => Field::Bytes(values, shape),
            Values::Float(values) => {
                Field::Array(array("<f4", 4, shape, values.iter().map(|value| value.to_le_bytes())))
            }
            Values::Int64(values) => {
                Field::Array(array("<i8", 8, shape, values.iter().map(|value| value.to_le_bytes())))
            }
        })
    }

    fn missing(&self, shape: &[u64]) -> Result<Values, TfRecordError> {
        let count = usize::try_from(shape.iter().product::<u64>()).unwrap_or(0);
        match (&self.default, self.kind) {
            (Some(value), Kind::Float) => Ok(Values::Float(vec![value.parse().unwrap_or_default(); count])),
            (Some(value), Kind::Int64) => Ok(Values::Int64(vec![value.parse().unwrap_or_default(); count])),
            _ => Err(TfRecordError::MissingFeature { name: self.name.clone() }),
        }
    }
}

fn array<const N: usize>(
    descr: &str,
    item_size: usize,
    shape: Vec<u64>,
    items: impl ExactSizeIterator<Item = [u8; N]>,
) -> Array {
    let mut data = Vec::with_capacity(N * items.len());
    items.for_each(|item| data.extend_from_slice(&item));
    Array { descr: descr.to_owned(), item_size, shape, fortran_order: false, data: data.into() }
}

/// Most values of one feature of fixed shape in one example: what a default would have to fill.
const MOST_VALUES: u64 = 1 << 24;

fn rows(text: &str) -> Option<Rows> {
    match text {
        "*" => Some(Rows::Padded),
        "?" => Some(Rows::Listed),
        "" => Some(Rows::Fixed(Vec::new())),
        _ => {
            let shape = text.split(',').map(|axis| axis.parse().ok()).collect::<Option<Vec<u64>>>()?;
            let count = shape.iter().try_fold(1_u64, |all, &axis| all.checked_mul(axis))?;
            (count <= MOST_VALUES).then_some(Rows::Fixed(shape))
        }
    }
}

/// Characters of a name that stand as `%` and two digits.
const ESCAPED: &[u8] = b"%[](),:=";

fn unescape(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte == b'%' {
            let (digits, behind) = rest.split_at_checked(2)?;
            rest = behind;
            out.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}

impl fmt::Display for Example {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, wanted) in self.0.iter().enumerate() {
            if number > 0 {
                f.write_str(",")?;
            }
            for character in wanted.name.chars() {
                match u8::try_from(character).ok().filter(|byte| ESCAPED.contains(byte)) {
                    Some(byte) => write!(f, "%{byte:02X}")?,
                    None => write!(f, "{character}")?,
                }
            }
            write!(f, ":{}", wanted.kind.name())?;
            match &wanted.rows {
                Rows::Fixed(shape) if shape.is_empty() => {}
                Rows::Fixed(shape) => {
                    let axes: Vec<String> = shape.iter().map(u64::to_string).collect();
                    write!(f, "({})", axes.join(","))?;
                }
                Rows::Padded => f.write_str("(*)")?,
                Rows::Listed => f.write_str("(?)")?,
            }
            if let Some(default) = &wanted.default {
                write!(f, "={default}")?;
            }
        }
        Ok(())
    }
}

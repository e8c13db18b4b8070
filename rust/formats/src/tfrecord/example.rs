//! `tf.train.Example`: named lists of bytes, floats or integers.
//!
//! The messages are few and final, so they are written down here instead of being generated.

mod columns;

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;

use super::TfRecordError;

pub use columns::{Column, Want, columns};

/// The values of one feature.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Byte strings.
    Bytes(Vec<Bytes>),
    /// Floats of 32 bits.
    Float(Vec<f32>),
    /// Signed integers of 64 bits.
    Int64(Vec<i64>),
}

/// The kinds of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// See [`Values::Bytes`].
    Bytes,
    /// See [`Values::Float`].
    Float,
    /// See [`Values::Int64`].
    Int64,
}

impl Kind {
    /// Its name, as NumPy would call the values.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Float => "float32",
            Self::Int64 => "int64",
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Bytes, Self::Float, Self::Int64].into_iter().find(|kind| kind.name() == name)
    }
}

impl Values {
    /// Their kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Bytes(_) => Kind::Bytes,
            Self::Float(_) => Kind::Float,
            Self::Int64(_) => Kind::Int64,
        }
    }

    /// Their number.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Bytes(values) => values.len(),
            Self::Float(values) => values.len(),
            Self::Int64(values) => values.len(),
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// No values of a kind.
    #[must_use]
    pub fn none(kind: Kind) -> Self {
        match kind {
            Kind::Bytes => Self::Bytes(Vec::new()),
            Kind::Float => Self::Float(Vec::new()),
            Kind::Int64 => Self::Int64(Vec::new()),
        }
    }
}

#[derive(Clone, PartialEq, Message)]
struct BytesList {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    value: Vec<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
struct FloatList {
    #[prost(float, repeated, tag = "1")]
    value: Vec<f32>,
}

#[derive(Clone, PartialEq, Message)]
struct Int64List {
    #[prost(int64, repeated, tag = "1")]
    value: Vec<i64>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Lists {
    #[prost(message, tag = "1")]
    Bytes(BytesList),
    #[prost(message, tag = "2")]
    Float(FloatList),
    #[prost(message, tag = "3")]
    Int64(Int64List),
}

#[derive(Clone, PartialEq, Message)]
struct Feature {
    #[prost(oneof = "Lists", tags = "1, 2, 3")]
    lists: Option<Lists>,
}

#[derive(Clone, PartialEq, Message)]
struct Features {
    #[prost(btree_map = "string, message", tag = "1")]
    feature: BTreeMap<String, Feature>,
}

#[derive(Clone, PartialEq, Message)]
struct Example {
    #[prost(message, optional, tag = "1")]
    features: Option<Features>,
}

/// The features of an example by name; byte strings are slices of the record. A feature without a list of values says
/// nothing about its kind, so it is left out.
///
/// # Errors
/// [`TfRecordError::Example`].
pub fn parse(record: Bytes) -> Result<BTreeMap<String, Values>, TfRecordError> {
    let example = Example::decode(record).map_err(|source| TfRecordError::Example { detail: source.to_string() })?;
    let features = example.features.unwrap_or_default().feature;
    let values = |feature: Feature| {
        Some(match feature.lists? {
            Lists::Bytes(list) => Values::Bytes(list.value),
            Lists::Float(list) => Values::Float(list.value),
            Lists::Int64(list) => Values::Int64(list.value),
        })
    };
    Ok(features.into_iter().filter_map(|(name, feature)| Some((name, values(feature)?))).collect())
}

/// An example of these features, in the order of their names, so that equal features give equal bytes.
#[must_use]
pub fn serialize(features: BTreeMap<String, Values>) -> Vec<u8> {
    let lists = |values| match values {
        Values::Bytes(value) => Lists::Bytes(BytesList { value }),
        Values::Float(value) => Lists::Float(FloatList { value }),
        Values::Int64(value) => Lists::Int64(Int64List { value }),
    };
    let feature = features.into_iter().map(|(name, values)| (name, Feature { lists: Some(lists(values)) })).collect();
    Example { features: Some(Features { feature }) }.encode_to_vec()
}

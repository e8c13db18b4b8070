//! From the bytes of a record to a sample.

pub(crate) mod example;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use s3dlio_formats::error::FormatError;
use s3dlio_formats::image::{self, Channels, Fit, Layout};
use s3dlio_formats::npy::{self, Array};
use s3dlio_formats::npz::{Limits, Npz};

pub use example::{Example, Field};

use crate::error::LoaderError;

/// What a record's bytes are taken for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Decoder {
    /// Handed on as they are.
    #[default]
    Bytes,
    /// A NumPy archive: a sample of named arrays.
    Npz,
    /// One NumPy array.
    Npy,
    /// A JPEG or PNG image: an array of bytes.
    Image(image::Options),
    /// A `tf.train.Example`: some of its features.
    Example(Arc<Example>),
    /// A text in UTF-8.
    Text,
}

/// One decoded record.
#[derive(Debug, Clone)]
pub enum Sample {
    /// The record itself.
    Bytes(Bytes),
    /// One array.
    Array(Array),
    /// Named arrays, in the order of the archive.
    Fields(Vec<(String, Array)>),
    /// The features of an example, in the order of the decoder's.
    Example(Arc<Example>, Vec<Field>),
    /// A text: valid UTF-8.
    Text(Bytes),
}

impl Decoder {
    /// Decodes one record. Arrays that are stored uncompressed share the record's memory.
    ///
    /// # Errors
    /// [`FormatError`] saying what is wrong with the record.
    pub fn decode(&self, record: Bytes) -> Result<Sample, FormatError> {
        match self {
            Self::Bytes => Ok(Sample::Bytes(record)),
            Self::Npy => npy::parse(&record).map(Sample::Array),
            Self::Npz => Npz::open(&record, Limits::default())?.read_all().map(Sample::Fields),
            Self::Image(options) => Ok(Sample::Array(image::decode(&record, options)?)),
            Self::Example(features) => Ok(Sample::Example(Arc::clone(features), features.decode(record)?)),
            Self::Text => match std::str::from_utf8(&record) {
                Ok(_) => Ok(Sample::Text(record)),
                Err(error) => Err(FormatError::Text { offset: error.valid_up_to() as u64 }),
            },
        }
    }
}

impl Sample {
    /// Bytes of data in the sample.
    #[must_use]
    pub fn data_bytes(&self) -> u64 {
        match self {
            Self::Bytes(bytes) | Self::Text(bytes) => bytes.len() as u64,
            Self::Example(_, fields) => fields.iter().map(Field::data_bytes).sum(),
            Self::Array(array) => array.data.len() as u64,
            Self::Fields(fields) => fields.iter().map(|(_, array)| array.data.len() as u64).sum(),
        }
    }
}

impl FromStr for Decoder {
    type Err = LoaderError;

    fn from_str(text: &str) -> Result<Self, LoaderError> {
        match text {
            "bytes" => Ok(Self::Bytes),
            "npz" => Ok(Self::Npz),
            "npy" => Ok(Self::Npy),
            "image" => Ok(Self::Image(image::Options::default())),
            "text" => Ok(Self::Text),
            _ => described(text).ok_or_else(|| {
                let expected = "\"bytes\", \"npz\", \"npy\", \"text\", \"image\" as in \"image:224x224,crop,rgb,hwc\", or \
                                an example's features as in \"example[label:int64,box:float32(4)]\"";
                LoaderError::config("decoder", format!("{text:?}"), expected)
            }),
        }
    }
}

fn described(text: &str) -> Option<Decoder> {
    if let Some(features) = text.strip_prefix("example[") {
        return Example::parse(features.strip_suffix(']')?).map(|example| Decoder::Example(Arc::new(example)));
    }
    text.strip_prefix("image:").and_then(image_options).map(Decoder::Image)
}

/// Reads what follows `image:`, words in any order: the rows and columns, how an image is made to fit them, its channels,
/// and the order of its axes.
fn image_options(text: &str) -> Option<image::Options> {
    let mut options = image::Options::default();
    for word in text.split(',') {
        match word {
            "crop" => options.fit = Fit::Crop,
            "stretch" => options.fit = Fit::Stretch,
            "pad" => options.fit = Fit::Pad,
            "rgb" => options.channels = Channels::Rgb,
            "gray" => options.channels = Channels::Gray,
            "hwc" => options.layout = Layout::Hwc,
            "chw" => options.layout = Layout::Chw,
            size => {
                let (height, width) = size.split_once('x')?;
                options.size = Some((height.parse().ok()?, width.parse().ok()?));
            }
        }
    }
    options.validate().is_ok().then_some(options)
}

impl fmt::Display for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes => f.write_str("bytes"),
            Self::Npz => f.write_str("npz"),
            Self::Npy => f.write_str("npy"),
            Self::Text => f.write_str("text"),
            Self::Example(features) => write!(f, "example[{features}]"),
            Self::Image(options) => {
                f.write_str("image:")?;
                if let Some((height, width)) = options.size {
                    let fit = match options.fit {
                        Fit::Crop => "crop",
                        Fit::Stretch => "stretch",
                        Fit::Pad => "pad",
                    };
                    write!(f, "{height}x{width},{fit},")?;
                }
                f.write_str(if options.channels == Channels::Rgb { "rgb," } else { "gray," })?;
                f.write_str(if options.layout == Layout::Hwc { "hwc" } else { "chw" })
            }
        }
    }
}

//! From the bytes of a record to a sample.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use s3dlio_formats::error::FormatError;
use s3dlio_formats::image::{self, Channels, Fit, Layout};
use s3dlio_formats::npy::{self, Array};
use s3dlio_formats::npz::{Limits, Npz};

use crate::error::LoaderError;

/// What a record's bytes are taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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
}

impl Decoder {
    /// Decodes one record. Arrays that are stored uncompressed share the record's memory.
    ///
    /// # Errors
    /// [`FormatError`] saying what is wrong with the record.
    pub fn decode(self, record: Bytes) -> Result<Sample, FormatError> {
        match self {
            Self::Bytes => Ok(Sample::Bytes(record)),
            Self::Npy => npy::parse(&record).map(Sample::Array),
            Self::Npz => Npz::open(&record, Limits::default())?.read_all().map(Sample::Fields),
            Self::Image(options) => Ok(Sample::Array(image::decode(&record, &options)?)),
        }
    }
}

impl Sample {
    /// Bytes of data in the sample.
    #[must_use]
    pub fn data_bytes(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
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
            _ => text.strip_prefix("image:").and_then(image_options).map(Self::Image).ok_or_else(|| {
                let expected = "\"bytes\", \"npz\", \"npy\" or \"image\", as in \"image:224x224,crop,rgb,hwc\"";
                LoaderError::config("decoder", format!("{text:?}"), expected)
            }),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decoder_is_named_as_it_is_read() {
        for text in ["bytes", "npz", "npy", "image:rgb,hwc", "image:gray,chw", "image:7x9,pad,rgb,hwc"] {
            assert_eq!(text.parse::<Decoder>().unwrap().to_string(), text);
        }
        for (text, full) in [("image", "image:rgb,hwc"), ("image:chw,8x8", "image:8x8,crop,rgb,chw")] {
            assert_eq!(text.parse::<Decoder>().unwrap().to_string(), full);
        }
    }

    #[test]
    fn what_is_no_decoder_is_refused() {
        for text in [
            "",
            "NPZ",
            "image:",
            "image:8",
            "image:0x8",
            "image:8x70000",
            "image:8x8,round",
            "image:8x8x8",
            "image:-1x8",
        ] {
            assert!(text.parse::<Decoder>().is_err(), "{text}");
        }
    }
}

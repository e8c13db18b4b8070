//! From the bytes of a record to a sample.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use s3dlio_formats::error::FormatError;
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
            _ => Err(LoaderError::config("decoder", format!("{text:?}"), "\"bytes\", \"npz\" or \"npy\"")),
        }
    }
}

impl fmt::Display for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bytes => "bytes",
            Self::Npz => "npz",
            Self::Npy => "npy",
        })
    }
}

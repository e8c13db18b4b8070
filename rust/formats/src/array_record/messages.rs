//! The messages of the index.

use prost::Message;

use super::{ArrayRecordError, Result};

/// What the postscript carries to be told from other records.
pub(super) const MAGIC: u64 = 0x7193_0e70_4fda_e05e;

/// The only version of the format.
pub(super) const VERSION: u32 = 1;

/// One data chunk.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(super) struct Entry {
    #[prost(uint64, optional, tag = "1")]
    pub(super) chunk_offset: Option<u64>,
    #[prost(uint64, optional, tag = "2")]
    pub(super) decoded_data_size: Option<u64>,
    #[prost(uint64, optional, tag = "3")]
    pub(super) num_records: Option<u64>,
}

/// The first record of the footer.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct FooterMetadata {
    #[prost(message, optional, tag = "1")]
    pub(super) array_record: Option<Metadata>,
}

/// What the footer says about the file.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct Metadata {
    #[prost(uint32, optional, tag = "1")]
    pub(super) version: Option<u32>,
    #[prost(uint64, optional, tag = "2")]
    pub(super) num_chunks: Option<u64>,
    #[prost(uint64, optional, tag = "3")]
    pub(super) num_records: Option<u64>,
    #[prost(string, optional, tag = "4")]
    pub(super) writer_options: Option<String>,
}

/// Where the footer is.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(super) struct Postscript {
    #[prost(uint64, optional, tag = "1")]
    pub(super) footer_offset: Option<u64>,
    #[prost(uint64, optional, tag = "2")]
    pub(super) magic: Option<u64>,
}

/// A message in the chunk at `begin`.
pub(super) fn decode<M: Message + Default>(bytes: &[u8], part: &'static str, begin: u64) -> Result<M> {
    M::decode(bytes).map_err(|error| ArrayRecordError::Message { part, begin, detail: error.to_string() })
}

//! The protobuf messages of the index and the postscript; field numbers are those of the format.
//!
//! Fields are optional so that an absent one is told from a zero, and so that zeros are written, as the format asks for.

/// One data chunk.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(super) struct Entry {
    #[prost(uint64, optional, tag = "1")]
    pub chunk_offset: Option<u64>,
    #[prost(uint64, optional, tag = "2")]
    pub decoded_data_size: Option<u64>,
    #[prost(uint64, optional, tag = "3")]
    pub num_records: Option<u64>,
}

/// The first record of the index.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct FooterMetadata {
    #[prost(message, optional, tag = "1")]
    pub array_record: Option<Metadata>,
}

/// What the whole file holds.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Metadata {
    #[prost(uint32, optional, tag = "1")]
    pub version: Option<u32>,
    #[prost(uint64, optional, tag = "2")]
    pub num_chunks: Option<u64>,
    #[prost(uint64, optional, tag = "3")]
    pub num_records: Option<u64>,
    /// Bytes, because files whose text is no UTF-8 are otherwise sound.
    #[prost(bytes = "vec", optional, tag = "4")]
    pub writer_options: Option<Vec<u8>>,
}

/// Where the index is.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(super) struct Postscript {
    #[prost(uint64, optional, tag = "1")]
    pub footer_offset: Option<u64>,
    #[prost(uint64, optional, tag = "2")]
    pub magic: Option<u64>,
}

/// Marks a postscript.
pub(super) const MAGIC: u64 = 0x7193_0e70_4fda_e05e;

/// The only version there is.
pub(super) const VERSION: u32 = 1;

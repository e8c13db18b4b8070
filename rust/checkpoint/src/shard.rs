//! A shard that is open for reading: its header, its description and its checksums, all verified.

use std::collections::HashMap;
use std::ops::Range;

use bytes::Bytes;
use s3dlio_records::Input;
use s3dlio_store::Uri;
use s3dlio_store::ops::within;
use s3dlio_store::registry::Backend;

use crate::container::{self, Frame};
use crate::error::{CheckpointError, Result};
use crate::format::FormatError;
use crate::header::{self, CRC_TENSOR, Checksums, Header, Tensor};
use crate::meta::{CHUNK, Meta};

/// What is read first of a shard: most headers are shorter, and a second request is needed for the others only.
const FIRST: u64 = 256 << 10;

/// An open shard; clones of its input share the object.
#[derive(Debug)]
pub struct Shard {
    /// The object.
    pub input: Input,
    /// The tensors, the one of the checksums left out.
    pub header: Header,
    /// What the shard says of itself; `None` for a file that another program wrote.
    pub meta: Option<Meta>,
    /// CRC32C of the header.
    pub header_crc: u32,
    /// CRC32C of the table of checksums.
    pub table_crc: u32,
    pub(crate) body: Body,
    /// Where in the header each tensor stands: a shard may have hundreds of thousands.
    places: HashMap<String, usize>,
}

/// How the bytes of the tensors lie in the object.
#[derive(Debug)]
pub(crate) enum Body {
    /// As they are, from this byte on; with a checksum of each chunk if there are any.
    Plain { start: u64, checksums: Option<Vec<u32>> },
    /// In frames.
    Packed { frames: Vec<Frame> },
}

pub(crate) async fn read(input: &Input, range: Range<u64>) -> Result<Bytes> {
    Ok(input.read(range)?.into_future().await?)
}

impl Shard {
    /// Opens an object of a store that is open; on any thread.
    ///
    /// # Errors
    /// Those of the store, and damaged bytes.
    pub async fn open(backend: &Backend, uri: &Uri) -> Result<Self> {
        let stat = within::look(backend, uri).await?;
        let (uri, backend) = (uri.clone(), backend.clone());
        let input = crate::task::local(move || Ok(Input::listed(uri, backend, stat.size, stat.etag)?)).await?;
        Self::of(input).await
    }

    /// Reads header and checksums of an open object.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn of(input: Input) -> Result<Self> {
        let first = read(&input, 0..input.size().min(FIRST)).await?;
        let uri = input.uri().to_string();
        if let Some(length) = container::announced(&first, input.size()).map_err(|error| error.at(&uri))? {
            return Self::packed(input, first, length).await;
        }
        let bytes = first.first_chunk::<8>().ok_or_else(|| cut(&input))?;
        let length = header::announced(*bytes, input.size()).map_err(|error| error.at(&uri))?;
        let head = upto(&input, first, 8 + length).await?;
        Self::plain(input, head).await
    }

    async fn plain(input: Input, head: Bytes) -> Result<Self> {
        let uri = input.uri().to_string();
        let at = |error: FormatError| error.at(&uri);
        let start = head.len() as u64;
        let mut header = header::parse(&head[8..], input.size() - start).map_err(at)?;
        let table = header.tensors.pop_if(|tensor| tensor.spec.name == CRC_TENSOR);
        let meta = Meta::of(&header).map_err(at)?;
        let header_crc = crc32c::crc32c(&head);
        let (mut checksums, mut table_crc) = (None, 0);
        match (&meta, table) {
            (None, None) => {}
            (Some(_), None) => return Err(CheckpointError::corrupt(&uri, "the table of checksums is missing")),
            (meta, Some(Tensor { range, .. })) => {
                let chunk = meta.as_ref().map_or(CHUNK, |meta| meta.chunk);
                let table = read(&input, start + range.start..start + range.end).await?;
                let found = Checksums::parse(&table, header.buffer(), chunk).map_err(at)?;
                if found.header != header_crc {
                    return Err(CheckpointError::corrupt(&uri, "the header is damaged: its checksum is another one"));
                }
                table_crc = crc32c::crc32c(&table);
                checksums = Some(found.chunks);
            }
        }
        let (places, body) = (places(&header), Body::Plain { start, checksums });
        Ok(Self { input, header, meta, header_crc, table_crc, body, places })
    }

    async fn packed(input: Input, first: Bytes, length: u64) -> Result<Self> {
        let uri = input.uri().to_string();
        let at = |error: FormatError| error.at(&uri);
        let head = upto(&input, first, container::PREFIX + length).await?;
        let outer = container::parse_head(&head).map_err(at)?;
        let header = header::parse(&outer.text, outer.raw).map_err(at)?;
        let footer = read(&input, input.size() - container::FOOTER..input.size()).await?;
        let (table_at, crc) = container::parse_footer(&footer, &head, input.size()).map_err(at)?;
        let table = read(&input, table_at..input.size() - container::FOOTER).await?;
        let frames = container::parse_table(&table, crc, &outer, head.len() as u64, table_at).map_err(at)?;
        let meta = Meta::of(&header).map_err(at)?;
        if meta.as_ref().is_none_or(|meta| meta.chunk != outer.chunk) {
            return Err(CheckpointError::corrupt(&uri, "the container does not describe its content"));
        }
        let (header_crc, table_crc) = (crc32c::crc32c(&head), crc32c::crc32c(&table));
        let (places, body) = (places(&header), Body::Packed { frames });
        Ok(Self { input, header, meta, header_crc, table_crc, body, places })
    }

    /// Bytes under one checksum.
    pub(crate) fn chunk(&self) -> u64 {
        self.meta.as_ref().map_or(CHUNK, |meta| meta.chunk)
    }

    /// A tensor by its name.
    #[must_use]
    pub fn tensor(&self, name: &str) -> Option<&Tensor> {
        self.header.tensors.get(*self.places.get(name)?)
    }
}

fn places(header: &Header) -> HashMap<String, usize> {
    header.tensors.iter().enumerate().map(|(place, tensor)| (tensor.spec.name.clone(), place)).collect()
}

/// The first `length` bytes, of which some have been read.
async fn upto(input: &Input, first: Bytes, length: u64) -> Result<Bytes> {
    if length <= first.len() as u64 {
        return Ok(first.slice(..usize::try_from(length).unwrap_or(usize::MAX)));
    }
    if length > input.size() {
        return Err(cut(input));
    }
    read(input, 0..length).await
}

fn cut(input: &Input) -> CheckpointError {
    CheckpointError::corrupt(input.uri(), format!("the object has {} bytes, which end in its header", input.size()))
}

//! The header of a shard: that of a safetensors file, read with a limit on everything.
//!
//! Pure functions over bytes. The parser takes any safetensors file; [`lay_out`] writes one whose buffer begins at a
//! multiple of 64 bytes and whose tensors stand without gaps, the widest elements first, so that each is aligned.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;

use serde::de::{Error, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::dtype;
use crate::format::{FormatError, wrong};

/// Bytes of a header at most: the limit of safetensors itself.
pub const MOST_HEADER: u64 = 100_000_000;

/// Axes of a tensor at most; NumPy has 64.
pub const MOST_AXES: usize = 64;

/// The tensor that holds the checksums; it stands last.
pub const CRC_TENSOR: &str = "__s3dlio_crc32c__";

/// The key under which the description of a shard stands in the metadata.
pub const META_KEY: &str = "s3dlio";

/// What the beginning of the buffer is a multiple of: a line of the processor's cache, and what SIMD loads want.
const ALIGNMENT: usize = 64;

/// Name, element type and shape of a tensor that will be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// Its name in the file.
    pub name: String,
    /// The type of its elements.
    pub dtype: String,
    /// Its shape; empty for a single element.
    pub shape: Vec<u64>,
}

/// A tensor of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// Name, type and shape.
    pub spec: Spec,
    /// Its bytes in the buffer.
    pub range: Range<u64>,
}

/// A parsed header.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Header {
    /// The tensors in the order of their bytes.
    pub tensors: Vec<Tensor>,
    /// The metadata in the order of the file.
    pub metadata: Vec<(String, String)>,
}

impl Header {
    /// Bytes of the buffer.
    #[must_use]
    pub fn buffer(&self) -> u64 {
        self.tensors.last().map_or(0, |tensor| tensor.range.end)
    }

    /// A value of the metadata.
    #[must_use]
    pub fn meta(&self, key: &str) -> Option<&str> {
        self.metadata.iter().find(|(found, _)| found == key).map(|(_, value)| value.as_str())
    }
}

/// Places tensors: by falling width of their elements, otherwise in the order given.
///
/// # Errors
/// A type that is not known, a shape beyond 64 bits, a name that stands twice or is reserved.
pub fn lay_out(specs: Vec<Spec>) -> Result<Vec<(usize, Tensor)>, FormatError> {
    let mut order: Vec<(usize, Spec)> = specs.into_iter().enumerate().collect();
    order.sort_by_key(|(_, spec)| std::cmp::Reverse(dtype::width(&spec.dtype)));
    let (mut names, mut at, mut placed) = (HashSet::new(), 0_u64, Vec::with_capacity(order.len()));
    for (number, spec) in order {
        let Some(size) = dtype::size(&spec.dtype, &spec.shape) else {
            return wrong(format!("tensor {:?}: {} of shape {:?} cannot be stored", spec.name, spec.dtype, spec.shape));
        };
        if !names.insert(spec.name.clone()) || spec.name == "__metadata__" {
            return wrong(format!("the tensor name {:?} is taken", spec.name));
        }
        let end = at.checked_add(size).ok_or_else(|| FormatError("more than 2^64 bytes of tensors".into()))?;
        placed.push((number, Tensor { spec, range: at..end }));
        at = end;
    }
    Ok(placed)
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

/// Writes a header: its length, its text, and spaces up to the alignment.
///
/// # Errors
/// A header above [`MOST_HEADER`].
pub fn write(tensors: &[Tensor], metadata: &[(String, String)]) -> Result<Vec<u8>, FormatError> {
    struct Map<'a>(&'a [Tensor], &'a [(String, String)]);
    struct Metadata<'a>(&'a [(String, String)]);
    impl Serialize for Metadata<'_> {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
        }
    }
    impl Serialize for Map<'_> {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            use serde::ser::SerializeMap;
            let mut map = serializer.serialize_map(None)?;
            if !self.1.is_empty() {
                map.serialize_entry("__metadata__", &Metadata(self.1))?;
            }
            for Tensor { spec, range } in self.0 {
                let entry = Entry {
                    dtype: spec.dtype.clone(),
                    shape: spec.shape.clone(),
                    data_offsets: (range.start, range.end),
                };
                map.serialize_entry(&spec.name, &entry)?;
            }
            map.end()
        }
    }
    let mut bytes = vec![0; 8];
    serde_json::to_writer(&mut bytes, &Map(tensors, metadata)).map_err(|error| FormatError(error.to_string()))?;
    bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), b' ');
    let length = bytes.len() as u64 - 8;
    if length > MOST_HEADER {
        return wrong(format!("the header has {length} bytes, expected at most {MOST_HEADER}"));
    }
    bytes[..8].copy_from_slice(&length.to_le_bytes());
    Ok(bytes)
}

/// The length that the first eight bytes of a file announce for the text that follows.
///
/// # Errors
/// More than [`MOST_HEADER`] or than the file holds.
pub fn announced(first: [u8; 8], file: u64) -> Result<u64, FormatError> {
    let length = u64::from_le_bytes(first);
    if length > MOST_HEADER || length > file.saturating_sub(8) {
        return wrong(format!("the header announces {length} bytes, expected at most {}", file.min(MOST_HEADER)));
    }
    Ok(length)
}

/// Parses the text of a header; `buffer` is the number of bytes behind it.
///
/// # Errors
/// Text that is no JSON of this form, names that stand twice, types that are not known, shapes that do not fit their
/// bytes, bytes that overlap, leave gaps or do not end with the buffer.
pub fn parse(text: &[u8], buffer: u64) -> Result<Header, FormatError> {
    if text.len() as u64 > MOST_HEADER {
        return wrong(format!("the header has {} bytes, expected at most {MOST_HEADER}", text.len()));
    }
    let Parsed(mut header) =
        serde_json::from_slice(text).map_err(|error| FormatError(format!("the header is wrong: {error}")))?;
    header.tensors.sort_by_key(|tensor| (tensor.range.start, tensor.range.end));
    let mut at = 0;
    for Tensor { spec, range } in &header.tensors {
        if spec.shape.len() > MOST_AXES {
            return wrong(format!(
                "tensor {:?} has {} axes, expected at most {MOST_AXES}",
                spec.name,
                spec.shape.len()
            ));
        }
        if range.start != at || range.end < range.start {
            let detail = format!("tensor {:?} has bytes {range:?}, expected to begin at {at}", spec.name);
            return wrong(detail);
        }
        let length = range.end - range.start;
        match dtype::size(&spec.dtype, &spec.shape) {
            Some(size) if size == length => {}
            Some(size) => return wrong(format!("tensor {:?} has {length} bytes, its shape takes {size}", spec.name)),
            None => {
                let Spec { name, dtype, shape } = spec;
                return wrong(format!("tensor {name:?}: {dtype} of shape {shape:?} cannot be read"));
            }
        }
        at = range.end;
    }
    if at != buffer {
        return wrong(format!("the tensors end at byte {at} of the buffer, which has {buffer}"));
    }
    Ok(header)
}

struct Parsed(Header);

impl<'de> Deserialize<'de> for Parsed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Parsed;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Parsed, A::Error> {
        let mut header = Header::default();
        let mut names = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            if !names.insert(name.clone()) {
                return Err(A::Error::custom(format_args!("the name {name:?} stands twice")));
            }
            if name == "__metadata__" {
                header.metadata = map.next_value::<MetadataMap>()?.0;
                continue;
            }
            let Entry { dtype, shape, data_offsets } = map.next_value()?;
            header.tensors.push(Tensor { spec: Spec { name, dtype, shape }, range: data_offsets.0..data_offsets.1 });
        }
        Ok(Parsed(header))
    }
}

struct MetadataMap(Vec<(String, String)>);

impl<'de> Deserialize<'de> for MetadataMap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Texts;
        impl<'de> Visitor<'de> for Texts {
            type Value = MetadataMap;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of texts")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<MetadataMap, A::Error> {
                let mut texts: Vec<(String, String)> = Vec::new();
                let mut names = HashSet::new();
                while let Some((key, value)) = map.next_entry::<String, String>()? {
                    if !names.insert(key.clone()) {
                        return Err(A::Error::custom(format_args!("the metadata key {key:?} stands twice")));
                    }
                    texts.push((key, value));
                }
                Ok(MetadataMap(texts))
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<MetadataMap, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Err(A::Error::custom("the metadata is a list, expected an object of texts"))
            }
        }
        deserializer.deserialize_map(Texts)
    }
}

/// Checksums of a shard, as they stand in its last tensor: one for each chunk, one for the header with its length, and
/// one for those.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checksums {
    /// CRC32C of each chunk of the buffer, the table itself left out.
    pub chunks: Vec<u32>,
    /// CRC32C of the header, from its length to its last space.
    pub header: u32,
}

impl Checksums {
    /// Elements of the tensor for a buffer of so many bytes.
    #[must_use]
    pub fn elements(buffer: u64, chunk: u64) -> u64 {
        buffer.div_ceil(chunk.max(1)) + 2
    }

    /// The bytes of the tensor.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> =
            self.chunks.iter().chain([&self.header]).flat_map(|checksum| checksum.to_le_bytes()).collect();
        bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
        bytes
    }

    /// Reads the tensor.
    ///
    /// # Errors
    /// A table that is damaged or of a length that does not fit the buffer.
    pub fn parse(bytes: &[u8], buffer: u64, chunk: u64) -> Result<Self, FormatError> {
        let wanted = Self::elements(buffer, chunk);
        let (numbers, rest) = bytes.as_chunks::<4>();
        if numbers.len() as u64 != wanted || !rest.is_empty() {
            return wrong(format!("the table of checksums has {} bytes, expected {}", bytes.len(), wanted * 4));
        }
        let mut numbers: Vec<u32> = numbers.iter().map(|number| u32::from_le_bytes(*number)).collect();
        let own = numbers.pop().unwrap_or_default();
        let found = crc32c::crc32c(&bytes[..bytes.len() - 4]);
        if found != own {
            return wrong(format!("the table of checksums has the checksum {found:08x}, expected {own:08x}"));
        }
        let header = numbers.pop().unwrap_or_default();
        Ok(Self { chunks: numbers, header })
    }
}

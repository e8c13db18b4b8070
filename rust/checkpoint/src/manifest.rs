//! The manifest: every shard of a committed checkpoint, with what is needed to notice that one was exchanged.

use prost::Message;

use crate::dtype;
use crate::format::{FormatError, wrong};
use crate::header::MOST_AXES;
use crate::meta::Extent;

/// The first bytes of an encoded manifest or description.
const MAGIC: [u8; 4] = *b"S3DM";

/// Bytes of a manifest at most, before and after compression.
pub const MOST: u64 = 512 << 20;

/// A committed checkpoint.
#[derive(Clone, PartialEq, Message)]
pub struct Manifest {
    /// 1.
    #[prost(uint32, tag = "1")]
    pub format_version: u32,
    /// The step.
    #[prost(uint64, tag = "2")]
    pub step: u64,
    /// The attempt, as 32 hexadecimal digits.
    #[prost(string, tag = "3")]
    pub attempt: String,
    /// Number of ranks.
    #[prost(uint32, tag = "4")]
    pub world_size: u32,
    /// What the user calls the framework.
    #[prost(string, tag = "5")]
    pub framework: String,
    /// What the user calls the checkpoint.
    #[prost(string, tag = "6")]
    pub name: String,
    /// The epoch.
    #[prost(uint64, tag = "7")]
    pub epoch: u64,
    /// Seconds since 1970 by the clock of the process that committed; no decision depends on it.
    #[prost(uint64, tag = "8")]
    pub wall_time: u64,
    /// The user's own JSON.
    #[prost(string, tag = "9")]
    pub user_meta: String,
    /// The shards by rank.
    #[prost(message, repeated, tag = "10")]
    pub shards: Vec<ShardMeta>,
    /// Figures by which the user tells the best checkpoint, as JSON.
    #[prost(string, tag = "11")]
    pub metrics: String,
}

/// One shard.
#[derive(Clone, PartialEq, Message)]
pub struct ShardMeta {
    /// Its rank.
    #[prost(uint32, tag = "1")]
    pub rank: u32,
    /// Number of ranks of the save.
    #[prost(uint32, tag = "2")]
    pub world_size: u32,
    /// What the shards of one save have in common.
    #[prost(string, tag = "3")]
    pub save_id: String,
    /// The key, relative to the checkpoint.
    #[prost(string, tag = "4")]
    pub key: String,
    /// Bytes of the object.
    #[prost(uint64, tag = "5")]
    pub size: u64,
    /// Its entity tag when it was written; empty where the store gives none.
    #[prost(string, tag = "6")]
    pub etag: String,
    /// CRC32C of its header.
    #[prost(fixed32, tag = "7")]
    pub header_crc: u32,
    /// CRC32C of its table of checksums, through which it stands for all bytes.
    #[prost(fixed32, tag = "8")]
    pub table_crc: u32,
    /// Whether it holds pickled objects.
    #[prost(bool, tag = "9")]
    pub has_pickle: bool,
    /// Its tensors.
    #[prost(message, repeated, tag = "10")]
    pub tensors: Vec<TensorMeta>,
}

/// One tensor of a shard.
#[derive(Clone, PartialEq, Message)]
pub struct TensorMeta {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Type of its elements.
    #[prost(string, tag = "2")]
    pub dtype: String,
    /// Shape of what the shard holds.
    #[prost(uint64, repeated, tag = "3")]
    pub shape: Vec<u64>,
    /// Whether other shards refer to it by its name: it is a part of a whole, or all ranks have it.
    #[prost(bool, tag = "4")]
    pub shared: bool,
    /// Shape of the whole, if it is shared.
    #[prost(uint64, repeated, tag = "5")]
    pub global: Vec<u64>,
    /// Where in the whole it begins, if it is shared.
    #[prost(uint64, repeated, tag = "6")]
    pub offsets: Vec<u64>,
}

impl TensorMeta {
    /// Its place in the whole.
    #[must_use]
    pub fn extent(&self) -> Extent {
        Extent { global: self.global.clone(), offsets: self.offsets.clone() }
    }
}

/// Encodes a message: magic, CRC32C of the rest, raw length, zstd.
///
/// # Errors
/// A message above [`MOST`] bytes.
pub fn encode(message: &impl Message) -> Result<Vec<u8>, FormatError> {
    let raw = message.encode_to_vec();
    if raw.len() as u64 > MOST {
        return wrong(format!("the manifest has {} bytes, expected at most {MOST}", raw.len()));
    }
    let packed = zstd::bulk::compress(&raw, 3).map_err(|error| FormatError(format!("zstd: {error}")))?;
    let mut rest = (raw.len() as u64).to_le_bytes().to_vec();
    rest.extend(packed);
    let mut bytes = MAGIC.to_vec();
    bytes.extend(crc32c::crc32c(&rest).to_le_bytes());
    bytes.extend(rest);
    Ok(bytes)
}

/// Decodes what [`encode`] made.
///
/// # Errors
/// Damaged bytes, and a length above [`MOST`], before anything is allocated for it.
pub fn decode<M: Message + Default>(bytes: &[u8]) -> Result<M, FormatError> {
    let Some(rest) = bytes.strip_prefix(&MAGIC) else { return wrong("no manifest begins here") };
    let Some((crc, rest)) = rest.split_first_chunk::<4>() else { return wrong("the manifest is cut short") };
    let (crc, found) = (u32::from_le_bytes(*crc), crc32c::crc32c(rest));
    if crc != found {
        return wrong(format!("the manifest has the checksum {found:08x}, expected {crc:08x}"));
    }
    let Some((length, packed)) = rest.split_first_chunk::<8>() else { return wrong("the manifest is cut short") };
    let length = u64::from_le_bytes(*length);
    // A frame of zstd makes at most some 130,000 bytes of 4.
    if length > MOST || length / (1 << 18) > packed.len() as u64 {
        return wrong(format!("the manifest announces {length} bytes"));
    }
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let raw = zstd::bulk::decompress(packed, length).map_err(|error| FormatError(format!("zstd: {error}")))?;
    if raw.len() != length {
        return wrong(format!("the manifest holds {} bytes, expected {length}", raw.len()));
    }
    M::decode(raw.as_slice()).map_err(|error| FormatError(format!("the manifest is wrong: {error}")))
}

impl Manifest {
    /// Checks what every reader relies on: all ranks once and in order, keys that `valid` allows, shapes that can be.
    ///
    /// # Errors
    /// The first that does not hold.
    pub fn check(&self, valid: impl Fn(&str) -> bool) -> Result<(), FormatError> {
        if self.format_version != 1 {
            return wrong(format!("the manifest has format version {}, expected 1", self.format_version));
        }
        if self.world_size == 0 || self.shards.len() as u64 != u64::from(self.world_size) {
            return wrong(format!("the manifest has {} shards of {} ranks", self.shards.len(), self.world_size));
        }
        for (rank, shard) in self.shards.iter().enumerate() {
            if u64::from(shard.rank) != rank as u64 || shard.world_size != self.world_size {
                return wrong(format!("shard {rank} says rank {} of {}", shard.rank, shard.world_size));
            }
            if !valid(&shard.key) {
                return wrong(format!("shard {rank} has the key {:?}, which is no shard of a checkpoint", shard.key));
            }
            shard.tensors.iter().try_for_each(TensorMeta::check)?;
            shard.plausible()?;
        }
        Ok(())
    }
}

impl ShardMeta {
    /// Checks that an object of this size can hold these tensors, so that nobody makes room for what is not there.
    fn plausible(&self) -> Result<(), FormatError> {
        // Frames of zstd shrink by less than this.
        let most = if self.key.ends_with(".safetensors") { self.size } else { self.size.saturating_mul(1 << 17) };
        let sizes = self.tensors.iter().map(|tensor| dtype::size(&tensor.dtype, &tensor.shape).unwrap_or(u64::MAX));
        let total = sizes.fold(0_u64, u64::saturating_add);
        if total <= most {
            return Ok(());
        }
        wrong(format!("shard {} is said to hold {total} bytes in an object of {}", self.rank, self.size))
    }
}

impl TensorMeta {
    fn check(&self) -> Result<(), FormatError> {
        let axes = [&self.shape, &self.global, &self.offsets].into_iter().map(Vec::len).max().unwrap_or(0);
        let fits = dtype::size(&self.dtype, &self.shape).is_some() && axes <= MOST_AXES;
        let placed =
            !self.shared || dtype::size(&self.dtype, &self.global).is_some() && self.extent().holds(&self.shape);
        if fits && placed { Ok(()) } else { wrong(format!("the tensor {:?} of the manifest has no place", self.name)) }
    }
}

/// The content of the object that commits a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// The step.
    pub step: u64,
    /// The attempt, as 32 hexadecimal digits.
    pub attempt: String,
    /// Bytes of the manifest.
    pub size: u64,
    /// CRC32C of the manifest.
    pub crc: u32,
}

impl Commit {
    /// The text, which says one thing in one way only, so that a changed byte never means the same.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!("s3dlio 1 step {} attempt {} manifest {} {:08x}\n", self.step, self.attempt, self.size, self.crc)
    }

    /// Parses the text.
    ///
    /// # Errors
    /// Anything but what [`to_text`](Self::to_text) makes.
    pub fn parse(text: &[u8]) -> Result<Self, FormatError> {
        let parse = || {
            let text = std::str::from_utf8(text).ok()?;
            let words: Vec<&str> = text.trim_end().split(' ').collect();
            let ["s3dlio", "1", "step", step, "attempt", attempt, "manifest", size, crc] = words.as_slice() else {
                return None;
            };
            let commit = Self {
                step: step.parse().ok()?,
                attempt: (*attempt).to_owned(),
                size: size.parse().ok()?,
                crc: u32::from_str_radix(crc, 16).ok()?,
            };
            (commit.to_text() == text).then_some(commit)
        };
        parse().ok_or_else(|| FormatError("the commit of a step is damaged".into()))
    }
}

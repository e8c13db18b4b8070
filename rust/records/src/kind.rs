//! Which format a file has, by its content and its name.

use std::fmt;

use bytes::Bytes;
use s3dlio_formats::array_record::{Opened, Opener, SHORTEST};
use s3dlio_formats::riegeli::chunk::Check;
use s3dlio_formats::riegeli::{BLOCK, HEADER_SPAN, chunk};
use s3dlio_formats::tfrecord::compression::{Compression, DETECT, Inflate};
use s3dlio_formats::tfrecord::{HEADER, announced};
use s3dlio_store::{StoreError, Uri, Work};

use crate::error::{RecordError, Result};
use crate::input::Input;
use crate::jobs;

/// A format of files with records or arrays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Records with an index.
    ArrayRecord,
    /// Records in chunks: Disky, and Riegeli files without an index.
    Disky,
    /// Records with checksums, compressed or not.
    TfRecord,
    /// An archive of arrays.
    Npz,
    /// One array.
    Npy,
}

/// All of them.
pub const KINDS: [Kind; 5] = [Kind::ArrayRecord, Kind::Disky, Kind::TfRecord, Kind::Npz, Kind::Npy];

/// Bytes from the beginning of a file that tell its format: those of a signature, and so much of a compressed file that
/// the first header in it comes out.
const LOOK: u64 = 4 << 10;

impl Kind {
    /// Its name in options and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ArrayRecord => "array_record",
            Self::Disky => "disky",
            Self::TfRecord => "tfrecord",
            Self::Npz => "npz",
            Self::Npy => "npy",
        }
    }

    /// The format of this name.
    ///
    /// # Errors
    /// [`RecordError::Config`] for any other.
    pub fn parse(name: &str) -> Result<Self> {
        let found = KINDS.into_iter().find(|kind| kind.name() == name);
        found.ok_or_else(|| RecordError::config("format", format!("{name:?}"), Self::names()))
    }

    /// Whether it holds arrays, and not records.
    #[must_use]
    pub fn is_arrays(self) -> bool {
        matches!(self, Self::Npz | Self::Npy)
    }

    /// The names of all, for messages.
    #[must_use]
    pub fn names() -> String {
        KINDS.map(Self::name).join(", ")
    }

    /// The format that the name of a file promises.
    #[must_use]
    pub fn of_name(uri: &Uri) -> Option<Self> {
        let name = uri.key.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
        let plain = [".gz", ".zz", ".zlib"].iter().find_map(|end| name.strip_suffix(end));
        let is_tfrecord = |name: &str| {
            let stem = name.find(".tfrec").map(|at| &name[at + ".tfrec".len()..]);
            stem.is_some_and(|rest| ["", "ord", "ords"].contains(&rest.split(['-', '.']).next().unwrap_or_default()))
                && !name.ends_with(".idx")
        };
        if is_tfrecord(plain.unwrap_or(&name)) {
            return Some(Self::TfRecord);
        }
        // Shards are called `name.array_record-00000-of-00008`, too.
        let has = |end: &str| name.ends_with(end) || name.contains(&format!("{end}-"));
        let endings = [
            (".array_record", Self::ArrayRecord),
            (".arrayrecord", Self::ArrayRecord),
            (".disky", Self::Disky),
            (".riegeli", Self::Disky),
            (".npz", Self::Npz),
            (".npy", Self::Npy),
        ];
        endings.into_iter().find(|(end, _)| has(end)).map(|(_, kind)| kind)
    }

    /// `given`, or where there is none the format that the open file has.
    ///
    /// # Errors
    /// As [`detect`](Self::detect).
    pub(crate) async fn given_or_detected(given: Option<Self>, input: &Input) -> Result<Self> {
        match given {
            Some(kind) => Ok(kind),
            None => Self::detect(input).await,
        }
    }

    /// The format of an open file: its content decides, and its name where that is damaged.
    ///
    /// # Errors
    /// [`StoreError::Unsupported`] for a file of none of these formats; those of reading.
    async fn detect(input: &Input) -> Result<Self> {
        let first = input.fetch(0..input.size().min(LOOK)).await?;
        let named = Self::of_name(input.uri());
        let found = match first.as_ref() {
            [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => Some(Self::Npy),
            [b'P', b'K', 3 | 5, 4 | 6, ..] => Some(Self::Npz),
            _ if is_tfrecord(&first) => Some(Self::TfRecord),
            _ if is_riegeli(&first) => return Self::of_chunks(input, named).await,
            _ => None,
        };
        found.or(named).ok_or_else(|| {
            let shown = first.iter().take(8).map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
            let found = if first.is_empty() { "no byte".to_owned() } else { format!("the bytes {shown}") };
            let detail =
                format!("the file begins with {found}, and neither these nor its name are those of {}", Self::names());
            StoreError::Unsupported { uri: input.uri().to_string(), detail }.into()
        })
    }

    /// ArrayRecord and Disky begin alike: only the former has an index at its end.
    async fn of_chunks(input: &Input, named: Option<Self>) -> Result<Self> {
        if named == Some(Self::ArrayRecord) {
            return Ok(Self::ArrayRecord);
        }
        let size = input.size();
        if size < SHORTEST || !size.is_multiple_of(BLOCK) {
            return Ok(Self::Disky);
        }
        // The first block alone could be a coincidence; an index that can be read is none.
        let Ok(mut opener) = Opener::new(size, 0) else { return Ok(Self::Disky) };
        loop {
            match opener.next_step() {
                Ok(Opened::Index(_)) => return Ok(Self::ArrayRecord),
                Ok(Opened::Need(need)) => {
                    opener.supply(need.offset, input.fetch(need.offset..need.offset + need.len).await?);
                }
                Err(_) => return Ok(Self::Disky),
            }
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn is_riegeli(first: &Bytes) -> bool {
    let span = first.slice(..first.len().min(HEADER_SPAN as usize));
    chunk::header(0, &span, Check::Hashes).is_ok_and(|header| header.kind == chunk::ChunkKind::Signature)
}

/// A right checksum of the first length, of compressed files too.
fn is_tfrecord(first: &[u8]) -> bool {
    let is_header = |bytes: &[u8]| bytes.first_chunk::<HEADER>().is_some_and(|header| announced(header).1);
    if is_header(first) {
        return true;
    }
    let kind = Compression::detect(&first[..first.len().min(DETECT)]);
    let Some(mut inflate) = Inflate::new(kind) else { return false };
    let mut out = Vec::new();
    // What was made of the bytes before a damaged one counts.
    let _ = first.chunks(64).try_for_each(|piece| inflate.push(piece, &mut out));
    is_header(&out)
}

/// The format of a file: its content decides, and its name where that is damaged.
///
/// # Errors
/// At once: a URI or settings that cannot work. From the work: those of the store; [`StoreError::Unsupported`] for a file
/// of none of these formats.
pub fn detect(uri: &Uri) -> s3dlio_store::Result<Work<Result<Kind>>> {
    let opening = Input::open(uri)?;
    Ok(jobs::work(async move { Kind::detect(&opening.into_future().await?).await }))
}

//! What is in a file, without decoding more of it than that takes.

use std::sync::Arc;

use bytes::Bytes;
use s3dlio_formats::array_record::ReaderOptions;
use s3dlio_formats::npy;
use s3dlio_formats::npz::{Limits, Member};
use s3dlio_formats::riegeli::{ChunkKind, Codec, PEEK_SPAN, Peek, peek};
use s3dlio_formats::tfrecord::OVERHEAD;
use s3dlio_formats::tfrecord::compression::Compression;
use s3dlio_formats::tfrecord::index::{Entry, Verify};
use s3dlio_store::{Uri, Work};

use crate::array_record::read_index;
use crate::error::{RecordError, Result};
use crate::input::Input;
use crate::jobs;
use crate::kind::Kind;
use crate::npz::Archive;
use crate::salvage::{Fault, Piece, Salvage, compression};
use crate::tfrecord::headers::{Headers, Sink};
use crate::verify::layout;
use crate::walk::Walk;
use s3dlio_store::progress::Progress;

/// Bytes of a file with small chunks that are read at once; larger chunks are stepped over.
const WINDOW: u64 = 64 << 10;

/// Bytes of a member that hold its own header and, as a rule, that of its array.
const MEMBER: u64 = 1 << 10;

/// Members whose headers are read at a time.
const MEMBERS: usize = 1024;

/// What is in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// The file.
    pub uri: Uri,
    /// Its format.
    pub kind: Kind,
    /// Its bytes.
    pub size: u64,
    /// Records, or arrays.
    pub records: u64,
    /// Bytes of these; `None` where the file does not tell.
    pub record_bytes: Option<u64>,
    /// What the format has besides.
    pub detail: Detail,
    /// What kept the rest of the file from being looked at.
    pub damage: Option<Fault>,
}

/// What formats have besides records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Detail {
    /// Of an ArrayRecord or a Disky file.
    Chunks {
        /// Chunks of records.
        chunks: u64,
        /// How they are compressed: all of a Disky file, the first one of an ArrayRecord file.
        codecs: Vec<&'static str>,
        /// Whether records are split into the columns of messages, in any of these.
        transposed: bool,
        /// Records in each chunk but the last, where that is one number.
        group_size: Option<u64>,
        /// The text of the options that an ArrayRecord file was written with.
        options: Option<String>,
    },
    /// Of a TFRecord file.
    Records {
        /// How the whole file is compressed: `none`, `gzip` or `zlib`.
        compression: &'static str,
        /// Bytes of the smallest and of the largest record; 0 without records.
        sizes: (u64, u64),
    },
    /// Of an archive, or of a file with one array.
    Arrays {
        /// The arrays, in the order of the archive.
        arrays: Vec<ArrayInfo>,
        /// Members that are no arrays.
        others: u64,
    },
}

/// What is known of an array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArrayInfo {
    /// Its name in the archive; empty for a file of its own.
    pub name: String,
    /// The description of its dtype, as NumPy writes it; `None` where its header cannot be read.
    pub descr: Option<String>,
    /// Items along each axis.
    pub shape: Vec<u64>,
    /// Whether the first axis varies fastest.
    pub fortran_order: bool,
    /// Bytes with its header.
    pub size: u64,
    /// Bytes in the file.
    pub stored_size: u64,
    /// How it is compressed: `stored`, `deflate`, or a method that is not read.
    pub method: String,
}

/// Looks at a file of this format, or of the one that it shows.
///
/// Of ArrayRecord the index is read, of Disky the headers of chunks, of a plain TFRecord file those of records, of NPZ the
/// directory and the beginning of each array. A compressed TFRecord file is read as a whole.
///
/// # Errors
/// At once: a URI or settings that cannot work. From the work: those of the store, and what is not supported. Damage is
/// part of the result.
pub fn inspect(uri: &Uri, kind: Option<Kind>, progress: Arc<Progress>) -> s3dlio_store::Result<Work<Result<Contents>>> {
    let opening = Input::open(uri)?;
    Ok(jobs::work(async move {
        let input = opening.into_future().await?;
        let kind = Kind::given_or_detected(kind, &input).await?;
        progress.of(input.size());
        let (uri, size) = (input.uri().clone(), input.size());
        let found = match kind {
            Kind::ArrayRecord => array_record(&input).await,
            Kind::Disky => disky(&input, &progress).await,
            Kind::TfRecord => tfrecord(input, &progress).await,
            Kind::Npz => npz(&input).await,
            Kind::Npy => layout(&input).await.map(|layout| array(&layout, size)),
        };
        let Found { records, record_bytes, detail, damage } = match found {
            Ok(found) => found,
            Err(RecordError::Format { place, source, .. }) if !source.is_unsupported() => {
                let damage = Some(Fault::new(place.offset, 0..0, &source));
                Found { records: 0, record_bytes: None, detail: nothing(kind), damage }
            }
            Err(error) => return Err(error),
        };
        Ok(Contents { uri, kind, size, records, record_bytes, detail, damage })
    }))
}

struct Found {
    records: u64,
    record_bytes: Option<u64>,
    detail: Detail,
    damage: Option<Fault>,
}

fn nothing(kind: Kind) -> Detail {
    match kind {
        Kind::ArrayRecord | Kind::Disky => {
            Detail::Chunks { chunks: 0, codecs: Vec::new(), transposed: false, group_size: None, options: None }
        }
        Kind::TfRecord => Detail::Records { compression: Compression::None.name(), sizes: (0, 0) },
        Kind::Npz | Kind::Npy => Detail::Arrays { arrays: Vec::new(), others: 0 },
    }
}

async fn array_record(input: &Input) -> Result<Found> {
    let index = read_index(input, &ReaderOptions::default()).await?;
    let chunks = index.num_chunks();
    let bytes = (0..chunks).map(|chunk| index.chunk(chunk).and_then(|entry| entry.decoded_size)).sum::<Option<u64>>();
    let mut first = None;
    let mut damage = None;
    if let Some(range) = index.range(0) {
        let bytes = input.fetch(range.start..range.end.min(range.start + PEEK_SPAN)).await?;
        match peek(range.start, &bytes) {
            Ok(found) => first = Some(found),
            Err(error) => damage = Some(Fault::new(error.offset(), 0..0, &error)),
        }
    }
    let detail = Detail::Chunks {
        chunks: chunks as u64,
        codecs: first.and_then(|found| found.codec).map(Codec::name).into_iter().collect(),
        transposed: first.is_some_and(|found| found.header.kind == ChunkKind::Transposed),
        group_size: index.group_size().filter(|_| chunks > 0),
        options: index.writer_options().map(str::to_owned),
    };
    Ok(Found { records: index.num_records(), record_bytes: bytes, detail, damage })
}

/// The headers of all chunks, one after another.
async fn disky(input: &Input, progress: &Progress) -> Result<Found> {
    let size = input.size();
    let (mut at, mut window, mut start) = (0, Bytes::new(), 0);
    let (mut records, mut bytes, mut chunks, mut last) = (0, 0_u64, 0, 0);
    let (mut codecs, mut transposed, mut damage) = (Vec::new(), false, None);
    while at < size || at == 0 {
        let span = size.min(at + PEEK_SPAN);
        if at < start || span > start + window.len() as u64 {
            // The next chunk is likely to be as long as the one before.
            let length = if last > WINDOW { PEEK_SPAN } else { WINDOW };
            window = input.fetch(at..size.min(at + length)).await?;
            start = at;
        }
        let from = usize::try_from(at - start).unwrap_or(usize::MAX);
        let found = peek(at, &window.slice(from..));
        let Peek { header, end, codec } = match found {
            Ok(found) => found,
            Err(error) => {
                damage = Some(Fault::new(error.offset(), at..size, &error));
                break;
            }
        };
        if header.num_records > 0 {
            chunks += 1;
            records += header.num_records;
            bytes = bytes.saturating_add(header.decoded_size);
            transposed |= header.kind == ChunkKind::Transposed;
            let name = codec.map_or("unknown", Codec::name);
            if !codecs.contains(&name) {
                codecs.push(name);
            }
        }
        if end > size {
            let error = s3dlio_formats::riegeli::RiegeliError::Truncated { begin: at, expected: end, found: size };
            damage = Some(Fault::new(Some(at), at..size, &error));
            break;
        }
        (last, at) = (end - at, end);
        progress.at(at);
    }
    let detail = Detail::Chunks { chunks, codecs, transposed, group_size: None, options: None };
    Ok(Found { records, record_bytes: Some(bytes), detail, damage })
}

/// Sizes of records.
struct Sizes {
    records: u64,
    bytes: u64,
    least: u64,
    most: u64,
}

impl Sizes {
    fn new() -> Self {
        Self { records: 0, bytes: 0, least: u64::MAX, most: 0 }
    }

    fn add(&mut self, size: u64) {
        self.records += 1;
        self.bytes += size;
        self.least = self.least.min(size);
        self.most = self.most.max(size);
    }

    fn found(self, kind: Compression, damage: Option<Fault>) -> Found {
        let detail = Detail::Records { compression: kind.name(), sizes: (self.least.min(self.most), self.most) };
        Found { records: self.records, record_bytes: Some(self.bytes), detail, damage }
    }
}

impl Sink for Sizes {
    fn entry(&mut self, entry: Entry) {
        self.add(entry.size - OVERHEAD as u64);
    }
}

async fn tfrecord(input: Input, progress: &Progress) -> Result<Found> {
    let kind = compression(&input).await?;
    if kind == Compression::None {
        let sizes = Headers::new(input, Verify::Always, Sizes::new()).finish().await?;
        return Ok(sizes.found(kind, None));
    }
    let machine = Salvage::of(Kind::TfRecord, &input).await?;
    let mut walk = Box::new(Walk::new(input, machine));
    let mut sizes = Sizes::new();
    loop {
        let turn;
        (walk, turn) = walk.turn().await?;
        for piece in turn.found {
            match piece {
                Piece::Record(record) => sizes.add(record.len() as u64),
                Piece::Fault(fault) => return Ok(sizes.found(kind, Some(fault))),
                Piece::Group(_) => {}
            }
        }
        progress.at(walk.position());
        if turn.ended {
            return Ok(sizes.found(kind, None));
        }
    }
}

fn array(layout: &npy::Layout, size: u64) -> Found {
    let damage = layout.check(size).err().map(|error| Fault::new(None, 0..0, &error));
    let info = info(String::new(), Some(layout), size, size, "stored".to_owned());
    let detail = Detail::Arrays { arrays: vec![info], others: 0 };
    Found { records: 1, record_bytes: Some(layout.data_len as u64), detail, damage }
}

fn info(name: String, layout: Option<&npy::Layout>, size: u64, stored_size: u64, method: String) -> ArrayInfo {
    ArrayInfo {
        name,
        descr: layout.map(|layout| layout.descr.clone()),
        shape: layout.map_or_else(Vec::new, |layout| layout.shape.clone()),
        fortran_order: layout.is_some_and(|layout| layout.fortran_order),
        size,
        stored_size,
        method,
    }
}

async fn npz(input: &Input) -> Result<Found> {
    let archive = Archive::of(input.clone(), Limits::default()).await?;
    let members: Vec<&Member> = archive.directory().arrays().collect();
    let mut arrays = Vec::with_capacity(members.len());
    let mut damage = None;
    for members in members.chunks(MEMBERS) {
        let head = |member: &&Member| member.range().start..member.range().end.min(member.range().start + MEMBER);
        let heads = input.fetch_many(members.iter().map(head).collect()).await?;
        for (member, head) in members.iter().zip(heads) {
            let layout = match member.head(&head).map(|head| npy::parse_header(&head)) {
                // A header that is longer than what was read, or an array that needs pickle, is no damage.
                Ok(layout) => layout.ok(),
                Err(error) => {
                    let offset = Some(member.range().start);
                    damage = damage.or_else(|| Some(Fault::new(offset, member.range(), &error)));
                    None
                }
            };
            let name = member.array_name().to_owned();
            arrays.push(info(name, layout.as_ref(), member.len(), member.stored_len(), member.method()));
        }
    }
    let others = (archive.directory().members().len() - members.len()) as u64;
    let bytes = members.iter().map(|member| member.len()).sum();
    let records = members.len() as u64;
    Ok(Found { records, record_bytes: Some(bytes), detail: Detail::Arrays { arrays, others }, damage })
}

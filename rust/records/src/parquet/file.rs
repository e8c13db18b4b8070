//! One version of a Parquet file.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use s3dlio_formats::FormatError;
use s3dlio_store::local::Mode;
use s3dlio_store::registry::{self, Backend};
use s3dlio_store::{Uri, Work, ops};

use super::chunks::{self, Chunks};
use super::footer::{Footer, Look, guarded, wrong};
use crate::error::{Place, RecordError, Result};
use crate::{Input, jobs};

/// Bytes of the largest row group that is decoded: the bound that archives have, against files that lie.
const MOST_DECODED: u64 = 16 << 30;

/// What becomes of a row group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decode {
    /// Its bytes as they are stored: from the first chunk of the columns to the end of their last.
    Raw,
    /// One record batch as an Arrow IPC stream.
    Arrow,
}

impl Decode {
    /// The kind of this name: `raw` or `arrow`.
    ///
    /// # Errors
    /// [`RecordError::Config`] for other names.
    pub fn parse(name: &str) -> Result<Self> {
        match name {
            "raw" => Ok(Self::Raw),
            "arrow" => Ok(Self::Arrow),
            _ => Err(RecordError::config("decode", format!("{name:?}"), "\"raw\" or \"arrow\"")),
        }
    }
}

/// A column at the root of a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Column {
    /// By its number.
    Number(usize),
    /// By its name.
    Name(String),
}

/// Opens files as [`File::open`] does, `in_flight` at a time; in the order of `uris`.
///
/// # Errors
/// As [`File::open`]; the first failure ends the whole call.
pub fn open_many(uris: &[Uri], footer_cap: u64, in_flight: usize) -> s3dlio_store::Result<Work<Result<Vec<File>>>> {
    let opening = uris.iter().map(|uri| File::open(uri, footer_cap)).collect::<s3dlio_store::Result<Vec<_>>>()?;
    Ok(Work::network(async move {
        Ok(ops::each(opening, in_flight, |work| async move { work.into_future().await? }).await)
    }))
}

/// A Parquet file with its footer; clones share it. It may be used in a forked child, as [`Input`].
#[derive(Debug, Clone)]
pub struct File {
    input: Input,
    footer: Arc<Footer>,
}

impl File {
    /// Opens a file and reads its footer: of a network store by one request for its last `footer_cap` bytes, and a second
    /// one where the footer is longer.
    ///
    /// # Errors
    /// At once: a URI or settings that cannot work. From the work: what [`StoreError`](s3dlio_store::StoreError) lists. As
    /// its result: [`RecordError::Format`] for a file that is damaged, none of Parquet, or encrypted.
    pub fn open(uri: &Uri, footer_cap: u64) -> s3dlio_store::Result<Work<Result<Self>>> {
        let uri = uri.clone();
        Ok(match registry::open(&uri)? {
            Backend::Local(mode) => Work::here(move || Ok(Self::open_now(uri, mode, footer_cap))),
            network @ Backend::Object(_) => {
                Work::request(async move { Ok(Self::fetch(uri, network, footer_cap).await) })
            }
        })
    }

    pub(super) fn open_now(uri: Uri, mode: Mode, footer_cap: u64) -> Result<Self> {
        let input = Input::open_now(uri, mode)?;
        let last = |length: u64| input.read_now(input.size().saturating_sub(length)..input.size());
        let look = match Footer::look(input.uri(), input.size(), &last(footer_cap.max(8))?)? {
            Look::Needs(length) => Footer::look(input.uri(), input.size(), &last(length)?)?,
            look @ Look::Read(_) => look,
        };
        Self::read(input, look)
    }

    pub(super) async fn fetch(uri: Uri, backend: Backend, footer_cap: u64) -> Result<Self> {
        let (input, tail) = Input::open_tail(uri, backend, footer_cap.max(8)).await?;
        let look = match Footer::look(input.uri(), input.size(), &tail)? {
            Look::Needs(length) => {
                let tail = input.fetch(input.size() - length..input.size()).await?;
                Footer::look(input.uri(), input.size(), &tail)?
            }
            look @ Look::Read(_) => look,
        };
        Self::read(input, look)
    }

    fn read(input: Input, look: Look) -> Result<Self> {
        match look {
            Look::Read(footer) => Ok(Self { input, footer: Arc::new(footer) }),
            Look::Needs(_) => Err(wrong(input.uri(), "its footer changed while it was read".into())),
        }
    }

    /// A file whose footer is known.
    pub(super) fn known(input: Input, footer: Arc<Footer>) -> Self {
        Self { input, footer }
    }

    /// The file.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        self.input.uri()
    }

    /// Bytes of the file.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.input.size()
    }

    pub(super) fn version(&self) -> Option<&str> {
        self.input.version()
    }

    /// Its footer.
    #[must_use]
    pub fn footer(&self) -> &Arc<Footer> {
        &self.footer
    }

    /// See [`Input::connect`].
    ///
    /// # Errors
    /// As [`Input::connect`].
    pub fn connect(&self) -> s3dlio_store::Result<()> {
        self.input.connect()
    }

    /// The numbers of columns, in the order of the file.
    ///
    /// # Errors
    /// [`RecordError::Config`] for a column that the file does not have, and for none at all.
    pub fn columns(&self, wanted: &[Column]) -> Result<Vec<usize>> {
        let names: Vec<&str> = self.footer.columns().collect();
        let find = |column: &Column| match column {
            Column::Number(number) => (*number < names.len()).then_some(*number),
            Column::Name(name) => names.iter().position(|known| known == name),
        };
        let missing = |column: &Column| {
            let expected = format!("a name, or a number below {}, of {}", names.len(), self.uri());
            RecordError::config("columns", format!("{column:?}"), expected)
        };
        let mut found =
            wanted.iter().map(|column| find(column).ok_or_else(|| missing(column))).collect::<Result<Vec<_>>>()?;
        found.sort_unstable();
        found.dedup();
        if found.is_empty() {
            return Err(RecordError::config("columns", "none", "at least one"));
        }
        Ok(found)
    }

    /// The place of a row group in the file, or of the part of it from the first to the last of some columns.
    ///
    /// # Errors
    /// [`RecordError::OutOfRange`] for a group behind the last.
    pub fn range(&self, group: usize, columns: Option<&[usize]>) -> Result<Range<u64>> {
        self.check(group)?;
        let chunks = self.footer.chunks(group, columns);
        let start = chunks.first().map_or(0, |chunk| chunk.start);
        Ok(start..chunks.iter().map(|chunk| chunk.end).max().unwrap_or(start))
    }

    fn check(&self, group: usize) -> Result<()> {
        if group < self.footer.groups() {
            return Ok(());
        }
        let (index, length) = (group as u64, self.footer.groups() as u64);
        Err(RecordError::OutOfRange { uri: self.uri().to_string(), index, length })
    }

    /// A row group, or some columns of it. The input must have been [connected](Self::connect).
    ///
    /// # Errors
    /// As [`range`](Self::range); [`RecordError::Format`] for pages that are damaged, or that need a codec which is not
    /// supported; [`RecordError::Store`] with [`Precondition`](s3dlio_store::StoreError::Precondition) when the object was
    /// replaced.
    pub async fn group(&self, group: usize, columns: Option<Vec<usize>>, decode: Decode) -> Result<Bytes> {
        let whole = self.range(group, columns.as_deref())?;
        if decode == Decode::Raw {
            return Ok(self.fetch_all(vec![whole]).await?.swap_remove(0));
        }
        let decoded = self.footer.decoded(group, columns.as_deref());
        if decoded > MOST_DECODED {
            let detail = format!("row group {group} has {decoded} bytes decoded, expected at most {MOST_DECODED}");
            return Err(RecordError::format(self.uri(), Place::default(), FormatError::ParquetUnsupported { detail }));
        }
        let ranges = self.footer.chunks(group, columns.as_deref());
        let parts = ranges.iter().cloned().zip(self.fetch_all(ranges.clone()).await?).collect();
        let (file, chunks) = (self.clone(), Chunks { size: self.size(), parts });
        jobs::decode(move || {
            let decoded = guarded(|| chunks::arrow(&file.footer, group, columns.as_deref(), chunks));
            decoded.map_err(|error| wrong(file.uri(), format!("row group {group}: {error}")))
        })
        .wait()
        .await?
    }

    async fn fetch_all(&self, ranges: Vec<Range<u64>>) -> Result<Vec<Bytes>> {
        if !self.input.is_local() {
            return Ok(self.input.fetch_many(ranges).await?);
        }
        let input = self.input.clone();
        Ok(jobs::read(move || input.read_many_now(&ranges)).await??)
    }
}

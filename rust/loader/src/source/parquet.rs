//! The row groups of Parquet files, each a record.

use std::sync::Arc;

use s3dlio_records::RecordError;
use s3dlio_records::parquet::{Column, Decode, File, open_many};
use s3dlio_store::{Uri, Work, ops};

use super::packing::{Digest, Kind, Packer, Unpacker};
use super::{Access, Layout, Reading, Record, RecordReader, RecordSource};
use crate::error::{LoaderError, Result};

/// Files opened, or row groups read, at the same time.
const OPENING: usize = 32;

/// What is wanted of each row group.
#[derive(Debug, Clone)]
pub struct RowGroups {
    /// The columns; all, if `None`.
    pub columns: Option<Vec<Column>>,
    /// What a record is.
    pub decode: Decode,
    /// Bytes of the end of a file that are read first.
    pub footer_cap: u64,
}

/// The row groups of one or several Parquet files, in the order of the files: one record each.
#[derive(Debug, Clone)]
pub struct ParquetSource(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    files: Vec<Opened>,
    wanted: RowGroups,
    layout: Layout,
    fingerprint: String,
}

#[derive(Debug)]
struct Opened {
    file: File,
    /// Numbers of the columns; all, if `None`.
    columns: Option<Vec<usize>>,
    /// Row groups of this and all earlier files.
    end: u64,
}

impl ParquetSource {
    /// Opens files and reads their footers: of a network store one request each, or two where a footer is long.
    ///
    /// # Errors
    /// At once: URIs or settings that cannot work. From the work: no such file, one that is damaged or that has no column
    /// of such a name or number.
    pub fn open(files: &[Uri], wanted: RowGroups) -> Result<Work<Result<Self>>> {
        if files.is_empty() {
            return Err(LoaderError::config("paths", "no file", "at least one"));
        }
        let opening = open_many(files, wanted.footer_cap, OPENING)?;
        Ok(opening.map(|files| files.map_err(LoaderError::from).and_then(|files| Self::new(files, wanted))))
    }

    fn new(files: Vec<File>, wanted: RowGroups) -> Result<Self> {
        let (mut layout, mut opened, mut end) = (Layout::default(), Vec::with_capacity(files.len()), 0);
        let mut digest = Digest::new(files.iter().map(|file| file.uri().key.as_str()));
        for file in files {
            let columns = wanted.columns.as_deref().map(|columns| file.columns(columns)).transpose()?;
            let groups = 0..file.footer().groups();
            let sizes = groups.map(|group| file.range(group, columns.as_deref()).map(|range| range.end - range.start));
            let sizes = sizes.collect::<s3dlio_records::Result<Vec<_>>>()?;
            digest.add(&file.uri().key, &[file.size(), u64::from(wanted.decode == Decode::Arrow)]);
            sizes.iter().for_each(|&bytes| digest.add("", &[bytes]));
            end += sizes.len() as u64;
            layout.push_file(sizes.into_iter().map(|bytes| (1, bytes)));
            opened.push(Opened { file, columns, end });
        }
        Ok(Self(Arc::new(Inner { files: opened, wanted, layout, fingerprint: digest.finish() })))
    }

    pub(super) fn unpack(mut from: Unpacker<'_>, bad: impl Fn() -> LoaderError) -> Result<Work<Result<Self>>> {
        let mut parse = || {
            let decode = Decode::parse(from.text()?).ok()?;
            let footer_cap = from.number()?;
            let columns = match from.number()? {
                0 => None,
                more => Some((1..more).map(|_| unpack_column(&mut from)).collect::<Option<_>>()?),
            };
            let files = (0..from.number()?).map(|_| Uri::parse(from.text()?).ok()).collect::<Option<Vec<_>>>()?;
            Some((files, RowGroups { columns, decode, footer_cap }))
        };
        let (files, wanted) = parse().ok_or_else(bad)?;
        Self::open(&files, wanted)
    }

    /// The file of a row group, and the group's number in it.
    fn locate(&self, index: u64) -> Option<(&Opened, usize)> {
        let files = &self.0.files;
        let at = files.partition_point(|opened| opened.end <= index);
        let before = at.checked_sub(1).map_or(0, |before| files[before].end);
        Some((files.get(at)?, usize::try_from(index - before).ok()?))
    }
}

fn unpack_column(from: &mut Unpacker<'_>) -> Option<Column> {
    match from.number()? {
        0 => Some(Column::Name(from.text()?.to_owned())),
        number => Some(Column::Number(usize::try_from(number - 1).ok()?)),
    }
}

impl RecordSource for ParquetSource {
    fn len(&self) -> u64 {
        self.0.layout.len()
    }

    fn fingerprint(&self) -> &str {
        &self.0.fingerprint
    }

    fn name(&self, index: u64) -> String {
        match self.locate(index) {
            Some((opened, group)) => format!("{}#rg{group}", opened.file.uri()),
            None => format!("record {index}"),
        }
    }

    fn bytes(&self, index: u64) -> Option<u64> {
        let (opened, group) = self.locate(index)?;
        match self.0.wanted.decode {
            Decode::Raw => Some(self.0.layout.record_bytes(index)),
            Decode::Arrow => Some(opened.file.footer().decoded(group, opened.columns.as_deref())),
        }
    }

    fn layout(&self) -> Option<&Layout> {
        Some(&self.0.layout)
    }

    fn pack(&self) -> Option<Vec<u8>> {
        let mut packer = Packer::new(Kind::Parquet);
        let wanted = &self.0.wanted;
        packer.text(if wanted.decode == Decode::Raw { "raw" } else { "arrow" });
        packer.number(wanted.footer_cap);
        packer.number(wanted.columns.as_ref().map_or(0, |columns| columns.len() as u64 + 1));
        for column in wanted.columns.iter().flatten() {
            match column {
                Column::Number(number) => packer.number(*number as u64 + 1),
                Column::Name(name) => {
                    packer.number(0);
                    packer.text(name);
                }
            }
        }
        packer.number(self.0.files.len() as u64);
        self.0.files.iter().for_each(|opened| packer.text(&opened.file.uri().to_string()));
        Some(packer.done())
    }

    fn reader(&self) -> s3dlio_store::Result<Box<dyn RecordReader>> {
        self.0.files.iter().try_for_each(|opened| opened.file.connect())?;
        Ok(Box::new(Reader(self.clone())))
    }
}

struct Reader(ParquetSource);

impl RecordReader for Reader {
    fn access(&self, _index: u64) -> s3dlio_store::Result<Access> {
        Ok(Access::Together)
    }

    fn read(&self, indices: &[u64]) -> Result<Reading> {
        let decode = self.0.0.wanted.decode;
        let place = |&index: &u64| {
            let (opened, group) = self.0.locate(index).ok_or_else(|| {
                let uri = self.0.0.files.last().map_or_else(String::new, |opened| opened.file.uri().to_string());
                RecordError::OutOfRange { uri, index, length: self.0.len() }
            })?;
            Ok::<_, RecordError>((opened.file.clone(), group, opened.columns.clone()))
        };
        let groups = indices.iter().map(place).collect::<s3dlio_records::Result<Vec<_>>>()?;
        Ok(Work::network(async move {
            let read = ops::each(groups, OPENING, move |(file, group, columns)| async move {
                file.group(group, columns, decode).await.map(Record::Bytes)
            });
            Ok(read.await.map_err(LoaderError::from))
        }))
    }
}

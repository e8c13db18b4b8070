//! The records of TFRecord files, by their indexes.

use std::sync::Arc;

use s3dlio_formats::tfrecord::index::Index;
use s3dlio_records::tfrecord::{IndexFrom, Indexed};
use s3dlio_store::{Uri, Work};

use super::packing::{Digest, Kind, Packer, Unpacker};
use super::{Access, Layout, Reading, Record, RecordReader, RecordSource};
use crate::error::{LoaderError, Result};

/// Bytes that a record takes in its file beside its payload: its length and two checksums.
const FRAME: u64 = 16;

/// Records of one or several TFRecord files, in the order of the files. Each is a chunk of its own.
#[derive(Debug, Clone)]
pub struct TfRecordSource(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    files: Indexed,
    verify: bool,
    layout: Layout,
    fingerprint: String,
}

impl TfRecordSource {
    /// Opens files, each with its index; with `verify` both checksums of every record are compared when it is read.
    ///
    /// # Errors
    /// As [`Indexed::open`]; no file at all.
    pub fn open(files: Vec<(Uri, IndexFrom)>, verify: bool) -> Result<Work<Result<Self>>> {
        if files.is_empty() {
            return Err(LoaderError::config("paths", "no file", "at least one"));
        }
        let work = Indexed::open(files, verify)?;
        Ok(work.map(move |files| Ok(Self::new(files?, verify))))
    }

    /// The records of files that are open.
    #[must_use]
    pub fn new(files: Indexed, verify: bool) -> Self {
        let mut layout = Layout::default();
        for (_, index) in files.files() {
            layout.push_file(index.iter().map(|entry| (1, entry.size)));
        }
        let mut digest = Digest::new(files.files().map(|(uri, _)| uri.key.as_str()));
        for ((uri, index), size) in files.files().zip(files.sizes()) {
            digest.add(&uri.key, &[size, index.len()]);
        }
        Self(Arc::new(Inner { files, verify, layout, fingerprint: digest.finish() }))
    }

    pub(super) fn unpack(mut from: Unpacker<'_>, bad: impl Fn() -> LoaderError) -> Result<Work<Result<Self>>> {
        let mut parse = || {
            let verify = from.number()? == 1;
            let mut files = Vec::new();
            for _ in 0..from.number()? {
                let uri = Uri::parse(from.text()?).ok()?;
                files.push((uri, IndexFrom::Index(Arc::new(Index::unpack(from.bytes()?)?))));
            }
            Some((files, verify))
        };
        let (files, verify) = parse().ok_or_else(bad)?;
        Self::open(files, verify)
    }
}

impl RecordSource for TfRecordSource {
    fn len(&self) -> u64 {
        self.0.files.len()
    }

    fn fingerprint(&self) -> &str {
        &self.0.fingerprint
    }

    fn name(&self, index: u64) -> String {
        match self.0.files.place(index) {
            Some((uri, entry)) => format!("{uri} (byte {})", entry.offset),
            None => format!("record {index}"),
        }
    }

    fn bytes(&self, index: u64) -> Option<u64> {
        self.0.files.place(index).map(|(_, entry)| entry.size.saturating_sub(FRAME))
    }

    fn layout(&self) -> Option<&Layout> {
        Some(&self.0.layout)
    }

    fn pack(&self) -> Option<Vec<u8>> {
        let mut packer = Packer::new(Kind::TfRecord);
        packer.number(u64::from(self.0.verify));
        packer.number(self.0.files.files().count() as u64);
        for (uri, index) in self.0.files.files() {
            packer.text(&uri.to_string());
            packer.bytes(&index.pack());
        }
        Some(packer.done())
    }

    fn reader(&self) -> s3dlio_store::Result<Box<dyn RecordReader>> {
        self.0.files.connect()?;
        Ok(Box::new(Reader(self.0.files.clone())))
    }
}

struct Reader(Indexed);

impl RecordReader for Reader {
    fn access(&self, _index: u64) -> s3dlio_store::Result<Access> {
        Ok(Access::Together)
    }

    fn read(&self, indices: &[u64]) -> Result<Reading> {
        let work = self.0.read(indices)?;
        Ok(work.map(|read| Ok(read?.into_iter().map(Record::Bytes).collect())))
    }
}

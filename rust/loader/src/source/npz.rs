//! The arrays of NPZ archives, each a record.

use std::collections::HashMap;
use std::sync::Arc;

use s3dlio_formats::npy::Array;
use s3dlio_formats::npz::Limits;
use s3dlio_records::npz::Archive;
use s3dlio_records::{RecordError, Result as Records};
use s3dlio_store::{Uri, Work, ops};

use super::packing::{Digest, Kind, Packer, Unpacker};
use super::{Access, Layout, Reading, Record, RecordReader, RecordSource};
use crate::decode::Decoder;
use crate::error::{LoaderError, Result};

/// Archives opened, or read, at the same time.
const OPENING: usize = 32;

/// The arrays of one or several NPZ archives, in the order of the archives and of their directories: one record a member.
///
/// A stored member shares the memory of what was fetched, a compressed one is inflated. (With one record an archive, take an
/// [`ObjectSource`](super::ObjectSource) and the decoder [`Decoder::Npz`].)
#[derive(Debug, Clone)]
pub struct NpzSource(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    archives: Vec<Archive>,
    /// Which members are wanted; all where it is empty.
    names: Vec<String>,
    members: Vec<Member>,
    layout: Layout,
    fingerprint: String,
}

#[derive(Debug)]
struct Member {
    archive: usize,
    name: String,
    bytes: u64,
}

impl NpzSource {
    /// Opens archives and reads their directories: of a network store one request each, or two where a directory is long.
    /// `names` are the arrays that are records, in this order; all of an archive where there are none.
    ///
    /// # Errors
    /// At once: URIs or settings that cannot work. From the work: no such archive, one that is damaged or that has no array
    /// of such a name.
    pub fn open(archives: &[Uri], names: Vec<String>) -> Result<Work<Result<Self>>> {
        if archives.is_empty() {
            return Err(LoaderError::config("paths", "no archive", "at least one"));
        }
        let opening = archives.iter().map(|uri| Archive::open(uri, Limits::default()));
        let opening = opening.collect::<s3dlio_store::Result<Vec<_>>>()?;
        Ok(Work::network(async move {
            let opened = ops::each(opening, OPENING, |work| async move { work.into_future().await? });
            Ok(opened.await.map_err(LoaderError::from).and_then(|archives| Self::new(archives, names)))
        }))
    }

    fn new(archives: Vec<Archive>, names: Vec<String>) -> Result<Self> {
        let (mut layout, mut members) = (Layout::default(), Vec::new());
        for (archive, opened) in archives.iter().enumerate() {
            let first = members.len();
            let mut add = |name: &str, bytes| members.push(Member { archive, name: name.to_owned(), bytes });
            if names.is_empty() {
                opened.directory().arrays().for_each(|member| add(member.array_name(), member.len()));
            }
            for name in &names {
                let member = opened.directory().find(name);
                let wrong = |error| RecordError::format(opened.uri(), s3dlio_records::error::Place::default(), error);
                add(name, member.map_err(wrong)?.len());
            }
            layout.push_file(members[first..].iter().map(|member| (1, member.bytes)));
        }
        let mut digest = Digest::new(archives.iter().map(|archive| archive.uri().key.as_str()));
        archives.iter().for_each(|archive| digest.add(&archive.uri().key, &[archive.size()]));
        for member in &members {
            digest.add(&format!("{}/{}", archives[member.archive].uri().key, member.name), &[member.bytes]);
        }
        Ok(Self(Arc::new(Inner { archives, names, members, layout, fingerprint: digest.finish() })))
    }

    pub(super) fn unpack(mut from: Unpacker<'_>, bad: impl Fn() -> LoaderError) -> Result<Work<Result<Self>>> {
        let mut parse = || {
            let mut names = Vec::new();
            for _ in 0..from.number()? {
                names.push(from.text()?.to_owned());
            }
            let mut archives = Vec::new();
            for _ in 0..from.number()? {
                archives.push(Uri::parse(from.text()?).ok()?);
            }
            Some((archives, names))
        };
        let (archives, names) = parse().ok_or_else(bad)?;
        Self::open(&archives, names)
    }

    fn member(&self, index: u64) -> Option<&Member> {
        self.0.members.get(usize::try_from(index).ok()?)
    }
}

impl RecordSource for NpzSource {
    fn len(&self) -> u64 {
        self.0.members.len() as u64
    }

    fn fingerprint(&self) -> &str {
        &self.0.fingerprint
    }

    fn name(&self, index: u64) -> String {
        match self.member(index) {
            Some(member) => format!("{}/{}", self.0.archives[member.archive].uri(), member.name),
            None => format!("record {index}"),
        }
    }

    fn bytes(&self, index: u64) -> Option<u64> {
        self.member(index).map(|member| member.bytes)
    }

    fn layout(&self) -> Option<&Layout> {
        Some(&self.0.layout)
    }

    fn decoder(&self) -> Option<Decoder> {
        Some(Decoder::Npy)
    }

    fn pack(&self) -> Option<Vec<u8>> {
        let mut packer = Packer::new(Kind::Npz);
        packer.number(self.0.names.len() as u64);
        self.0.names.iter().for_each(|name| packer.text(name));
        packer.number(self.0.archives.len() as u64);
        self.0.archives.iter().for_each(|archive| packer.text(&archive.uri().to_string()));
        Some(packer.done())
    }

    fn reader(&self) -> s3dlio_store::Result<Box<dyn RecordReader>> {
        self.0.archives.iter().try_for_each(Archive::connect)?;
        Ok(Box::new(Reader(self.clone())))
    }
}

struct Reader(NpzSource);

/// The members wanted of one archive, and their places in the results.
type Group = (Archive, Vec<String>, Vec<usize>);

impl RecordReader for Reader {
    fn access(&self, _index: u64) -> s3dlio_store::Result<Access> {
        Ok(Access::Together)
    }

    fn read(&self, indices: &[u64]) -> Result<Reading> {
        let mut groups: Vec<Group> = Vec::new();
        let mut of_archive: HashMap<usize, usize> = HashMap::new();
        for (place, &index) in indices.iter().enumerate() {
            let Some(member) = self.0.member(index) else {
                let uri = self.0.0.archives.last().map_or_else(String::new, |archive| archive.uri().to_string());
                return Err(RecordError::OutOfRange { uri, index, length: self.0.len() }.into());
            };
            let group = *of_archive.entry(member.archive).or_insert_with(|| {
                groups.push((self.0.0.archives[member.archive].clone(), Vec::new(), Vec::new()));
                groups.len() - 1
            });
            groups[group].1.push(member.name.clone());
            groups[group].2.push(place);
        }
        let total = indices.len();
        Ok(Work::network(async move {
            let read = ops::each(groups, OPENING, |(archive, names, places)| async move {
                let arrays: Records<Vec<Array>> = archive.read(names)?.into_future().await?;
                Ok::<_, RecordError>((arrays?, places))
            });
            Ok(read.await.map_err(LoaderError::from).map(|read| {
                let mut results: Vec<Option<Record>> = vec![None; total];
                for (arrays, places) in read {
                    for (place, array) in places.into_iter().zip(arrays) {
                        results[place] = Some(Record::Array(array));
                    }
                }
                results.into_iter().flatten().collect()
            }))
        }))
    }
}

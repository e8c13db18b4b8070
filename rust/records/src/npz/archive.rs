//! An archive that stays open: its directory is known, its members are fetched when they are asked for.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use s3dlio_formats::Array;
use s3dlio_formats::npz::{Directory, Limits, Member, Progress};
use s3dlio_store::local::Mode;
use s3dlio_store::registry::{self, Backend};
use s3dlio_store::work::Step;
use s3dlio_store::{Uri, Work};

use super::decode::{self, LONG, Part};
use super::wrong;
use crate::{Input, Result, jobs};

/// An open archive; clones share it.
///
/// Opening one in a network store takes one request for its last 64 KiB, and a second one where its directory begins
/// before these. Members that lie in what was fetched for that need no further request.
#[derive(Clone)]
pub struct Archive(Arc<Inner>);

struct Inner {
    input: Input,
    directory: Directory,
    /// The last bytes of the archive, at least its directory.
    tail: Bytes,
    limits: Limits,
}

impl Archive {
    /// Opens an archive and reads its directory.
    ///
    /// # Errors
    /// At once: a URI or settings that cannot work. From the work: what [`StoreError`](s3dlio_store::StoreError) lists.
    /// As its result: [`RecordError::Format`](crate::RecordError::Format) with what [`Directory::read`] says.
    pub fn open(uri: &Uri, limits: Limits) -> s3dlio_store::Result<Work<Result<Self>>> {
        let uri = uri.clone();
        Ok(match registry::open(&uri)? {
            Backend::Local(mode) => Work::here(move || Ok(Self::open_now(uri, mode, limits))),
            network @ Backend::Object(_) => {
                Work::network(async move { Ok(Self::open_task(uri, network, limits).await) })
            }
        })
    }

    /// The archive in an open file.
    pub(crate) async fn of(input: Input, limits: Limits) -> Result<Self> {
        let from = input.size().saturating_sub(Directory::TAIL);
        let tail = input.fetch(from..input.size()).await?;
        Self::opened(Opening { input, tail, limits }).await
    }

    pub(super) fn open_now(uri: Uri, mode: Mode, limits: Limits) -> Result<Self> {
        let input = Input::open_now(uri, mode)?;
        let from = input.size().saturating_sub(Directory::TAIL);
        let tail = input.read_now(from..input.size())?;
        let mut opening = Opening { input, tail, limits };
        loop {
            match opening.step()? {
                Next::Opened(directory) => return Ok(opening.done(directory)),
                Next::Needs(range) => opening.tail = opening.longer(&opening.input.read_now(range)?),
            }
        }
    }

    pub(super) async fn open_task(uri: Uri, backend: Backend, limits: Limits) -> Result<Self> {
        let (input, tail) = Input::open_tail(uri, backend, Directory::TAIL).await?;
        Self::opened(Opening { input, tail, limits }).await
    }

    async fn opened(mut opening: Opening) -> Result<Self> {
        loop {
            match opening.step()? {
                Next::Opened(directory) => return Ok(opening.done(directory)),
                Next::Needs(range) => {
                    let before = opening.input.fetch(range).await?;
                    opening.tail = opening.longer(&before);
                }
            }
        }
    }

    /// The archive.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        self.0.input.uri()
    }

    /// Bytes of the archive.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.0.input.size()
    }

    /// Makes sure that this process has a client for the archive; see [`Input::connect`].
    ///
    /// # Errors
    /// As [`Input::connect`].
    pub fn connect(&self) -> s3dlio_store::Result<()> {
        self.0.input.connect()
    }

    /// Its members.
    #[must_use]
    pub fn directory(&self) -> &Directory {
        &self.0.directory
    }

    /// Reads arrays by their names, in that order: their bytes and no others are fetched, neighbours together.
    ///
    /// # Errors
    /// At once: those of [`Input::connect`]. From the work: what [`StoreError`](s3dlio_store::StoreError) lists. As its
    /// result: [`RecordError::Format`](crate::RecordError::Format) for a name that the archive does not have, and for a
    /// member that is damaged or not supported.
    pub fn read(&self, names: Vec<String>) -> s3dlio_store::Result<Work<Result<Vec<Array>>>> {
        let archive = self.clone();
        if !self.0.input.is_local() {
            self.0.input.connect()?;
            return Ok(Work::network(async move { Ok(archive.read_task(&names).await) }));
        }
        let members = match self.find(&names) {
            Ok(members) => members,
            Err(error) => return Ok(Work::here(move || Ok(Err(error)))),
        };
        if members.iter().map(Member::stored_len).sum::<u64>() > LONG {
            return Ok(Work::network(jobs::stoppable(move |_| archive.read_now(&names))));
        }
        Ok(Work::stepped(move || {
            Ok(match archive.parts_now(members) {
                Ok(parts) => decode::step(archive.uri(), parts, archive.0.limits, decode::array),
                Err(error) => Step::Done(Err(error)),
            })
        }))
    }

    /// As [`read`](Self::read), of a local file and on this thread alone.
    pub(super) fn read_now(&self, names: &[String]) -> Result<Vec<Array>> {
        let parts = self.parts_now(self.find(names)?)?;
        parts.iter().map(|part| decode::array(self.uri(), part, self.0.limits)).collect()
    }

    /// As [`read`](Self::read), in a task.
    pub(super) async fn read_task(&self, names: &[String]) -> Result<Vec<Array>> {
        let members = self.find(names)?;
        let fetched = self.0.input.read_many(self.ranges(&members))?.into_future().await?;
        decode::task(self.uri(), self.parts(members, fetched), self.0.limits, decode::array).await
    }

    fn find(&self, names: &[String]) -> Result<Vec<Member>> {
        let one = |name: &String| self.0.directory.find(name).cloned().map_err(|error| wrong(self.uri(), error));
        names.iter().map(one).collect()
    }

    fn parts_now(&self, members: Vec<Member>) -> Result<Vec<Part>> {
        let fetched = self.0.input.read_many_now(&self.ranges(&members))?;
        Ok(self.parts(members, fetched))
    }

    /// What has to be read for members; nothing for those at hand.
    fn ranges(&self, members: &[Member]) -> Vec<Range<u64>> {
        let needed = |member: &Member| if self.at_hand(member).is_some() { 0..0 } else { member.range() };
        members.iter().map(needed).collect()
    }

    fn parts(&self, members: Vec<Member>, fetched: Vec<Bytes>) -> Vec<Part> {
        let part = |(member, bytes)| (self.at_hand(&member).unwrap_or(bytes), member);
        members.into_iter().zip(fetched).map(part).map(|(bytes, member)| (member, bytes)).collect()
    }

    /// The bytes of a member that came with the directory.
    fn at_hand(&self, member: &Member) -> Option<Bytes> {
        let start = self.0.input.size() - self.0.tail.len() as u64;
        let at = |position: u64| usize::try_from(position.checked_sub(start)?).ok();
        let range = member.range();
        Some(self.0.tail.slice(at(range.start)?..at(range.end)?))
    }
}

impl fmt::Debug for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Archive").field("uri", &self.uri().to_string()).finish_non_exhaustive()
    }
}

/// An archive whose directory is being read.
struct Opening {
    input: Input,
    tail: Bytes,
    limits: Limits,
}

enum Next {
    Opened(Directory),
    Needs(Range<u64>),
}

impl Opening {
    fn step(&self) -> Result<Next> {
        let size = self.input.size();
        let progress = Directory::read(&self.tail, size, &self.limits);
        Ok(match progress.map_err(|error| wrong(self.input.uri(), error))? {
            Progress::Ready(directory) => Next::Opened(directory),
            Progress::NeedsFrom(from) => Next::Needs(from..size - self.tail.len() as u64),
        })
    }

    fn longer(&self, before: &[u8]) -> Bytes {
        let mut longer = BytesMut::with_capacity(before.len() + self.tail.len());
        longer.extend_from_slice(before);
        longer.extend_from_slice(&self.tail);
        longer.freeze()
    }

    fn done(self, directory: Directory) -> Archive {
        Archive(Arc::new(Inner { input: self.input, directory, tail: self.tail, limits: self.limits }))
    }
}

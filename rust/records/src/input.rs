//! An object that is open for reading at any place.
//!
//! All reads of one [`Input`] see one version of the object: of a local file the one that was opened, whatever is
//! renamed over its name; of an object the one whose entity tag the opening request told, and a later one is an error.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use s3dlio_runtime::executor::BoxFuture;
use s3dlio_runtime::fork::ForkLocal;
use s3dlio_runtime::stats::{self, Counter};
use s3dlio_store::local::{Mode, Reader};
use s3dlio_store::observe::{self, Verb};
use s3dlio_store::ops::{self, GetOptions, Tail};
use s3dlio_store::registry::{self, Backend};
use s3dlio_store::work::Step;
use s3dlio_store::{Result, StoreError, Uri, Work};

use crate::coalesce::{Group, groups};

/// Bytes between two ranges that are read along: at 100 MB/s they take 0.7 ms, less than the round trip they save.
const GAP: u64 = 64 << 10;

/// The same for local files, where a read costs what copying so much does.
const LOCAL_GAP: u64 = 1 << 10;

/// Bytes of ranges that are read together: beyond it a second request at the same time brings more than it costs.
const GROUP: u64 = 8 << 20;

/// Bytes of local ranges that share one allocation; a record that is kept keeps at most so much memory.
const ARENA: u64 = 1 << 20;

/// Local ranges from this size on have memory of their own, which is used again: for so much of it that costs less than
/// new pages would, and a record that is kept keeps nothing else.
const ALONE: u64 = 64 << 10;

/// Requests of one call in flight.
const IN_FLIGHT: usize = 32;

/// Local reads above this (some 20 ms) leave the calling thread.
const LARGE: u64 = 64 << 20;

/// An object opened for reads at any place; clones share it.
///
/// It may be used in a forked child: a local file is only read at given offsets, and the client of a network store is
/// made anew on the thread that makes the first call there.
#[derive(Clone)]
pub struct Input(Arc<Inner>);

struct Inner {
    uri: Uri,
    size: u64,
    kind: Kind,
}

enum Kind {
    Local(Reader<'static>),
    Network { store: ForkLocal<Backend>, version: Option<String> },
}

impl Input {
    /// Opens an object: one look at its metadata, which for a network store is one request.
    ///
    /// # Errors
    /// At once: a URI or settings that cannot work. From the work: [`StoreError::NotFound`],
    /// [`StoreError::Unsupported`] for a directory, and what else [`StoreError`] lists.
    pub fn open(uri: &Uri) -> Result<Work<Self>> {
        let backend = registry::open(uri)?;
        let uri = uri.clone();
        match backend {
            Backend::Local(mode) => Ok(Work::here(move || open_file(uri, mode))),
            Backend::Object(_) => {
                Ok(ops::stat(&uri)?.map(move |stat| Self::object(uri, backend, stat.size, stat.etag)))
            }
        }
    }

    /// Opens an object that a listing has told about, without a request of its own; on any thread. Of a local file size
    /// and tag are those that it has by now.
    ///
    /// # Errors
    /// Of a local file as [`open`](Self::open).
    pub fn listed(uri: Uri, backend: Backend, size: u64, etag: Option<String>) -> Result<Self> {
        match backend {
            Backend::Local(mode) => open_file(uri, mode),
            Backend::Object(_) => Ok(Self::object(uri, backend, size, etag)),
        }
    }

    fn object(uri: Uri, backend: Backend, size: u64, etag: Option<String>) -> Self {
        // A weak tag never matches in a condition.
        let version = etag.filter(|tag| !tag.starts_with("W/"));
        let store = ForkLocal::new();
        store.get_or_init(|| backend);
        Self(Arc::new(Inner { uri, size, kind: Kind::Network { store, version } }))
    }

    /// Opens a local file on this thread.
    pub(crate) fn open_now(uri: Uri, mode: Mode) -> Result<Self> {
        open_file(uri, mode)
    }

    /// Opens an object by reading its last `length` bytes (all, if it has fewer), which of a network store is one
    /// request where that knows such ranges.
    pub(crate) async fn open_tail(uri: Uri, backend: Backend, length: u64) -> Result<(Self, Bytes)> {
        let Tail { bytes, size, version } = match &backend {
            Backend::Object(store) => ops::fetch_tail(store, &uri, length).await?,
            Backend::Local(mode) => {
                let input = open_file(uri, *mode)?;
                let tail = input.read_now(input.size().saturating_sub(length)..input.size())?;
                return Ok((input, tail));
            }
        };
        Ok((Self::object(uri, backend, size, version), bytes))
    }

    /// The object.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.0.uri
    }

    /// Bytes of the object when it was opened.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.0.size
    }

    /// The entity tag that every read of an object is tied to, where its store told one.
    pub(crate) fn version(&self) -> Option<&str> {
        match &self.0.kind {
            Kind::Local(_) => None,
            Kind::Network { version, .. } => version.as_deref(),
        }
    }

    /// Whether reads are those of a local file.
    #[must_use]
    pub fn is_local(&self) -> bool {
        matches!(self.0.kind, Kind::Local(_))
    }

    /// Makes sure that this process has a client for the object. Call it on the calling thread before work that reads
    /// on other threads: making a client reads the environment. The reading methods do so themselves.
    ///
    /// # Errors
    /// Settings that cannot work; [`StoreError::Forked`] for `memory://` in a forked child.
    pub fn connect(&self) -> Result<()> {
        if let Kind::Network { store, .. } = &self.0.kind
            && store.get().is_none()
        {
            let backend = registry::open(&self.0.uri)?;
            store.get_or_init(|| backend);
        }
        Ok(())
    }

    /// The bytes of `range`, all of them.
    ///
    /// # Errors
    /// At once: a range outside the object ([`StoreError::Corrupt`], as formats only ask for bytes that a file says it
    /// has), and those of [`connect`](Self::connect). From the work: [`StoreError::Precondition`] when the object was
    /// replaced meanwhile, [`StoreError::Corrupt`] when fewer bytes came, and what else [`StoreError`] lists.
    pub fn read(&self, range: Range<u64>) -> Result<Work<Bytes>> {
        self.check(&range)?;
        if self.is_local() {
            let input = self.clone();
            let large = range.end - range.start > LARGE;
            let job = move || input.read_now(range);
            return Ok(if large { Work::pool(job) } else { Work::here(job) });
        }
        self.connect()?;
        let input = self.clone();
        Ok(Work::request(async move { input.fetch(range).await }))
    }

    /// The bytes of many ranges, in their order. Neighbours are read together, also with a small gap between them, and
    /// several requests are in flight; results may share memory.
    ///
    /// # Errors
    /// As [`read`](Self::read); the first failure ends the whole call.
    pub fn read_many(&self, ranges: Vec<Range<u64>>) -> Result<Work<Vec<Bytes>>> {
        ranges.iter().try_for_each(|range| self.check(range).map(|_| ()))?;
        if self.is_local() {
            let input = self.clone();
            let large = ranges.iter().map(|range| range.end - range.start).sum::<u64>() > LARGE;
            let job = move || input.read_many_now(&ranges);
            return Ok(if large { Work::pool(job) } else { Work::here(job) });
        }
        self.connect()?;
        let input = self.clone();
        Ok(Work::network(async move { input.fetch_many(ranges).await }))
    }

    /// The bytes of `range` of a local file, on this thread.
    ///
    /// # Errors
    /// As [`read`](Self::read); [`StoreError::Unsupported`] for an object of a network store.
    pub fn read_now(&self, range: Range<u64>) -> Result<Bytes> {
        let length = self.check(&range)?;
        self.local(range.start, length, |reader| reader.read(range.start, Some(length)), |bytes| bytes.len())
    }

    /// Fills `memory` with the bytes from `offset` on of a local file, on this thread.
    ///
    /// # Errors
    /// As [`read_now`](Self::read_now).
    pub fn read_into_now(&self, offset: u64, memory: &mut [u8]) -> Result<()> {
        let length = self.check(&(offset..offset.saturating_add(memory.len() as u64)))?;
        self.local(offset, length, |reader| reader.read_into(offset, memory), |&read| read).map(|_| ())
    }

    /// As [`read_many`](Self::read_many), of a local file and on this thread.
    ///
    /// # Errors
    /// As [`read_now`](Self::read_now).
    pub fn read_many_now(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        ranges.iter().try_for_each(|range| self.check(range).map(|_| ()))?;
        let mut results = vec![Bytes::new(); ranges.len()];
        let groups = groups(ranges, LOCAL_GAP, ARENA);
        let mut rest = groups.as_slice();
        while let Some(first) = rest.first() {
            let length = |group: &Group| group.span.end - group.span.start;
            let mut total = length(first);
            let mut count = 1;
            for group in rest[1..].iter().take_while(|group| length(first) < ALONE && length(group) < ALONE) {
                total += length(group);
                if total > ARENA {
                    break;
                }
                count += 1;
            }
            let (together, later) = rest.split_at(count);
            self.read_arena(together, &mut results)?;
            rest = later;
        }
        Ok(results)
    }

    fn read_arena(&self, groups: &[Group], results: &mut [Bytes]) -> Result<()> {
        if let [group] = groups {
            let bytes = self.read_now(group.span.clone())?;
            share(results, &bytes, group, group.span.start);
            return Ok(());
        }
        let length = |group: &Group| group.span.end - group.span.start;
        let total = groups.iter().map(length).sum::<u64>();
        let mut arena = Vec::with_capacity(usize::try_from(total).unwrap_or(usize::MAX));
        for group in groups {
            let want = length(group);
            let append = |reader: &Reader<'static>| {
                let before = arena.len();
                reader.append(group.span.start, usize::try_from(want).unwrap_or(usize::MAX), &mut arena)?;
                Ok(arena.len() - before)
            };
            self.local(group.span.start, want, append, |&read| read)?;
        }
        let arena = Bytes::from(arena);
        let mut at = 0;
        for group in groups {
            let next = at + usize::try_from(length(group)).unwrap_or(usize::MAX);
            share(results, &arena.slice(at..next), group, group.span.start);
            at = next;
        }
        Ok(())
    }

    /// One observed read of a local file, which has to bring `expected` bytes.
    fn local<T>(
        &self,
        offset: u64,
        expected: u64,
        read: impl FnOnce(&Reader<'static>) -> Result<T>,
        length: impl FnOnce(&T) -> usize,
    ) -> Result<T> {
        let Kind::Local(reader) = &self.0.kind else {
            let detail = "is no local file, which alone is read on the calling thread".into();
            return Err(StoreError::Unsupported { uri: self.0.uri.to_string(), detail });
        };
        let span = observe::begin(Verb::GetRange, &self.0.uri);
        let result = read(reader).map_err(|error| self.short(offset, expected, error));
        let result = result.and_then(|value| match length(&value) as u64 {
            found if found == expected => Ok(value),
            found => Err(self.missing(offset, expected, found)),
        });
        let bytes = if result.is_ok() { expected } else { 0 };
        stats::add(Counter::GetRequests, 1);
        stats::add(Counter::GetBytes, bytes);
        span.end(bytes, &result);
        result
    }

    /// As [`read_many`](Self::read_many), inside of other work: the input must have been [connected](Self::connect). Of a
    /// local file it waits for nothing.
    pub(crate) async fn fetch_many(&self, ranges: Vec<Range<u64>>) -> Result<Vec<Bytes>> {
        if self.is_local() {
            return self.read_many_now(&ranges);
        }
        ranges.iter().try_for_each(|range| self.check(range).map(|_| ()))?;
        let mut results = vec![Bytes::new(); ranges.len()];
        let fetched = ops::each(groups(&ranges, GAP, GROUP), IN_FLIGHT, |group| {
            let input = self.clone();
            async move { input.fetch(group.span.clone()).await.map(|bytes| (bytes, group)) }
        });
        for (bytes, group) in fetched.await? {
            share(&mut results, &bytes, &group, group.span.start);
        }
        Ok(results)
    }

    /// As [`read`](Self::read), inside of other work: one request (several for a very long range), and the input must have
    /// been [connected](Self::connect). Of a local file it waits for nothing.
    pub(crate) async fn fetch(&self, range: Range<u64>) -> Result<Bytes> {
        let expected = range.end - range.start;
        if expected == 0 {
            return Ok(Bytes::new());
        }
        let Kind::Network { store, version } = &self.0.kind else { return self.read_now(range) };
        let Some(Backend::Object(store)) = store.get() else {
            let detail = "the input was not opened in this process".into();
            return Err(StoreError::Forked { uri: self.0.uri.to_string(), detail });
        };
        let options = GetOptions {
            offset: range.start,
            length: Some(expected),
            size: Some(self.0.size),
            ..GetOptions::default()
        };
        let bytes = ops::fetch_version(store, &self.0.uri, options, version.clone()).await;
        let bytes = bytes.map_err(|error| self.short(range.start, expected, error))?;
        if bytes.len() as u64 == expected {
            return Ok(bytes);
        }
        Err(self.missing(range.start, expected, bytes.len() as u64))
    }

    /// The length of a range that lies inside the object.
    fn check(&self, range: &Range<u64>) -> Result<u64> {
        match range.end.checked_sub(range.start) {
            Some(length) if range.end <= self.0.size => Ok(length),
            length => {
                let found = self.0.size.saturating_sub(range.start);
                Err(self.missing(range.start, length.unwrap_or(0), found))
            }
        }
    }

    fn short(&self, offset: u64, expected: u64, error: StoreError) -> StoreError {
        let uri = || self.0.uri.to_string();
        match error {
            StoreError::Length { found, .. } => self.missing(offset, expected, found),
            StoreError::Precondition { detail, .. } => {
                let detail = format!("the object was replaced after it was opened: {detail}");
                StoreError::Precondition { uri: uri(), detail }
            }
            other => other,
        }
    }

    fn missing(&self, offset: u64, expected: u64, found: u64) -> StoreError {
        let size = self.0.size;
        let detail = format!("at byte {offset} of {size}: found {found} bytes, expected {expected}");
        StoreError::Corrupt { uri: self.0.uri.to_string(), detail }
    }
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Input")
            .field("uri", &self.0.uri.to_string())
            .field("size", &self.0.size)
            .finish_non_exhaustive()
    }
}

fn open_file(uri: Uri, mode: Mode) -> Result<Input> {
    let span = observe::begin(Verb::Head, &uri);
    stats::add(Counter::HeadRequests, 1);
    let result = Reader::open(uri.key.clone(), mode);
    span.end(0, &result);
    let reader = result?;
    let size = reader.wanted(0, None);
    Ok(Input(Arc::new(Inner { uri, size, kind: Kind::Local(reader) })))
}

/// Gives each member of a group its part of what was read from `start` on.
fn share(results: &mut [Bytes], bytes: &Bytes, group: &Group, start: u64) {
    let at = |offset: u64| usize::try_from(offset - start).unwrap_or(usize::MAX);
    for (number, range) in &group.members {
        results[*number] = bytes.slice(at(range.start)..at(range.end));
    }
}

/// Work that waits for nothing where `local`, up to where it finds that it has to: that part then runs on the calling
/// thread.
pub(crate) fn work<T: Send + 'static>(
    local: bool,
    future: impl Future<Output = Result<T>> + Send + 'static,
) -> Work<T> {
    if local { Work::stepped(move || begin(future)) } else { Work::network(future) }
}

/// Work that goes on with `then` on the outcome of `first`.
pub(crate) fn after<T, U, F>(first: Work<T>, then: impl FnOnce(T) -> F + Send + 'static) -> Work<U>
where
    T: Send + 'static,
    U: Send + 'static,
    F: Future<Output = Result<U>> + Send + 'static,
{
    match first {
        Work::Request(first) => Work::request(async move { then(first.await?).await }),
        Work::Network(first) => Work::network(async move { then(first.await?).await }),
        Work::Here(job) => Work::stepped(move || match job()? {
            Step::Done(value) => begin(then(value)),
            Step::Later(rest) => Ok(Step::Later(Box::pin(async move { then(rest.await?).await }))),
        }),
    }
}

/// Polls a future once: all that a future needs that waits for nothing.
fn begin<T: Send + 'static>(future: impl Future<Output = Result<T>> + Send + 'static) -> Result<Step<T>> {
    let mut future: BoxFuture<Result<T>> = Box::pin(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result.map(Step::Done),
        Poll::Pending => Ok(Step::Later(future)),
    }
}

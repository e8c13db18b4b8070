//! The range engine: an object or a part of it from a network store, in one buffer or in memory that the caller lends.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use object_store::{GetRange, GetResult, ObjectStore};
use s3dlio_runtime::executor::BoxFuture;
use s3dlio_runtime::stats::{self, Counter};

use super::get::GetOptions;
use crate::buffer::{HUGE, Lent};
use crate::error::{Result, StoreError};
use crate::observe::{self, Span, Verb};
use crate::region::Region;
use crate::work::Task;
use crate::{Uri, size_cache};

/// Fetches from a network store; large objects as parallel ranges straight into one buffer.
///
/// The first answer tells the size, so no separate request asks for it. Later ranges carry the first one's entity
/// tag: an object that is replaced meanwhile is an error and never a mixture.
///
/// # Errors
/// What [`StoreError`] lists; [`StoreError::Length`] for a body that is shorter than announced.
pub async fn fetch(store: &Arc<dyn ObjectStore>, uri: &Uri, options: GetOptions) -> Result<Bytes> {
    fetch_version(store, uri, options, None).await
}

/// As [`fetch`], of the version with this entity tag and no other.
///
/// # Errors
/// As [`fetch`]; [`StoreError::Precondition`] when the object is another one by now.
pub async fn fetch_version(
    store: &Arc<dyn ObjectStore>,
    uri: &Uri,
    options: GetOptions,
    version: Option<String>,
) -> Result<Bytes> {
    let mut span = observe::begin(options.verb(), uri);
    let result = fetch_whole(store, uri, options, version, &mut span).await;
    span.end(result.as_ref().map_or(0, |bytes| bytes.len() as u64), &result);
    result
}

async fn fetch_whole(
    store: &Arc<dyn ObjectStore>,
    uri: &Uri,
    options: GetOptions,
    version: Option<String>,
    span: &mut Span,
) -> Result<Bytes> {
    let mut pooled = None;
    let allocate = |length| {
        if length < HUGE {
            return Ok(Body::Small(BytesMut::with_capacity(length)));
        }
        let memory = Lent::new(length).map_err(|source| StoreError::io(uri.to_string(), &source))?;
        let memory = Arc::clone(pooled.insert(Arc::new(memory)));
        Ok(Body::Large(Region::of(memory)))
    };
    let parts = fetch_ranges(store, uri, options, version, allocate, span).await?;
    let mut whole = BytesMut::new();
    let mut filled = 0;
    for part in parts {
        filled += part.filled();
        if let Body::Small(part) = part {
            // The parts are neighbours in one allocation, so this only moves pointers.
            whole.unsplit(part);
        }
    }
    let Some(memory) = pooled else { return Ok(whole.freeze()) };
    // All parts came back, and nobody else had the memory.
    let memory = Arc::into_inner(memory).ok_or_else(|| StoreError::Store {
        uri: uri.to_string(),
        detail: "its memory is still lent after all of it came".into(),
    })?;
    Ok(memory.freeze(filled))
}

/// As [`fetch`], into memory that the caller lends; how many bytes that were.
///
/// # Errors
/// As [`fetch`]; [`StoreError::Config`] when there is more than the memory takes.
pub async fn fetch_into(store: &Arc<dyn ObjectStore>, uri: &Uri, options: GetOptions, memory: Region) -> Result<u64> {
    let mut span = observe::begin(options.verb(), uri);
    let room = memory.len();
    let lend = |length| fits(uri, room, length).map(|()| memory);
    let result = fetch_ranges(store, uri, options, None, lend, &mut span).await;
    let result = result.map(|parts| parts.iter().map(|part| part.filled() as u64).sum());
    span.end(*result.as_ref().unwrap_or(&0), &result);
    result
}

/// Makes sure that lent memory of `room` bytes takes what is wanted.
pub(super) fn fits(uri: &Uri, room: usize, wanted: usize) -> Result<()> {
    if wanted <= room {
        return Ok(());
    }
    Err(StoreError::Config {
        option: "buffer".into(),
        found: format!("{room} bytes"),
        expected: format!("at least the {wanted} bytes of {uri}"),
    })
}

/// `make` gets the number of bytes and makes the memory for them; the parts of it are returned in order.
async fn fetch_ranges<S: Sink>(
    store: &Arc<dyn ObjectStore>,
    uri: &Uri,
    options: GetOptions,
    version: Option<String>,
    make: impl FnOnce(usize) -> Result<S>,
    span: &mut Span,
) -> Result<Vec<S>> {
    if uri.is_directory() {
        let detail = "is a directory: name an object, or list the directory".into();
        return Err(StoreError::Unsupported { uri: uri.to_string(), detail });
    }
    let target = Target { store: Arc::clone(store), uri: uri.clone(), path: uri.object_path()? };
    let part = options.part_size.max(1);
    let limit = options.length.unwrap_or(u64::MAX);
    if limit == 0 || options.size.is_some_and(|size| options.offset >= size && size > 0) {
        return Ok(Vec::new());
    }
    // What the cache remembers may have changed since, so it only decides how to ask.
    let size = options.size.or_else(|| size_cache::get(store, uri));
    let known = size.map_or(limit, |size| size.saturating_sub(options.offset).min(limit));
    // Bytes that are asked for and not read cost their transfer and then the connection, so the first request for what
    // is known to be large is for one part; a plain GET serves all others.
    let stepped = (options.length.is_some() || size.is_some()) && known > part.saturating_mul(2);
    let ranged = options.offset > 0 || options.length.is_some() || stepped;
    let bounded = |length| GetRange::Bounded(options.offset..options.offset.saturating_add(length));
    let first = ranged.then(|| match options.length {
        _ if stepped => bounded(part),
        Some(length) => bounded(length),
        None => GetRange::Offset(options.offset),
    });
    let answer = match target.request(first, version).await {
        Err(error) if ranged => return target.past_the_end(options.offset, error).await.map(|()| Vec::new()),
        answer => answer?,
    };
    span.first_byte();
    if options.size.is_none() && answer.meta.size > part.saturating_mul(2) {
        size_cache::put(store, uri, answer.meta.size);
    }
    let end = options.offset.saturating_add(limit).min(answer.meta.size);
    let body = options.offset..end.max(options.offset);
    // One part up to twice the part size: a second request for a small tail costs more than it saves.
    let whole = !stepped && body.end - body.start <= part.saturating_mul(2);
    let memory = make(usize::try_from(body.end - body.start).unwrap_or(usize::MAX))?;
    let assembly = Assembly::new(&body, if whole { u64::MAX } else { part }, memory);
    // A weak tag never matches in a condition.
    let etag = answer.meta.e_tag.clone().filter(|tag| !tag.starts_with("W/"));
    assembly.fetch(&target, answer, etag, options.max_parts.max(1)).await
}

/// One object of one store.
#[derive(Clone)]
struct Target {
    store: Arc<dyn ObjectStore>,
    uri: Uri,
    path: object_store::path::Path,
}

impl Target {
    async fn request(&self, range: Option<GetRange>, if_match: Option<String>) -> Result<GetResult> {
        stats::add(Counter::GetRequests, 1);
        let options = object_store::GetOptions { range, if_match, ..Default::default() };
        let answer = self.store.get_opts(&self.path, options).await;
        answer.map_err(|source| StoreError::object(self.uri.to_string(), source))
    }

    /// Servers refuse a range that begins behind the end (HTTP 416; the store in memory says so in words); ours is a
    /// documented empty result, so ask for the size.
    async fn past_the_end(&self, offset: u64, error: StoreError) -> Result<()> {
        if !about_the_range(&error) {
            return Err(error);
        }
        stats::add(Counter::HeadRequests, 1);
        let head = object_store::GetOptions { head: true, ..Default::default() };
        match self.store.get_opts(&self.path, head).await {
            Ok(answer) if answer.meta.size <= offset => Ok(()),
            _ => Err(error),
        }
    }

    async fn tail_by_size(&self, length: u64) -> Result<Tail> {
        stats::add(Counter::HeadRequests, 1);
        let head = object_store::GetOptions { head: true, ..Default::default() };
        let answer = self.store.get_opts(&self.path, head).await;
        let meta = answer.map_err(|source| StoreError::object(self.uri.to_string(), source))?.meta;
        let version = meta.e_tag.filter(|tag| !tag.starts_with("W/"));
        let range = meta.size.saturating_sub(length)..meta.size;
        let mut bytes = BytesMut::new();
        if !range.is_empty() {
            bytes.reserve(usize::try_from(range.end - range.start).unwrap_or(usize::MAX));
            bytes = self.part(range, version.clone(), bytes).await?;
        }
        Ok(Tail { bytes: bytes.freeze(), size: meta.size, version })
    }

    async fn part<S: Sink>(&self, range: Range<u64>, etag: Option<String>, buffer: S) -> Result<S> {
        let answer = self.request(Some(GetRange::Bounded(range.clone())), etag).await?;
        receive(&self.uri, answer, buffer, range.end - range.start).await
    }
}

/// Whether a server refused, or did not understand, the range that it was asked for.
fn about_the_range(error: &StoreError) -> bool {
    let about = |detail: &str| detail.contains("416") || detail.to_ascii_lowercase().contains("range");
    matches!(error, StoreError::Store { detail, .. } if about(detail))
}

/// The end of an object, and what the answer to that request says of all of it.
#[derive(Debug, Clone)]
pub struct Tail {
    /// The last bytes.
    pub bytes: Bytes,
    /// Bytes of the object.
    pub size: u64,
    /// Its entity tag, where it can stand in a condition.
    pub version: Option<String>,
}

/// Fetches the last `length` bytes of an object (all of it, if it has fewer) by one request.
///
/// Stores that know no such range (Azure's), and servers that answer it with something else, are asked for the size
/// first.
///
/// # Errors
/// As [`fetch`]; [`StoreError::Precondition`] when the object is replaced between two requests.
pub async fn fetch_tail(store: &Arc<dyn ObjectStore>, uri: &Uri, length: u64) -> Result<Tail> {
    let mut span = observe::begin(Verb::GetRange, uri);
    let result = tail(store, uri, length, &mut span).await;
    span.end(result.as_ref().map_or(0, |tail| tail.bytes.len() as u64), &result);
    result
}

async fn tail(store: &Arc<dyn ObjectStore>, uri: &Uri, length: u64, span: &mut Span) -> Result<Tail> {
    if uri.is_directory() {
        let detail = "is a directory: name an object, or list the directory".into();
        return Err(StoreError::Unsupported { uri: uri.to_string(), detail });
    }
    let target = Target { store: Arc::clone(store), uri: uri.clone(), path: uri.object_path()? };
    let answer = match target.request(Some(GetRange::Suffix(length)), None).await {
        Err(error @ (StoreError::Unsupported { .. } | StoreError::Store { .. })) => {
            if !about_the_range(&error) && !matches!(error, StoreError::Unsupported { .. }) {
                return Err(error);
            }
            return target.tail_by_size(length).await;
        }
        answer => answer?,
    };
    span.first_byte();
    let size = answer.meta.size;
    let want = size - size.saturating_sub(length);
    // A weak tag never matches in a condition.
    let version = answer.meta.e_tag.clone().filter(|tag| !tag.starts_with("W/"));
    if answer.range != (size - want..size) {
        let detail = format!("asked for its last {length} bytes, it answered with bytes {:?} of {size}", answer.range);
        return Err(StoreError::Corrupt { uri: uri.to_string(), detail });
    }
    let buffer = BytesMut::with_capacity(usize::try_from(want).unwrap_or(usize::MAX));
    Ok(Tail { bytes: receive(uri, answer, buffer, want).await?.freeze(), size, version })
}

/// Reads `want` bytes of a body into `buffer`, which has room for just those.
async fn receive<S: Sink>(uri: &Uri, answer: GetResult, mut buffer: S, want: u64) -> Result<S> {
    let want_len = usize::try_from(want).unwrap_or(usize::MAX);
    let mut body = answer.into_stream();
    while buffer.filled() < want_len {
        let Some(chunk) = body.next().await else {
            return Err(StoreError::Length { uri: uri.to_string(), found: buffer.filled() as u64, expected: want });
        };
        let chunk = chunk.map_err(|source| StoreError::object(uri.to_string(), source))?;
        let take = chunk.len().min(want_len - buffer.filled());
        buffer.append(&chunk[..take]);
    }
    stats::add(Counter::GetBytes, want);
    Ok(buffer)
}

/// Memory that a body is received into, in disjoint parts.
trait Sink: Send + Sized + 'static {
    /// Bytes received so far.
    fn filled(&self) -> usize;
    /// Takes the next bytes.
    fn append(&mut self, bytes: &[u8]);
    /// Cuts off what lies behind `at`.
    fn split_off(&mut self, at: usize) -> Self;
}

impl Sink for BytesMut {
    fn filled(&self) -> usize {
        self.len()
    }

    fn append(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    fn split_off(&mut self, at: usize) -> Self {
        Self::split_off(self, at)
    }
}

impl Sink for Region {
    fn filled(&self) -> usize {
        Self::filled(self)
    }

    fn append(&mut self, bytes: &[u8]) {
        Self::append(self, bytes);
    }

    fn split_off(&mut self, at: usize) -> Self {
        Self::split_off(self, at)
    }
}

/// Memory of this process: large memory comes from the pool, as touching fresh pages costs more than receiving into them.
enum Body {
    Small(BytesMut),
    Large(Region),
}

impl Sink for Body {
    fn filled(&self) -> usize {
        match self {
            Self::Small(memory) => memory.filled(),
            Self::Large(memory) => memory.filled(),
        }
    }

    fn append(&mut self, bytes: &[u8]) {
        match self {
            Self::Small(memory) => memory.append(bytes),
            Self::Large(memory) => memory.append(bytes),
        }
    }

    fn split_off(&mut self, at: usize) -> Self {
        match self {
            Self::Small(memory) => Self::Small(memory.split_off(at)),
            Self::Large(memory) => Self::Large(memory.split_off(at)),
        }
    }
}

/// The memory of a body, cut into the parts that are fetched.
struct Assembly<S> {
    parts: Vec<(Range<u64>, S)>,
}

impl<S: Sink> Assembly<S> {
    fn new(body: &Range<u64>, step: u64, mut rest: S) -> Self {
        let mut parts = Vec::new();
        let mut start = body.start;
        while body.end - start > step {
            let tail = rest.split_off(usize::try_from(step).unwrap_or(usize::MAX));
            parts.push((start..start + step, rest));
            rest = tail;
            start += step;
        }
        parts.push((start..body.end, rest));
        Self { parts }
    }

    async fn fetch(self, target: &Target, first: GetResult, etag: Option<String>, in_flight: usize) -> Result<Vec<S>> {
        let mut waiting = self.parts.into_iter().enumerate();
        let Some((_, (range, buffer))) = waiting.next() else { return Ok(Vec::new()) };
        let want = range.end - range.start;
        if waiting.len() == 0 {
            return Ok(vec![receive(&target.uri, first, buffer, want).await?]);
        }
        let mut done: Vec<Option<S>> = (0..=waiting.len()).map(|_| None).collect();
        let mut running: FuturesUnordered<BoxFuture<Result<(usize, S)>>> = FuturesUnordered::new();
        let uri = target.uri.clone();
        // Here, and not in a task: its connection may belong to the lane of the caller.
        running.push(async move { Ok((0, receive(&uri, first, buffer, want).await?)) }.boxed());
        loop {
            while running.len() < in_flight {
                let Some((number, (range, buffer))) = waiting.next() else { break };
                let (target, etag) = (target.clone(), etag.clone());
                let part = Task::spawn(async move { target.part(range, etag, buffer).await })?;
                running.push(async move { Ok((number, part.result().await?)) }.boxed());
            }
            let Some(finished) = running.next().await else { break };
            let (number, part) = finished?;
            done[number] = Some(part);
        }
        Ok(done.into_iter().flatten().collect())
    }
}

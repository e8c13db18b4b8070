//! Reading several files in turn, each ahead of the caller.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::{StreamExt, TryStreamExt, stream};
use s3dlio_formats::riegeli::Records;
use s3dlio_runtime::fork;
use s3dlio_store::{Uri, Work};
use tokio::sync::Mutex;

use super::options::ReaderOptions;
use super::reader::{busy, count_all, inherited};
use super::source::Limits;
use super::stream::{Common, Place, Stream};
use crate::array_record::Next;
use crate::error::{RecordError, Result};
use crate::input::{Input, work};
use crate::jobs::{self, Job};

/// Files opened at the same time.
const OPENING: usize = 64;

/// Reads files in turn: `num_shards` are open, and each gives one record. A file at its end is replaced by the next one,
/// which takes its turn behind the others. Clones are the same reader.
///
/// The order is a function of the files and `num_shards` alone. Chunks are decoded ahead on other threads. In a forked
/// child it goes on from where it was.
#[derive(Debug, Clone)]
pub struct ShardedReader(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    uris: Vec<Uri>,
    options: ReaderOptions,
    /// Whether files come in random order, again and again.
    random: bool,
    generation: AtomicU64,
    state: Mutex<Rotation>,
}

/// Where a [`ShardedReader`] is: enough to go on there, in another process too.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// The open files by their numbers, in the order of their turns, and where each of them is.
    pub open: Vec<(usize, Place)>,
    /// The files to come, by their numbers.
    pub rest: Vec<usize>,
}

#[derive(Debug)]
struct Rotation {
    common: Arc<Common>,
    open: Vec<Shard>,
    turn: usize,
    rest: VecDeque<usize>,
    /// The file that comes next, already on its way.
    upcoming: Option<(usize, Job<Input>)>,
    /// The first failure, which is told behind all other records.
    error: Option<RecordError>,
    /// Files that came to an end since the last record.
    barren: usize,
}

#[derive(Debug)]
struct Shard {
    number: usize,
    stream: Stream,
    failed: bool,
}

impl ShardedReader {
    /// Opens the first files; `random` reads the files in random order, and in another one after each pass, without end.
    ///
    /// # Errors
    /// At once: no file, an option that nothing can be read with, a URI or settings that cannot work. From the work: a
    /// file that cannot be opened.
    pub fn open(uris: Vec<Uri>, options: ReaderOptions, random: bool) -> Result<Work<Result<Self>>> {
        let rest = if random { shuffled(uris.len()) } else { (0..uris.len()).collect() };
        Self::resume(uris, options, random, Snapshot { open: Vec::new(), rest })
    }

    /// Opens files where another reader of the same files was.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn resume(
        uris: Vec<Uri>,
        options: ReaderOptions,
        random: bool,
        snapshot: Snapshot,
    ) -> Result<Work<Result<Self>>> {
        options.check()?;
        if uris.is_empty() {
            return Err(RecordError::config("shard_paths", "no path", "at least one"));
        }
        let Snapshot { mut open, mut rest } = snapshot;
        if open.iter().map(|(number, _)| number).chain(&rest).any(|&number| number >= uris.len()) {
            return Err(RecordError::config(
                "state",
                "a file that is not there",
                format!("numbers below {}", uris.len()),
            ));
        }
        let more = options.num_shards.max(1).saturating_sub(open.len()).min(rest.len());
        open.extend(rest.drain(..more).map(|number| (number, Place::default())));
        let mut opening = Vec::with_capacity(open.len());
        for (number, place) in open {
            opening.push((number, place, Input::open(&uris[number])?));
        }
        let common = Common::new(options.worker_threads);
        Ok(Work::network(async move {
            let opening = stream::iter(opening)
                .map(|(number, place, input)| async move { Ok((number, place, input.into_future().await?)) });
            let opened: s3dlio_store::Result<Vec<_>> = opening.buffered(OPENING).try_collect().await;
            let start = |(number, place, input)| Shard::start(number, place, input, &options, &common);
            Ok(opened.map_err(RecordError::from).map(|opened| {
                let open = opened.into_iter().map(start).collect();
                let rest = rest.into();
                let state = Rotation {
                    common: Arc::clone(&common),
                    open,
                    turn: 0,
                    rest,
                    upcoming: None,
                    error: None,
                    barren: 0,
                };
                let generation = AtomicU64::new(fork::generation());
                Self(Arc::new(Inner { uris, options, random, generation, state: Mutex::new(state) }))
            }))
        }))
    }

    /// The files.
    #[must_use]
    pub fn uris(&self) -> &[Uri] {
        &self.0.uris
    }

    /// Where it is.
    ///
    /// # Errors
    /// The failure that is to be told at the end: what failed is not part of it. As
    /// [`Reader::place`](super::Reader::place).
    pub fn snapshot(&self) -> Result<Snapshot> {
        self.revive()?;
        let state = self.0.state.try_lock().map_err(|_| busy(&self.0.uris[0]))?;
        if let Some(error) = &state.error {
            return Err(error.clone());
        }
        let (later, sooner) = state.open.split_at(state.turn);
        let open = sooner.iter().chain(later).map(|shard| (shard.number, shard.stream.place())).collect();
        let upcoming = state.upcoming.iter().map(|(number, _)| *number);
        Ok(Snapshot { open, rest: upcoming.chain(state.rest.iter().copied()).collect() })
    }

    /// Records that are decoded and wait for being read, and the bytes of their chunks; zeros while another thread waits.
    #[must_use]
    pub fn queued(&self) -> (u64, u64) {
        let Ok(state) = self.0.state.try_lock() else { return (0, 0) };
        state.open.iter().fold(state.common.queued(), |(records, bytes), shard| {
            let (more, size) = shard.stream.queued();
            (records + more, bytes + size)
        })
    }

    /// Passes the next record, as its chunk and its number there, to `take`, if it is at hand, and moves on.
    pub fn next_with<T>(&self, take: impl FnOnce(&Records, usize) -> T) -> Next<T> {
        let Ok(mut state) = self.0.state.try_lock() else { return Next::Wait };
        let state = &mut *state;
        let count = state.open.len();
        let Some(shard) = state.open.get_mut(state.turn) else { return Next::Wait };
        let Some((records, number)) = shard.stream.next() else { return Next::Wait };
        let taken = take(records, number);
        shard.stream.advance();
        state.turn = if state.turn + 1 == count { 0 } else { state.turn + 1 };
        state.barren = 0;
        Next::Record(taken)
    }

    /// Waits until the next record is at hand, or a file has to be opened for it; false at the end of the last file.
    ///
    /// # Errors
    /// At once: as [`Reader::fill`](super::Reader::fill). From the work: what was wrong with a file. It comes after the
    /// records of all files; where they are read again and again, after those of the file.
    pub fn fill(&self) -> Result<Work<Result<bool>>> {
        self.revive()?;
        if let Ok(mut state) = self.0.state.try_lock() {
            self.prepare(&mut state)?;
        }
        let reader = self.clone();
        let local = self.0.uris[0].scheme.is_local();
        Ok(work(local, async move { Ok(reader.filled().await) }))
    }

    /// Begins to open the file that comes next. Opening reads the environment, so this is called on the calling thread.
    fn prepare(&self, state: &mut Rotation) -> Result<()> {
        for shard in &state.open {
            shard.stream.input().connect()?;
        }
        if self.0.random && state.rest.is_empty() && state.upcoming.is_none() {
            state.rest = shuffled(self.0.uris.len()).into();
        }
        if state.upcoming.is_none()
            && let Some(number) = state.rest.pop_front()
        {
            let opening = Input::open(&self.0.uris[number]);
            state.upcoming = Some((number, jobs::fetch(async move { opening?.into_future().await })));
        }
        Ok(())
    }

    async fn filled(&self) -> Result<bool> {
        let mut state = self.0.state.lock().await;
        let state = &mut *state;
        loop {
            let turn = state.turn;
            let Some(shard) = state.open.get_mut(turn) else {
                return state.error.clone().map_or(Ok(false), Err);
            };
            let mut failure = None;
            if !shard.failed {
                match shard.stream.fill().await {
                    Ok(true) => return Ok(true),
                    Ok(false) => {}
                    Err(error) => failure = Some(error),
                }
                shard.failed = failure.is_some();
            }
            let end = match failure {
                Some(error) => self.fail(state, error),
                None => Ok(()),
            };
            let (number, opening) = match state.upcoming.take() {
                Some(upcoming) => upcoming,
                None if state.rest.is_empty() && !self.0.random => {
                    state.open.remove(turn);
                    state.turn = if turn == state.open.len() { 0 } else { turn };
                    continue;
                }
                // The caller begins to open it.
                None => return end.map(|()| true),
            };
            state.barren += 1;
            let opened = opening.wait().await;
            let end = match opened {
                Ok(input) => {
                    state.open[turn] = Shard::start(number, Place::default(), input, &self.0.options, &state.common);
                    state.turn = if turn + 1 == state.open.len() { 0 } else { turn + 1 };
                    end
                }
                // What is in its place has ended, so that the next file takes it.
                Err(error) => end.and(self.fail(state, error.into())),
            };
            end?;
            self.check_progress(state)?;
        }
    }

    /// Keeps a failure for the end; where there is none, it is told at once.
    fn fail(&self, state: &mut Rotation, error: RecordError) -> Result<()> {
        if self.0.random {
            return Err(error);
        }
        match &state.error {
            None => state.error = Some(error),
            Some(_) => tracing::error!("{error}"),
        }
        Ok(())
    }

    /// Files without a record can be read for ever, and nothing would come of it.
    fn check_progress(&self, state: &Rotation) -> Result<()> {
        if self.0.random && state.barren > self.0.uris.len() + state.open.len() {
            let found = format!("no record in {} files", self.0.uris.len());
            return Err(RecordError::config("shard_paths", found, "at least one record, as reading has no end"));
        }
        Ok(())
    }

    fn revive(&self) -> s3dlio_store::Result<()> {
        let generation = fork::generation();
        if self.0.generation.load(Ordering::Acquire) != generation {
            let mut state = self.0.state.try_lock().map_err(|_| inherited(&self.0.uris[0]))?;
            let common = Common::new(self.0.options.worker_threads);
            state.open.iter_mut().for_each(|shard| shard.stream.revive(Some(Arc::clone(&common))));
            state.common = common;
            if let Some((number, opening)) = state.upcoming.take() {
                state.rest.push_front(number);
                // Its task belongs to threads that do not exist here.
                std::mem::forget(opening);
            }
            self.0.generation.store(generation, Ordering::Release);
        }
        Ok(())
    }
}

impl Shard {
    fn start(number: usize, place: Place, input: Input, options: &ReaderOptions, common: &Arc<Common>) -> Self {
        let limits = Limits::of(options.queue_bytes / options.num_shards.max(1) as u64);
        let mut stream = Stream::new(input, place, options.on_damage, limits, Some(Arc::clone(common)));
        stream.start();
        Self { number, stream, failed: false }
    }
}

/// Counts the records of files, all of which are checked; `num_shards` files are read at the same time.
///
/// # Errors
/// As [`ShardedReader::open`]; the first failure, after all files are read.
pub fn count_shards(uris: Vec<Uri>, options: ReaderOptions) -> Result<Work<Result<u64>>> {
    options.check()?;
    if uris.is_empty() {
        return Err(RecordError::config("shard_paths", "no path", "at least one"));
    }
    let opening = uris.iter().map(Input::open).collect::<s3dlio_store::Result<Vec<_>>>()?;
    let common = Common::new(options.worker_threads);
    Ok(Work::network(async move {
        let counting = stream::iter(opening.into_iter().enumerate()).map(|(number, opening)| {
            let (options, common) = (&options, &common);
            async move {
                let input = opening.into_future().await?;
                count_all(&mut Shard::start(number, Place::default(), input, options, common).stream).await
            }
        });
        let counting = counting.buffer_unordered(options.num_shards.max(1));
        let add = |total: Result<u64>, one: Result<u64>| async { Ok(total? + one?) };
        Ok(counting.fold(Ok(0), add).await)
    }))
}

/// The numbers below `count` in random order.
fn shuffled(count: usize) -> Vec<usize> {
    let random = RandomState::new();
    let mut order: Vec<(u64, usize)> = (0..count).map(|number| (random.hash_one(number), number)).collect();
    order.sort_unstable();
    order.into_iter().map(|(_, number)| number).collect()
}

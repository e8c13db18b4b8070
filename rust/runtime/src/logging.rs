//! Log events on their way to whoever prints them.
//!
//! Events of the library's threads go into a bounded queue and stay there until a thread of the program takes them:
//! the library's own threads never attach to an interpreter, and never wait for a log.

use std::collections::VecDeque;
use std::fmt::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id};
use tracing::{Dispatch, Event, Level, Metadata};

use crate::fork::ForkLocal;

/// Events that wait at most. The oldest is dropped for a new one: what led to a failure is in the newest.
pub const CAPACITY: usize = 4096;

/// Events of these libraries are kept; others log requests with their headers, and so perhaps secrets.
const TARGETS: [&str; 2] = ["s3dlio", "object_store"];

/// One event.
#[derive(Debug, Clone)]
pub struct Record {
    /// Its level.
    pub level: Level,
    /// The module it came from.
    pub target: String,
    /// Its text, with its fields behind it.
    pub message: String,
    /// The thread that it happened on.
    pub thread: String,
    /// When it happened.
    pub time: SystemTime,
}

/// What waited in the queue.
#[derive(Debug, Default)]
pub struct Drained {
    /// The events, oldest first.
    pub records: Vec<Record>,
    /// Events that were dropped since the last time, because the queue was full.
    pub dropped: u64,
}

#[derive(Default)]
struct Queue {
    records: VecDeque<Record>,
    dropped: u64,
}

/// Another thread of the parent may hold the lock at the moment of a fork.
static QUEUE: ForkLocal<Mutex<Queue>> = ForkLocal::new();
static PENDING: AtomicBool = AtomicBool::new(false);
static LEVEL: AtomicU8 = AtomicU8::new(0);

/// Keeps events of `level` and of the more severe ones from now on; call it as often as the level changes.
///
/// Has no effect in a program that has installed a subscriber of `tracing` itself: that one gets the events then.
pub fn set_level(level: LevelFilter) {
    // Not a `Once`: one that is running at the moment of a fork would block the child.
    static INSTALLED: AtomicBool = AtomicBool::new(false);
    LEVEL.store(number(level), Ordering::Relaxed);
    if !INSTALLED.swap(true, Ordering::AcqRel) {
        // Fails where the program has its own subscriber, as documented.
        drop(tracing::dispatcher::set_global_default(Dispatch::new(Subscriber)));
    }
    tracing::callsite::rebuild_interest_cache();
}

/// Whether events wait: one atomic load.
#[must_use]
pub fn pending() -> bool {
    PENDING.load(Ordering::Relaxed)
}

/// Takes the events that wait.
pub fn drain() -> Drained {
    PENDING.store(false, Ordering::Relaxed);
    let queue = QUEUE.get_or_init(Mutex::default);
    let taken = std::mem::take(&mut *queue.lock().unwrap_or_else(PoisonError::into_inner));
    Drained { records: taken.records.into(), dropped: taken.dropped }
}

fn push(record: Record) {
    let queue = QUEUE.get_or_init(Mutex::default);
    let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
    if queue.records.len() == CAPACITY {
        queue.records.pop_front();
        queue.dropped += 1;
    }
    queue.records.push_back(record);
    drop(queue);
    PENDING.store(true, Ordering::Relaxed);
}

fn number(level: LevelFilter) -> u8 {
    level.into_level().map_or(0, |level| match level {
        Level::ERROR => 1,
        Level::WARN => 2,
        Level::INFO => 3,
        Level::DEBUG => 4,
        Level::TRACE => 5,
    })
}

fn filter(number: u8) -> LevelFilter {
    match number {
        0 => LevelFilter::OFF,
        1 => LevelFilter::ERROR,
        2 => LevelFilter::WARN,
        3 => LevelFilter::INFO,
        4 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    }
}

/// Puts events into the queue; spans are of no use to it.
struct Subscriber;

impl tracing::Subscriber for Subscriber {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let known = TARGETS.iter().any(|target| metadata.target().starts_with(target));
        !metadata.is_span() && known && *metadata.level() <= filter(LEVEL.load(Ordering::Relaxed))
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(filter(LEVEL.load(Ordering::Relaxed)))
    }

    fn event(&self, event: &Event<'_>) {
        let mut text = Text::default();
        event.record(&mut text);
        push(Record {
            level: *event.metadata().level(),
            target: event.metadata().target().to_owned(),
            message: redact(&(text.message + &text.fields)),
            thread: std::thread::current().name().unwrap_or_default().to_owned(),
            time: SystemTime::now(),
        });
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        // No span is enabled, so nobody asks for one.
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string cannot fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

/// What stands before a secret in URLs, connection strings and headers; in lower case.
const SECRETS: [&str; 11] = [
    "x-amz-signature=",
    "x-amz-credential=",
    "x-amz-security-token=",
    "signature=",
    "sig=",
    "accountkey=",
    "access_token=",
    "client_secret=",
    "token=",
    "authorization: ",
    "bearer ",
];

/// `text` with three asterisks in place of every secret that can be told by what stands before it.
#[must_use]
pub fn redact(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let mut clean = String::with_capacity(text.len());
    let mut at = 0;
    while let Some((start, end)) = secret(&lower, at) {
        clean.push_str(&text[at..start]);
        clean.push_str("***");
        at = end;
    }
    clean.push_str(&text[at..]);
    clean
}

/// The first secret behind `from`.
fn secret(lower: &str, from: usize) -> Option<(usize, usize)> {
    let found = SECRETS.iter().filter_map(|mark| lower[from..].find(mark).map(|at| from + at + mark.len()));
    let start = found.min()?;
    let whole_line = lower[..start].ends_with("authorization: ");
    let ends = |c: char| if whole_line { c == '\n' } else { c.is_whitespace() || "&;\"',)}".contains(c) };
    let end = lower[start..].find(ends).map_or(lower.len(), |length| start + length);
    Some((start, end))
}

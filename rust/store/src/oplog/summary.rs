//! What an operation log tells: latencies by verb, throughput over time, errors.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use chrono::{DateTime, SecondsFormat};
use serde::Serialize;

use super::{HEADER, failed, place};
use crate::error::{Result, StoreError};

/// Points of the throughput at most; the interval doubles until they suffice.
const POINTS: u64 = 200;

/// The shortest interval of the throughput in nanoseconds: 0.1 s.
const SHORTEST: u64 = 100_000_000;

/// Different errors that a summary names at most, the most frequent ones.
const ERRORS: usize = 20;

const NANOS: f64 = 1e9;

/// Summary of one or several logs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Operations.
    pub operations: u64,
    /// Operations that failed.
    pub failed: u64,
    /// Bytes moved.
    pub bytes: u64,
    /// Start of the first operation, RFC 3339; empty without any.
    pub start: String,
    /// End of the last operation, RFC 3339; empty without any.
    pub end: String,
    /// Seconds between the two.
    pub seconds: f64,
    /// Whether every log ends as a finished one does; one of a program that was killed does not.
    pub complete: bool,
    /// Figures by verb.
    pub verbs: BTreeMap<String, VerbSummary>,
    /// Figures by endpoint.
    pub endpoints: BTreeMap<String, EndpointSummary>,
    /// The most frequent errors.
    pub errors: Vec<ErrorSummary>,
    /// Operations and bytes over time.
    pub throughput: Throughput,
}

/// One verb.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct VerbSummary {
    /// Operations.
    pub operations: u64,
    /// Operations that failed.
    pub failed: u64,
    /// Objects that they were about.
    pub objects: u64,
    /// Bytes moved.
    pub bytes: u64,
    /// Seconds from the start of the first to the end of the last.
    pub seconds: f64,
    /// Operations per second of that time.
    pub operations_per_second: f64,
    /// Bytes per second of that time.
    pub bytes_per_second: f64,
    /// Durations in seconds.
    pub latency: LatencySummary,
    /// Times to the first byte in seconds, where the log has them.
    pub first_byte: Option<LatencySummary>,
}

/// Durations in seconds; quantiles are those of operations in the log, not interpolated.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct LatencySummary {
    /// The shortest.
    pub min: f64,
    /// The mean.
    pub mean: f64,
    /// What half of them do not exceed.
    pub p50: f64,
    /// What nine in ten do not exceed.
    pub p90: f64,
    /// What 99 in a hundred do not exceed.
    pub p99: f64,
    /// The longest.
    pub max: f64,
}

/// One endpoint.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct EndpointSummary {
    /// Operations.
    pub operations: u64,
    /// Operations that failed.
    pub failed: u64,
    /// Bytes moved.
    pub bytes: u64,
}

/// One error.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ErrorSummary {
    /// The verb.
    pub verb: String,
    /// The message, without the name of the object.
    pub error: String,
    /// How often it came.
    pub count: u64,
}

/// Series over time, one for each verb, with one point for each interval from [`Summary::start`] on.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Throughput {
    /// Seconds of an interval.
    pub interval: f64,
    /// Operations that ended in each interval.
    pub operations: BTreeMap<String, Vec<u64>>,
    /// Bytes of each interval; those of an operation are spread evenly over its duration.
    pub bytes: BTreeMap<String, Vec<f64>>,
}

/// Summarises the log at `place`, a path or a `file://` URI.
///
/// # Errors
/// [`StoreError::NotFound`], [`StoreError::PermissionDenied`], [`StoreError::Store`] for a file that cannot be read or is
/// no operation log; the latter names the line.
pub fn summarise(place: &str) -> Result<Summary> {
    summarise_all(&[place])
}

/// Summarises several logs together: those of a program and its forked children.
///
/// # Errors
/// As [`summarise`].
pub fn summarise_all(places: &[&str]) -> Result<Summary> {
    let mut log = Log { complete: true, ..Log::default() };
    for place in places {
        log.read(&place::path(place)?)?;
    }
    Ok(log.summary())
}

/// What the summary needs of a line. Times in nanoseconds since 1970.
struct Operation {
    start: u64,
    took: u64,
    first_byte: Option<u64>,
    bytes: u64,
    objects: u64,
    failed: bool,
}

impl Operation {
    fn end(&self) -> u64 {
        self.start.saturating_add(self.took)
    }
}

#[derive(Default)]
struct Log {
    verbs: BTreeMap<String, Vec<Operation>>,
    endpoints: BTreeMap<String, EndpointSummary>,
    errors: BTreeMap<(String, String), u64>,
    complete: bool,
}

impl Log {
    fn read(&mut self, path: &Path) -> Result<()> {
        let file = File::open(path).map_err(|source| failed(path, &source))?;
        let decoder = zstd::stream::read::Decoder::new(file).map_err(|source| failed(path, &source))?;
        let mut lines = BufReader::with_capacity(1 << 16, decoder);
        let mut line = String::new();
        for number in 1_u64.. {
            line.clear();
            match lines.read_line(&mut line) {
                Ok(0) if number > 1 => break,
                // Of a program that was killed, or that goes on: what is missing had not been flushed.
                Err(source) if source.kind() == std::io::ErrorKind::UnexpectedEof && number > 1 => {
                    self.complete = false;
                    break;
                }
                Err(source) => return Err(failed(path, &source)),
                Ok(_) => {}
            }
            let text = line.trim_end_matches('\n');
            let known = if number == 1 { (text == HEADER).then_some(()) } else { self.line(text) };
            known.ok_or_else(|| StoreError::Store {
                uri: format!("file://{}", path.display()),
                detail: format!("line {number} is not one of an operation log: found {text:?}"),
            })?;
        }
        Ok(())
    }

    fn line(&mut self, line: &str) -> Option<()> {
        let columns: Vec<&str> = line.split('\t').collect();
        let [_, _, verb, _, objects, bytes, endpoint, file, error, start, first_byte, _, took] =
            columns.try_into().ok()?;
        let start = nanos(start)?;
        let operation = Operation {
            start,
            took: took.parse().ok()?,
            first_byte: if first_byte.is_empty() { None } else { Some(nanos(first_byte)?.saturating_sub(start)) },
            bytes: bytes.parse().ok()?,
            objects: objects.parse().ok()?,
            failed: !error.is_empty(),
        };
        let totals = self.endpoints.entry(endpoint.to_owned()).or_default();
        totals.operations += 1;
        totals.bytes += operation.bytes;
        if operation.failed {
            totals.failed += 1;
            // Otherwise a thousand missing objects would be a thousand errors.
            let error = error
                .replace(file, "")
                .trim_start_matches(endpoint_scheme(endpoint))
                .trim_start_matches(": ")
                .to_owned();
            *self.errors.entry((verb.to_owned(), error)).or_default() += 1;
        }
        match self.verbs.get_mut(verb) {
            Some(operations) => operations.push(operation),
            None => drop(self.verbs.insert(verb.to_owned(), vec![operation])),
        }
        Some(())
    }

    fn operations(&self) -> impl Iterator<Item = &Operation> {
        self.verbs.values().flatten()
    }

    fn summary(self) -> Summary {
        let start = self.operations().map(|operation| operation.start).min().unwrap_or_default();
        let end = self.operations().map(Operation::end).max().unwrap_or_default();
        let any = self.operations().next().is_some();
        let throughput = self.throughput(start, end);
        let mut errors: Vec<ErrorSummary> =
            self.errors.into_iter().map(|((verb, error), count)| ErrorSummary { verb, error, count }).collect();
        errors.sort_by_key(|error| std::cmp::Reverse(error.count));
        errors.truncate(ERRORS);
        let verbs: BTreeMap<_, _> =
            self.verbs.into_iter().map(|(verb, operations)| (verb, VerbSummary::of(&operations))).collect();
        Summary {
            operations: verbs.values().map(|verb| verb.operations).sum(),
            failed: verbs.values().map(|verb| verb.failed).sum(),
            bytes: verbs.values().map(|verb| verb.bytes).sum(),
            start: if any { text(start) } else { String::new() },
            end: if any { text(end) } else { String::new() },
            seconds: seconds(end - start),
            complete: self.complete,
            verbs,
            endpoints: self.endpoints,
            errors,
            throughput,
        }
    }

    fn throughput(&self, start: u64, end: u64) -> Throughput {
        let mut interval = SHORTEST;
        while (end - start) / interval >= POINTS {
            interval *= 2;
        }
        let points = ((end - start) / interval + 1) as usize;
        let mut series = Throughput { interval: seconds(interval), ..Throughput::default() };
        for (verb, all) in &self.verbs {
            let mut operations = vec![0; points];
            let mut bytes = vec![0.0; points];
            for operation in all {
                operations[((operation.end() - start) / interval) as usize] += 1;
                spread(&mut bytes, operation, start, interval);
            }
            series.operations.insert(verb.clone(), operations);
            series.bytes.insert(verb.clone(), bytes);
        }
        series
    }
}

/// Adds the bytes of an operation to the intervals that it lasted through.
fn spread(points: &mut [f64], operation: &Operation, origin: u64, interval: u64) {
    let (from, to) = (operation.start - origin, operation.end() - origin);
    let took = operation.took.max(1) as f64;
    for at in from / interval..=to / interval {
        let inside = to.min((at + 1) * interval) - from.max(at * interval);
        let share = if operation.took == 0 { 1.0 } else { inside as f64 / took };
        points[at as usize] += operation.bytes as f64 * share;
    }
}

impl VerbSummary {
    fn of(operations: &[Operation]) -> Self {
        let start = operations.iter().map(|operation| operation.start).min().unwrap_or_default();
        let end = operations.iter().map(Operation::end).max().unwrap_or_default();
        let seconds = seconds(end - start);
        let rate = |amount: u64| if seconds > 0.0 { amount as f64 / seconds } else { 0.0 };
        let (count, bytes) = (operations.len() as u64, operations.iter().map(|operation| operation.bytes).sum());
        Self {
            operations: count,
            failed: operations.iter().filter(|operation| operation.failed).count() as u64,
            objects: operations.iter().map(|operation| operation.objects).sum(),
            bytes,
            seconds,
            operations_per_second: rate(count),
            bytes_per_second: rate(bytes),
            latency: LatencySummary::of(operations.iter().map(|operation| operation.took)).unwrap_or_default(),
            first_byte: LatencySummary::of(operations.iter().filter_map(|operation| operation.first_byte)),
        }
    }
}

impl LatencySummary {
    fn of(times: impl Iterator<Item = u64>) -> Option<Self> {
        let mut times: Vec<u64> = times.collect();
        times.sort_unstable();
        let (&min, &max) = (times.first()?, times.last()?);
        let quantile = |part: f64| {
            let rank = (times.len() as f64 * part).ceil() as usize;
            seconds(times[rank.clamp(1, times.len()) - 1])
        };
        let mean = times.iter().map(|&nanos| nanos as f64).sum::<f64>() / times.len() as f64 / NANOS;
        let (p50, p90, p99) = (quantile(0.5), quantile(0.9), quantile(0.99));
        Some(Self { min: seconds(min), mean, p50, p90, p99, max: seconds(max) })
    }
}

fn endpoint_scheme(endpoint: &str) -> &str {
    endpoint.find("://").map_or(endpoint, |at| &endpoint[..at + 3])
}

fn nanos(time: &str) -> Option<u64> {
    DateTime::parse_from_rfc3339(time).ok()?.timestamp_nanos_opt()?.try_into().ok()
}

fn text(nanos: u64) -> String {
    let at = DateTime::from_timestamp_nanos(nanos.try_into().unwrap_or(i64::MAX));
    at.to_rfc3339_opts(SecondsFormat::Nanos, true)
}

fn seconds(nanos: u64) -> f64 {
    nanos as f64 / NANOS
}

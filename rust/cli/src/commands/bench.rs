//! `bench`: the throughput of a store.

use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::{Args, ValueEnum};
use futures::StreamExt;
use indicatif::BinaryBytes;
use s3dlio_runtime::executor;
use s3dlio_store::local::Create;
use s3dlio_store::ops::{self, GetOptions, ListOptions};
use s3dlio_store::{StoreError, Uri, Work};
use serde_json::{Value, json};
use tokio_util::task::AbortOnDropHandle;

use crate::exit::Failure;
use crate::session::Session;

/// What is measured.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Direction {
    /// Read every object below the URI
    Get,
    /// Write objects below the URI, and remove them afterwards
    Put,
}

/// Arguments of `bench`.
#[derive(Debug, Args)]
pub struct Bench {
    #[arg(value_enum)]
    direction: Direction,

    /// A directory
    uri: String,

    /// Operations at the same time
    #[arg(short, long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    jobs: u16,

    /// put: number of objects; get: at most so many
    #[arg(short, long)]
    count: Option<usize>,

    /// put: bytes of an object
    #[arg(short, long, default_value_t = 8 << 20)]
    size: usize,

    /// put: leave the objects there
    #[arg(long)]
    keep: bool,
}

/// Objects that `put` writes unless told otherwise.
const COUNT: usize = 64;

struct Figures {
    took: Duration,
    bytes: u64,
    /// Sorted.
    latencies: Vec<Duration>,
}

impl Bench {
    /// Runs the command.
    pub fn run(self, session: &mut Session<'_>) -> Result<(), Failure> {
        let uri = Uri::parse(&self.uri)?;
        let base = if uri.is_directory() { uri } else { uri.with_key(format!("{}/", uri.key)) };
        let figures = match self.direction {
            Direction::Get => self.get(session, &base)?,
            Direction::Put => self.put(session, &base)?,
        };
        session.say(|| text(&figures), || document(&figures))
    }

    fn get(&self, session: &mut Session<'_>, base: &Uri) -> Result<Figures, Failure> {
        let lister = ops::list(base, ListOptions { recursive: true, pattern: None, sizes: true })?;
        let mut entries = session.wait(Ok(lister.all()))?;
        entries.truncate(self.count.unwrap_or(usize::MAX));
        if entries.is_empty() {
            let detail = "nothing is there to read".into();
            return Err(StoreError::NotFound { uri: base.to_string(), detail }.into());
        }
        let work = entries.into_iter().map(|entry| {
            let options = GetOptions { size: entry.size, ..GetOptions::default() };
            Ok(ops::get(&base.with_key(entry.key), options)?.map(|bytes| bytes.len() as u64))
        });
        let work = work.collect::<Result<Vec<_>, StoreError>>()?;
        session.wait(Ok(measured(work, usize::from(self.jobs))))
    }

    fn put(&self, session: &mut Session<'_>, base: &Uri) -> Result<Figures, Failure> {
        // A directory of its own, so that cleaning up can remove it whole.
        let stamp = std::time::UNIX_EPOCH.elapsed().map_or(0, |now| now.as_nanos());
        let below = base.with_key(format!("{}s3dlio-bench-{}-{stamp}/", base.key, std::process::id()));
        let data = noise(self.size);
        let work = (0..self.count.unwrap_or(COUNT)).map(|number| {
            let (length, uri) = (data.len() as u64, below.with_key(format!("{}{number:08}", below.key)));
            Ok(ops::put(&uri, data.clone(), Create::Overwrite)?.map(move |_| length))
        });
        let work = work.collect::<Result<Vec<_>, StoreError>>()?;
        let figures = session.wait(Ok(measured(work, usize::from(self.jobs))));
        if self.keep {
            return figures;
        }
        // After an interruption too; then without a look at further ones.
        let clean = ops::delete(&below, true)?;
        if matches!(figures, Err(Failure::Interrupted)) {
            session.clean_up(clean);
        } else {
            session.wait(Ok(clean))?;
        }
        figures
    }
}

/// Bytes that no layer below can compress: a multiplicative generator, whose quality does not matter here.
fn noise(length: usize) -> Bytes {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let words = (0..length.div_ceil(8)).flat_map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.take(length).collect::<Vec<u8>>().into()
}

/// Runs operations, each as a task of its own so that all network threads take part.
fn measured(work: Vec<Work<u64>>, jobs: usize) -> Work<Figures> {
    Work::network(async move {
        let began = Instant::now();
        let mut running = futures::stream::iter(work.into_iter().map(timed)).buffer_unordered(jobs);
        let (mut bytes, mut latencies) = (0, Vec::new());
        while let Some(done) = running.next().await {
            let (length, took) = done?;
            bytes += length;
            latencies.push(took);
        }
        latencies.sort_unstable();
        Ok(Figures { took: began.elapsed(), bytes, latencies })
    })
}

async fn timed(work: Work<u64>) -> Result<(u64, Duration), StoreError> {
    let began = Instant::now();
    // Ends with this future: an interrupted run must not go on writing behind its own cleaning up.
    let task = AbortOnDropHandle::new(executor::spawn(work.into_future())?);
    let length =
        task.await.map_err(|source| StoreError::Store { uri: String::new(), detail: source.to_string() })??;
    Ok((length, began.elapsed()))
}

impl Figures {
    fn seconds(&self) -> f64 {
        // A run that is over before the clock moves would have an infinite rate.
        self.took.as_secs_f64().max(1e-9)
    }

    fn operations_per_second(&self) -> f64 {
        self.latencies.len() as f64 / self.seconds()
    }

    fn bytes_per_second(&self) -> f64 {
        self.bytes as f64 / self.seconds()
    }

    /// The latency in seconds that `share` of the operations do not exceed.
    fn quantile(&self, share: f64) -> f64 {
        let last = self.latencies.len().saturating_sub(1);
        let at = (last as f64 * share).ceil() as usize;
        self.latencies.get(at.min(last)).map_or(0.0, Duration::as_secs_f64)
    }
}

fn text(figures: &Figures) -> String {
    format!(
        "{} operations, {} in {:.2} s: {}/s, {:.0} operations/s, latency p50 {:.1} ms, p99 {:.1} ms",
        figures.latencies.len(),
        BinaryBytes(figures.bytes),
        figures.seconds(),
        BinaryBytes(figures.bytes_per_second() as u64),
        figures.operations_per_second(),
        figures.quantile(0.5) * 1e3,
        figures.quantile(0.99) * 1e3,
    )
}

fn document(figures: &Figures) -> Value {
    json!({
        "operations": figures.latencies.len(),
        "bytes": figures.bytes,
        "seconds": figures.seconds(),
        "bytes_per_second": figures.bytes_per_second(),
        "operations_per_second": figures.operations_per_second(),
        "latency_seconds": {
            "p50": figures.quantile(0.5), "p90": figures.quantile(0.9), "p99": figures.quantile(0.99),
            "max": figures.quantile(1.0),
        },
    })
}

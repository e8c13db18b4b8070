//! `oplog`: what a log of operations says.

use clap::Args;
use s3dlio_store::oplog::summary::{self, Summary};
use serde_json::json;

use crate::exit::Failure;
use crate::session::Session;

/// Arguments of `oplog`.
#[derive(Debug, Args)]
pub struct OpLog {
    /// Logs of a program and its forked children
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
}

impl OpLog {
    /// Runs the command.
    pub fn run(self, session: &mut Session<'_>) -> Result<(), Failure> {
        let files: Vec<&str> = self.files.iter().map(String::as_str).collect();
        let summary = summary::summarise_all(&files)?;
        session.say(|| text(&summary), || json!(summary))
    }
}

fn text(summary: &Summary) -> String {
    let whole = if summary.complete { "" } else { " (not finished: the program was killed or still runs)" };
    let mut lines = vec![
        format!(
            "{} operations, {} failed, {} bytes in {:.3} s{whole}",
            summary.operations, summary.failed, summary.bytes, summary.seconds
        ),
        String::new(),
        format!(
            "{:<18}{:>10}{:>8}{:>16}{:>10}{:>12}{:>12}{:>12}",
            "verb", "number", "failed", "bytes", "per s", "p50 ms", "p99 ms", "max ms"
        ),
    ];
    for (verb, figures) in &summary.verbs {
        let ms = |seconds: f64| format!("{:.3}", 1e3 * seconds);
        lines.push(format!(
            "{verb:<18}{:>10}{:>8}{:>16}{:>10.0}{:>12}{:>12}{:>12}",
            figures.operations,
            figures.failed,
            figures.bytes,
            figures.operations_per_second,
            ms(figures.latency.p50),
            ms(figures.latency.p99),
            ms(figures.latency.max),
        ));
    }
    lines.extend(summary.errors.iter().map(|error| format!("{} x {}: {}", error.count, error.verb, error.error)));
    lines.extend(throughput(summary));
    lines.join("\n")
}

/// Operations over time, a bar for each interval.
fn throughput(summary: &Summary) -> Vec<String> {
    const WIDTH: usize = 40;
    let intervals = summary.throughput.operations.values().map(Vec::len).max().unwrap_or(0);
    let total = |at: usize| summary.throughput.operations.values().filter_map(|verb| verb.get(at)).sum::<u64>();
    let most = (0..intervals).map(total).max().unwrap_or(0).max(1);
    let bar = |number: u64| "#".repeat((number as usize * WIDTH).div_ceil(most as usize));
    let line = |at: usize| {
        format!("{:>8.2} s {:<WIDTH$} {}", at as f64 * summary.throughput.interval, bar(total(at)), total(at))
    };
    let title = [String::new(), format!("operations in each {} s", summary.throughput.interval)];
    if intervals == 0 { Vec::new() } else { title.into_iter().chain((0..intervals).map(line)).collect() }
}

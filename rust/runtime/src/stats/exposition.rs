//! The statistics as Prometheus reads them: text exposition format 0.0.4.

use std::fmt::Write;

use super::{COUNTERS, Figures, Latency, snapshot, value};

/// Buckets of the exposition end at powers of two of a nanosecond: the fine ones of the histogram, 8 to 1, would make
/// a page of thousands of lines. From 8 microseconds (a cached file) to 69 seconds (past the default timeout).
const EDGES: std::ops::RangeInclusive<u32> = 13..=36;

/// The statistics of this process as a Prometheus page.
#[must_use]
pub fn text() -> String {
    let figures = snapshot();
    let mut page = String::with_capacity(4096 + figures.len() * 2048);
    for (counter, name) in COUNTERS {
        head(&mut page, &format!("{name}_total"), "counter", help(name));
        line(&mut page, &format!("{name}_total"), "", value(counter));
    }
    head(&mut page, "operations_total", "counter", "Operations by store and verb.");
    each(&mut page, &figures, "operations_total", |figures| figures.latency.count);
    head(&mut page, "errors_total", "counter", "Operations that failed, by store and verb.");
    each(&mut page, &figures, "errors_total", |figures| figures.errors);
    head(&mut page, "bytes_total", "counter", "Bytes that operations moved, by store and verb.");
    each(&mut page, &figures, "bytes_total", |figures| figures.bytes);
    head(&mut page, "operation_seconds", "histogram", "Duration of operations, by store and verb.");
    figures.iter().for_each(|figures| histogram(&mut page, figures));
    page
}

fn help(name: &str) -> &'static str {
    match name {
        "get_requests" => "Requests that read an object or a range of one.",
        "get_bytes" => "Bytes received by reads.",
        "put_requests" => "Requests that wrote an object or a part of one.",
        "put_bytes" => "Bytes sent by writes.",
        "list_requests" => "Listing pages or directories read.",
        "head_requests" => "Requests for metadata alone.",
        "delete_requests" => "Requests that removed objects.",
        "cache_hits" => "Reads that the cache answered.",
        "cache_bytes" => "Bytes of reads that the cache answered.",
        _ => "Requests that failed in a way that is tried again.",
    }
}

fn head(page: &mut String, name: &str, kind: &str, help: &str) {
    // Writing to a string cannot fail.
    let _ = write!(page, "# HELP s3dlio_{name} {help}\n# TYPE s3dlio_{name} {kind}\n");
}

fn line(page: &mut String, name: &str, labels: &str, value: impl std::fmt::Display) {
    let _ = writeln!(page, "s3dlio_{name}{labels} {value}");
}

fn each(page: &mut String, figures: &[Figures], name: &str, value: impl Fn(&Figures) -> u64) {
    for figures in figures {
        line(page, name, &format!("{{{}}}", labels(figures)), value(figures));
    }
}

fn labels(figures: &Figures) -> String {
    format!("store=\"{}\",verb=\"{}\"", figures.store, figures.verb.name())
}

fn histogram(page: &mut String, figures: &Figures) {
    let (labels, latency) = (labels(figures), &figures.latency);
    for power in EDGES {
        let (edge, below) = (seconds(1 << power), count_below(latency, 1 << power));
        line(page, "operation_seconds_bucket", &format!("{{{labels},le=\"{edge}\"}}"), below);
    }
    line(page, "operation_seconds_bucket", &format!("{{{labels},le=\"+Inf\"}}"), latency.count);
    line(page, "operation_seconds_sum", &format!("{{{labels}}}"), latency.seconds());
    line(page, "operation_seconds_count", &format!("{{{labels}}}"), latency.count);
}

/// Exact, because a power of two is an edge of the histogram too.
fn count_below(latency: &Latency, nanos: u64) -> u64 {
    latency.buckets.iter().take_while(|&&(edge, _)| edge <= nanos).map(|&(_, count)| count).sum()
}

fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

//! Figures by store and verb, and the page that Prometheus reads.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use std::collections::HashSet;
use std::thread;
use std::time::Duration;

use proptest::prelude::*;
use s3dlio_runtime::stats::{self, Figures, Histogram, STORES, Verb};

fn figures(store: &str, verb: Verb) -> Option<Figures> {
    stats::snapshot().into_iter().find(|figures| figures.store == store && figures.verb == verb)
}

fn nanos(nanos: u64) -> Duration {
    Duration::from_nanos(nanos)
}

#[test]
fn every_verb_stands_in_its_place_under_a_name_of_its_own() {
    let names: HashSet<&str> = Verb::ALL.iter().map(|&(_, name)| name).collect();
    assert_eq!(names.len(), Verb::ALL.len());
    for (at, (verb, name)) in Verb::ALL.into_iter().enumerate() {
        assert_eq!(verb as usize, at);
        assert_eq!(verb.name(), name);
    }
}

#[test]
fn operations_are_counted_by_store_and_verb() {
    assert_eq!(figures("az", Verb::Copy), None);
    stats::record("az", Verb::Copy, Duration::from_millis(2), 10, false);
    stats::record("az", Verb::Copy, Duration::from_millis(4), 0, true);
    let copies = figures("az", Verb::Copy).unwrap();
    assert_eq!((copies.latency.count, copies.errors, copies.bytes), (2, 1, 10));
    assert_eq!((copies.latency.shortest, copies.latency.longest), (2_000_000, 4_000_000));
    assert!((copies.latency.seconds() - 0.006).abs() < 1e-9);
    assert_eq!(figures("az", Verb::Delete), None);
    assert_eq!(figures("gs", Verb::Copy), None);
}

#[test]
fn an_unknown_store_is_not_counted() {
    stats::record("ftp", Verb::Get, Duration::from_millis(2), 10, false);
    assert!(stats::snapshot().iter().all(|figures| figures.store != "ftp"));
}

#[test]
fn no_addition_is_lost_between_threads() {
    let count = || {
        for _ in 0..20_000 {
            stats::record("gs", Verb::Head, nanos(1500), 3, true);
        }
    };
    thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(count))));
    let heads = figures("gs", Verb::Head).unwrap();
    assert_eq!((heads.latency.count, heads.errors, heads.bytes), (80_000, 80_000, 240_000));
    assert_eq!(heads.latency.nanos, 80_000 * 1500);
}

#[test]
fn an_empty_histogram_has_no_quantiles() {
    let latency = Histogram::new().latency();
    assert_eq!((latency.count, latency.shortest, latency.longest, latency.buckets.len()), (0, 0, 0, 0));
    assert_eq!((latency.quantile(0.5), latency.seconds()), (0.0, 0.0));
}

#[test]
fn durations_past_the_last_bucket_count_there() {
    let histogram = Histogram::new();
    histogram.add(Duration::MAX);
    histogram.add(Duration::from_secs(100_000));
    let latency = histogram.latency();
    assert_eq!((latency.count, latency.buckets.len(), latency.longest), (2, 1, u64::MAX));
    assert!((latency.quantile(0.0) - 1e5).abs() < 1.0);
}

proptest! {
    #[test]
    fn quantiles_are_within_seven_percent(mut durations in prop::collection::vec(1_u64..1 << 41, 1..200)) {
        let histogram = Histogram::new();
        durations.iter().for_each(|&duration| histogram.add(nanos(duration)));
        durations.sort_unstable();
        let latency = histogram.latency();
        prop_assert_eq!(latency.count, durations.len() as u64);
        prop_assert_eq!(latency.nanos, durations.iter().sum::<u64>());
        prop_assert_eq!(latency.shortest, durations[0]);
        prop_assert_eq!(latency.longest, durations[durations.len() - 1]);
        for quantile in [0.0, 0.5, 0.9, 0.99, 1.0] {
            let rank = ((durations.len() as f64 * quantile).ceil() as usize).clamp(1, durations.len());
            let (exact, found) = (durations[rank - 1] as f64 / 1e9, latency.quantile(quantile));
            prop_assert!((found - exact).abs() <= 0.07 * exact + 1e-9, "{} at {}: {}", exact, quantile, found);
        }
    }

    #[test]
    fn a_duration_is_below_the_edge_of_its_bucket_and_not_far(duration in 0_u64..1 << 41) {
        let histogram = Histogram::new();
        histogram.add(nanos(duration));
        let buckets = histogram.latency().buckets;
        prop_assert_eq!(buckets.len(), 1);
        let (edge, count) = buckets[0];
        prop_assert_eq!(count, 1);
        prop_assert!(duration < edge && edge - duration <= duration / 8 + 1, "{} in the bucket to {}", duration, edge);
    }
}

#[test]
fn the_page_for_prometheus_has_every_figure() {
    for milliseconds in [1, 1, 1, 70, 70_000] {
        stats::record("direct", Verb::Put, Duration::from_millis(milliseconds), 1 << 20, milliseconds > 100);
    }
    stats::add(stats::Counter::Retries, 1);
    let page = stats::text();
    let value = |name: &str| {
        let line = page.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')));
        line.unwrap_or_else(|| panic!("no {name} in {page}")).rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    let labels = r#"store="direct",verb="put""#;
    assert_eq!(value(&format!("s3dlio_operations_total{{{labels}}}")), 5.0);
    assert_eq!(value(&format!("s3dlio_errors_total{{{labels}}}")), 1.0);
    assert_eq!(value(&format!("s3dlio_bytes_total{{{labels}}}")), 5_242_880.0);
    let bucket = |le: &str| value(&format!(r#"s3dlio_operation_seconds_bucket{{{labels},le="{le}"}}"#));
    assert_eq!([bucket("0.000008192"), bucket("0.001048576"), bucket("0.134217728")], [0.0, 3.0, 4.0]);
    assert_eq!([bucket("68.719476736"), bucket("+Inf")], [4.0, 5.0]);
    assert_eq!(value(&format!("s3dlio_operation_seconds_count{{{labels}}}")), 5.0);
    assert!((value(&format!("s3dlio_operation_seconds_sum{{{labels}}}")) - 70.073).abs() < 1e-6);
    assert!(value("s3dlio_retries_total") >= 1.0);
    let types = page.lines().filter(|line| line.starts_with("# TYPE ")).count();
    assert_eq!((types, STORES.len()), (stats::COUNTERS.len() + 4, 6));
}

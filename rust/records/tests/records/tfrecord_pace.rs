//! How far a scan of TFRecords reads ahead.

#![expect(clippy::single_range_in_vec_init, reason = "ranges are the items here")]

use s3dlio_records::tfrecord::pace::{Next, Pace};

const FIRST: u64 = 64 << 10;
const MOST: u64 = 8 << 20;
const PROBES: u64 = 32;

#[test]
fn a_small_file_is_read_whole_and_a_large_one_through_growing_windows() {
    let mut pace = Pace::default();
    assert_eq!(pace.next(0, 1000), Next::Through(1000));
    assert_eq!(pace.next(0, 1 << 30), Next::Through(FIRST));
    let mut windows = Vec::new();
    for _ in 0..6 {
        pace.found(100, 10_000, 100);
        let Next::Through(window) = pace.next(10_000, 1 << 30) else { panic!() };
        windows.push(window);
    }
    assert_eq!(windows, [FIRST, 4 * FIRST, 16 * FIRST, 64 * FIRST, MOST, MOST]);
}

#[test]
fn of_large_records_only_headers_are_read() {
    let mut pace = Pace::default();
    pace.found(1, 1_000_000, 1_000_000);
    assert_eq!(pace.next(1_000_000, 1 << 30), Next::Headers(vec![1_000_000..1_001_024]));
    // Another size: again only the next one.
    pace.found(1, 500_000, 500_000);
    assert_eq!(pace.next(1_500_000, 1_500_012), Next::Headers(vec![1_500_000..1_500_012]));
}

#[test]
fn headers_of_equal_records_are_asked_for_together_and_inside_the_file() {
    let mut pace = Pace::default();
    (0..3).for_each(|_| pace.found(1, 100_000, 100_000));
    let Next::Headers(probes) = pace.next(300_000, 1 << 30) else { panic!() };
    assert_eq!(probes, [300_000..301_024, 400_000..401_024, 500_000..501_024]);
    (0..100).for_each(|_| pace.found(1, 100_000, 100_000));
    let Next::Headers(probes) = pace.next(300_000, 1 << 30) else { panic!() };
    assert_eq!(probes.len() as u64, PROBES);
    let Next::Headers(probes) = pace.next(300_000, 450_000) else { panic!() };
    assert_eq!(probes, [300_000..301_024, 400_000..401_024]);
}

#[test]
fn small_records_behind_large_ones_are_read_through_again() {
    let mut pace = Pace::default();
    (0..9).for_each(|_| pace.found(1, 100_000, 100_000));
    pace.found(8, 900, 100);
    assert_eq!(pace.next(900_900, 1 << 30), Next::Through(FIRST));
}

//! Ranges that are read together.

#![expect(clippy::single_range_in_vec_init, reason = "ranges are the items here")]

use s3dlio_records::coalesce::{Group, groups};
use std::ops::Range;

fn spans(ranges: &[Range<u64>], gap: u64, most: u64) -> Vec<Range<u64>> {
    groups(ranges, gap, most).into_iter().map(|group| group.span).collect()
}

#[test]
fn gaps_up_to_the_threshold_are_read_along() {
    assert_eq!(spans(&[0..10, 20..30], 10, 100), [0..30]);
    assert_eq!(spans(&[0..10, 21..30], 10, 100), [0..10, 21..30]);
}

#[test]
fn order_overlap_and_repetition_do_not_matter() {
    let found = groups(&[50..60, 0..10, 5..20, 0..10], 0, 100);
    assert_eq!(found[0], Group { span: 0..20, members: vec![(1, 0..10), (3, 0..10), (2, 5..20)] });
    assert_eq!(found[1], Group { span: 50..60, members: vec![(0, 50..60)] });
}

#[test]
fn a_group_has_a_bound_and_a_long_range_is_alone() {
    assert_eq!(spans(&[0..60, 60..100, 100..101], 5, 100), [0..100, 100..101]);
    assert_eq!(spans(&[0..1000, 10..20, 1000..1001], 5, 100), [0..1000, 10..20, 1000..1001]);
}

#[test]
fn nothing_is_read_for_nothing() {
    assert_eq!(spans(&[5..5, 7..7], 10, 100), [] as [Range<u64>; 0]);
}

//! Which bytes two boxes of a tensor share.

use s3dlio_checkpoint::boxes::{Region, Run, runs};

fn region(offsets: &[u64], lengths: &[u64]) -> Region {
    Region { offsets: offsets.to_vec(), lengths: lengths.to_vec() }
}

#[test]
fn equal_boxes_are_one_run() {
    let whole = Region::whole(&[4, 5]);
    assert_eq!(runs(&whole, &whole, 2), [Run { source: 0..40, target: 0 }]);
    assert_eq!(runs(&Region::whole(&[]), &Region::whole(&[]), 8), [Run { source: 0..8, target: 0 }]);
}

#[test]
fn columns_are_a_run_for_each_row() {
    let found = runs(&Region::whole(&[2, 4]), &region(&[0, 1], &[2, 2]), 1);
    assert_eq!(found, [Run { source: 1..3, target: 0 }, Run { source: 5..7, target: 2 }]);
}

#[test]
fn rows_are_one_run() {
    let found = runs(&Region::whole(&[6, 3]), &region(&[2, 0], &[2, 3]), 4);
    assert_eq!(found, [Run { source: 24..48, target: 0 }]);
}

#[test]
fn what_does_not_meet_has_no_runs() {
    assert_eq!(runs(&region(&[0], &[2]), &region(&[2], &[2]), 1), []);
}

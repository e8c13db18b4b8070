//! The example trains, and what was stopped anywhere ends as what was not.

use crate::train::{train, write_samples};
use tch::Tensor;

fn trained(base: &str, stops: &[u64]) -> (Tensor, f64) {
    write_samples(base).unwrap();
    stops.iter().for_each(|&stop| drop(train(base, 3, stop).unwrap()));
    train(base, 3, u64::MAX).unwrap()
}

#[test]
fn a_run_that_was_stopped_ends_with_the_same_weights() {
    let (weights, loss) = trained("memory://train/whole", &[]);
    assert!(loss < 0.4, "{loss}");
    let (resumed, again) = trained("memory://train/stopped", &[3, 10, 21, 1]);
    assert_eq!(weights, resumed);
    assert_eq!(loss.to_bits(), again.to_bits());
}

//! The corpus once more, as a test of the crate whose parsers it is for.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// A name, and what is to be done with the input.
type Target = (&'static str, fn(&[u8]));

/// Runs each target on all inputs of its folder in the corpus, which may have `most` bytes in all.
///
/// # Panics
/// Where a target does, takes ten seconds for an input, or has none; and when the corpus is larger.
pub fn replay(corpus: &Path, targets: &[Target], most: u64) {
    let mut all = 0;
    for (name, run) in targets {
        let folder = corpus.join(name);
        let inputs = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let inputs: Vec<_> = inputs.map(|entry| entry.unwrap().path()).collect();
        assert!(!inputs.is_empty(), "no corpus for {name}");
        for input in inputs {
            let data = fs::read(&input).unwrap();
            let start = Instant::now();
            run(&data);
            let spent = start.elapsed();
            assert!(spent < Duration::from_secs(10), "{}: {spent:?}", input.display());
            all += data.len() as u64;
        }
    }
    assert!(all < most, "a corpus of {all} bytes is larger than a repository should carry");
}

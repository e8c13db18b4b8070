//! What the fuzzer has found so far, once more. `make fuzz` looks for more.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

// The targets name the parsers as modules of their own crate.
use s3dlio_checkpoint::{container, dtype, header, layout, manifest, meta, tree};

#[path = "../fuzz/src/targets/mod.rs"]
mod targets;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use targets::{TARGETS, run};

/// The corpus of a target, all bytes of it together and the slowest input.
fn replay(name: &str) -> (u64, Duration) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let (mut bytes, mut slowest, mut inputs) = (0, Duration::ZERO, 0);
    for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let data = fs::read(entry.unwrap().path()).unwrap();
        let start = Instant::now();
        run(name, &data);
        slowest = slowest.max(start.elapsed());
        (bytes, inputs) = (bytes + data.len() as u64, inputs + 1);
    }
    assert!(inputs > 0, "no corpus for {name}");
    (bytes, slowest)
}

#[test]
fn every_input_of_the_corpus_passes() {
    let mut all = 0;
    for (name, _) in TARGETS {
        let (bytes, slowest) = replay(name);
        assert!(slowest < Duration::from_secs(10), "{name}: {slowest:?}");
        all += bytes;
    }
    assert!(all < 1 << 20, "a corpus of {all} bytes is larger than a repository should carry");
}

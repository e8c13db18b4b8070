//! What the fuzzer has found so far, once more. `make fuzz` looks for more.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use std::path::Path;

// The targets name the parsers as modules of their own crate.
use s3dlio_checkpoint::{container, dtype, header, layout, manifest, meta, tree};

#[path = "../../formats/fuzz/src/replay.rs"]
mod replay;
#[path = "../fuzz/src/targets/mod.rs"]
#[allow(dead_code, reason = "the programs run targets by name")]
mod targets;

#[test]
fn every_input_of_the_corpus_passes() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    replay::replay(&corpus, &targets::TARGETS, 1 << 20);
}

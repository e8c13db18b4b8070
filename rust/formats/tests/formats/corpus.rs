//! What the fuzzer has found so far, once more. `make fuzz` looks for more.

use std::path::Path;

#[path = "../../fuzz/src/replay.rs"]
mod replay;
#[path = "../../fuzz/src/targets/mod.rs"]
#[allow(dead_code, reason = "the programs run targets by name")]
mod targets;

#[test]
fn every_input_of_the_corpus_passes() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    replay::replay(&corpus, &targets::TARGETS, 2 << 20);
}

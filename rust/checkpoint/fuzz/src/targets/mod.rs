//! What each parser is given, and what must hold whatever it makes of it.
//!
//! Checksums would keep a fuzzer out, so that the targets make files with sound ones out of their input.

mod container;
mod header;
#[path = "../../../../formats/fuzz/src/targets/input.rs"]
#[allow(dead_code, reason = "shared with the targets of other formats")]
mod input;
mod manifest;
mod tree;

/// A name, and what is to be done with the input.
pub type Target = (&'static str, fn(&[u8]));

/// All targets. Each has a program, and a folder in the corpus.
pub const TARGETS: [Target; 4] = [
    ("header", header::header),
    ("tree", tree::tree),
    ("manifest", manifest::manifest),
    ("container", container::container),
];

/// Runs the target of this name.
///
/// # Panics
/// Where the parser does, or where something does not hold.
pub fn run(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|target| target.0 == name);
    target.expect("a target of this name").1(data);
}

//! What each parser is given, and what must hold whatever it makes of it.
//!
//! Hashes and checksums would keep a fuzzer out, so that most targets make files with sound ones out of their input and
//! only then damage them.

mod array_record;
mod arrays;
mod chunks;
mod disky;
mod input;
mod tfrecord;

/// A name, and what is to be done with the input.
pub type Target = (&'static str, fn(&[u8]));

/// All targets. Each has a program, and a folder in the corpus.
pub const TARGETS: [Target; 12] = [
    ("npy", arrays::npy),
    ("npz", arrays::npz),
    ("tfrecord", tfrecord::records),
    ("tfrecord_index", tfrecord::index),
    ("example", tfrecord::example),
    ("simple", chunks::simple),
    ("transposed", chunks::transposed),
    ("messages", chunks::messages),
    ("chunk", chunks::chunk),
    ("disky", disky::file),
    ("array_record", array_record::file),
    ("options", array_record::options),
];

/// Runs the target of this name.
///
/// # Panics
/// Where the parser does, or where something does not hold.
pub fn run(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|target| target.0 == name);
    target.expect("a target of this name").1(data);
}

//! A cache of what was read from network stores, in a local folder; off unless the environment names one.
//!
//! An entry is what one request brought: an object, or a range of one, with the entity tag of its version. It is given out
//! again when the server has answered that the object still is that version (`If-None-Match`, 304), or when the caller
//! asks for just that version. So a reader never sees less than the store has, and pays for a body once.
//!
//! Processes share a folder without speaking with each other: entries appear by renaming, carry checksums, and are removed
//! by age of their last use. No crate does this: those with a bound hold the folder for one process.

mod entry;
mod folder;
mod layer;

pub(crate) use layer::Cached;

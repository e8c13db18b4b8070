//! Copying objects and trees of objects between any two stores.
//!
//! A transfer has three steps. [`plan`] finds what is to be copied and where to, and refuses what cannot end well
//! (names that leave the destination, two sources for one name) before anything is written. [`present`] compares the
//! plan with what is already there. [`run`] copies: inside one bucket by the store itself, small objects by one read
//! and one write, large ones in ranges that are pinned to one version of the source. The bytes held at any moment are
//! bounded by the memory budget, however many and however large the objects are.

mod content;
mod options;
mod parts;
mod patterns;
mod place;
mod plan;
mod present;
mod run;

pub use crate::upload::ending;
pub use content::{Content, read};
pub use options::{Depth, Existing, Options, Progress, Source, Summary, destination};
pub use run::transfer;

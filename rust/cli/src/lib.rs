//! The command line of s3dlio: one file for each command.
//!
//! The crate has no `main` of its own: the Python package runs it in its interpreter, which owns the signals. All
//! waiting is therefore done by `session`, in slices, between which it asks whether the user has interrupted.

mod arguments;
mod bar;
mod commands;
mod exit;
mod generated;
mod output;
mod session;

pub use arguments::{main, run};
pub use exit::code;
pub use generated::Generated;

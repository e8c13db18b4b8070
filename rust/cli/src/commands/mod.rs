//! The commands.

mod bench;
mod cat;
mod check;
mod ckpt;
mod convert;
mod cp;
mod index;
mod inspect;
mod ls;
mod oplog;
mod put;
mod rm;
mod stat;
mod verify;

use clap::Subcommand;

use crate::exit::Failure;
use crate::session::Session;

/// What the program does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List what is below a URI
    Ls(ls::Ls),
    /// Write objects to standard output
    Cat(cat::Cat),
    /// Copy between stores and local paths
    Cp(cp::Cp),
    /// Show the metadata of objects
    Stat(stat::Stat),
    /// Remove objects
    Rm(rm::Rm),
    /// Write generated objects
    Put(put::Put),
    /// Write the indexes of TFRecord files
    Index(index::Index),
    /// Tell what is in record files and archives
    Inspect(inspect::Inspect),
    /// Check every hash of record files and archives
    Verify(verify::Verify),
    /// Convert between formats of records, or of arrays
    Convert(convert::Convert),
    /// List, check, compare, clean up and export checkpoints
    Ckpt(ckpt::Ckpt),
    /// Tell why a store can or cannot be used
    Check(check::Check),
    /// Summarise a log of operations
    Oplog(oplog::OpLog),
    /// Measure the throughput of a store
    Bench(bench::Bench),
}

impl Command {
    pub fn run(self, session: &mut Session<'_>) -> Result<(), Failure> {
        match self {
            Self::Ls(command) => command.run(session),
            Self::Cat(command) => command.run(session),
            Self::Cp(command) => command.run(session),
            Self::Stat(command) => command.run(session),
            Self::Rm(command) => command.run(session),
            Self::Put(command) => command.run(session),
            Self::Index(command) => command.run(session),
            Self::Inspect(command) => command.run(session),
            Self::Verify(command) => command.run(session),
            Self::Convert(command) => command.run(session),
            Self::Ckpt(command) => command.run(session),
            Self::Check(command) => command.run(session),
            Self::Oplog(command) => command.run(session),
            Self::Bench(command) => command.run(session),
        }
    }
}

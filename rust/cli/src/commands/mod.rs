//! The commands.

mod bench;
mod cat;
mod cp;
mod ls;
mod rm;
mod stat;

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
            Self::Bench(command) => command.run(session),
        }
    }
}

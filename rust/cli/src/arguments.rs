//! The command line as a whole.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;

use clap::Parser;

use crate::commands::Command;
use crate::exit::code;
use crate::session::Session;

/// Read, write and copy objects of file://, direct://, s3://, gs:// and az:// stores.
///
/// Exit codes: 0 done, 1 failure, 2 wrong usage, 3 not found, 4 no permission, 5 timeout, 130 interrupted.
#[derive(Debug, Parser)]
#[command(name = "s3dlio", version, propagate_version = true)]
struct Arguments {
    /// Print JSON: one document for each result, one per line
    #[arg(long, global = true)]
    json: bool,

    #[command(subcommand)]
    command: Command,
}

/// Runs a command line without its program name, with the standard streams of this process; returns the exit code.
///
/// `interrupted` is asked about ten times a second, on the calling thread, whether to stop.
pub fn main(arguments: Vec<OsString>, interrupted: &mut dyn FnMut() -> bool) -> i32 {
    let own = |stream: std::io::Result<std::os::fd::OwnedFd>| stream.map(File::from);
    let out = own(std::io::stdout().as_fd().try_clone_to_owned());
    let err = own(std::io::stderr().as_fd().try_clone_to_owned());
    match (out, err) {
        (Ok(out), Ok(err)) => run(arguments, out, err, interrupted),
        // Without these streams there is nobody to tell.
        _ => code::FAILURE,
    }
}

/// As [`main`], with these streams.
pub fn run(arguments: Vec<OsString>, mut out: File, mut err: File, interrupted: &mut dyn FnMut() -> bool) -> i32 {
    let words = std::iter::once(OsString::from("s3dlio")).chain(arguments);
    match Arguments::try_parse_from(words) {
        Ok(Arguments { json, command }) => {
            let mut session = Session::new(out, err, json, interrupted);
            let result = command.run(&mut session);
            session.end(result)
        }
        Err(answer) => {
            let stream = if answer.use_stderr() { &mut err } else { &mut out };
            // Nothing is left to tell this to.
            let _ = stream.write_all(answer.render().to_string().as_bytes());
            answer.exit_code()
        }
    }
}

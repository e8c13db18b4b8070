//! `s3dlio-testserver`: the test server as a program, for tests in other languages.

use std::io::{self, Read, Write};

use clap::{Parser, ValueEnum};
use s3dlio_testkit::{Protocol, Server};

/// Serves S3 or Google Cloud Storage from memory until its standard input ends.
#[derive(Debug, Parser)]
struct Arguments {
    /// Port on the loopback interface; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Language of the server.
    #[arg(long, value_enum, default_value_t = Language::S3)]
    protocol: Language,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Language {
    S3,
    Gcs,
}

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let protocol = match arguments.protocol {
        Language::S3 => Protocol::S3,
        Language::Gcs => Protocol::Gcs,
    };
    let server = Server::start(protocol, arguments.port)?;
    let mut out = io::stdout().lock();
    writeln!(out, "listening {}", server.address())?;
    out.flush()?;
    // Whoever started this process holds the other end, so it never outlives a test run that was killed.
    io::copy(&mut io::stdin().lock().by_ref(), &mut io::sink()).map(|_| ())
}

//! `cat`: objects on standard output.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use s3dlio_store::{Uri, transfer};
use serde_json::json;

use crate::exit::Failure;
use crate::session::Session;

/// Arguments of `cat`.
#[derive(Debug, Args)]
pub struct Cat {
    /// Objects; with --json each is one document whose `data` is its text, or base64 where it is none
    #[arg(required = true, value_name = "URI")]
    uris: Vec<String>,

    /// First byte
    #[arg(long, default_value_t = 0)]
    offset: u64,

    /// Number of bytes; to the end if not given
    #[arg(long)]
    length: Option<u64>,
}

impl Cat {
    /// Runs the command.
    pub fn run(self, session: &mut Session<'_>) -> Result<(), Failure> {
        session.each(&self.uris, |session, uri| self.print(session, uri))
    }

    fn print(&self, session: &mut Session<'_>, uri: &Uri) -> Result<(), Failure> {
        let end = self.length.map_or(u64::MAX, |length| self.offset.saturating_add(length));
        let mut rest = Some(session.wait(transfer::read(uri, self.offset..end))?);
        // A JSON document holds the whole object; otherwise a piece is written as it comes.
        let mut whole = Vec::new();
        while let Some(content) = rest.take() {
            let Some((piece, next)) = session.wait(Ok(content.piece()))? else { break };
            if session.json {
                whole.extend_from_slice(&piece);
            } else {
                session.bytes(&piece)?;
            }
            rest = Some(next);
        }
        if !session.json {
            return session.flush();
        }
        let size = whole.len();
        let (encoding, data) = match String::from_utf8(whole) {
            Ok(text) => ("utf-8", text),
            Err(bytes) => ("base64", STANDARD.encode(bytes.as_bytes())),
        };
        session.say(String::new, || json!({"uri": uri.to_string(), "size": size, "encoding": encoding, "data": data}))
    }
}

//! A server for tests: S3 or Google Cloud Storage's XML API over objects in memory, which misbehaves on request.
//!
//! It is for what real servers cannot be made to do: fail at one exact byte, lose an answer after its effect, count
//! requests, list millions of keys that nobody stored. It checks no signatures; that compatibility is shown against
//! other servers.

mod answer;
mod body;
mod bucket;
mod checksum;
mod conditions;
mod content;
mod control;
mod fault;
mod listing;
mod log;
mod refusal;
mod request;
mod server;
mod service;
mod synthetic;
mod upload;
mod wire;
mod xml;

pub use content::pattern;
pub use fault::{Action, BadRule, Rule, Stage};
pub use log::Counts;
pub use request::{Operation, Protocol};
pub use server::Server;
pub use synthetic::Synthetic;

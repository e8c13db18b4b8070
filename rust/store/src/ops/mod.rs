//! The verbs: each takes URIs and returns [`Work`](crate::Work) to run.
//!
//! A verb resolves its store at once, on the calling thread (it reads the environment), and does the rest when the
//! work runs.

mod bucket;
mod bulk;
mod delete;
mod fetch;
mod files;
mod get;
mod into;
mod list;
mod put;
mod stat;
mod verify;
pub mod within;

pub use bucket::{create_bucket, delete_bucket, make_directory};
pub use bulk::{Produce, each, get_many, put_many, put_produced, stat_many};
pub use delete::{delete, delete_many};
pub use fetch::{Tail, fetch, fetch_tail, fetch_version};
pub use get::{GetOptions, get, get_decompressed, read_file, read_into_arena};
pub use into::get_into;
pub use list::{Entry, ListOptions, Lister, list};
pub use put::{put, put_made};
pub use stat::{Stat, exists, stat};
pub use verify::compare;

//! The verbs: each takes URIs and returns [`Work`](crate::Work) to run.
//!
//! A verb resolves its store at once, on the calling thread (it reads the environment), and does the rest when the
//! work runs.

mod bulk;
mod delete;
mod get;
mod list;
mod put;
mod stat;

pub use bulk::{get_many, put_many};
pub use delete::delete;
pub use get::{GetOptions, fetch, get};
pub use list::{Entry, ListOptions, Lister, list};
pub use put::put;
pub use stat::{Stat, exists, stat};

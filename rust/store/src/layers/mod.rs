//! Layers between the clients of the clouds and the transport, and around the clients.

mod listing;
mod refreshing;

pub(crate) use listing::FilteredOffset;
pub(crate) use refreshing::Refreshing;

//! Process life of s3dlio: what is alive in a process and how it survives `fork`.
//!
//! Everything that owns threads or sockets is keyed by a *fork generation* ([`fork`]), so a child process builds
//! its own and never waits on a thread that only its parent has. The other modules are the shared resources:
//! one tokio runtime for the network ([`executor`]) beside lanes for single requests ([`lane`]), operating-system thread pools for file reads and for decoding
//! ([`pool`]), a budget that bounds memory in bytes ([`budget`]), statistics ([`stats`]) and the queue of log events
//! ([`logging`]).

pub mod budget;
pub mod executor;
pub mod fork;
pub mod lane;
pub mod logging;
pub mod pool;
pub mod settings;
pub mod stats;

//! What readers and writers of Disky files may be asked for.

use s3dlio_formats::disky::DEFAULT_LEVEL;
use s3dlio_formats::riegeli::{self, OnDamage};
use s3dlio_runtime::settings;

use crate::error::{RecordError, Result};

/// What happens to the bytes of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Nothing; the default.
    #[default]
    None,
    /// Zstandard at level 3.
    Zstd,
}

impl Compression {
    /// By the name that Disky's users know; `None` and `none` are no compression.
    ///
    /// # Errors
    /// [`RecordError::Config`] for any other name than `none` and `zstd`, in lower case.
    pub fn parse(name: Option<&str>) -> Result<Self> {
        match name {
            None | Some("none") => Ok(Self::None),
            Some("zstd") => Ok(Self::Zstd),
            Some(other) => {
                let found = format!("{other:?} (Unsupported compression type)");
                Err(RecordError::config("compression", found, "None, \"none\" or \"zstd\""))
            }
        }
    }

    pub(super) fn codec(self) -> riegeli::Compression {
        match self {
            Self::None => riegeli::Compression::None,
            Self::Zstd => riegeli::Compression::Zstd { level: DEFAULT_LEVEL, window_log: None },
        }
    }
}

/// How a directory of shards is written.
#[derive(Debug, Clone)]
pub struct ShardOptions {
    /// Files that are open at the same time; 0 counts as 1.
    pub num_shards: usize,
    /// Chunks that are encoded at the same time; `None` is as many as there are decoding threads, which are the bound of
    /// any other number.
    pub worker_threads: Option<usize>,
    /// Record bytes that complete a file; `None` is no limit.
    pub max_bytes: Option<u64>,
    /// Most chunks that wait for being encoded or written.
    pub queue: usize,
    /// Whether a complete file is followed by a new one; otherwise there is one less to write to.
    pub auto_sharding: bool,
    /// Whether files that are there stay, and numbers that are free are taken; otherwise numbers begin at 0 and files
    /// with them are replaced.
    pub append: bool,
    /// What happens to the bytes of a chunk.
    pub compression: Compression,
}

impl ShardOptions {
    /// # Errors
    /// [`RecordError::Config`] for a number that nothing can be written with.
    pub(super) fn check(&self) -> Result<()> {
        positive("worker_threads", self.worker_threads.map_or(1, |threads| threads as u64))?;
        positive("task_queue_capacity", self.queue as u64)?;
        positive("max_bytes_per_writer", self.max_bytes.unwrap_or(1))
    }

    /// Chunks that may be on their way.
    pub(super) fn ahead(&self) -> usize {
        let most = settings::decode_threads().max(1);
        self.worker_threads.map_or(most, |wanted| wanted.min(most)).min(self.queue)
    }
}

/// How several files are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReaderOptions {
    /// Files that are open at the same time; 0 counts as 1.
    pub num_shards: usize,
    /// Files whose chunks are decoded at the same time; the decoding threads of the process are a further bound.
    pub worker_threads: usize,
    /// Bytes of records that are decoded ahead. A chunk of each open file is decoded ahead in any case.
    pub queue_bytes: u64,
    /// What to do at damage.
    pub on_damage: OnDamage,
}

impl ReaderOptions {
    /// # Errors
    /// [`RecordError::Config`] for a number that nothing can be read with.
    pub(super) fn check(&self) -> Result<()> {
        positive("worker_threads", self.worker_threads as u64)?;
        positive("queue_size_mb", self.queue_bytes)
    }
}

fn positive(option: &str, found: u64) -> Result<()> {
    if found > 0 { Ok(()) } else { Err(RecordError::config(option, "0", "at least 1")) }
}

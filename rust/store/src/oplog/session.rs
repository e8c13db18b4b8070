//! One log file and the thread that writes it.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use zstd::stream::write::Encoder;

use super::{HEADER, Row, failed, place};
use crate::error::{Result, StoreError};

/// Rows that wait to be written: some 4 MiB, and more than a second of what the fastest stores do.
const QUEUE: usize = 1 << 14;

/// A program that is killed loses the rows of this time at most.
const FLUSH: Duration = Duration::from_secs(1);

/// Of zstd: a third of the size of the text at several hundred MB/s.
const LEVEL: i32 = 1;

/// An open log. Dropping it without [`Session::close`] lets the thread finish the file alone.
pub(super) struct Session {
    path: PathBuf,
    rows: Sender<Box<Row>>,
    writer: JoinHandle<std::result::Result<(), Broken>>,
}

impl Session {
    /// A log in a file that is made or emptied.
    pub(super) fn create(path: &Path, client: &str) -> Result<Self> {
        let file = File::create(path).map_err(|source| failed(path, &source))?;
        Self::start(path.to_owned(), file, client.to_owned())
    }

    /// A log of a forked child, beside its parent's, in a file that was not there.
    pub(super) fn create_for_child(path: &Path, client: &str) -> Result<Self> {
        let mut attempt = 0;
        loop {
            let path = place::of_child(path, std::process::id(), attempt);
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => return Self::start(path, file, client.to_owned()),
                Err(source) if source.kind() == ErrorKind::AlreadyExists => attempt += 1,
                Err(source) => return Err(failed(&path, &source)),
            }
        }
    }

    fn start(path: PathBuf, file: File, client: String) -> Result<Self> {
        let (rows, queue) = bounded(QUEUE);
        let mut file = Encoder::new(file, LEVEL).map_err(|source| failed(&path, &source))?;
        let begun = writeln!(file, "{HEADER}").and_then(|()| file.flush());
        begun.map_err(|source| failed(&path, &source))?;
        let output = Output { file, unflushed: None, broken: None };
        let writer = std::thread::Builder::new()
            .name("s3dlio-oplog".into())
            .spawn(move || write(&queue, output, &client))
            .map_err(|source| failed(&path, &source))?;
        Ok(Self { path, rows, writer })
    }

    /// Adds a row; waits while the queue is full.
    pub(super) fn send(&self, row: Row) {
        // The thread takes rows until all senders are gone, so this cannot fail.
        let _ = self.rows.send(Box::new(row));
    }

    /// Waits until every row is in the file.
    pub(super) fn close(self) -> Result<()> {
        let Self { path, rows, writer } = self;
        drop(rows);
        let uri = format!("file://{}", path.display());
        match writer.join() {
            Ok(Ok(())) => Ok(()),
            Ok(Err(Broken { source, lost })) => {
                Err(StoreError::Store { uri, detail: format!("{lost} operations are not in the log: {source}") })
            }
            Err(_) => Err(StoreError::Store { uri, detail: "the thread that writes the log panicked".into() }),
        }
    }
}

/// A log that could not be written to its end.
struct Broken {
    source: io::Error,
    lost: u64,
}

/// The file, and what became of it.
struct Output {
    file: Encoder<'static, File>,
    /// Rows that may not be in the file yet, and since when.
    unflushed: Option<(Instant, u64)>,
    broken: Option<Broken>,
}

impl Output {
    /// How long the next row may let wait for itself until the others must be flushed.
    fn patience(&self) -> Duration {
        self.unflushed.map_or(Duration::MAX, |(since, _)| FLUSH.saturating_sub(since.elapsed()))
    }

    fn add(&mut self, line: &[u8]) {
        if let Some(broken) = &mut self.broken {
            broken.lost += 1;
            return;
        }
        let (since, rows) = self.unflushed.unwrap_or_else(|| (Instant::now(), 0));
        self.unflushed = Some((since, rows + 1));
        let added = self.file.write_all(line);
        self.note(added);
    }

    fn flush(&mut self) {
        if self.broken.is_none() {
            let flushed = self.file.flush();
            self.note(flushed);
            self.unflushed = None;
        }
    }

    fn note(&mut self, outcome: io::Result<()>) {
        if let Err(source) = outcome {
            tracing::error!(%source, "the operation log cannot be written");
            let lost = self.unflushed.take().map_or(0, |(_, rows)| rows);
            self.broken = Some(Broken { source, lost });
        }
    }

    fn finish(mut self) -> std::result::Result<(), Broken> {
        self.flush();
        match self.broken {
            Some(broken) => Err(broken),
            None => self.file.finish().map(drop).map_err(|source| Broken { source, lost: 0 }),
        }
    }
}

/// Writes rows until nobody can send any more, and then the end of the compressed stream.
///
/// After a failure it goes on taking rows, so that the operations of the program do not stop with the log.
fn write(queue: &Receiver<Box<Row>>, mut output: Output, client: &str) -> std::result::Result<(), Broken> {
    let mut line = Vec::new();
    for index in 0.. {
        let row = loop {
            match queue.recv_timeout(output.patience()) {
                Ok(row) => break row,
                Err(RecvTimeoutError::Timeout) => output.flush(),
                Err(RecvTimeoutError::Disconnected) => return output.finish(),
            }
        };
        line.clear();
        row.line(&mut line, index, client);
        output.add(&line);
        if output.patience().is_zero() {
            output.flush();
        }
    }
    output.finish()
}

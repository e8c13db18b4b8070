//! What all commands share: waiting, output, and errors of single arguments.

use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};

use s3dlio_runtime::executor;
use s3dlio_store::{StoreError, Uri, Work, transfer};
use serde_json::Value;

use crate::exit::Failure;
use crate::output::{Output, json_line};

/// How long a wait goes on before the user's Ctrl-C is looked at.
const SLICE: Duration = Duration::from_millis(100);

/// How long an interrupted command goes on to clean up: short of a second, which is when users press Ctrl-C again.
const FAREWELL: Duration = Duration::from_millis(300);

/// One run of a command.
pub struct Session<'a> {
    out: Output,
    err: File,
    /// Whether standard output is JSON.
    pub json: bool,
    interrupted: &'a mut dyn FnMut() -> bool,
    /// Until when an interrupted command may clean up.
    farewell: Option<Instant>,
}

impl<'a> Session<'a> {
    pub fn new(out: File, err: File, json: bool, interrupted: &'a mut dyn FnMut() -> bool) -> Self {
        Self { out: Output::new(out), err, json, interrupted, farewell: None }
    }

    /// Waits for a storage operation.
    pub fn wait<T: Send + 'static>(&mut self, work: Result<Work<T>, StoreError>) -> Result<T, Failure> {
        self.wait_with(work, || {})
    }

    /// Waits for a storage operation; `meanwhile` is called about ten times a second.
    pub fn wait_with<T: Send + 'static>(
        &mut self,
        work: Result<Work<T>, StoreError>,
        mut meanwhile: impl FnMut(),
    ) -> Result<T, Failure> {
        let mut future = work?.into_future();
        loop {
            if let Some(result) = executor::drive(&mut future, SLICE).map_err(StoreError::from)? {
                return Ok(result?);
            }
            if (self.interrupted)() {
                return Err(Failure::Interrupted);
            }
            meanwhile();
        }
    }

    /// Waits for work on a record file or checkpoint, whose error may be that of the format; `meanwhile` is called as in
    /// [`wait_with`](Self::wait_with).
    pub fn told<T: Send + 'static, E: Into<Failure> + Send + 'static>(
        &mut self,
        work: Result<Work<Result<T, E>>, impl Into<Failure>>,
        meanwhile: impl FnMut(),
    ) -> Result<T, Failure> {
        let work = work.map_err(Into::into)?;
        self.wait_with(Ok(work), meanwhile)?.map_err(Into::into)
    }

    /// Runs an operation that removes what an interrupted command made; ends, done or not, before the user tires of it.
    pub fn clean_up<T: Send + 'static>(&mut self, work: Work<T>) {
        let _ = executor::drive(&mut work.into_future(), self.time_left());
    }

    /// Time left for cleaning up, of all that an interrupted command has.
    fn time_left(&mut self) -> Duration {
        self.farewell.get_or_insert_with(|| Instant::now() + FAREWELL).saturating_duration_since(Instant::now())
    }

    /// Writes text, or one JSON document with `--json`.
    pub fn say(&mut self, text: impl FnOnce() -> String, json: impl FnOnce() -> Value) -> Result<(), Failure> {
        let line = if self.json { json_line(&json()) } else { format!("{}\n", text()) };
        self.bytes(line.as_bytes())
    }

    /// Writes bytes as they are.
    pub fn bytes(&mut self, data: &[u8]) -> Result<(), Failure> {
        self.out.bytes(data, self.interrupted)
    }

    /// Writes out what is buffered.
    pub fn flush(&mut self) -> Result<(), Failure> {
        self.out.flush(self.interrupted)
    }

    /// Runs `command` for each URI. One that fails is reported, and the others still have their turn; the command then
    /// ends with the code of the first failure.
    pub fn each(
        &mut self,
        uris: &[String],
        mut command: impl FnMut(&mut Self, &Uri) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.each_of(uris, |session, text| command(session, &Uri::parse(text)?))
    }

    /// As [`each`](Self::each), for arguments of any kind.
    pub fn each_of<T>(
        &mut self,
        arguments: &[T],
        mut command: impl FnMut(&mut Self, &T) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut first = None;
        for argument in arguments {
            match command(self, argument) {
                Err(failure) if failure.is_of_one_argument() => {
                    self.flush()?;
                    self.report(&failure);
                    first.get_or_insert(failure.code());
                }
                other => other?,
            }
        }
        first.map_or(Ok(()), |code| Err(Failure::Reported(code)))
    }

    /// Says on standard error why something failed.
    pub fn report(&mut self, failure: &Failure) {
        if let Some(message) = failure.message() {
            // Nothing is left to tell this to.
            let _ = writeln!(self.err, "s3dlio: {message}");
        }
    }

    /// Ends the run and returns its exit code.
    pub fn end(mut self, result: Result<(), Failure>) -> i32 {
        let result = result.and_then(|()| self.flush());
        let Err(failure) = result else { return crate::exit::code::OK };
        if matches!(failure, Failure::Interrupted) {
            while transfer::ending() > 0 && !self.time_left().is_zero() {
                std::thread::sleep(Duration::from_millis(10));
            }
        } else {
            // What was found before the failure is worth having.
            let _ = self.flush();
        }
        self.report(&failure);
        failure.code()
    }
}

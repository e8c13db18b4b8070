//! Standard output: text lines, JSON lines, or bytes.

use std::fs::File;
use std::io::{ErrorKind, Write};

use serde_json::Value;

use crate::exit::Failure;

/// Bytes that are collected before they are written.
const BUFFER: usize = 64 << 10;

/// A buffered stream whose writes a signal can end: the writers of the standard library try again after one.
#[derive(Debug)]
pub struct Output {
    file: File,
    buffer: Vec<u8>,
}

impl Output {
    pub fn new(file: File) -> Self {
        Self { file, buffer: Vec::new() }
    }

    pub fn bytes(&mut self, data: &[u8], interrupted: &mut dyn FnMut() -> bool) -> Result<(), Failure> {
        if self.buffer.len() + data.len() < BUFFER {
            self.buffer.extend_from_slice(data);
            return Ok(());
        }
        self.flush(interrupted)?;
        self.write(data, interrupted)
    }

    pub fn flush(&mut self, interrupted: &mut dyn FnMut() -> bool) -> Result<(), Failure> {
        let buffer = std::mem::take(&mut self.buffer);
        self.write(&buffer, interrupted)
    }

    fn write(&mut self, mut data: &[u8], interrupted: &mut dyn FnMut() -> bool) -> Result<(), Failure> {
        while !data.is_empty() {
            match self.file.write(data) {
                // A signal shows as a short write when a part had gone through before it came.
                Ok(written) if written < data.len() && interrupted() => return Err(Failure::Interrupted),
                Ok(written) => data = &data[written..],
                Err(error) if error.kind() == ErrorKind::Interrupted && !interrupted() => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => return Err(Failure::Interrupted),
                Err(error) => return Err(Failure::Output(error)),
            }
        }
        Ok(())
    }
}

/// One line of JSON.
pub fn json_line(value: &Value) -> String {
    format!("{value}\n")
}

//! Windows of an object in order, read before they are asked for.

use std::collections::VecDeque;

use bytes::Bytes;
use s3dlio_store::Result;

use crate::input::Input;
use crate::jobs::{self, Job};

/// Reads windows of an object of a network store ahead of their use; what is held is at most `depth` windows and the one
/// in the caller's hands. Dropping it gives up the requests that are under way.
///
/// A local file needs none of this: the system reads it ahead.
#[derive(Debug)]
pub struct Ahead {
    input: Input,
    /// Windows under way: where each begins and ends.
    queue: VecDeque<(u64, u64, Job<Bytes>)>,
    /// Where the next request begins.
    next: u64,
    window: u64,
    overlap: u64,
    depth: usize,
}

impl Ahead {
    /// Windows of `window` bytes from `start` on, `depth` of them at a time. The input must have been used or
    /// [connected](Input::connect) in this process.
    #[must_use]
    pub fn new(input: Input, start: u64, window: u64, depth: usize) -> Self {
        Self { input, queue: VecDeque::new(), next: start, window: window.max(1), overlap: 0, depth: depth.max(1) }
    }

    /// Lets each window bring so many bytes of the next one as well.
    #[must_use]
    pub fn overlapping(self, overlap: u64) -> Self {
        Self { overlap, ..self }
    }

    /// Goes on at `offset`, which is not before what has been returned: windows that end before it are given up.
    pub fn skip_to(&mut self, offset: u64) {
        while self.queue.front().is_some_and(|(_, end, _)| *end <= offset) {
            self.queue.pop_front();
        }
        if self.queue.is_empty() {
            self.next = self.next.max(offset);
        }
    }

    /// Changes the size of the windows that are not under way yet.
    pub fn resize(&mut self, window: u64) {
        self.window = window.max(1);
    }

    /// The next window, with the place where it begins; `None` behind the end of the object.
    ///
    /// # Errors
    /// As [`Input::read`].
    pub async fn window(&mut self) -> Result<Option<(u64, Bytes)>> {
        while self.queue.len() < self.depth && self.next < self.input.size() {
            let (start, end) = (self.next, self.input.size().min(self.next.saturating_add(self.window)));
            let input = self.input.clone();
            let range = start..self.input.size().min(end.saturating_add(self.overlap));
            self.queue.push_back((start, end, jobs::fetch(async move { input.fetch(range).await })));
            self.next = end;
        }
        match self.queue.pop_front() {
            Some((start, _, task)) => Ok(Some((start, task.wait().await?))),
            None => Ok(None),
        }
    }
}

//! The content of one object in order, piece by piece, in bounded memory.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;

use super::place::{Head, Place};
use crate::Uri;
use crate::error::Result;
use crate::work::{Task, Work};

/// Bytes of a piece.
const PIECE: u64 = 8 << 20;

/// Pieces that are read ahead: with the one in the caller's hands at most 40 MiB are held.
const AHEAD: usize = 4;

/// An object being read; take piece after piece.
#[derive(Debug)]
pub struct Content {
    place: Place,
    head: Head,
    next: u64,
    end: u64,
    reading: VecDeque<Task<Bytes>>,
}

/// Begins to read an object, or the part of it in `range` (cut at its end).
///
/// All pieces belong to one version: an object of a network store that is replaced meanwhile is an error.
///
/// # Errors
/// At once: a URI or settings that cannot work. From the work: what [`StoreError`](crate::StoreError) lists.
pub fn read(uri: &Uri, range: Range<u64>) -> Result<Work<Content>> {
    let place = Place::open(uri)?;
    Ok(Work::network(async move {
        let head = place.head(&place.uri.key).await?;
        let end = range.end.min(head.size);
        Ok(Content { next: range.start, end, place, head, reading: VecDeque::new() })
    }))
}

impl Content {
    /// The next piece, with the rest of the content; `None` after the last.
    pub fn piece(mut self) -> Work<Option<(Bytes, Self)>> {
        Work::network(async move {
            if self.head.size == 0 && self.place.is_local() && self.next == 0 {
                return self.unsized_file().await;
            }
            while self.reading.len() < AHEAD && self.next < self.end {
                let range = self.next..self.end.min(self.next + PIECE);
                self.next = range.end;
                let (place, etag) = (self.place.clone(), self.head.etag.clone());
                self.reading.push_back(Task::spawn(async move {
                    Ok(Bytes::from(place.range(&place.uri.key, range, etag).await?))
                })?);
            }
            match self.reading.pop_front() {
                Some(piece) => Ok(Some((piece.result().await?, self))),
                None => Ok(None),
            }
        })
    }

    /// Files of `/proc` and the like say that they are empty and still have content.
    async fn unsized_file(mut self) -> Result<Option<(Bytes, Self)>> {
        let (content, _) = self.place.whole(&self.place.uri.key).await?;
        self.next = 1;
        Ok(Some((Bytes::from(content), self)))
    }
}

//! Encoded bytes on their way into the store: parts in flight, a bounded number of buffers.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use object_store::path::Path;
use object_store::{
    Attribute, AttributeValue, Attributes, MultipartUpload, ObjectStore, PutMultipartOptions, PutOptions, PutPayload,
    PutResult,
};
use s3dlio_runtime::stats::{self, Counter};
use tokio::task::JoinSet;

use super::options::Sizes;
use crate::Uri;
use crate::error::{Result, StoreError};
use crate::upload;
use crate::uri::Scheme;

/// Bytes from which on it costs less to send them from where they are than to copy them into a part: 512 MiB to a file in
/// pieces of 64 KiB took more processor time in that way, of 256 KiB the same, of 1 MiB a tenth less.
pub(super) const KEEP: usize = 1 << 20;

/// The part that is being filled: bytes that were copied, and before them those that stay where they are.
#[derive(Default)]
struct Filling {
    kept: Vec<Bytes>,
    copied: BytesMut,
    length: usize,
}

impl Filling {
    fn keep(&mut self, data: Bytes) {
        self.length += data.len();
        if !self.copied.is_empty() {
            self.kept.push(self.copied.split().freeze());
        }
        self.kept.push(data);
    }

    fn copy(&mut self, data: &[u8]) {
        self.length += data.len();
        self.copied.extend_from_slice(data);
    }

    /// What to send, and the buffer, if all was copied into one that can be filled again.
    fn freeze(self) -> (PutPayload, Option<Bytes>) {
        let copied = self.copied.freeze();
        if self.kept.is_empty() {
            return (PutPayload::from_bytes(copied.clone()), Some(copied));
        }
        let rest = (!copied.is_empty()).then_some(copied);
        (self.kept.into_iter().chain(rest).collect(), None)
    }
}

/// A part that the store has taken: its bytes, and the buffer they were copied into.
type Sent = (u64, Option<Bytes>);

/// One object being uploaded.
pub(super) struct Upload {
    store: Arc<dyn ObjectStore>,
    uri: Uri,
    path: Path,
    attributes: Attributes,
    sizes: Sizes,
    filling: Filling,
    /// Buffers that have come back.
    spare: Vec<BytesMut>,
    multipart: Option<Box<dyn MultipartUpload>>,
    in_flight: JoinSet<object_store::Result<Sent>>,
    /// Parts and bytes handed to the store.
    sent: (u64, u64),
    /// Parts and bytes that the store has confirmed.
    confirmed: (u64, u64),
}

impl Upload {
    pub fn new(store: Arc<dyn ObjectStore>, uri: Uri, path: Path, sizes: Sizes, content_type: Option<String>) -> Self {
        let kind = content_type.map(|kind| (Attribute::ContentType, AttributeValue::from(kind)));
        Self {
            store,
            uri,
            path,
            attributes: kind.into_iter().collect(),
            sizes,
            filling: Filling::default(),
            spare: Vec::new(),
            multipart: None,
            in_flight: JoinSet::new(),
            sent: (0, 0),
            confirmed: (0, 0),
        }
    }

    /// Copies bytes into parts; waits while every buffer is on its way.
    pub async fn append(&mut self, mut data: &[u8]) -> Result<()> {
        while !data.is_empty() {
            let taken = data.len().min(self.room().await?);
            self.fill(&data[..taken]);
            data = &data[taken..];
        }
        Ok(())
    }

    /// Whether that is of use: past the page cache memory that is not aligned is copied in any case, best in large pieces.
    pub fn keeps(&self) -> bool {
        self.uri.scheme != Scheme::Direct
    }

    /// Takes bytes that nobody will change into parts without copying them; waits as [`Upload::append`] does.
    pub async fn keep(&mut self, mut data: Bytes) -> Result<()> {
        let large = data.len() > self.sizes.part;
        while !data.is_empty() {
            let room = self.room().await?;
            let taken = data.split_to(data.len().min(room));
            // The rest of a large piece may wait here for long, and would keep all of it in memory.
            if taken.len() < KEEP || large && taken.len() < room {
                self.fill(&taken);
            } else {
                self.filling.keep(taken);
            }
        }
        Ok(())
    }

    /// Bytes that the part takes that is being filled. A full part stays until more comes: an object of one part is
    /// then still a single request.
    async fn room(&mut self) -> Result<usize> {
        if self.filling.length == self.sizes.part {
            self.hand_over().await?;
        }
        Ok(self.sizes.part - self.filling.length)
    }

    /// Copies bytes into the part that is being filled, if they all fit.
    pub fn try_append(&mut self, data: &[u8]) -> bool {
        let fits = data.len() <= self.sizes.part - self.filling.length;
        if fits {
            self.fill(data);
        }
        fits
    }

    fn fill(&mut self, data: &[u8]) {
        if self.filling.copied.capacity() == 0 {
            // The system grants pages only as they are touched, so a small object does not cost a whole part.
            self.filling.copied = self.spare.pop().unwrap_or_else(|| BytesMut::with_capacity(self.sizes.part));
        }
        self.filling.copy(data);
    }

    /// Sends the part that is being filled, and waits until there is a buffer for the next.
    async fn hand_over(&mut self) -> Result<()> {
        if self.sent.0 == self.sizes.most_parts {
            let least = (self.sent.1 / self.sent.0.max(1)) * 2;
            let detail = format!(
                "the object has more than {} parts, which is the limit of the store: write it with a chunk_size (or \
                 part_size) of at least {least} bytes",
                self.sizes.most_parts
            );
            return Err(StoreError::Unsupported { uri: self.uri.to_string(), detail });
        }
        if self.multipart.is_none() {
            let options = PutMultipartOptions { attributes: self.attributes.clone(), ..Default::default() };
            let begun = self.store.put_multipart_opts(&self.path, options).await;
            self.multipart = Some(begun.map_err(|source| self.failed(source))?);
        }
        let Some(multipart) = self.multipart.as_mut() else { return Ok(()) };
        let (part, buffer) = std::mem::take(&mut self.filling).freeze();
        let length = part.content_length() as u64;
        self.sent = (self.sent.0 + 1, self.sent.1 + length);
        let accepted = multipart.put_part(part);
        stats::add(Counter::PutRequests, 1);
        self.in_flight.spawn(async move { accepted.await.map(|()| (length, buffer)) });
        self.collect(self.sizes.held - 1).await
    }

    /// Takes back what has arrived, and waits while more than `allowed` parts are on their way.
    async fn collect(&mut self, allowed: usize) -> Result<()> {
        loop {
            let done = match self.in_flight.try_join_next() {
                Some(done) => done,
                None if self.in_flight.len() <= allowed => return Ok(()),
                None => match self.in_flight.join_next().await {
                    Some(done) => done,
                    None => return Ok(()),
                },
            };
            let abnormal = |source| StoreError::Store {
                uri: self.uri.to_string(),
                detail: format!("a request task ended abnormally: {source}"),
            };
            let (length, buffer) = done.map_err(abnormal)?.map_err(|source| self.failed(source))?;
            self.confirmed = (self.confirmed.0 + 1, self.confirmed.1 + length);
            stats::add(Counter::PutBytes, length);
            // A store that keeps the bytes, as the one in memory does, keeps the buffer.
            if let Some(Ok(mut buffer)) = buffer.map(Bytes::try_into_mut) {
                buffer.clear();
                self.spare.push(buffer);
            }
        }
    }

    /// Waits until the store has confirmed every part that was handed over.
    pub async fn settle(&mut self) -> Result<()> {
        self.collect(0).await
    }

    /// Sends what is left and makes the object visible; `length` is what the encoder put out.
    pub async fn finish(&mut self, length: u64) -> Result<(PutResult, u64)> {
        if self.multipart.is_none() {
            return self.single(length).await;
        }
        if self.filling.length > 0 {
            self.hand_over().await?;
        }
        self.settle().await?;
        if self.confirmed != self.sent || self.sent.1 != length {
            return Err(StoreError::Length { uri: self.uri.to_string(), found: self.confirmed.1, expected: length });
        }
        let Some(multipart) = self.multipart.as_mut() else { return self.single(length).await };
        let done = multipart.complete().await;
        let done = done.map_err(|source| self.failed(source))?;
        self.multipart = None;
        upload::confirm(&*self.store, &self.uri, &self.path, &done, length).await?;
        Ok((done, self.sent.0))
    }

    async fn single(&mut self, length: u64) -> Result<(PutResult, u64)> {
        let (body, _) = std::mem::take(&mut self.filling).freeze();
        let found = body.content_length() as u64;
        if found != length {
            return Err(StoreError::Length { uri: self.uri.to_string(), found, expected: length });
        }
        let options = PutOptions { attributes: self.attributes.clone(), ..Default::default() };
        let done = self.store.put_opts(&self.path, body, options).await;
        let done = done.map_err(|source| self.failed(source))?;
        stats::add(Counter::PutRequests, 1);
        stats::add(Counter::PutBytes, length);
        Ok((done, 1))
    }

    /// Gives the upload up: nothing appears under the name, and the store may forget the parts.
    ///
    /// # Errors
    /// Those of the request for it; the parts are then left to the store's own rules.
    pub async fn abort(&mut self) -> Result<()> {
        self.in_flight.shutdown().await;
        self.filling = Filling::default();
        self.spare.clear();
        match self.multipart.take() {
            Some(mut multipart) => multipart.abort().await.map_err(|source| self.failed(source)),
            None => Ok(()),
        }
    }

    /// Whether the store holds parts that an abort would remove.
    pub fn has_parts(&self) -> bool {
        self.multipart.is_some()
    }

    fn failed(&self, source: object_store::Error) -> StoreError {
        StoreError::object(self.uri.to_string(), source)
    }
}

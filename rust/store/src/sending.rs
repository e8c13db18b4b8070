//! Large request bodies on their way: as long as bytes leave, a slow upload is no silent server.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use object_store::client::{HttpError, HttpErrorKind, HttpRequestBody};
use tokio::time::Instant;

/// Bytes handed to the connection at a time: a slow link takes one within seconds, and a fast one does not notice.
const PIECE: usize = 128 << 10;

/// When the connection last took a piece, in milliseconds since the beginning.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    began: Instant,
    last: Arc<AtomicU64>,
}

impl Progress {
    fn moved(&self) {
        let since = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(since, Ordering::Relaxed);
    }

    fn last(&self) -> Instant {
        self.began + Duration::from_millis(self.last.load(Ordering::Relaxed))
    }
}

/// A body that notes when a piece of it is taken.
#[derive(Debug)]
pub(crate) struct Sending {
    body: HttpRequestBody,
    piece: Bytes,
    left: u64,
    progress: Progress,
}

impl Sending {
    pub(crate) fn new(body: HttpRequestBody) -> (Self, Progress) {
        let progress = Progress { began: Instant::now(), last: Arc::default() };
        let left = body.content_length() as u64;
        (Self { body, piece: Bytes::new(), left, progress: progress.clone() }, progress)
    }
}

impl Body for Sending {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        while self.piece.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => self.piece = frame.into_data().unwrap_or_default(),
                other => return Poll::Ready(other),
            }
        }
        let length = self.piece.len().min(PIECE);
        let piece = self.piece.split_to(length);
        self.left -= length as u64;
        self.progress.moved();
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// Waits for `answer`, and gives up when for `limit` neither it came nor a piece was taken.
///
/// # Errors
/// [`HttpErrorKind::Timeout`] then; else those of the answer.
pub(crate) async fn watched<T>(
    answer: impl Future<Output = Result<T, HttpError>> + Send,
    progress: &Progress,
    limit: Duration,
) -> Result<T, HttpError> {
    let mut answer = pin!(answer);
    loop {
        let until = progress.last() + limit;
        match tokio::time::timeout_at(until, answer.as_mut()).await {
            Ok(answer) => return answer,
            Err(_) if progress.last() + limit > Instant::now() => {}
            Err(elapsed) => return Err(HttpError::new(HttpErrorKind::Timeout, elapsed)),
        }
    }
}

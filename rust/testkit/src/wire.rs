//! The socket below HTTP, where connections break in ways that an HTTP library never produces.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use std::sync::Arc;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// How a connection is to end, as the request that it serves has decided.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    reset: AtomicBool,
    extra: Mutex<Bytes>,
}

impl Ending {
    /// The connection ends with a reset instead of an orderly end.
    pub(crate) fn reset(&self) {
        self.reset.store(true, Ordering::Release);
    }

    /// Bytes to send after the answer, beyond its announced length.
    pub(crate) fn append(&self, extra: Bytes) {
        *self.extra.lock().unwrap_or_else(PoisonError::into_inner) = extra;
    }

    fn take(&self) -> Bytes {
        std::mem::take(&mut *self.extra.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A socket that carries out an [`Ending`].
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    ending: Arc<Ending>,
    extra: Bytes,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream, ending: Arc<Ending>) -> Self {
        Self { stream, ending, extra: Bytes::new() }
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, data)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// HTTP flushes when everything of an answer is written: the moment to say more than was announced.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.extra.is_empty() {
            this.extra = this.ending.take();
        }
        while !this.extra.is_empty() {
            let written = ready!(Pin::new(&mut this.stream).poll_write(cx, &this.extra))?;
            this.extra.advance(written);
        }
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.ending.reset.load(Ordering::Acquire) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.ending.reset.load(Ordering::Acquire) {
            // A socket closed without lingering is reset. Where that fails the peer sees an orderly end, and the test
            // that asked for a reset tells the difference.
            let _ = self.stream.set_zero_linger();
        }
    }
}

//! The body of an answer, whole or broken at one exact byte.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::Sleep;

use crate::content::Pieces;
use crate::log::Answering;
use crate::wire::Ending;

/// Time for the bytes before a break to leave: a reset overtakes what the kernel has not sent yet.
const SETTLE: Duration = Duration::from_millis(20);

/// Pieces a second of a throttled transfer: fine enough to be even, coarse enough to cost nothing.
const STEPS: u64 = 50;

type Polled = Poll<Option<Result<Frame<Bytes>, Broken>>>;

/// What happens after the byte at which a body is cut.
#[derive(Debug, Clone)]
pub(crate) enum Then {
    Reset,
    Close,
    /// Silence, for ever where no time is given.
    Stall(Option<Duration>),
    /// The rest follows although the announced length ends here.
    Overrun,
}

#[derive(Debug)]
struct Cut {
    at: u64,
    then: Then,
    settled: bool,
}

/// The body of an answer.
#[derive(Debug, Default)]
pub(crate) struct Body {
    pieces: Pieces,
    sent: u64,
    cut: Option<Cut>,
    pace: Option<u64>,
    flipped: Option<u64>,
    /// The length is what the answer's headers say, and not what is there.
    lengthless: bool,
    sleep: Option<Pin<Box<Sleep>>>,
    ending: Arc<Ending>,
    _answering: Option<Answering>,
}

impl Body {
    /// The request counts as being answered until this body is sent or given up.
    pub(crate) fn hold(&mut self, answering: Answering) {
        self._answering = Some(answering);
    }

    pub(crate) fn cut(&mut self, at: u64, then: Then, ending: &Arc<Ending>) {
        self.ending = Arc::clone(ending);
        if at == 0 && matches!(then, Then::Overrun) {
            self.ending.append(self.pieces.rest());
            return;
        }
        self.lengthless = true;
        self.cut = Some(Cut { at, then, settled: false });
    }

    /// At most so many bytes a second.
    pub(crate) fn throttle(&mut self, bytes_per_second: u64) {
        self.pace = Some(bytes_per_second.max(1));
    }

    /// The byte at this place arrives changed.
    pub(crate) fn flip(&mut self, at: u64) {
        self.flipped = Some(at);
    }

    /// The length is whatever the headers say.
    pub(crate) fn distrust_length(&mut self) {
        self.lengthless = true;
    }

    pub(crate) fn len(&self) -> u64 {
        self.sent + self.pieces.left()
    }

    fn damaged(&self, piece: Bytes) -> Bytes {
        match self.flipped.and_then(|at| at.checked_sub(self.sent)) {
            Some(at) if at < piece.len() as u64 => {
                let mut copy = piece.to_vec();
                copy[at as usize] ^= 0xFF;
                copy.into()
            }
            _ => piece,
        }
    }

    fn wait(&mut self, time: Duration) {
        self.sleep = Some(Box::pin(tokio::time::sleep(time)));
    }

    /// What to do at the place of the cut: an end of the body, or nothing more to do here.
    fn at_cut(&mut self) -> Option<Polled> {
        let cut = self.cut.as_mut().filter(|cut| cut.at == self.sent)?;
        match cut.then.clone() {
            Then::Overrun => Some(Poll::Ready(None)),
            Then::Stall(None) => Some(Poll::Pending),
            Then::Stall(Some(time)) => {
                self.cut = None;
                self.wait(time);
                None
            }
            Then::Reset | Then::Close if !cut.settled => {
                cut.settled = true;
                self.wait(SETTLE);
                None
            }
            then => {
                if matches!(then, Then::Reset) {
                    self.ending.reset();
                }
                Some(Poll::Ready(Some(Err(Broken))))
            }
        }
    }

    fn most(&self) -> u64 {
        let before_cut = self.cut.as_ref().map_or(u64::MAX, |cut| cut.at - self.sent);
        before_cut.min(self.pace.map_or(u64::MAX, |pace| (pace / STEPS).max(1)))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        let this = &mut *self;
        loop {
            if let Some(sleep) = &mut this.sleep {
                ready!(sleep.as_mut().poll(cx));
                this.sleep = None;
            }
            if let Some(end) = this.at_cut() {
                return end;
            }
            if this.sleep.is_none() {
                break;
            }
        }
        let most = this.most();
        let Some(piece) = this.pieces.next(most) else { return Poll::Ready(None) };
        let piece = this.damaged(piece);
        this.sent += piece.len() as u64;
        if let Some(Cut { at, then: Then::Overrun, .. }) = this.cut
            && at == this.sent
        {
            this.ending.append(this.pieces.rest());
        }
        if let Some(pace) = this.pace {
            this.wait(Duration::from_secs_f64(piece.len() as f64 / pace as f64));
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        !self.lengthless && self.pieces.left() == 0
    }

    fn size_hint(&self) -> SizeHint {
        if self.lengthless { SizeHint::default() } else { SizeHint::with_exact(self.pieces.left()) }
    }
}

impl<T: Into<Pieces>> From<T> for Body {
    fn from(pieces: T) -> Self {
        Self { pieces: pieces.into(), ..Self::default() }
    }
}

/// The connection was broken on purpose.
#[derive(Debug)]
pub(crate) struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("broken on purpose")
    }
}

impl std::error::Error for Broken {}

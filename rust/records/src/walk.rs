//! Going through a file from front to back: what a parser asks for is read, and it works on the decoding pool.

use bytes::Bytes;
use s3dlio_formats::riegeli::Need;

use crate::ahead::Ahead;
use crate::error::Result;
use crate::input::Input;
use crate::jobs;

/// Bytes of a window.
const WINDOW: u64 = 4 << 20;

/// Windows of a network store in flight.
const WINDOWS: usize = 4;

/// Bytes of a local file that are read at once.
const LOCAL_WINDOW: u64 = 512 << 10;

/// Bytes found, and windows of a local file gone through, after which the caller has its turn.
const TURN: usize = 1 << 20;
const TURN_WINDOWS: usize = 16;

/// What a parser has come to.
pub(crate) enum Event<T> {
    Need(Need),
    Found(T),
    End,
}

/// A parser that is told bytes of a file as it asks for them.
pub(crate) trait Machine: Send + 'static {
    type Found: Send + 'static;

    /// The next step.
    fn next_event(&mut self) -> Event<Self::Found>;

    /// Takes bytes of the file that begin at `offset`; none at its end.
    fn supply(&mut self, offset: u64, bytes: Bytes);

    /// Bytes of memory that something found takes.
    fn weight(found: &Self::Found) -> usize;
}

/// A parser and its file.
#[derive(Debug)]
pub(crate) struct Walk<M> {
    input: Input,
    pub machine: M,
    ahead: Option<Ahead>,
    /// Up to where the file has been read.
    position: u64,
}

/// What a turn has brought.
pub(crate) struct Turn<T> {
    pub found: Vec<T>,
    pub ended: bool,
}

enum Parsed {
    Need(Need),
    Full,
    End,
}

impl<M: Machine> Walk<M> {
    /// At the beginning of a file, which must have been used or [connected](Input::connect) in this process.
    pub fn new(input: Input, machine: M) -> Self {
        Self { input, machine, ahead: None, position: 0 }
    }

    /// Up to where the file has been read.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Goes on until there is something to hand over, or some time has passed.
    pub async fn turn(mut self: Box<Self>) -> Result<(Box<Self>, Turn<M::Found>)> {
        let mut found = Vec::new();
        loop {
            let parsed;
            (self, found, parsed) = jobs::decode(move || {
                let parsed =
                    if self.input.is_local() { self.parse_local(&mut found) } else { Ok(self.parse(&mut found)) };
                (self, found, parsed)
            })
            .wait()
            .await?;
            let ended = match parsed? {
                Parsed::Need(need) => {
                    let bytes = self.fetch(need).await?;
                    self.supply(need.offset, bytes);
                    if found.is_empty() {
                        continue;
                    }
                    false
                }
                Parsed::Full => false,
                Parsed::End => true,
            };
            return Ok((self, Turn { found, ended }));
        }
    }

    fn supply(&mut self, offset: u64, bytes: Bytes) {
        self.position = offset + bytes.len() as u64;
        self.machine.supply(offset, bytes);
    }

    fn parse(&mut self, found: &mut Vec<M::Found>) -> Parsed {
        let mut weight = 0;
        while weight < TURN {
            match self.machine.next_event() {
                Event::Need(need) => return Parsed::Need(need),
                Event::End => return Parsed::End,
                Event::Found(one) => {
                    // What is found takes some memory by itself.
                    weight += M::weight(&one) + 64;
                    found.push(one);
                }
            }
        }
        Parsed::Full
    }

    fn parse_local(&mut self, found: &mut Vec<M::Found>) -> Result<Parsed> {
        for _ in 0..TURN_WINDOWS {
            let parsed = self.parse(found);
            let Parsed::Need(need) = parsed else { return Ok(parsed) };
            let size = self.input.size();
            let end = need.offset.saturating_add(need.len.max(LOCAL_WINDOW)).min(size);
            let bytes = self.input.read_now(need.offset.min(size)..end)?;
            self.supply(need.offset, bytes);
            if !found.is_empty() {
                break;
            }
        }
        Ok(Parsed::Full)
    }

    /// The next bytes of a file in a network store, which are mostly on their way already.
    async fn fetch(&mut self, need: Need) -> Result<Bytes> {
        let anew = || Ahead::new(self.input.clone(), need.offset, WINDOW, WINDOWS);
        let ahead = self.ahead.get_or_insert_with(anew);
        ahead.skip_to(need.offset);
        let mut read = ahead.window().await?;
        // Behind damage, and behind the end of the file, the next bytes can lie before what was read last.
        if read.as_ref().is_none_or(|(start, _)| *start > need.offset) {
            read = self.ahead.insert(anew()).window().await?;
        }
        let skip = |start: u64| usize::try_from(need.offset - start).unwrap_or(usize::MAX);
        Ok(read.map_or_else(Bytes::new, |(start, bytes)| bytes.slice(skip(start)..)))
    }
}

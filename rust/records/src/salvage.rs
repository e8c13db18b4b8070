//! The records of damaged files, and what is wrong with them.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use s3dlio_formats::riegeli::{OnDamage, Records};
use s3dlio_formats::tfrecord::TfRecordError;
use s3dlio_formats::tfrecord::compression::{Compression, DETECT, Inflate};
use s3dlio_formats::{array_record, disky, tfrecord};
use s3dlio_runtime::fork;
use s3dlio_store::{StoreError, Uri, Work};

use crate::error::{RecordError, Result};
use crate::input::Input;
use crate::jobs;
use crate::kind::Kind;
use crate::walk::{Event, Machine, Walk};
use s3dlio_store::progress::Progress;

/// Faults that are kept; more are only counted, so that a file of noise takes no memory.
pub(crate) const KEPT: usize = 10_000;

/// Compressed bytes that are decompressed at a time; they can become a thousand times as many.
const PIECE: usize = 64 << 10;

/// Something that is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where it is, if that is known. In a compressed file bytes are counted as they are decompressed.
    pub offset: Option<u64>,
    /// The part of the file that cannot be read for it; empty where that costs no record.
    pub lost: Range<u64>,
    /// What was found, and what was expected.
    pub detail: String,
}

impl Fault {
    pub(crate) fn new(offset: Option<u64>, lost: Range<u64>, error: &dyn fmt::Display) -> Self {
        let offset = offset.or_else(|| (!lost.is_empty()).then_some(lost.start));
        Self { offset, lost, detail: error.to_string() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(offset) = self.offset {
            write!(f, "at byte {offset}: ")?;
        }
        f.write_str(&self.detail)?;
        let Range { start, end } = self.lost;
        if start < end { write!(f, " (bytes {start} to {end} are lost)") } else { Ok(()) }
    }
}

/// What a look at a file brings.
#[derive(Debug)]
pub(crate) enum Piece {
    Group(Records),
    Record(Bytes),
    Fault(Fault),
}

/// The records of a file of any format that has some, in file order.
#[derive(Debug)]
pub(crate) enum Salvage {
    ArrayRecord(Box<array_record::Salvage>),
    Disky(Box<disky::Reader>),
    TfRecord(Box<tfrecord::Salvage>),
    Packed(Box<Packed>),
}

impl Salvage {
    /// Of an open file.
    pub async fn of(kind: Kind, input: &Input) -> Result<Self> {
        let size = input.size();
        Ok(match kind {
            Kind::ArrayRecord => Self::ArrayRecord(Box::new(array_record::Salvage::new(size))),
            Kind::Disky => Self::Disky(Box::new(disky::Reader::new(size, OnDamage::Skip).thorough())),
            Kind::TfRecord => match compression(input).await? {
                Compression::None => Self::TfRecord(Box::new(tfrecord::Salvage::new(size))),
                kind => Self::Packed(Box::new(Packed::new(kind))),
            },
            Kind::Npz | Kind::Npy => {
                let detail = format!("{kind} holds arrays, expected a format of records");
                return Err(StoreError::Unsupported { uri: input.uri().to_string(), detail }.into());
            }
        })
    }
}

/// How a TFRecord file is compressed.
pub(crate) async fn compression(input: &Input) -> Result<Compression> {
    Ok(Compression::detect(&input.fetch(0..input.size().min(DETECT as u64)).await?))
}

impl Machine for Salvage {
    type Found = Piece;

    fn next_event(&mut self) -> Event<Piece> {
        match self {
            Self::ArrayRecord(machine) => match machine.next_step() {
                array_record::Salvaged::Need(need) => Event::Need(need),
                array_record::Salvaged::Records { records, .. } => Event::Found(Piece::Group(records)),
                array_record::Salvaged::Damage { error, lost } => {
                    Event::Found(Piece::Fault(Fault::new(error.offset(), lost, &error)))
                }
                array_record::Salvaged::End => Event::End,
            },
            Self::Disky(machine) => match machine.next_step() {
                Ok(disky::Next::Need(need)) => Event::Need(need),
                Ok(disky::Next::Records { records, .. }) => Event::Found(Piece::Group(records)),
                Ok(disky::Next::Damage(damage)) => {
                    Event::Found(Piece::Fault(Fault::new(damage.error.offset(), damage.lost, &damage.error)))
                }
                // A reader that passes over damage has nothing to fail with.
                Ok(disky::Next::End) | Err(_) => Event::End,
            },
            Self::TfRecord(machine) => match machine.next_step() {
                tfrecord::Salvaged::Need(need) => Event::Need(need),
                other => Event::from(other),
            },
            Self::Packed(packed) => packed.next_event(),
        }
    }

    fn supply(&mut self, offset: u64, bytes: Bytes) {
        match self {
            Self::ArrayRecord(machine) => machine.supply(offset, bytes),
            Self::Disky(machine) => machine.supply(offset, bytes),
            Self::TfRecord(machine) => machine.supply(offset, bytes),
            Self::Packed(packed) => packed.supply(bytes),
        }
    }

    fn weight(found: &Piece) -> usize {
        match found {
            Piece::Group(records) => records.data().len() + 8 * records.len(),
            Piece::Record(record) => record.len(),
            Piece::Fault(fault) => fault.detail.len(),
        }
    }
}

impl From<tfrecord::Salvaged> for Event<Piece> {
    fn from(found: tfrecord::Salvaged) -> Self {
        match found {
            tfrecord::Salvaged::Need(need) => Self::Need(need),
            tfrecord::Salvaged::Record { record, .. } => Self::Found(Piece::Record(record)),
            tfrecord::Salvaged::Damage { error, lost } => {
                Self::Found(Piece::Fault(Fault::new(Some(lost.start), lost, &error)))
            }
            tfrecord::Salvaged::End => Self::End,
        }
    }
}

/// A compressed TFRecord file. What follows damage of the compressed data cannot be had.
#[derive(Debug)]
pub(crate) struct Packed {
    machine: tfrecord::Salvage,
    inflate: Option<Inflate>,
    packed: Bytes,
    /// Compressed bytes taken from the file.
    at: u64,
    /// Bytes that they became.
    len: u64,
    fault: Option<Fault>,
}

impl Packed {
    fn new(kind: Compression) -> Self {
        // How long the file is without its compression shows only at its end.
        let machine = tfrecord::Salvage::new(u64::MAX);
        Self { machine, inflate: Inflate::new(kind), packed: Bytes::new(), at: 0, len: 0, fault: None }
    }

    fn next_event(&mut self) -> Event<Piece> {
        loop {
            if let Some(fault) = self.fault.take() {
                return Event::Found(Piece::Fault(fault));
            }
            match self.machine.next_step() {
                tfrecord::Salvaged::Need(_) => {}
                other => return Event::from(other),
            }
            let Some(inflate) = &mut self.inflate else {
                self.machine.supply(self.len, Bytes::new());
                continue;
            };
            if self.packed.is_empty() {
                return Event::Need(s3dlio_formats::riegeli::Need { offset: self.at, len: 1 << 20 });
            }
            let mut out = Vec::new();
            let result = inflate.push(&self.packed.split_to(PIECE.min(self.packed.len())), &mut out);
            let offset = self.len;
            self.len += out.len() as u64;
            if !out.is_empty() {
                self.machine.supply(offset, Bytes::from(out));
            }
            if let Err(error) = result {
                self.end(&error);
            }
        }
    }

    fn end(&mut self, error: &TfRecordError) {
        self.inflate = None;
        self.fault = Some(Fault::new(Some(self.len), 0..0, error));
    }

    fn supply(&mut self, bytes: Bytes) {
        self.at += bytes.len() as u64;
        if bytes.is_empty()
            && let Some(inflate) = self.inflate.take()
            && let Err(error) = inflate.finish()
        {
            self.end(&error);
        }
        self.packed = bytes;
    }
}

/// Reads every record of a damaged file that is whole; clones are the same one.
///
/// A forked child of the process that opened the file cannot go on with it.
#[derive(Debug, Clone)]
pub struct Recovery(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    uri: Uri,
    generation: u64,
    progress: Arc<Progress>,
    /// Taken out by the call that is at work.
    state: Mutex<Option<State>>,
    found: Mutex<(Vec<Fault>, u64)>,
}

#[derive(Debug)]
struct State {
    walk: Box<Walk<Salvage>>,
    ended: bool,
}

impl Recovery {
    /// Opens a file of this format, or of the one that it shows.
    ///
    /// # Errors
    /// At once: a URI or settings that cannot work. From the work: those of the store, and
    /// [`StoreError::Unsupported`] for a file without records.
    pub fn open(uri: &Uri, kind: Option<Kind>, progress: Arc<Progress>) -> s3dlio_store::Result<Work<Result<Self>>> {
        let generation = fork::generation();
        let opening = Input::open(uri)?;
        Ok(jobs::work(async move {
            let input = opening.into_future().await?;
            let kind = Kind::given_or_detected(kind, &input).await?;
            progress.of(input.size());
            let uri = input.uri().clone();
            let walk = Box::new(Walk::new(input.clone(), Salvage::of(kind, &input).await?));
            let state = Mutex::new(Some(State { walk, ended: false }));
            Ok(Self(Arc::new(Inner { uri, generation, progress, state, found: Mutex::default() })))
        }))
    }

    /// The file.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.0.uri
    }

    /// What was found to be wrong so far, the first ten thousand faults.
    #[must_use]
    pub fn faults(&self) -> Vec<Fault> {
        self.found().0.clone()
    }

    /// How many things were found to be wrong so far.
    #[must_use]
    pub fn num_faults(&self) -> u64 {
        self.found().1
    }

    /// The next records, at least one; none at the end of the file.
    ///
    /// # Errors
    /// At once: [`StoreError::Forked`] in a child of the process that opened the file, [`RecordError::Closed`] while
    /// another call is at work or after one that failed or was given up. From the work: those of the store.
    pub fn batch(&self) -> Result<Work<Result<Vec<Bytes>>>> {
        if self.0.generation != fork::generation() {
            let detail = "this was opened in the parent of this process: open the file in the forked child".into();
            return Err(StoreError::Forked { uri: self.0.uri.to_string(), detail }.into());
        }
        let state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut state = state.ok_or_else(|| {
            let detail = "another call reads from it, or one failed or was given up: open the file again".into();
            RecordError::Closed { uri: self.0.uri.to_string(), detail }
        })?;
        let this = self.clone();
        Ok(jobs::work(async move {
            let mut records = Vec::new();
            while records.is_empty() && !state.ended {
                let (walk, turn) = state.walk.turn().await?;
                state = State { walk, ended: turn.ended };
                for piece in turn.found {
                    match piece {
                        Piece::Group(group) => records.extend((0..group.len()).filter_map(|at| group.get(at))),
                        Piece::Record(record) => records.push(record),
                        Piece::Fault(fault) => this.note(fault),
                    }
                }
                this.0.progress.at(state.walk.position());
            }
            this.0.progress.found(records.len() as u64);
            *this.0.state.lock().unwrap_or_else(PoisonError::into_inner) = Some(state);
            Ok(records)
        }))
    }

    fn note(&self, fault: Fault) {
        let mut found = self.found();
        found.1 += 1;
        if found.0.len() < KEPT {
            found.0.push(fault);
        }
    }

    fn found(&self) -> std::sync::MutexGuard<'_, (Vec<Fault>, u64)> {
        self.0.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.generation != fork::generation() {
            // Requests under way belong to threads of the parent, which a child cannot tell to stop.
            std::mem::forget(self.state.get_mut().unwrap_or_else(PoisonError::into_inner).take());
        }
    }
}

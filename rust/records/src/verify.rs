//! Whether a file is as it was written: every hash and checksum in it, and what it says about itself.

use std::sync::Arc;

use bytes::Bytes;
use s3dlio_formats::array_record::{Checked, Summary, Verify};
use s3dlio_formats::npz::{self, Limits, Member};
use s3dlio_formats::{npy, riegeli::Need};
use s3dlio_store::{Uri, Work};

use crate::error::{Place, RecordError, Result};
use crate::input::Input;
use crate::jobs;
use crate::kind::Kind;
use crate::npz::Archive;
use crate::salvage::{Fault, KEPT, Piece, Salvage};
use crate::walk::{Event, Machine, Walk};
use s3dlio_store::progress::Progress;

/// Bytes of an array's header that are read at first; few have more.
const HEADER: u64 = 4 << 10;

/// What a check of a file has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The file.
    pub uri: Uri,
    /// Its format.
    pub kind: Kind,
    /// Bytes of the file.
    pub size: u64,
    /// Chunks of records that are whole; 0 in formats without chunks.
    pub chunks: u64,
    /// Records, or arrays, that are whole.
    pub records: u64,
    /// Bytes of these.
    pub record_bytes: u64,
    /// What is wrong, the first ten thousand faults.
    pub faults: Vec<Fault>,
    /// How many things are wrong.
    pub num_faults: u64,
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.num_faults == 0
    }

    fn note(&mut self, fault: Fault) {
        self.num_faults += 1;
        if self.faults.len() < KEPT {
            self.faults.push(fault);
        }
    }
}

/// Checks a file of this format, or of the one that it shows, in bounded memory.
///
/// Of ArrayRecord every hash is compared, every chunk decoded and held against the index; of Disky every hash, with every
/// chunk decoded; of TFRecord both checksums of every record; of NPZ the headers and the checksum of every member. NPY has
/// no checksum: its header and its length are looked at.
///
/// # Errors
/// At once: a URI or settings that cannot work. From the work: those of the store, and what is not supported. Damage is
/// no error but a [`Fault`].
pub fn verify(uri: &Uri, kind: Option<Kind>, progress: Arc<Progress>) -> s3dlio_store::Result<Work<Result<Report>>> {
    let opening = Input::open(uri)?;
    Ok(jobs::work(async move {
        let input = opening.into_future().await?;
        let kind = Kind::given_or_detected(kind, &input).await?;
        progress.of(input.size());
        let report = Report {
            uri: input.uri().clone(),
            kind,
            size: input.size(),
            chunks: 0,
            records: 0,
            record_bytes: 0,
            faults: Vec::new(),
            num_faults: 0,
        };
        match kind {
            Kind::ArrayRecord => through(ArrayRecord::new(input.size()), input, report, &progress).await,
            Kind::Disky | Kind::TfRecord => {
                let machine = Salvage::of(kind, &input).await?;
                through(machine, input, report, &progress).await
            }
            Kind::Npz => match Archive::of(input.clone(), Limits::default()).await {
                Ok(archive) => through(Members::new(archive.directory().members()), input, report, &progress).await,
                Err(error) => damaged(error, report),
            },
            Kind::Npy => match layout(&input).await.and_then(|layout| whole(&input, &layout).map(|()| layout)) {
                Ok(layout) => Ok(Report { records: 1, record_bytes: layout.data_len as u64, ..report }),
                Err(error) => damaged(error, report),
            },
        }
    }))
}

/// The header of an NPY file.
pub(crate) async fn layout(input: &Input) -> Result<npy::Layout> {
    let first = input.fetch(0..input.size().min(HEADER)).await?;
    let found = match npy::parse_header(&first) {
        Err(_) if input.size() > HEADER => {
            npy::parse_header(&input.fetch(0..input.size().min(npy::HEADER_SPAN)).await?)
        }
        found => found,
    };
    found.map_err(|error| RecordError::format(input.uri(), Place::default(), error))
}

fn whole(input: &Input, layout: &npy::Layout) -> Result<()> {
    layout.check(input.size()).map_err(|error| RecordError::format(input.uri(), Place::default(), error))
}

/// Damage is what the report is about; anything else is an error.
fn damaged(error: RecordError, mut report: Report) -> Result<Report> {
    match error {
        RecordError::Format { place, source, .. } if !source.is_unsupported() => {
            report.note(Fault::new(place.offset, 0..0, &source));
            Ok(report)
        }
        error => Err(error),
    }
}

/// What counts in a report.
enum Counted {
    Fault(Fault),
    Whole(Summary),
}

async fn through<M>(machine: M, input: Input, mut report: Report, progress: &Progress) -> Result<Report>
where
    M: Machine,
    Counted: From<M::Found>,
{
    let mut walk = Box::new(Walk::new(input, machine));
    loop {
        let turn;
        (walk, turn) = walk.turn().await?;
        for found in turn.found {
            match found.into() {
                Counted::Fault(fault) => report.note(fault),
                Counted::Whole(whole) => {
                    report.chunks += whole.chunks;
                    report.records += whole.records;
                    report.record_bytes += whole.record_bytes;
                    progress.found(whole.records);
                }
            }
        }
        progress.at(walk.position());
        if turn.ended {
            return Ok(report);
        }
    }
}

impl From<Piece> for Counted {
    fn from(piece: Piece) -> Self {
        let whole = |chunks, records, bytes| Summary { chunks, records, record_bytes: bytes, faults: 0 };
        match piece {
            Piece::Group(group) => Self::Whole(whole(1, group.len() as u64, group.data().len() as u64)),
            Piece::Record(record) => Self::Whole(whole(0, 1, record.len() as u64)),
            Piece::Fault(fault) => Self::Fault(fault),
        }
    }
}

struct ArrayRecord {
    machine: Verify,
    done: bool,
}

impl ArrayRecord {
    fn new(size: u64) -> Self {
        Self { machine: Verify::new(size), done: false }
    }
}

impl Machine for ArrayRecord {
    type Found = Counted;

    fn next_event(&mut self) -> Event<Counted> {
        match self.machine.next_step() {
            Checked::Need(need) => Event::Need(need),
            Checked::Fault { error, lost } => Event::Found(Counted::Fault(Fault::new(error.offset(), lost, &error))),
            Checked::Done(summary) if !self.done => {
                self.done = true;
                Event::Found(Counted::Whole(summary))
            }
            Checked::Done(_) => Event::End,
        }
    }

    fn supply(&mut self, offset: u64, bytes: Bytes) {
        self.machine.supply(offset, bytes);
    }

    fn weight(_: &Counted) -> usize {
        0
    }
}

/// The members of an archive, which lie one behind the other.
struct Members {
    /// Those that are left, the first one last.
    members: Vec<Member>,
    check: Option<npz::Check>,
    position: u64,
    piece: Bytes,
    /// A member was broken: it is passed over.
    broken: bool,
}

impl Members {
    fn new(members: &[Member]) -> Self {
        let mut members = members.to_vec();
        members.sort_by_key(|member| std::cmp::Reverse(member.range().start));
        Self { members, check: None, position: 0, piece: Bytes::new(), broken: false }
    }

    fn step(&mut self, member: &Member) -> Option<Event<Counted>> {
        let range = member.range();
        let fault = |error| Event::Found(Counted::Fault(Fault::new(Some(range.start), range.clone(), &error)));
        if !self.broken && self.check.is_none() {
            match npz::Check::new(member) {
                Ok(check) => self.check = Some(check),
                Err(error) => {
                    self.broken = true;
                    return Some(fault(error));
                }
            }
        }
        if self.position < range.end {
            if self.piece.is_empty() {
                return Some(Event::Need(Need {
                    offset: self.position,
                    len: (range.end - self.position).min(1 << 20),
                }));
            }
            let here = usize::try_from(range.end - self.position).unwrap_or(usize::MAX);
            let part = self.piece.split_to(here.min(self.piece.len()));
            self.position += part.len() as u64;
            let check = self.check.as_mut().map_or(Ok(()), |check| check.push(&part));
            return check.err().map(|error| {
                (self.broken, self.check) = (true, None);
                fault(error)
            });
        }
        self.members.pop();
        self.broken = false;
        let check = self.check.take()?;
        Some(match check.finish() {
            Ok(()) => Event::Found(Counted::Whole(Summary {
                chunks: 0,
                records: u64::from(member.is_array()),
                record_bytes: member.len(),
                faults: 0,
            })),
            Err(error) => fault(error),
        })
    }
}

impl Machine for Members {
    type Found = Counted;

    fn next_event(&mut self) -> Event<Counted> {
        while let Some(member) = self.members.last().cloned() {
            if let Some(event) = self.step(&member) {
                return event;
            }
        }
        Event::End
    }

    fn supply(&mut self, _: u64, bytes: Bytes) {
        if bytes.is_empty() {
            // The file is shorter than it was when its directory was read.
            self.members.clear();
        }
        self.piece = bytes;
    }

    fn weight(_: &Counted) -> usize {
        0
    }
}

//! The records of ArrayRecord files.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use s3dlio_formats::array_record::ReaderOptions;
use s3dlio_records::array_record::File;
use s3dlio_records::{Input, RecordError};
use s3dlio_runtime::fork::ForkLocal;
use s3dlio_store::ops;
use s3dlio_store::registry::{Backend, Opener};
use s3dlio_store::{Uri, Work};

use super::packing::{Digest, Kind, Packer, Unpacker};
use super::{Access, Layout, Reading, Record, RecordReader, RecordSource};
use crate::error::{LoaderError, Result};

pub use s3dlio_records::array_record::Part;

/// Files opened at the same time.
const OPENING: usize = 32;

/// Files kept open: well below the 1,024 descriptors that a process may have by default.
const OPEN: usize = 256;

/// Records of one or several ArrayRecord files, in the order of the files.
#[derive(Debug, Clone)]
pub struct ArrayRecordSource(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    spans: Vec<Span>,
    layout: Layout,
    fingerprint: String,
    open: ForkLocal<Mutex<HashMap<usize, File>>>,
}

/// A range of the records of one file.
#[derive(Debug, Clone)]
struct Span {
    uri: Uri,
    /// Bytes of the file.
    size: u64,
    /// First record, in the file.
    start: u64,
    /// Records of this and all earlier spans.
    end: u64,
}

impl ArrayRecordSource {
    /// Opens files and reads their indexes: of a network store two or three requests each, several files at a time.
    ///
    /// # Errors
    /// At once: URIs or settings that cannot work, ranges that end before they begin. From the work: no such file, one that
    /// is damaged, or that has fewer records than its range.
    pub fn open(parts: Vec<Part>) -> Result<Work<Result<Self>>> {
        if parts.is_empty() {
            return Err(LoaderError::config("paths", "no file", "at least one"));
        }
        let begin = |part: Part| {
            let options = ReaderOptions::default();
            Ok((File::open(&part.uri, options)?, part))
        };
        let opening = parts.into_iter().map(begin).collect::<s3dlio_store::Result<Vec<_>>>()?;
        Ok(Work::network(async move {
            let opened = ops::each(opening, OPENING, |(file, part)| async move {
                let file = file.into_future().await??;
                let records = range(&file, &part)?;
                Ok::<_, RecordError>((file, records))
            });
            Ok(opened.await.map(Self::new).map_err(LoaderError::from))
        }))
    }

    fn new(opened: Vec<(File, Range<u64>)>) -> Self {
        let (mut layout, mut spans) = (Layout::default(), Vec::with_capacity(opened.len()));
        let open = ForkLocal::new();
        let kept: &Mutex<HashMap<usize, File>> = open.get_or_init(Mutex::default);
        for (number, (file, records)) in opened.into_iter().enumerate() {
            layout.push_file(file.chunks().filter_map(|(chunk, bytes)| {
                let inside = chunk.start.max(records.start)..chunk.end.min(records.end);
                (!inside.is_empty()).then(|| (inside.end - inside.start, bytes))
            }));
            spans.push(Span { uri: file.uri().clone(), size: file.size(), start: records.start, end: layout.len() });
            if number < OPEN {
                lock(kept).insert(number, file);
            }
        }
        Self(Arc::new(Inner { fingerprint: fingerprint(&spans), spans, layout, open }))
    }

    /// Reads what [`pack`](RecordSource::pack) wrote.
    pub(super) fn unpack(mut from: Unpacker<'_>) -> Option<Self> {
        let mut spans = Vec::new();
        for _ in 0..from.number()? {
            let uri = Uri::parse(from.text()?).ok()?;
            spans.push(Span { uri, size: from.number()?, start: from.number()?, end: from.number()? });
        }
        let layout = from.layout()?;
        let inner = Inner { fingerprint: fingerprint(&spans), spans, layout, open: ForkLocal::new() };
        (inner.spans.last()?.end == inner.layout.len()).then(|| Self(Arc::new(inner)))
    }

    /// The number of the span that holds a record, and the record's number in its file.
    fn locate(&self, index: u64) -> Option<(usize, u64)> {
        let spans = &self.0.spans;
        let number = spans.partition_point(|span| span.end <= index);
        let before = number.checked_sub(1).map_or(0, |before| spans[before].end);
        Some((number, spans.get(number)?.start + (index - before)))
    }
}

fn range(file: &File, part: &Part) -> s3dlio_records::Result<Range<u64>> {
    let records = part.start..part.end.unwrap_or(file.len()).max(part.start);
    if part.end.is_some_and(|end| end < part.start) {
        let found = format!("records {} to {:?} of {}", part.start, part.end, part.uri);
        return Err(RecordError::config("paths", found, "a range that ends behind its begin"));
    }
    if records.end > file.len() {
        let (index, length) = (records.end.saturating_sub(1), file.len());
        return Err(RecordError::OutOfRange { uri: part.uri.to_string(), index, length });
    }
    Ok(records)
}

fn fingerprint(spans: &[Span]) -> String {
    let mut digest = Digest::new(spans.iter().map(|span| span.uri.key.as_str()));
    let mut before = 0;
    for span in spans {
        digest.add(&span.uri.key, &[span.size, span.start, span.end - before]);
        before = span.end;
    }
    digest.finish()
}

fn lock(open: &Mutex<HashMap<usize, File>>) -> MutexGuard<'_, HashMap<usize, File>> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

impl RecordSource for ArrayRecordSource {
    fn len(&self) -> u64 {
        self.0.layout.len()
    }

    fn fingerprint(&self) -> &str {
        &self.0.fingerprint
    }

    fn name(&self, index: u64) -> String {
        match self.locate(index) {
            Some((span, record)) => format!("{}[{record}]", self.0.spans[span].uri),
            None => format!("record {index}"),
        }
    }

    fn bytes(&self, index: u64) -> Option<u64> {
        Some(self.0.layout.record_bytes(index))
    }

    fn layout(&self) -> Option<&Layout> {
        Some(&self.0.layout)
    }

    fn pack(&self) -> Option<Vec<u8>> {
        let mut packer = Packer::new(Kind::ArrayRecord);
        packer.number(self.0.spans.len() as u64);
        for span in &self.0.spans {
            packer.text(&span.uri.to_string());
            [span.size, span.start, span.end].into_iter().for_each(|number| packer.number(number));
        }
        packer.layout(&self.0.layout);
        Some(packer.done())
    }

    fn reader(&self) -> s3dlio_store::Result<Box<dyn RecordReader>> {
        let mut stores = Opener::default();
        let backends = self.0.spans.iter().map(|span| stores.open(&span.uri)).collect::<s3dlio_store::Result<_>>()?;
        Ok(Box::new(Reader { source: self.clone(), backends: Arc::new(backends) }))
    }
}

#[derive(Clone)]
struct Reader {
    source: ArrayRecordSource,
    backends: Arc<Vec<Backend>>,
}

/// The records wanted of one file.
struct Group {
    span: usize,
    records: Vec<u64>,
    places: Vec<usize>,
}

impl RecordReader for Reader {
    fn access(&self, _index: u64) -> s3dlio_store::Result<Access> {
        Ok(Access::Together)
    }

    fn read(&self, indices: &[u64]) -> Result<Reading> {
        let mut groups: Vec<Group> = Vec::new();
        let mut of_span: HashMap<usize, usize> = HashMap::new();
        for (place, &index) in indices.iter().enumerate() {
            let Some((span, record)) = self.source.locate(index) else {
                let uri = self.source.0.spans.last().map_or_else(String::new, |span| span.uri.to_string());
                return Err(RecordError::OutOfRange { uri, index, length: self.source.len() }.into());
            };
            let group = *of_span.entry(span).or_insert_with(|| {
                groups.push(Group { span, records: Vec::new(), places: Vec::new() });
                groups.len() - 1
            });
            groups[group].records.push(record);
            groups[group].places.push(place);
        }
        let (reader, total) = (self.clone(), indices.len());
        Ok(Work::network(async move {
            let read = ops::each(groups, OPENING, |group| {
                let reader = reader.clone();
                async move { Ok::<_, RecordError>((reader.group(group.span, group.records).await?, group.places)) }
            });
            Ok(read.await.map_err(LoaderError::from).map(|read| {
                let mut results = vec![Record::Bytes(Bytes::new()); total];
                for (records, places) in read {
                    for (place, record) in places.into_iter().zip(records) {
                        results[place] = Record::Bytes(record);
                    }
                }
                results
            }))
        }))
    }
}

impl Reader {
    async fn group(&self, span: usize, records: Vec<u64>) -> s3dlio_records::Result<Vec<Bytes>> {
        let file = self.file(span).await?;
        file.get_many(records)?.into_future().await?
    }

    async fn file(&self, number: usize) -> s3dlio_records::Result<File> {
        let open = self.source.0.open.get_or_init(Mutex::default);
        if let Some(file) = lock(open).get(&number) {
            return Ok(file.clone());
        }
        let span = &self.source.0.spans[number];
        let input = Input::listed(span.uri.clone(), self.backends[number].clone(), span.size, None)?;
        let file = File::of(input, ReaderOptions::default()).into_future().await??;
        let mut open = lock(open);
        if open.len() >= OPEN
            && let Some(&other) = open.keys().next()
        {
            open.remove(&other);
        }
        open.insert(number, file.clone());
        Ok(file)
    }
}

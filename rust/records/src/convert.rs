//! From one format of records to another.

use std::sync::Arc;

use bytes::Bytes;
use s3dlio_formats::array_record::{ReaderOptions, WriterOptions};
use s3dlio_formats::riegeli::OnDamage;
use s3dlio_formats::tfrecord::compression::Compression;
use s3dlio_store::{StoreError, Uri, Work};

use crate::array_record::{self, Next};
use crate::disky;
use crate::error::{RecordError, Result};
use crate::jobs;
use crate::kind::Kind;
use crate::salvage::Recovery;
use crate::tfrecord;
use s3dlio_store::progress::Progress;

/// Bytes of records that are taken from an ArrayRecord file at a time.
const BATCH: usize = 1 << 20;

/// What was converted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Converted {
    /// Records written.
    pub records: u64,
    /// Bytes of these.
    pub record_bytes: u64,
    /// Things that were wrong with the source, with [`OnDamage::Skip`].
    pub faults: u64,
}

/// Writes the records of `source`, in their order, to `dest`. The result appears whole or not at all.
///
/// `options` are those of the format that is written: ArrayRecord's text; `none` or `zstd` of Disky; of TFRecord `none`,
/// `gzip` or `zlib`, with `:` and a level of 0 to 9 where wanted, and `index` for a file `dest` with `.idx` that is the
/// index, with a comma between them. With [`OnDamage::Skip`] all records of a damaged source that are whole are written.
///
/// # Errors
/// At once: URIs or settings that cannot work, equal URIs; [`RecordError::Config`] and [`RecordError::Options`] for
/// options; [`StoreError::Unsupported`] for a format of arrays. From the work: those of the stores, and damage.
pub fn convert(
    (source, from): (&Uri, Kind),
    (dest, to): (&Uri, Kind),
    options: &str,
    on_damage: OnDamage,
    progress: Arc<Progress>,
) -> Result<Work<Result<Converted>>> {
    if source == dest {
        let reason = "is the source itself: name another object for the result".into();
        return Err(StoreError::InvalidUri { uri: dest.to_string(), reason }.into());
    }
    let sink = Sink::create(dest, to, options)?;
    let reading = Reading::open(source, from, on_damage, &progress)?;
    Ok(jobs::work(async move {
        let mut converting = Converting { sink, done: Converted::default() };
        let converted = converting.run(reading, &progress).await;
        if converted.is_err() {
            converting.sink.abort().await;
        }
        converted
    }))
}

/// A source that is being opened: on the calling thread, as that reads the environment.
enum Reading {
    ArrayRecord(Work<Result<array_record::File>>),
    Other(Work<Result<Recovery>>, OnDamage),
}

enum Source {
    ArrayRecord(array_record::Reader),
    Other(Recovery, OnDamage),
}

impl Reading {
    fn open(uri: &Uri, kind: Kind, on_damage: OnDamage, progress: &Arc<Progress>) -> Result<Self> {
        Ok(match kind {
            // It decodes on several threads, and knows what the index says.
            Kind::ArrayRecord if on_damage == OnDamage::Stop => {
                Self::ArrayRecord(array_record::File::open(uri, ReaderOptions::default())?)
            }
            _ => Self::Other(Recovery::open(uri, Some(kind), Arc::clone(progress))?, on_damage),
        })
    }

    async fn source(self, progress: &Progress) -> Result<Source> {
        Ok(match self {
            Self::ArrayRecord(opening) => {
                let file = opening.into_future().await??;
                progress.of(file.size());
                Source::ArrayRecord(array_record::Reader::new(file))
            }
            Self::Other(opening, on_damage) => Source::Other(opening.into_future().await??, on_damage),
        })
    }
}

impl Source {
    /// The next records; none at the end.
    async fn batch(&self, progress: &Progress) -> Result<Vec<Bytes>> {
        let reader = match self {
            Self::ArrayRecord(reader) => reader,
            Self::Other(recovery, on_damage) => {
                let batch = recovery.batch()?.into_future().await??;
                return match recovery.faults().into_iter().next() {
                    Some(fault) if *on_damage == OnDamage::Stop => {
                        let uri = recovery.uri().to_string();
                        Err(StoreError::Corrupt { uri, detail: fault.to_string() }.into())
                    }
                    _ => Ok(batch),
                };
            }
        };
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while bytes < BATCH {
            match reader.next_with(Bytes::copy_from_slice) {
                Next::Record(record) => {
                    bytes += record.len().max(1);
                    batch.push(record);
                }
                Next::End => break,
                Next::Wait if !batch.is_empty() => break,
                Next::Wait => reader.fill()?.into_future().await??,
            }
        }
        let (at, of) = (reader.position(), reader.file().len().max(1));
        progress.at(u64::try_from(u128::from(progress.total()) * u128::from(at) / u128::from(of)).unwrap_or(u64::MAX));
        progress.found(batch.len() as u64);
        Ok(batch)
    }

    fn faults(&self) -> u64 {
        match self {
            Self::ArrayRecord(_) => 0,
            Self::Other(recovery, _) => recovery.num_faults(),
        }
    }
}

struct Converting {
    sink: Sink,
    done: Converted,
}

impl Converting {
    async fn run(&mut self, reading: Reading, progress: &Progress) -> Result<Converted> {
        let source = reading.source(progress).await?;
        loop {
            let batch = source.batch(progress).await?;
            if batch.is_empty() {
                break;
            }
            self.done.records += batch.len() as u64;
            self.done.record_bytes += batch.iter().map(|record| record.len() as u64).sum::<u64>();
            self.sink.write(batch).await?;
        }
        self.sink.finish().await?;
        Ok(Converted { faults: source.faults(), ..self.done })
    }
}

#[derive(Clone)]
enum Sink {
    ArrayRecord(array_record::Writer),
    Disky(disky::Writer),
    TfRecord(tfrecord::Writer),
}

impl Sink {
    fn create(uri: &Uri, kind: Kind, options: &str) -> Result<Self> {
        Ok(match kind {
            Kind::ArrayRecord => {
                Self::ArrayRecord(array_record::Writer::create(uri, options.parse::<WriterOptions>()?)?)
            }
            Kind::Disky => {
                let name = Some(options).filter(|text| !text.is_empty());
                Self::Disky(disky::Writer::create(uri, disky::Compression::parse(name)?))
            }
            Kind::TfRecord => Self::TfRecord(tfrecord::Writer::create(uri, &tfrecord_options(uri, options)?)?),
            Kind::Npz | Kind::Npy => {
                let detail =
                    format!("{kind} holds arrays, which records are not: expected array_record, disky or tfrecord");
                return Err(StoreError::Unsupported { uri: uri.to_string(), detail }.into());
            }
        })
    }

    /// Takes records, on a thread that may compute.
    async fn write(&self, records: Vec<Bytes>) -> Result<()> {
        let mut rest = records.into_iter();
        loop {
            let sink = self.clone();
            let work;
            (rest, work) = jobs::decode(move || {
                let work = rest.by_ref().find_map(|record| sink.push(&record).transpose());
                (rest, work)
            })
            .wait()
            .await?;
            match work {
                Some(work) => work?.into_future().await??,
                None => return Ok(()),
            }
        }
    }

    fn push(&self, record: &[u8]) -> Result<Option<Work<Result<()>>>> {
        match self {
            Self::ArrayRecord(writer) => writer.write(record),
            Self::Disky(writer) => writer.write(record),
            Self::TfRecord(writer) => writer.append(record)?.then(|| writer.pass_on()).transpose(),
        }
    }

    async fn finish(&self) -> Result<()> {
        match self {
            Self::ArrayRecord(writer) => writer.finish()?.into_future().await?,
            Self::Disky(writer) => writer.finish()?.into_future().await?,
            Self::TfRecord(writer) => writer.finish()?.into_future().await?.map(|_| ()),
        }
    }

    /// Gives the result up. That something failed is told already.
    async fn abort(&self) {
        match self {
            Self::ArrayRecord(writer) => {
                if let Ok(work) = writer.abort() {
                    let _ = work.into_future().await;
                }
            }
            // What is dropped before its end never appears.
            Self::Disky(_) => {}
            Self::TfRecord(writer) => {
                if let Ok(work) = writer.abort() {
                    let _ = work.into_future().await;
                }
            }
        }
    }
}

fn tfrecord_options(uri: &Uri, text: &str) -> Result<tfrecord::WriterOptions> {
    let mut options = tfrecord::WriterOptions::default();
    for item in text.split(',').filter(|item| !item.is_empty()) {
        let wrong = || {
            let expected = "none, gzip, zlib, gzip:0 to gzip:9, zlib:0 to zlib:9, and index";
            RecordError::config("options", format!("{item:?}"), expected)
        };
        if item == "index" {
            options.index = Some(uri.with_key(format!("{}.idx", uri.key)));
            continue;
        }
        let (name, level) = item.split_once(':').map_or((item, None), |(name, level)| (name, Some(level)));
        options.compression = Compression::parse(name).ok_or_else(wrong)?;
        options.level = level.map(|level| level.parse().map_err(|_| wrong())).transpose()?;
    }
    Ok(options)
}

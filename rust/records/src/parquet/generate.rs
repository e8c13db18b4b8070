//! Files of random numbers for benchmarks, made one row group at a time.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::{ArrayRef, FixedSizeListArray, Float32Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::errors::Result as Parquet;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use s3dlio_formats::FormatError;
use s3dlio_formats::generate::{Content, Kind};
use s3dlio_store::{Uri, Work};

use crate::error::{Place, RecordError, Result};
use crate::{Output, jobs};

/// What a file holds.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Name and width of each column: of width 1 it is a `float32`, otherwise a list of so many in each row.
    pub columns: Vec<(String, usize)>,
    /// Rows of each row group.
    pub rows: usize,
    /// Row groups.
    pub groups: usize,
    /// Files of another seed hold other numbers.
    pub seed: u64,
}

impl Plan {
    fn check(&self) -> Result<()> {
        let wrong = |option: &str, found: String, expected: &str| Err(RecordError::config(option, found, expected));
        if self.columns.is_empty() {
            return wrong("columns", "none".into(), "at least one");
        }
        if let Some((name, _)) = self.columns.iter().find(|(_, width)| *width == 0 || i32::try_from(*width).is_err()) {
            return wrong(
                "columns",
                format!("{name:?} of another width"),
                "between 1 and 2,147,483,647 numbers in a row",
            );
        }
        if self.rows == 0 || self.groups == 0 {
            return wrong(
                "rows_per_rg",
                format!("{} rows in each of {}", self.rows, self.groups),
                "at least 1 of each",
            );
        }
        Ok(())
    }

    fn schema(&self) -> Schema {
        let column = |(name, width): &(String, usize)| match width {
            1 => Field::new(name, DataType::Float32, false),
            _ => Field::new(name, DataType::FixedSizeList(element(), *width as i32), false),
        };
        Schema::new(self.columns.iter().map(column).collect::<Vec<_>>())
    }

    fn batch(&self, schema: &Arc<Schema>, group: usize) -> Parquet<RecordBatch> {
        let columns = self.columns.iter().enumerate().map(|(at, (_, width))| {
            let number = (group * self.columns.len() + at) as u64;
            let numbers = Float32Array::from(numbers(self.seed, number, self.rows * width));
            Ok(match width {
                1 => Arc::new(numbers) as ArrayRef,
                _ => Arc::new(FixedSizeListArray::try_new(element(), *width as i32, Arc::new(numbers), None)?),
            })
        });
        Ok(RecordBatch::try_new(Arc::clone(schema), columns.collect::<Parquet<Vec<_>>>()?)?)
    }
}

fn element() -> Arc<Field> {
    Arc::new(Field::new("element", DataType::Float32, false))
}

/// Numbers of [0, 1) in steps of 2^-24, which are those that a `float32` tells apart there.
fn numbers(seed: u64, number: u64, count: usize) -> Vec<f32> {
    let mut random = vec![0; count * 4];
    let size = random.len() as u64;
    Content { kind: Kind::Random, size, dedup: 1, compress: 1, seed }.fill(number, 0, &mut random);
    let (words, _) = random.as_chunks::<4>();
    words.iter().map(|word| (u32::from_le_bytes(*word) >> 8) as f32 / (1 << 24) as f32).collect()
}

/// What the writer has written and nobody has taken yet.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    fn take(&self) -> Bytes {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)).into()
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file that is being made.
struct Maker {
    plan: Plan,
    schema: Arc<Schema>,
    writer: ArrowWriter<Written>,
    written: Written,
}

impl Maker {
    fn new(plan: Plan) -> Parquet<Self> {
        // Random numbers repeat too little for a dictionary, and nobody asks for their extremes.
        let properties = WriterProperties::builder()
            .set_max_row_group_row_count(Some(plan.rows))
            .set_dictionary_enabled(false)
            .set_statistics_enabled(EnabledStatistics::None)
            .build();
        let (schema, written) = (Arc::new(plan.schema()), Written::default());
        let writer = ArrowWriter::try_new(written.clone(), Arc::clone(&schema), Some(properties))?;
        Ok(Self { plan, schema, writer, written })
    }

    /// The bytes of the next row group, with those in front of the first.
    fn group(&mut self, number: usize) -> Parquet<Bytes> {
        self.writer.write(&self.plan.batch(&self.schema, number)?)?;
        self.writer.flush()?;
        Ok(self.written.take())
    }

    /// The end of the file.
    fn footer(&mut self) -> Parquet<Bytes> {
        self.writer.finish()?;
        Ok(self.written.take())
    }
}

fn failed(error: &parquet::errors::ParquetError) -> FormatError {
    FormatError::Parquet { detail: format!("cannot be made: {error}") }
}

/// The bytes of a whole file.
///
/// # Errors
/// From the work, as its result: [`RecordError::Config`] for a plan without columns, rows or groups.
#[must_use]
pub fn bytes(plan: Plan) -> Work<Result<Vec<u8>>> {
    Work::pool(move || {
        Ok(plan.check().and_then(|()| {
            let make = || {
                let groups = plan.groups;
                let mut maker = Maker::new(plan)?;
                let mut file = Vec::new();
                for number in 0..groups {
                    file.extend_from_slice(&maker.group(number)?);
                }
                file.extend_from_slice(&maker.footer()?);
                Ok(file)
            };
            make().map_err(|error| RecordError::Format {
                uri: "generated file".into(),
                place: Place::default(),
                source: failed(&error),
            })
        }))
    })
}

/// Makes a file and writes it at the same time: one row group is made while earlier ones are on their way, and a few
/// parts of the upload are all that is in memory beside it.
///
/// # Errors
/// At once: as [`bytes()`], and settings that cannot work. From the work: what the store says; nothing is then under the
/// name.
pub fn write(uri: &Uri, plan: Plan) -> Result<Work<Result<()>>> {
    plan.check()?;
    let output = Output::create(uri)?;
    Ok(Work::network(async move {
        let result = pieces(&output, plan).await;
        match result {
            Ok(()) => Ok(output.finish()?.into_future().await.map(|_| ()).map_err(RecordError::from)),
            Err(error) => {
                // The first error is the one to tell.
                let _ = output.abort()?.into_future().await;
                Ok(Err(error))
            }
        }
    }))
}

async fn pieces(output: &Output, plan: Plan) -> Result<()> {
    let wrong = |error| RecordError::format(output.uri(), Place::default(), failed(&error));
    let groups = plan.groups;
    let mut maker = Maker::new(plan).map_err(wrong)?;
    for number in 0..=groups {
        let (back, piece) = jobs::decode(move || {
            let piece = if number < groups { maker.group(number) } else { maker.footer() };
            (maker, piece)
        })
        .wait()
        .await?;
        maker = back;
        output.write(piece.map_err(wrong)?)?.into_future().await?;
    }
    Ok(())
}

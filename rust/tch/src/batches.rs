//! The batches of a loader as tensors.

use std::time::Duration;

use bytes::Bytes;
use s3dlio_loader::Loader;
use s3dlio_loader::batch::{self, BatchData, Column, Skipped, Stack};
use s3dlio_loader::decode::{Field, Sample};
use s3dlio_loader::pipeline::{BatchIter, Next, Stats};
use tch::{Device, Tensor};

use crate::error::{Result, mismatch};
use crate::kinds;

/// How long one look for a batch waits; the iterator looks again until it is there.
const LOOK: Duration = Duration::from_secs(1);

/// A batch in the order of the epoch.
#[derive(Debug)]
pub struct Batch {
    /// Its number within the rank's epoch; what resumes behind it is `loader.state(epoch, step + 1, 0)`.
    pub step: u64,
    /// Indices of its records in the data set.
    pub indices: Vec<u64>,
    /// How many of its samples are real; the rest repeats some to fill the batch.
    pub real: u64,
    /// Its samples.
    pub data: Data,
    /// Records that were left out, or that others took the place of.
    pub skipped: Vec<Skipped>,
}

/// The samples of a batch.
#[derive(Debug)]
pub enum Data {
    /// One by one: records as they are, and arrays that are not stacked.
    Samples(Vec<Sample>),
    /// Texts: valid UTF-8.
    Texts(Vec<Bytes>),
    /// One tensor with the batch in front.
    Tensor(Tensor),
    /// By the name of the field or feature.
    Fields(Vec<(String, Value)>),
}

/// A field of a batch.
#[derive(Debug)]
pub enum Value {
    /// Numbers, with the batch in front.
    Tensor(Tensor),
    /// Byte strings, and the shape that those of all samples form.
    Bytes(Vec<Bytes>, Vec<u64>),
    /// What each sample has.
    Rows(Vec<Field>),
}

impl Data {
    /// The tensor of a field; the empty name is that of samples which are one array.
    #[must_use]
    pub fn tensor(&self, field: &str) -> Option<&Tensor> {
        match self {
            Self::Tensor(tensor) if field.is_empty() => Some(tensor),
            Self::Fields(fields) => fields.iter().find_map(|(name, value)| match value {
                Value::Tensor(tensor) if name == field => Some(tensor),
                _ => None,
            }),
            _ => None,
        }
    }
}

/// The batches of one epoch; read ahead within the loader's memory budget, on threads that end when this is dropped.
pub struct Batches {
    batches: BatchIter,
    device: Device,
}

/// Iterates an epoch from a step of this rank on, with tensors on `device`.
///
/// Every batch is copied once more than the loader does: tch can borrow memory, but not own it.
///
/// # Errors
/// As [`Loader::iterate`].
pub fn batches(loader: &Loader, epoch: u64, step: u64, device: Device) -> Result<Batches> {
    Ok(Batches { batches: loader.iterate(epoch, step)?, device })
}

impl Batches {
    /// Figures so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.batches.stats()
    }

    fn batch(&self, batch: batch::Batch) -> Result<Batch> {
        let batch::Batch { step, indices, real, data, skipped, .. } = batch;
        Ok(Batch { step, indices, real, data: self.data(data)?, skipped })
    }

    fn data(&self, data: BatchData) -> Result<Data> {
        Ok(match data {
            BatchData::Samples(samples) => Data::Samples(samples),
            BatchData::Texts(texts) => Data::Texts(texts),
            BatchData::Stack(stack) => Data::Tensor(self.tensor("", &stack)?),
            BatchData::Fields(fields) => {
                let tensor = |(name, stack): (String, Stack)| {
                    let tensor = self.tensor(&name, &stack)?;
                    Ok((name, Value::Tensor(tensor)))
                };
                Data::Fields(fields.into_iter().map(tensor).collect::<Result<_>>()?)
            }
            BatchData::Columns(columns) => {
                let value = |(name, column): (String, Column)| {
                    let value = match column {
                        Column::Stack(stack) => Value::Tensor(self.tensor(&name, &stack)?),
                        Column::Bytes(values, shape) => Value::Bytes(values, shape),
                        Column::Rows(rows) => Value::Rows(rows),
                    };
                    Ok((name, value))
                };
                Data::Fields(columns.into_iter().map(value).collect::<Result<_>>()?)
            }
        })
    }

    fn tensor(&self, field: &str, stack: &Stack) -> Result<Tensor> {
        let Some(kind) = kinds::of_numpy(&stack.descr) else {
            let name = if field.is_empty() { "the array of the samples" } else { field };
            let expected = "numbers of a type that libtorch has, in little-endian order";
            return Err(mismatch(name, format!("elements of the type {:?}", stack.descr), expected));
        };
        let shape: Vec<i64> = stack.shape.iter().map(|&length| length.cast_signed()).collect();
        Ok(Tensor::f_from_data_size(&stack.data, &shape, kind)?.f_to_device(self.device)?)
    }
}

impl Iterator for Batches {
    type Item = Result<Batch>;

    /// Waits for the next batch. An error comes again at every call, so that no caller takes the rest of the epoch for
    /// complete.
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.batches.next(LOOK) {
                Ok(Next::Batch(batch)) => return Some(self.batch(*batch)),
                Ok(Next::Pending) => {}
                Ok(Next::Done) => return None,
                Err(error) => return Some(Err(error.into())),
            }
        }
    }
}

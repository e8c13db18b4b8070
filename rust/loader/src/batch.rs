//! Batches: samples put together, arrays stacked into one buffer each.

use bytes::Bytes;
use s3dlio_formats::npy::Array;
use s3dlio_runtime::budget::Permit;

use crate::decode::example::{Rows, Wanted};
use crate::decode::{Field, Sample};
use crate::error::{LoaderError, Result};
use crate::pipeline::Timeline;

/// Arrays of equal shape, one behind the other in C order.
#[derive(Debug)]
pub struct Stack {
    /// NumPy's description of the element type.
    pub descr: String,
    /// Shape with the batch in front: `[B, ...]`.
    pub shape: Vec<u64>,
    /// The elements; the only copy made of them since they were read or inflated.
    pub data: Vec<u8>,
}

/// What a batch holds.
#[derive(Debug)]
pub enum BatchData {
    /// The samples one by one.
    Samples(Vec<Sample>),
    /// One stack of arrays (decoder `npy`).
    Stack(Stack),
    /// Stacks by field name (decoder `npz`).
    Fields(Vec<(String, Stack)>),
    /// Features by name (decoder `example`).
    Columns(Vec<(String, Column)>),
    /// Texts (decoder `text`): valid UTF-8.
    Texts(Vec<Bytes>),
}

/// A feature of a batch of examples.
#[derive(Debug)]
pub enum Column {
    /// Numbers of one shape for all samples.
    Stack(Stack),
    /// Byte strings, and the shape that those of all samples form.
    Bytes(Vec<Bytes>, Vec<u64>),
    /// The values of each sample.
    Rows(Vec<Field>),
}

/// A sample that could not be read or decoded and was left out.
#[derive(Debug, Clone)]
pub struct Skipped {
    /// Index of the record in the data set.
    pub index: u64,
    /// Its URI.
    pub uri: String,
    /// Why.
    pub reason: String,
}

/// One batch, in the order of the epoch.
#[derive(Debug)]
pub struct Batch {
    /// Number of the batch within the rank's epoch.
    pub step: u64,
    /// Record indices of the samples, skipped ones left out.
    pub indices: Vec<u64>,
    /// How many of them are real; the rest repeats samples to fill the batch.
    pub real: u64,
    /// The samples.
    pub data: BatchData,
    /// What was left out.
    pub skipped: Vec<Skipped>,
    /// Bytes that it held of the memory budget until it was handed over.
    pub bytes: u64,
    pub(crate) permits: Vec<Permit>,
    pub(crate) times: Timeline,
}

/// Stacks the arrays of samples that all have the same fields.
///
/// `name` gives a sample's URI for messages. Bytes are handed on and not copied: for them there is no stack.
///
/// # Errors
/// [`LoaderError::Shape`] naming the first sample that does not fit to the one before.
pub(crate) fn stack(samples: &[Sample], name: impl Fn(usize) -> String) -> Result<Option<BatchData>> {
    let Some(first) = samples.first() else { return Ok(None) };
    match first {
        Sample::Bytes(_) => Ok(None),
        Sample::Text(_) => {
            let text = |sample: &Sample| match sample {
                Sample::Text(text) => Some(text.clone()),
                _ => None,
            };
            Ok(Some(BatchData::Texts(samples.iter().filter_map(text).collect())))
        }
        Sample::Example(wanted, _) => Ok(Some(BatchData::Columns(columns(wanted.features(), samples)))),
        Sample::Array(_) => {
            let arrays = samples.iter().map(|sample| match sample {
                Sample::Array(array) => Some(array),
                _ => None,
            });
            Ok(Some(BatchData::Stack(stack_field("", arrays, &name)?)))
        }
        Sample::Fields(fields) => {
            let mut stacks = Vec::with_capacity(fields.len());
            for (position, (field, _)) in fields.iter().enumerate() {
                let arrays = samples.iter().map(|sample| find(sample, position, field));
                stacks.push((field.clone(), stack_field(field, arrays, &name)?));
            }
            no_more_fields(samples, fields.len(), &name)?;
            Ok(Some(BatchData::Fields(stacks)))
        }
    }
}

/// The features of examples side by side, with the numbers of values of those that are filled up.
fn columns(wanted: &[Wanted], samples: &[Sample]) -> Vec<(String, Column)> {
    let mut columns = Vec::with_capacity(wanted.len());
    for (at, wanted) in wanted.iter().enumerate() {
        let fields = samples.iter().filter_map(|sample| match sample {
            Sample::Example(_, fields) => fields.get(at),
            _ => None,
        });
        let count = |field: &Field| match field {
            Field::Array(Array { shape, .. }) | Field::Bytes(_, shape) => shape.iter().product::<u64>(),
        };
        let column = match &wanted.rows {
            Rows::Listed => Column::Rows(fields.cloned().collect()),
            Rows::Fixed(shape) => filled(&fields.collect::<Vec<_>>(), shape),
            Rows::Padded => {
                let counts: Vec<u64> = fields.clone().map(count).collect();
                let data = counts.iter().flat_map(|count| count.to_le_bytes()).collect();
                let lengths = Stack { descr: "<i8".into(), shape: vec![counts.len() as u64], data };
                columns.push((wanted.lengths(), Column::Stack(lengths)));
                let most = counts.iter().max().copied().unwrap_or(0);
                filled(&fields.collect::<Vec<_>>(), &[most])
            }
        };
        columns.push((wanted.name.clone(), column));
    }
    columns
}

/// The values of one feature, each sample's filled up with zeros or empty strings to one shape.
fn filled(fields: &[&Field], shape: &[u64]) -> Column {
    let each = usize::try_from(shape.iter().product::<u64>()).unwrap_or(usize::MAX);
    let shape: Vec<u64> = std::iter::once(fields.len() as u64).chain(shape.iter().copied()).collect();
    match fields {
        [Field::Array(first), ..] => {
            let mut data = Vec::with_capacity(fields.len() * each * first.item_size);
            for (row, field) in fields.iter().enumerate() {
                if let Field::Array(array) = field {
                    data.extend_from_slice(&array.data);
                }
                data.resize((row + 1) * each * first.item_size, 0);
            }
            Column::Stack(Stack { descr: first.descr.clone(), shape, data })
        }
        _ => {
            let mut all = Vec::with_capacity(fields.len() * each);
            for (row, field) in fields.iter().enumerate() {
                if let Field::Bytes(values, _) = field {
                    all.extend_from_slice(values);
                }
                all.resize((row + 1) * each, Bytes::new());
            }
            Column::Bytes(all, shape)
        }
    }
}

/// Samples of one data set mostly have their fields in one order, so the position is tried before a search.
fn find<'a>(sample: &'a Sample, position: usize, field: &str) -> Option<&'a Array> {
    let Sample::Fields(fields) = sample else { return None };
    let named = |entry: &&(String, Array)| entry.0 == field;
    fields.get(position).filter(named).or_else(|| fields.iter().find(named)).map(|(_, array)| array)
}

fn no_more_fields(samples: &[Sample], expected: usize, name: &impl Fn(usize) -> String) -> Result<()> {
    for (at, sample) in samples.iter().enumerate() {
        if let Sample::Fields(fields) = sample
            && fields.len() != expected
        {
            return Err(LoaderError::Shape {
                uri: name(at),
                field: String::new(),
                found: format!("{} fields", fields.len()),
                expected: format!("{expected} fields, as in {}", name(0)),
            });
        }
    }
    Ok(())
}

fn stack_field<'a>(
    field: &str,
    arrays: impl Iterator<Item = Option<&'a Array>> + Clone,
    name: &impl Fn(usize) -> String,
) -> Result<Stack> {
    let mismatch = |at: usize, found: String, expected: String| LoaderError::Shape {
        uri: name(at),
        field: field.to_owned(),
        found,
        expected: format!("{expected}, as in {}", name(0)),
    };
    let bytes = arrays.clone().flatten().map(|array| array.data.len()).sum();
    let mut data = Vec::with_capacity(bytes);
    let mut model: Option<&Array> = None;
    let mut count = 0;
    for (at, array) in arrays.enumerate() {
        let array = array.ok_or_else(|| mismatch(at, "no such field".into(), "the field".into()))?;
        let model = *model.get_or_insert(array);
        if array.shape != model.shape || array.descr != model.descr {
            return Err(mismatch(at, describe(array), describe(model)));
        }
        append_c_order(array, &mut data);
        count += 1;
    }
    let model = model.ok_or_else(|| mismatch(0, "an empty batch".into(), "at least one sample".into()))?;
    let shape = std::iter::once(count).chain(model.shape.iter().copied()).collect();
    Ok(Stack { descr: model.descr.clone(), shape, data })
}

fn describe(array: &Array) -> String {
    format!("shape {:?} of {}", array.shape, array.descr)
}

/// Appends an array's elements in C order, whatever order they are stored in.
fn append_c_order(array: &Array, out: &mut Vec<u8>) {
    let axes = array.shape.len();
    if !array.fortran_order || axes < 2 {
        out.extend_from_slice(&array.data);
        return;
    }
    let shape: Vec<usize> = array.shape.iter().map(|&n| usize::try_from(n).unwrap_or(0)).collect();
    let strides: Vec<usize> = shape
        .iter()
        .scan(array.item_size, |stride, &n| {
            let this = *stride;
            *stride *= n;
            Some(this)
        })
        .collect();
    let elements: usize = shape.iter().product();
    let mut at = vec![0; axes];
    for _ in 0..elements {
        let offset: usize = at.iter().zip(&strides).map(|(i, stride)| i * stride).sum();
        out.extend_from_slice(&array.data[offset..offset + array.item_size]);
        for axis in (0..axes).rev() {
            at[axis] += 1;
            if at[axis] < shape[axis] {
                break;
            }
            at[axis] = 0;
        }
    }
}

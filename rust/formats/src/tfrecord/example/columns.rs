//! Many examples side by side: one column for each feature.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Kind, Values, parse};
use crate::tfrecord::TfRecordError;

/// What is wanted of one feature.
#[derive(Debug, Clone, PartialEq)]
pub struct Want {
    /// The kind of its values.
    pub kind: Kind,
    /// How many values each example has; any number if `None`.
    pub length: Option<u64>,
    /// The values of an example that lacks the feature. Without them it is an error where the length is fixed, and no
    /// values otherwise.
    pub default: Option<Values>,
}

/// One feature of many examples: all values behind each other, and how many each example has.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// The values.
    pub values: Values,
    /// Where the values of each example begin, and at last where those of the last one end; 0 first.
    pub splits: Vec<i64>,
}

impl Column {
    fn new(kind: Kind, empty_rows: usize) -> Self {
        Self { values: Values::none(kind), splits: vec![0; empty_rows + 1] }
    }

    /// Adds one example.
    fn push(&mut self, name: &str, values: Values) -> Result<(), TfRecordError> {
        match (&mut self.values, values) {
            (Values::Bytes(all), Values::Bytes(values)) => all.extend(values),
            (Values::Float(all), Values::Float(values)) => all.extend(values),
            (Values::Int64(all), Values::Int64(values)) => all.extend(values),
            (all, values) => {
                let (found, expected) = (values.kind().name(), all.kind().name());
                return Err(TfRecordError::FeatureKind { name: name.to_owned(), found, expected });
            }
        }
        self.end_row();
        Ok(())
    }

    fn end_row(&mut self) {
        self.splits.push(i64::try_from(self.values.len()).unwrap_or(i64::MAX));
    }
}

/// The features of many examples, as `wanted` says, or all that occur.
///
/// # Errors
/// The number of the example, with [`TfRecordError::Example`] for a record that is none,
/// [`TfRecordError::MissingFeature`], [`TfRecordError::FeatureKind`] or [`TfRecordError::FeatureLength`].
pub fn columns(
    records: &[Bytes],
    wanted: Option<&BTreeMap<String, Want>>,
) -> Result<BTreeMap<String, Column>, (usize, TfRecordError)> {
    let mut columns = BTreeMap::new();
    for (name, want) in wanted.into_iter().flatten() {
        columns.insert(name.clone(), Column::new(want.kind, 0));
    }
    for (row, record) in records.iter().enumerate() {
        let example = parse(record.clone()).map_err(|error| (row, error))?;
        let added = match wanted {
            Some(wanted) => add_wanted(&mut columns, wanted, example),
            None => add_all(&mut columns, row, example),
        };
        added.map_err(|error| (row, error))?;
    }
    Ok(columns)
}

fn add_wanted(
    columns: &mut BTreeMap<String, Column>,
    wanted: &BTreeMap<String, Want>,
    mut example: BTreeMap<String, Values>,
) -> Result<(), TfRecordError> {
    for ((name, want), column) in wanted.iter().zip(columns.values_mut()) {
        let values = match (example.remove(name), &want.default) {
            (Some(values), _) => values,
            (None, Some(default)) => default.clone(),
            (None, None) if want.length.is_none() => Values::none(want.kind),
            (None, None) => return Err(TfRecordError::MissingFeature { name: name.clone() }),
        };
        let found = values.len() as u64;
        let kind = values.kind();
        if kind == want.kind
            && let Some(expected) = want.length.filter(|&expected| expected != found)
        {
            return Err(TfRecordError::FeatureLength { name: name.clone(), found, expected });
        }
        column.push(name, values)?;
    }
    Ok(())
}

fn add_all(
    columns: &mut BTreeMap<String, Column>,
    row: usize,
    example: BTreeMap<String, Values>,
) -> Result<(), TfRecordError> {
    for (name, values) in example {
        let kind = values.kind();
        let column = columns.entry(name.clone()).or_insert_with(|| Column::new(kind, row));
        column.push(&name, values)?;
    }
    for column in columns.values_mut().filter(|column| column.splits.len() == row + 1) {
        column.end_row();
    }
    Ok(())
}

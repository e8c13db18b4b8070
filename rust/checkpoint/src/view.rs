//! Tensors that share memory: one storage is saved, of which each is a view.

use serde_json::Value;

use crate::contents::Stored;
use crate::dtype;
use crate::error::{CheckpointError, Result};

/// Elements of a storage that make up a tensor.
#[derive(Debug, Clone)]
pub struct View {
    /// The first of them, in elements.
    pub start: u64,
    /// Shape of the tensor.
    pub size: Vec<u64>,
    /// Elements from one to the next along each axis.
    pub stride: Vec<u64>,
    /// Bytes of an element, of complex ones those of both numbers.
    width: u64,
    /// Whether an element is two numbers: complex ones have one more axis in the storage.
    pairs: bool,
}

impl View {
    /// The view that the tree has of a tensor; `None` where it has all of it as it is.
    ///
    /// # Errors
    /// A view that does not lie in the tensor.
    pub fn of(stored: &Stored) -> Result<Option<Self>> {
        let Some(size) = stored.node.get("size") else { return Ok(None) };
        let wrong = || CheckpointError::corrupt(&stored.name, "the tree has a view that does not lie in its tensor");
        let numbers = |value: &Value| value.as_array()?.iter().map(Value::as_u64).collect::<Option<Vec<u64>>>();
        let parse = || {
            let size = numbers(size)?;
            let stride = numbers(stored.node.get("stride")?)?;
            let start = stored.node.get("start")?.as_u64()?;
            let pairs = stored.shape.len() == 2;
            let width = dtype::width(&stored.dtype)?.checked_mul(if pairs { 2 } else { 1 })?;
            let elements = *stored.shape.first()?;
            let mut last = start;
            for (length, step) in size.iter().zip(&stride) {
                last = last.checked_add(length.checked_sub(1)?.checked_mul(*step)?)?;
            }
            // More elements than the storage has would be a small file that stands for a large one.
            let count = size.iter().try_fold(1_u64, |count, length| count.checked_mul(*length))?;
            let fits = size.len() == stride.len() && last < elements && count <= elements && stored.shape.len() <= 2;
            fits.then_some(Self { start, size, stride, width, pairs })
        };
        parse().map(Some).ok_or_else(wrong)
    }

    /// Shape in the numbers that are stored: with the axis of complex ones.
    pub(crate) fn shape(&self) -> Vec<u64> {
        self.size.iter().copied().chain(self.pairs.then_some(2)).collect()
    }

    /// The elements of the view, row by row.
    pub(crate) fn gather(&self, storage: &[u8]) -> Vec<u8> {
        let width = usize::try_from(self.width).unwrap_or(1);
        let mut position = vec![0_u64; self.size.len()];
        let mut bytes = Vec::new();
        loop {
            let offset: u64 = position.iter().zip(&self.stride).map(|(at, step)| at * step).sum();
            let at = usize::try_from(self.start + offset).unwrap_or(usize::MAX).saturating_mul(width);
            bytes.extend_from_slice(storage.get(at..at.saturating_add(width)).unwrap_or_default());
            let Some(turning) = (0..position.len()).rev().find(|axis| position[*axis] + 1 < self.size[*axis]) else {
                return bytes;
            };
            position[turning] += 1;
            position[turning + 1..].fill(0);
        }
    }
}

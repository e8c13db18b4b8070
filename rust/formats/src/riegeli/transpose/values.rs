//! The values of the columns, each column in a buffer.

use super::columns::{Columns, Op, RAW_OP};
use crate::varint;

/// All buffers end to end, in the order of their numbers.
pub(super) struct Values {
    pub data: Vec<u8>,
    /// Where each buffer ends in `data`.
    pub ends: Vec<usize>,
    /// How the buffers divide into classes, which never share a bucket: the first buffer of each class but the first.
    pub classes: Vec<usize>,
    /// The buffer of each field that has one.
    pub buffers: Vec<u32>,
}

impl Values {
    /// Collects the values of `ops`, which lie in `records`: those of each column from the last to the first.
    pub fn new(records: &[u8], columns: &Columns, ops: &[Op]) -> Self {
        let mut sizes = vec![0; columns.len()];
        for op in ops {
            sizes[columns.owner(op.op) as usize] += op.len as usize;
        }
        let mut order: Vec<u32> = (0..sizes.len() as u32).filter(|field| sizes[*field as usize] > 0).collect();
        order.sort_by_key(|field| (columns.class(*field), sizes[*field as usize]));

        let mut buffers = vec![0; columns.len()];
        let mut starts = vec![0; columns.len()];
        let (mut ends, mut classes, mut end) = (Vec::with_capacity(order.len() + 1), Vec::new(), 0);
        for (&field, number) in order.iter().zip(0..) {
            if number > 0 && columns.class(order[number - 1]) != columns.class(field) {
                classes.push(number);
            }
            buffers[field as usize] = number as u32;
            starts[field as usize] = end;
            end += sizes[field as usize];
            ends.push(end);
        }
        let mut data = vec![0; end];
        let lengths = fill(&mut data, &mut starts, records, columns, ops);
        if !lengths.is_empty() {
            classes.push(ends.len());
            data.extend_from_slice(&lengths);
            ends.push(data.len());
        }
        Self { data, ends, classes, buffers }
    }
}

/// Copies the values to where their columns go on. Returns the lengths of the records that are no messages.
fn fill(data: &mut [u8], starts: &mut [usize], records: &[u8], columns: &Columns, ops: &[Op]) -> Vec<u8> {
    let mut lengths = Vec::new();
    for &Op { at, len, op } in ops.iter().rev() {
        if len == 0 {
            continue;
        }
        let len = len as usize;
        let field = columns.owner(op);
        let start = &mut starts[field as usize];
        let (to, from) = (&mut data[*start..*start + len], &records[at..at + len]);
        *start += len;
        if columns.is_varint(field) {
            for (to, from) in to.iter_mut().zip(from) {
                *to = from & 0x7f;
            }
        } else {
            to.copy_from_slice(from);
        }
        if op == RAW_OP {
            varint::put(&mut lengths, len as u64);
        }
    }
    lengths
}

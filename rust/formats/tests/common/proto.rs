//! Protobuf messages, by hand and at random.

use proptest::collection::vec;
use proptest::prelude::*;
use s3dlio_formats::varint;

fn field(number: u32, wire_type: u32, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    varint::put(&mut out, u64::from(number << 3 | wire_type));
    out.extend_from_slice(content);
    out
}

pub fn number(field_number: u32, value: u64) -> Vec<u8> {
    let mut content = Vec::new();
    varint::put(&mut content, value);
    field(field_number, 0, &content)
}

pub fn fixed32(number: u32, value: [u8; 4]) -> Vec<u8> {
    field(number, 5, &value)
}

pub fn fixed64(number: u32, value: [u8; 8]) -> Vec<u8> {
    field(number, 1, &value)
}

/// A string or a submessage.
pub fn bytes(number: u32, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    varint::put(&mut out, content.len() as u64);
    out.extend_from_slice(content);
    field(number, 2, &out)
}

pub fn group(number: u32, content: &[u8]) -> Vec<u8> {
    [field(number, 3, content), field(number, 4, &[])].concat()
}

/// Field numbers, mostly few ones, so that records have fields in common.
fn numbers() -> impl Strategy<Value = u32> {
    prop_oneof![8 => 1..6_u32, 2 => 1..200_u32, 1 => 1..1_u32 << 29]
}

/// Messages of any shape, in the form that every writer has.
pub fn messages() -> impl Strategy<Value = Vec<u8>> {
    let values = (any::<u64>(), 0..64_u32).prop_map(|(value, shift)| value >> shift);
    let leaf = prop_oneof![
        (numbers(), values).prop_map(|(at, value)| number(at, value)),
        (numbers(), 0..6_u64).prop_map(|(at, value)| number(at, value)),
        (numbers(), any::<[u8; 4]>()).prop_map(|(at, value)| fixed32(at, value)),
        (numbers(), any::<[u8; 8]>()).prop_map(|(at, value)| fixed64(at, value)),
        (numbers(), vec(any::<u8>(), 0..40)).prop_map(|(at, value)| bytes(at, &value)),
        (numbers(), "[a-z ]{0,12}").prop_map(|(at, value)| bytes(at, value.as_bytes())),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        (numbers(), vec(inner, 0..6), any::<bool>()).prop_map(|(at, fields, is_group)| {
            let content = fields.concat();
            if is_group { group(at, &content) } else { bytes(at, &content) }
        })
    })
}

/// Records: messages, damaged messages and anything else.
pub fn records() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let message = || vec(messages(), 0..8).prop_map(|fields| fields.concat());
    let damaged = (message(), any::<prop::sample::Index>(), any::<u8>()).prop_map(|(mut bytes, at, value)| {
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes
    });
    let record = prop_oneof![6 => message(), 1 => damaged, 1 => vec(any::<u8>(), 0..30), 1 => Just(Vec::new())];
    vec(record, 0..30)
}

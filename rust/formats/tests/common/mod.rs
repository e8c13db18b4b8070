//! Golden files written by numpy, and the manifest of what they hold.

#![allow(dead_code, reason = "each file of tests uses a part of it")]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use bytes::Bytes;
use s3dlio_formats::Array;
use serde_json::Value;
use sha2::{Digest, Sha256};

pub fn golden(name: &str) -> Bytes {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/npz").join(name);
    Bytes::from(fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

/// Manifest entries of the files whose name ends in `suffix`.
pub fn manifest(suffix: &str) -> BTreeMap<String, Value> {
    let all: BTreeMap<String, Value> = serde_json::from_slice(&golden("manifest.json")).unwrap();
    let some: BTreeMap<_, _> = all.into_iter().filter(|(name, _)| name.ends_with(suffix)).collect();
    assert!(!some.is_empty());
    some
}

/// Asserts that `array` is the one the manifest describes.
pub fn assert_matches(array: &Array, expected: &Value, what: &str) {
    let shape: Vec<u64> = serde_json::from_value(expected["shape"].clone()).unwrap();
    assert_eq!(array.descr, expected["descr"].as_str().unwrap(), "{what}");
    assert_eq!(array.item_size as u64, expected["item_size"].as_u64().unwrap(), "{what}");
    assert_eq!(array.shape, shape, "{what}");
    assert_eq!(array.fortran_order, expected["fortran_order"].as_bool().unwrap(), "{what}");
    assert_eq!(array.len(), shape.iter().product::<u64>(), "{what}");
    assert_eq!(array.is_empty(), shape.contains(&0), "{what}");
    assert_eq!(array.byte_len(), shape.iter().product::<u64>() as usize * array.item_size, "{what}");
    assert_eq!(array.is_structured(), array.descr.starts_with('['), "{what}");
    let digest: String = Sha256::digest(c_order(array)).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(digest, expected["sha256"].as_str().unwrap(), "{what}");
}

/// The items with the last axis varying fastest.
fn c_order(array: &Array) -> Vec<u8> {
    if !array.fortran_order {
        return array.data.to_vec();
    }
    let mut out = Vec::new();
    for position in 0..array.len() {
        let (mut rest, mut index) = (position, Vec::new());
        for &n in array.shape.iter().rev() {
            index.push(rest % n);
            rest /= n;
        }
        let (mut source, mut stride) = (0, 1);
        for (&n, i) in array.shape.iter().zip(index.iter().rev()) {
            source += i * stride;
            stride *= n;
        }
        let start = source as usize * array.item_size;
        out.extend_from_slice(&array.data[start..start + array.item_size]);
    }
    out
}

//! Arrays and archives of them.

use bytes::Bytes;
use s3dlio_formats::{Array, Limits, Npz, npy};

fn check(array: &Array) {
    assert_eq!(array.byte_len(), array.data.len());
    assert_eq!(array.len().checked_mul(array.item_size as u64), Some(array.byte_len() as u64));
}

pub fn npy(data: &[u8]) {
    if let Ok(array) = npy::parse(&Bytes::copy_from_slice(data)) {
        check(&array);
    }
}

pub fn npz(data: &[u8]) {
    let mut limits = Limits::default();
    // A few deflated bytes can stand for any number.
    limits.max_member_bytes = limits.max_member_bytes.min(1 << 20);
    if let Ok(archive) = Npz::open(&Bytes::copy_from_slice(data), limits)
        && let Ok(arrays) = archive.read_all()
    {
        arrays.iter().for_each(|(_, array)| check(array));
    }
}

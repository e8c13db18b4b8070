//! Arrays and archives of them.

use bytes::Bytes;
use s3dlio_formats::npz::{Check, Member};
use s3dlio_formats::{Array, Limits, Npz, npy};

fn check(array: &Array) {
    assert_eq!(array.byte_len(), array.data.len());
    assert_eq!(array.len().checked_mul(array.item_size as u64), Some(array.byte_len() as u64));
}

pub fn npy(data: &[u8]) {
    let header = npy::parse_header(data);
    if let Ok(array) = npy::parse(&Bytes::copy_from_slice(data)) {
        check(&array);
        assert_eq!(header.map(|header| header.shape), Ok(array.shape));
    }
}

pub fn npz(data: &[u8]) {
    let mut limits = Limits::default();
    // A few deflated bytes can stand for any number.
    limits.max_member_bytes = limits.max_member_bytes.min(1 << 20);
    let data = Bytes::copy_from_slice(data);
    if let Ok(archive) = Npz::open(&data, limits) {
        for member in archive.directory().members() {
            let extent = archive.extent(member);
            let whole = member.content(&extent, &limits);
            // The check in pieces looks behind the deflated data, too.
            if member.len() <= limits.max_member_bytes {
                assert!(whole.is_ok() || !in_pieces(member, &extent));
            }
            if let (Ok(head), Ok(whole)) = (member.head(&extent), whole) {
                assert!(whole.starts_with(&head));
            }
        }
        if let Ok(arrays) = archive.read_all() {
            arrays.iter().for_each(|(_, array)| check(array));
        }
    }
}

fn in_pieces(member: &Member, extent: &[u8]) -> bool {
    let Ok(mut check) = Check::new(member) else { return false };
    extent.chunks(37).all(|piece| check.push(piece).is_ok()) && check.finish().is_ok()
}

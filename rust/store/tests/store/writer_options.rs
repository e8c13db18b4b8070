//! Part sizes of writers, and how many parts they hold.

use s3dlio_store::StoreError;
use s3dlio_store::uri::Scheme;
use s3dlio_store::writer::WriterOptions;

const MIB: u64 = 1 << 20;

fn sizes(scheme: Scheme, chunk: Option<u64>, buffer: Option<u64>) -> (u64, usize) {
    let options = WriterOptions { chunk_size: chunk, buffer_size: buffer, ..WriterOptions::default() };
    options.sizes(scheme).map_or((0, 0), |sizes| (sizes.part as u64, sizes.held))
}

#[test]
fn chunks_are_gathered_until_the_store_takes_them() {
    assert_eq!(sizes(Scheme::S3, None, None), (16 * MIB, 8));
    assert_eq!(sizes(Scheme::Direct, None, None), (4 * MIB, 8));
    assert_eq!(sizes(Scheme::S3, Some(4 * MIB), None), (8 * MIB, 8));
    assert_eq!(sizes(Scheme::S3, Some(3_000_000), None), (6_000_000, 8));
    assert_eq!(sizes(Scheme::Azure, Some(4 * MIB), None), (4 * MIB, 8));
    assert_eq!(sizes(Scheme::File, Some(100_000), None), (300_000_u64.next_multiple_of(4096), 8));
    assert_eq!(sizes(Scheme::File, Some(0), None), (0, 0));
    assert_eq!(sizes(Scheme::Gcs, Some(5000 * MIB), None), (0, 0));
}

#[test]
fn the_buffer_bounds_parts_and_their_number() {
    assert_eq!(sizes(Scheme::S3, None, Some(64 * MIB)), (16 * MIB, 4));
    assert_eq!(sizes(Scheme::S3, None, Some(8192)), (5 * MIB, 1));
    assert_eq!(sizes(Scheme::File, None, Some(8192)), (256 << 10, 1));
    assert_eq!(sizes(Scheme::S3, Some(5 * MIB), Some(20 * MIB)), (5 * MIB, 4));
    assert_eq!(sizes(Scheme::S3, None, Some(0)), (0, 0));
}

#[test]
fn an_exact_part_size_is_taken_or_refused() {
    let sizes = |scheme, part| {
        let options = WriterOptions { part_size: Some(part), max_in_flight: Some(2), ..WriterOptions::default() };
        options.sizes(scheme)
    };
    assert!(sizes(Scheme::S3, 5 * MIB).is_ok_and(|s| (s.part as u64, s.held) == (5 * MIB, 2)));
    assert!(matches!(sizes(Scheme::S3, 5 * MIB - 1), Err(StoreError::Config { .. })));
    assert!(sizes(Scheme::Memory, 1).is_ok());
    assert!(matches!(sizes(Scheme::Memory, 0), Err(StoreError::Config { .. })));
}

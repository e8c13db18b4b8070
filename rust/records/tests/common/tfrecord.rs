//! TFRecord files for tests.

use std::io::Write;

use s3dlio_formats::tfrecord::append;
use s3dlio_formats::tfrecord::compression::Compression;
use s3dlio_records::RecordError;
use s3dlio_store::Work;

/// A file of these records.
pub fn file_of(records: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let mut file = Vec::new();
    records.iter().for_each(|record| append(&mut file, record.as_ref()));
    file
}

/// Records of these lengths, all different.
pub fn records(lengths: impl IntoIterator<Item = usize>) -> Vec<Vec<u8>> {
    let record = |(number, length): (usize, usize)| (0..length).map(|at| (at * 7 + number * 31) as u8).collect();
    lengths.into_iter().enumerate().map(record).collect()
}

pub fn compressed(kind: Compression, data: &[u8]) -> Vec<u8> {
    let level = flate2::Compression::default();
    match kind {
        Compression::None => data.to_vec(),
        Compression::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(data).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Zlib => {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), level);
            encoder.write_all(data).unwrap();
            encoder.finish().unwrap()
        }
    }
}

/// The text of an index of records of these lengths.
pub fn index_of(lengths: impl IntoIterator<Item = usize>) -> String {
    let mut offset = 0;
    let line = |length| {
        let line = format!("{offset} {}\n", length + 16);
        offset += length + 16;
        line
    };
    lengths.into_iter().map(line).collect()
}

/// Runs work that can end in an error of either kind.
pub fn attempt<T: Send + 'static>(
    work: Result<Work<Result<T, RecordError>>, impl Into<RecordError>>,
) -> Result<T, RecordError> {
    super::run(Ok(work.map_err(Into::into)?))?
}

//! Row groups of generated files, in memory and on disk.

use s3dlio_records::RecordError;
use s3dlio_records::parquet::generate::{self, Plan};
use s3dlio_records::parquet::{Column, Decode, FOOTER_CAP, File, footers, open_many};
use s3dlio_store::Uri;
use s3dlio_store::local::Create;

fn plan(columns: usize, rows: usize, groups: usize) -> Plan {
    let columns = (0..columns).map(|number| (format!("col{number}"), 1 + number % 3)).collect();
    Plan { columns, rows, groups, seed: 7 }
}

fn uri(text: &str) -> Uri {
    Uri::parse(text).unwrap()
}

fn put(text: &str, plan: Plan) -> Uri {
    let file = generate::bytes(plan).wait().unwrap().unwrap();
    s3dlio_store::ops::put(&uri(text), file.into(), Create::Overwrite).unwrap().wait().unwrap();
    uri(text)
}

fn group(uri: &Uri, number: usize, decode: Decode) -> s3dlio_records::Result<bytes::Bytes> {
    footers::group(uri, number, None, FOOTER_CAP, decode).unwrap().wait().unwrap()
}

#[test]
fn footers_say_where_row_groups_and_rows_are() {
    let uris = [put("memory://parquet/a", plan(5, 10, 3)), put("memory://parquet/b", plan(2, 4, 1))];
    let files = open_many(&uris, 8, 4).unwrap().wait().unwrap().unwrap();
    let footer = files[0].footer();
    assert_eq!((footer.groups(), footer.rows()), (3, &[0, 10, 20, 30][..]));
    assert_eq!([0, 9, 10, 29, 30, 1000].map(|row| footer.group_of(row)), [0, 0, 1, 2, 2, 2]);
    assert_eq!(footer.columns().collect::<Vec<_>>(), ["col0", "col1", "col2", "col3", "col4"]);
    assert_eq!(files[1].footer().groups(), 1);
    let ranges: Vec<_> = (0..3).map(|number| files[0].range(number, None).unwrap()).collect();
    assert!(ranges.windows(2).all(|pair| pair[0].end <= pair[1].start) && ranges[2].end < files[0].size());
    let part = files[0].range(1, Some(&[1, 2])).unwrap();
    assert!(ranges[1].start < part.start && part.end < ranges[1].end);
    assert!(matches!(files[0].range(3, None), Err(RecordError::OutOfRange { index: 3, length: 3, .. })));
    let wanted = [Column::Name("col3".into()), Column::Number(1), Column::Number(3)];
    assert_eq!(files[0].columns(&wanted).unwrap(), [1, 3]);
    assert!(matches!(files[0].columns(&[Column::Number(5)]), Err(RecordError::Config { .. })));
}

#[test]
fn a_file_written_while_it_is_made_is_the_one_made_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let place = uri(&format!("file://{}", folder.path().join("made").display()));
    generate::write(&place, plan(4, 100, 5)).unwrap().wait().unwrap().unwrap();
    let in_memory = generate::bytes(plan(4, 100, 5)).wait().unwrap().unwrap();
    assert_eq!(std::fs::read(&place.key).unwrap(), in_memory);
    let other = generate::bytes(Plan { seed: 8, ..plan(4, 100, 5) }).wait().unwrap().unwrap();
    assert_ne!(other, in_memory);
    for bad in [plan(0, 1, 1), plan(1, 0, 1), plan(1, 1, 0)] {
        assert!(matches!(generate::bytes(bad).wait().unwrap(), Err(RecordError::Config { .. })));
    }
}

#[test]
fn groups_are_raw_bytes_or_streams_of_arrow() {
    let place = put("memory://parquet/groups", plan(3, 50, 2));
    let file = File::open(&place, FOOTER_CAP).unwrap().wait().unwrap().unwrap();
    let whole = generate::bytes(plan(3, 50, 2)).wait().unwrap().unwrap();
    for number in 0..2 {
        let range = file.range(number, None).unwrap();
        let raw = group(&place, number, Decode::Raw).unwrap();
        assert_eq!(raw, whole[range.start as usize..range.end as usize]);
        let stream = group(&place, number, Decode::Arrow).unwrap();
        // Of 50 rows each has 1 + 2 + 3 numbers of four bytes, which the stream holds as they are.
        assert!(stream.len() > 50 * 6 * 4);
        assert_ne!(stream, group(&place, 1 - number, Decode::Arrow).unwrap());
    }
    assert!(matches!(group(&place, 2, Decode::Raw), Err(RecordError::OutOfRange { .. })));
}

#[test]
fn what_is_no_parquet_file_says_so() {
    for content in [&b""[..], b"PAR1", b"no table at all", b"PAR1\xff\xff\xff\xffPAR1", b"\x01\0\0\0PARE"] {
        let place = uri("memory://parquet/bad");
        s3dlio_store::ops::put(&place, content.into(), Create::Overwrite).unwrap().wait().unwrap();
        let error = File::open(&place, FOOTER_CAP).unwrap().wait().unwrap().unwrap_err();
        assert!(matches!(error, RecordError::Format { .. }), "{error}");
        assert!(error.to_string().contains("memory://parquet/bad"), "{error}");
    }
}

#[test]
fn a_replaced_object_is_opened_anew() {
    let place = put("memory://parquet/replaced", plan(3, 50, 2));
    let before = group(&place, 1, Decode::Arrow).unwrap();
    put("memory://parquet/replaced", plan(2, 20, 3));
    let after = group(&place, 1, Decode::Arrow).unwrap();
    assert!(after.len() < before.len());
    assert!(group(&place, 2, Decode::Arrow).is_ok());
}

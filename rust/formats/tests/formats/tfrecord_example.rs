//! `tf.train.Example`: the wire format, columns, damage.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;
use s3dlio_formats::tfrecord::TfRecordError;
use s3dlio_formats::tfrecord::example::{Kind, Values, Want, columns, parse, serialize};

fn example(features: &[(&str, Values)]) -> Bytes {
    Bytes::from(serialize(features.iter().map(|(name, values)| ((*name).to_owned(), values.clone())).collect()))
}

fn texts(values: &[&'static str]) -> Values {
    Values::Bytes(values.iter().map(|text| Bytes::from_static(text.as_bytes())).collect())
}

fn want(kind: Kind, length: Option<u64>, default: Option<Values>) -> Want {
    Want { kind, length, default }
}

#[test]
fn the_wire_format_is_that_of_protocol_buffers() {
    // By hand: Example.features (1) > Features.feature (1) > key (1) and value (2) > the list > its values.
    let ints: &[u8] = &[0x0a, 0x0d, 0x0a, 0x0b, 0x0a, 1, b'i', 0x12, 6, 0x1a, 4, 0x0a, 2, 5, 7];
    assert_eq!(example(&[("i", Values::Int64(vec![5, 7]))]), ints);
    let unpacked: &[u8] = &[0x0a, 0x0d, 0x0a, 0x0b, 0x0a, 1, b'i', 0x12, 6, 0x1a, 4, 0x08, 5, 0x08, 7];
    for bytes in [ints, unpacked] {
        let parsed = parse(Bytes::from_static(bytes)).unwrap();
        assert_eq!(parsed, BTreeMap::from([("i".to_owned(), Values::Int64(vec![5, 7]))]));
    }
    let floats: &[u8] = &[0x0a, 0x0f, 0x0a, 0x0d, 0x0a, 1, b'f', 0x12, 8, 0x12, 6, 0x0a, 4, 0, 0, 0x80, 0x3f];
    assert_eq!(example(&[("f", Values::Float(vec![1.0]))]), floats);
    let text: &[u8] = &[0x0a, 0x0d, 0x0a, 0x0b, 0x0a, 1, b'b', 0x12, 6, 0x0a, 4, 0x0a, 2, b'h', b'i'];
    assert_eq!(example(&[("b", texts(&["hi"]))]), text);
}

#[test]
fn byte_strings_are_slices_of_the_record() {
    let record = example(&[("image", texts(&["some bytes"]))]);
    let parsed = parse(record.clone()).unwrap();
    let Values::Bytes(values) = &parsed["image"] else { panic!() };
    assert!(record.as_ptr_range().contains(&values[0].as_ptr()));
}

#[test]
fn features_become_columns() {
    let records = [
        example(&[("label", Values::Int64(vec![1])), ("box", Values::Float(vec![0.5, 1.5])), ("name", texts(&["a"]))]),
        example(&[("label", Values::Int64(vec![-2])), ("box", Values::Float(vec![])), ("name", texts(&["b"]))]),
        example(&[("label", Values::Int64(vec![3])), ("name", texts(&["c"]))]),
    ];
    let wanted = BTreeMap::from([
        ("label".to_owned(), want(Kind::Int64, Some(1), None)),
        ("box".to_owned(), want(Kind::Float, None, None)),
        ("weight".to_owned(), want(Kind::Float, Some(2), Some(Values::Float(vec![1.0, 2.0])))),
    ]);
    let found = columns(&records, Some(&wanted)).unwrap();
    assert_eq!(found.len(), 3);
    assert_eq!(
        (&found["label"].values, &found["label"].splits[..]),
        (&Values::Int64(vec![1, -2, 3]), &[0, 1, 2, 3][..])
    );
    assert_eq!((&found["box"].values, &found["box"].splits[..]), (&Values::Float(vec![0.5, 1.5]), &[0, 2, 2, 2][..]));
    assert_eq!(found["weight"].values, Values::Float(vec![1.0, 2.0, 1.0, 2.0, 1.0, 2.0]));
    let all = columns(&records, None).unwrap();
    assert_eq!(all.keys().collect::<Vec<_>>(), ["box", "label", "name"]);
    assert_eq!(all["box"].splits, [0, 2, 2, 2]);
    assert_eq!(all["name"].values, texts(&["a", "b", "c"]));
}

#[test]
fn a_feature_that_comes_late_has_no_values_before() {
    let records = [example(&[]), example(&[("x", Values::Int64(vec![4]))]), example(&[])];
    assert_eq!(columns(&records, None).unwrap()["x"].splits, [0, 0, 1, 1]);
    assert!(columns(&[], None).unwrap().is_empty());
    let wanted = BTreeMap::from([("x".to_owned(), want(Kind::Int64, None, None))]);
    assert_eq!(columns(&[], Some(&wanted)).unwrap()["x"].splits, [0]);
}

#[test]
fn what_does_not_fit_names_the_example_and_the_feature() {
    let good = example(&[("x", Values::Int64(vec![4]))]);
    let name = || "x".to_owned();
    let wanted = |want| BTreeMap::from([(name(), want)]);
    let fixed = wanted(want(Kind::Int64, Some(1), None));
    for (bad, wanted, expected) in [
        (example(&[]), &fixed, TfRecordError::MissingFeature { name: name() }),
        (
            example(&[("x", Values::Float(vec![1.0]))]),
            &fixed,
            TfRecordError::FeatureKind { name: name(), found: "float32", expected: "int64" },
        ),
        (
            example(&[("x", Values::Int64(vec![1, 2]))]),
            &fixed,
            TfRecordError::FeatureLength { name: name(), found: 2, expected: 1 },
        ),
    ] {
        assert_eq!(columns(&[good.clone(), bad], Some(wanted)), Err((1, expected)));
    }
    let mixed = [good.clone(), example(&[("x", texts(&["text"]))])];
    let error = TfRecordError::FeatureKind { name: name(), found: "bytes", expected: "int64" };
    assert_eq!(columns(&mixed, None), Err((1, error)));
    let (row, error) = columns(&[good, Bytes::from_static(b"\x0a\xff\xff\xff\xff\x0fx")], None).unwrap_err();
    assert!(row == 1 && matches!(error, TfRecordError::Example { .. }), "{error}");
}

proptest! {
    #[test]
    fn examples_come_back(
        ints in prop::collection::vec(any::<i64>(), 0..20),
        floats in prop::collection::vec(-1e30_f32..1e30, 0..20),
        strings in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..5),
        name in ".{0,10}",
    ) {
        let strings = Values::Bytes(strings.into_iter().map(Bytes::from).collect());
        let features = BTreeMap::from([
            (name, Values::Int64(ints)),
            ("f loats".to_owned() + "!", Values::Float(floats)),
            ("b".repeat(12), strings),
        ]);
        prop_assert_eq!(parse(Bytes::from(serialize(features.clone()))).unwrap(), features);
    }

    #[test]
    fn no_bytes_make_parsing_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(Bytes::from(bytes));
    }
}

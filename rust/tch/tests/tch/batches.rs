//! What a loader reads, as tensors.

use std::sync::Arc;

use bytes::Bytes;
use s3dlio_loader::batch::BatchData;
use s3dlio_loader::decode::Decoder;
use s3dlio_loader::options::{Collate, Shuffle};
use s3dlio_loader::pipeline::Next;
use s3dlio_loader::source::MemorySource;
use s3dlio_loader::{Loader, LoaderError, LoaderOptions};
use s3dlio_tch::{Data, TrainError, batches};
use tch::{Device, Kind, Tensor};

/// A file of NumPy with these bytes as its elements.
fn npy(descr: &str, shape: &str, elements: &[u8]) -> Bytes {
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    // The header's length with what stands before it is a multiple of 64.
    header.push_str(&" ".repeat(63 - (10 + header.len()) % 64));
    header.push('\n');
    let length = u16::try_from(header.len()).unwrap().to_le_bytes();
    [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), elements].concat().into()
}

fn loader(records: Vec<Bytes>, options: LoaderOptions) -> Loader {
    Loader::new(Arc::new(MemorySource::new(records).unwrap()), options).unwrap()
}

fn options(batch_size: u64, decoder: &str) -> LoaderOptions {
    LoaderOptions { batch_size, decoder: decoder.parse().unwrap(), ..LoaderOptions::default() }
}

#[test]
fn every_type_of_numpy_that_libtorch_has_arrives_as_it_is() {
    for (descr, kind) in [
        ("<f8", Kind::Double),
        ("<f4", Kind::Float),
        ("<f2", Kind::Half),
        ("<i8", Kind::Int64),
        ("<i4", Kind::Int),
        ("<i2", Kind::Int16),
        ("|i1", Kind::Int8),
        ("|u1", Kind::Uint8),
        ("|b1", Kind::Bool),
        ("<c8", Kind::ComplexFloat),
        ("<c16", Kind::ComplexDouble),
    ] {
        let width = kind.elt_size_in_bytes();
        let records: Vec<Vec<u8>> =
            (0..5).map(|number| (0..6 * width).map(|at| u8::from((at + number) % 3 == 1)).collect()).collect();
        let loader = loader(records.iter().map(|record| npy(descr, "(2, 3)", record)).collect(), options(2, "npy"));
        let found: Vec<_> = batches(&loader, 0, 0, Device::Cpu).unwrap().map(Result::unwrap).collect();
        assert_eq!(
            found.iter().map(|batch| batch.indices.clone()).collect::<Vec<_>>(),
            [vec![0, 1], vec![2, 3], vec![4]]
        );
        for (batch, records) in found.iter().zip(records.chunks(2)) {
            let Data::Tensor(tensor) = &batch.data else { panic!("{batch:?}") };
            assert_eq!((tensor.kind(), tensor.size()), (kind, vec![records.len() as i64, 2, 3]), "{descr}");
            let mut bytes = vec![0; tensor.numel() * width];
            tensor.copy_data_u8(&mut bytes, tensor.numel());
            assert_eq!(bytes, records.concat(), "{descr}");
        }
    }
}

#[test]
fn the_order_is_that_of_the_loader_from_any_step_on() {
    let records = (0..100_u8).map(|number| npy("|u1", "(1,)", &[number])).collect();
    let loader = loader(records, LoaderOptions { shuffle: Shuffle::Global, seed: 3, ..options(8, "npy") });
    let mut expected = Vec::new();
    let mut batches_of_loader = loader.iterate(2, 5).unwrap();
    while let Next::Batch(batch) = batches_of_loader.next(std::time::Duration::from_secs(30)).unwrap() {
        let BatchData::Stack(stack) = batch.data else { panic!("no stack") };
        expected.push((batch.step, stack.data));
    }
    let found: Vec<(u64, Vec<u8>)> = batches(&loader, 2, 5, Device::Cpu)
        .unwrap()
        .map(|batch| {
            let batch = batch.unwrap();
            (batch.step, Vec::<u8>::try_from(batch.data.tensor("").unwrap().flatten(0, -1)).unwrap())
        })
        .collect();
    assert_eq!(found, expected);
    assert_eq!(found[0].0, 5);
}

#[test]
fn samples_that_are_no_arrays_are_handed_on() {
    let records = vec![Bytes::from_static(b"one"), Bytes::from_static("zwölf".as_bytes())];
    let mut found = batches(&loader(records.clone(), options(2, "text")), 0, 0, Device::Cpu).unwrap();
    let Data::Texts(texts) = found.next().unwrap().unwrap().data else { panic!("no texts") };
    assert_eq!(texts, records);
    let listed = LoaderOptions { collate: Collate::List, decoder: Decoder::Npy, ..options(2, "npy") };
    let records = vec![npy("<f4", "(1,)", &[0; 4]), npy("<f4", "(2,)", &[0; 8])];
    let Data::Samples(samples) =
        batches(&loader(records, listed), 0, 0, Device::Cpu).unwrap().next().unwrap().unwrap().data
    else {
        panic!("no samples")
    };
    assert_eq!(samples.len(), 2);
}

#[test]
fn what_libtorch_has_not_is_an_error_with_a_name() {
    for descr in [">f4", "<u4", "<U1"] {
        let records = vec![npy(descr, "(1,)", &[0; 4])];
        let error =
            batches(&loader(records, options(1, "npy")), 0, 0, Device::Cpu).unwrap().next().unwrap().unwrap_err();
        assert!(matches!(error, TrainError::Mismatch { .. }), "{error:?}");
        assert!(error.to_string().contains(descr), "{error}");
    }
}

#[test]
fn a_bad_record_is_an_error_again_and_again() {
    let records = vec![npy("|u1", "(1,)", &[1]), Bytes::from_static(b"no array")];
    let mut found = batches(&loader(records, options(1, "npy")), 0, 0, Device::Cpu).unwrap();
    assert_eq!(i64::try_from(found.next().unwrap().unwrap().data.tensor("").unwrap()).unwrap(), 1);
    for _ in 0..3 {
        let error = found.next().unwrap().unwrap_err();
        assert!(matches!(error, TrainError::Loader(LoaderError::Decode { index: 1, .. })), "{error:?}");
    }
}

#[test]
fn fields_have_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sample.npz");
    let records = (0..3_i64).map(|number| {
        Tensor::write_npz(&[("x", &Tensor::from_slice(&[number, 7])), ("y", &Tensor::from(number))], &path).unwrap();
        std::fs::read(&path).unwrap().into()
    });
    let loader = loader(records.collect(), options(3, "npz"));
    let batch = batches(&loader, 0, 0, Device::Cpu).unwrap().next().unwrap().unwrap();
    assert_eq!(Vec::<i64>::try_from(batch.data.tensor("y").unwrap()).unwrap(), [0, 1, 2]);
    assert_eq!(batch.data.tensor("x").unwrap().size(), [3, 2]);
    assert!(batch.data.tensor("z").is_none() && batch.data.tensor("").is_none());
}

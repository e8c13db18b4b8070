//! Batches of arrays: stacked, or refused with the name of the sample that does not fit.

use std::sync::Arc;

use crate::common::{all, fields, iterate, listed, npy, npz, options, samples, stack, write};
use s3dlio_loader::batch::Batch;
use s3dlio_loader::decode::{Decoder, Sample};
use s3dlio_loader::options::{Collate, OnError};
use s3dlio_loader::source::RecordSource;
use s3dlio_loader::{LoaderError, LoaderOptions, Result};

fn source(name: &str, records: &[Vec<u8>]) -> Arc<dyn RecordSource> {
    let base = format!("memory://stacking-{name}/");
    write(&base, records);
    listed(&base)
}

fn batches(name: &str, decoder: Decoder, collate: Collate, batch_size: u64, records: &[Vec<u8>]) -> Result<Vec<Batch>> {
    all(iterate(&source(name, records), LoaderOptions { decoder, collate, ..options(batch_size) }))
}

fn one(name: &str, decoder: Decoder, records: &[Vec<u8>]) -> Result<Batch> {
    let mut batches = batches(name, decoder, Collate::Stack, records.len() as u64, records)?;
    assert_eq!(batches.len(), 1);
    Ok(batches.remove(0))
}

/// The error names the second record and the field, and what was found and expected there.
fn assert_misfit(result: Result<Batch>, field: &str, texts: &[&str]) {
    let error = result.unwrap_err();
    match &error {
        LoaderError::Shape { uri, field: found, .. } => {
            assert!(uri.ends_with("/0001"), "{error}");
            assert_eq!(found, field, "{error}");
        }
        other => panic!("{other:?}"),
    }
    let text = error.to_string();
    assert!(text.contains("/0000") && text.contains("collate"), "{text}");
    texts.iter().for_each(|part| assert!(text.contains(part), "{part:?} in {text}"));
}

#[test]
fn equal_arrays_stand_one_behind_the_other() {
    for deflated in [false, true] {
        let record = |n: u8| {
            npz(&[("x", npy("<i2", false, &[2, 3], &[n; 12])), ("y", npy("|b1", false, &[], &[n % 2]))], deflated)
        };
        let records: Vec<_> = (0..7).map(record).collect();
        let got = batches(&format!("equal-{deflated}"), Decoder::Npz, Collate::Stack, 3, &records).unwrap();
        assert_eq!(got.len(), 3);
        for (batch, numbers) in got.iter().zip([vec![0, 1, 2], vec![3, 4, 5], vec![6]]) {
            let [(x, xs), (y, ys)] = fields(batch) else { panic!("two fields") };
            assert_eq!((x.as_str(), y.as_str()), ("x", "y"));
            let count = numbers.len() as u64;
            assert_eq!((xs.descr.as_str(), &xs.shape), ("<i2", &vec![count, 2, 3]));
            assert_eq!((ys.descr.as_str(), &ys.shape), ("|b1", &vec![count]));
            assert_eq!(xs.data, numbers.iter().flat_map(|&n| [n; 12]).collect::<Vec<u8>>());
            assert_eq!(ys.data, numbers.iter().map(|n| n % 2).collect::<Vec<u8>>());
        }
    }
}

#[test]
fn fields_may_come_in_another_order() {
    let (a, b) = (npy("|u1", false, &[1], &[1]), npy("|u1", false, &[2], &[2, 3]));
    let records = [npz(&[("a", a.clone()), ("b", b.clone())], false), npz(&[("b", b), ("a", a)], false)];
    let batch = one("reordered", Decoder::Npz, &records).unwrap();
    let found: Vec<_> = fields(&batch).iter().map(|(name, stack)| (name.as_str(), stack.data.clone())).collect();
    assert_eq!(found, [("a", vec![1, 1]), ("b", vec![2, 3, 2, 3])]);
}

#[test]
fn single_arrays_stack_without_a_name() {
    let batch =
        one("npy", Decoder::Npy, &[npy("<u2", false, &[2], &[1, 0, 2, 0]), npy("<u2", false, &[2], &[3, 0, 4, 0])]);
    let batch = batch.unwrap();
    assert_eq!((stack(&batch).descr.as_str(), &stack(&batch).shape), ("<u2", &vec![2, 2]));
    assert_eq!(stack(&batch).data, [1, 0, 2, 0, 3, 0, 4, 0]);
}

#[test]
fn column_order_becomes_row_order() {
    // [[0, 1, 2], [3, 4, 5]] by rows and by columns.
    let rows = npy("|u1", false, &[2, 3], &[0, 1, 2, 3, 4, 5]);
    let columns = npy("|u1", true, &[2, 3], &[0, 3, 1, 4, 2, 5]);
    let batch = one("fortran", Decoder::Npy, &[columns.clone(), rows, columns]).unwrap();
    assert_eq!(stack(&batch).shape, [3, 2, 3]);
    assert_eq!(stack(&batch).data, [0, 1, 2, 3, 4, 5].repeat(3));

    // Element (i, j, k) of a 2 x 3 x 4 array of two bytes is i * 12 + j * 4 + k.
    let element = |i: u16, j: u16, k: u16| (i * 12 + j * 4 + k).to_le_bytes();
    let mut data = Vec::new();
    for k in 0..4 {
        for j in 0..3 {
            (0..2).for_each(|i| data.extend(element(i, j, k)));
        }
    }
    let batch = one("fortran-3d", Decoder::Npy, &[npy("<u2", true, &[2, 3, 4], &data)]).unwrap();
    assert_eq!(stack(&batch).data, (0..24_u16).flat_map(u16::to_le_bytes).collect::<Vec<_>>());
    for shape in [&[6][..], &[1, 6], &[6, 1], &[1, 1, 6]] {
        let name = format!("fortran-flat-{}", shape.len() * 10 + shape[0] as usize);
        let batch = one(&name, Decoder::Npy, &[npy("|u1", true, shape, &[5, 4, 3, 2, 1, 0])]).unwrap();
        assert_eq!(stack(&batch).data, [5, 4, 3, 2, 1, 0], "{shape:?}");
    }
}

#[test]
fn arrays_without_elements_stack_too() {
    for (at, shape) in [&[0][..], &[0, 3], &[3, 0], &[2, 0, 4]].into_iter().enumerate() {
        for fortran in [false, true] {
            let record = npz(&[("x", npy("<f4", fortran, shape, &[]))], false);
            let batch = one(&format!("empty-{at}-{fortran}"), Decoder::Npz, &[record.clone(), record]).unwrap();
            let (name, stack) = &fields(&batch)[0];
            assert_eq!((name.as_str(), stack.data.len()), ("x", 0));
            assert_eq!(stack.shape, [&[2], shape].concat());
        }
    }
}

#[test]
fn an_archive_without_arrays_gives_no_fields() {
    let batch = one("no-arrays", Decoder::Npz, &[npz(&[], false), npz(&[], false)]).unwrap();
    assert!(fields(&batch).is_empty());
}

#[test]
fn a_misfit_is_named() {
    let x = |descr: &str, shape: &[u64], length| vec![("x", npy(descr, false, shape, &vec![0; length]))];
    let pair = |a: &[(&str, Vec<u8>)], b: &[(&str, Vec<u8>)]| [npz(a, false), npz(b, false)];
    let first = x("<i4", &[2, 3], 24);
    let shape = pair(&first, &x("<i4", &[3, 2], 24));
    assert_misfit(one("misfit-shape", Decoder::Npz, &shape), "x", &["[3, 2]", "[2, 3]"]);
    let dtype = pair(&first, &x("<f4", &[2, 3], 24));
    assert_misfit(one("misfit-dtype", Decoder::Npz, &dtype), "x", &["<f4", "<i4"]);
    let rank = pair(&first, &x("<i4", &[6], 24));
    assert_misfit(one("misfit-rank", Decoder::Npz, &rank), "x", &["[6]"]);
    let missing = pair(&first, &[("y", first[0].1.clone())]);
    assert_misfit(one("misfit-missing", Decoder::Npz, &missing), "x", &["no such field"]);
    let fewer = pair(&[first[0].clone(), ("y", first[0].1.clone())], &first);
    assert_misfit(one("misfit-fewer", Decoder::Npz, &fewer), "y", &["no such field"]);
    let extra = pair(&first, &[first[0].clone(), ("y", first[0].1.clone())]);
    assert_misfit(one("misfit-extra", Decoder::Npz, &extra), "", &["2 fields", "1 fields"]);
    let single = [npy("|u1", false, &[2], &[0; 2]), npy("|u1", false, &[3], &[0; 3])];
    assert_misfit(one("misfit-npy", Decoder::Npy, &single), "", &["[3]", "[2]"]);
}

#[test]
fn unequal_samples_are_a_fault_of_the_batch_and_not_of_one_record() {
    let records = [npy("|u1", false, &[2], &[0; 2]), npy("|u1", false, &[3], &[0; 3])];
    let options = LoaderOptions { decoder: Decoder::Npy, on_error: OnError::Skip, ..options(2) };
    let error = all(iterate(&source("unequal-skip", &records), options)).unwrap_err();
    assert!(matches!(error, LoaderError::Shape { .. }), "{error:?}");
}

#[test]
fn a_list_takes_unequal_samples() {
    let records = [npy("|u1", false, &[2], &[0; 2]), npy("<f4", true, &[3, 1], &[0; 12])];
    let got = batches("list", Decoder::Npy, Collate::List, 2, &records).unwrap();
    let shapes: Vec<_> = samples(&got[0])
        .iter()
        .map(|sample| match sample {
            Sample::Array(array) => (array.shape.clone(), array.fortran_order),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(shapes, [(vec![2], false), (vec![3, 1], true)]);
}

#[test]
fn stacks_are_paid_for_and_given_back() {
    let records: Vec<_> = (0..40).map(|n| npy("|u1", false, &[60_000], &[n; 60_000])).collect();
    let source = source("memory", &records);
    let options = LoaderOptions { decoder: Decoder::Npy, memory_budget: 1 << 20, ..options(5) };
    let mut batches = iterate(&source, options);
    let mut count = 0;
    while let Some(batch) = crate::common::next(&mut batches).unwrap() {
        assert_eq!(stack(&batch).shape, [5, 60_000]);
        count += 1;
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    let stats = batches.stats();
    assert_eq!((count, stats.budget_used), (8, 0));
    // The batch that is stacked exists twice for a moment, beside one that goes over the limit.
    assert!(stats.budget_peak <= (1 << 20) + 2 * 5 * 61_000, "{stats:?}");
}

//! What decoding and encoding of record files costs, without any reading or writing.

#![allow(clippy::unwrap_used, missing_docs, reason = "a bench states its expectation by them")]

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use s3dlio_formats::array_record::{self, Index, Opened, Opener, WriterOptions};
use s3dlio_formats::disky::{Next, Options, Reader, Writer};
use s3dlio_formats::riegeli::{Compression, OnDamage};

/// Records that shrink to about half.
fn record(len: usize, seed: usize) -> Vec<u8> {
    let mut state = seed as u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 60) as u8
    };
    (0..len).map(|_| next()).collect()
}

fn array_record(options: &str, records: usize, len: usize) -> (Bytes, Index) {
    let mut file = Vec::new();
    let mut writer = array_record::Writer::new(options.parse().unwrap(), &mut file);
    (0..records).for_each(|seed| writer.push(&record(len, seed), &mut file).unwrap());
    writer.finish(&mut file).unwrap();
    let file = Bytes::from(file);
    let index = open(&file);
    (file, index)
}

fn open(file: &Bytes) -> Index {
    let mut opener = Opener::new(file.len() as u64, 0).unwrap();
    opener.supply(0, file.clone());
    match opener.next_step().unwrap() {
        Opened::Index(index) => index,
        Opened::Need(need) => panic!("{need:?}"),
    }
}

fn get(file: &Bytes, index: &Index, record: u64) -> Bytes {
    let (chunk, inner) = index.locate(record).unwrap();
    let range = index.range(chunk).unwrap();
    index.decode(chunk, &file.slice(range.start as usize..range.end as usize)).unwrap().get(inner).unwrap()
}

fn reading(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("array_record");
    for (options, records) in [
        ("group_size:1,uncompressed", 10_000),
        ("group_size:1,zstd", 10_000),
        ("group_size:1000,uncompressed", 10_000),
        ("group_size:1000,zstd", 10_000),
    ] {
        let (file, index) = array_record(options, records, 1024);
        let group_size = index.group_size().unwrap();
        group.throughput(Throughput::Elements(group_size));
        let mut at = 0;
        group.bench_function(format!("chunk of 1 KiB records, {options}"), |bencher| {
            bencher.iter(|| {
                // A stride that visits all chunks out of order.
                at = (at + 7919 * group_size) % index.num_records();
                black_box(get(&file, &index, at))
            });
        });
    }
    let (file, _) = array_record("group_size:1,uncompressed", 500_000, 10);
    group.throughput(Throughput::Elements(500_000));
    group.sample_size(10);
    group.bench_function("open with 500,000 chunks", |bencher| bencher.iter(|| open(&file)));
    group.finish();
}

fn writing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("array_record write");
    let records: Vec<_> = (0..4096).map(|seed| record(1024, seed)).collect();
    group.throughput(Throughput::Bytes(4 << 20));
    for options in ["group_size:1,uncompressed", "group_size:1,zstd", "group_size:1000,uncompressed", "zstd"] {
        let parsed: WriterOptions = options.parse().unwrap();
        let mut out = Vec::new();
        group.bench_function(format!("1 KiB records, {options}"), |bencher| {
            bencher.iter(|| {
                out.clear();
                let mut writer = array_record::Writer::new(parsed.clone(), &mut out);
                records.iter().for_each(|record| writer.push(record, &mut out).unwrap());
                writer.finish(&mut out).unwrap()
            });
        });
    }
    group.finish();
}

fn disky(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("disky");
    for len in [100, 1024] {
        let records: Vec<_> = (0..(16 << 20) / len).map(|seed| record(len, seed)).collect();
        group.throughput(Throughput::Bytes((records.len() * len) as u64));
        for compression in [Compression::None, Compression::Zstd { level: 3, window_log: None }] {
            let options = Options { compression, ..Options::default() };
            let mut file = Vec::new();
            let mut write = || {
                file.clear();
                let mut writer = Writer::new(options, &mut file);
                for record in &records {
                    writer.push(record, &mut file).unwrap();
                }
                writer.flush(&mut file).unwrap();
            };
            let name = compression.codec().name();
            group.bench_function(format!("write {len} B, {name}"), |bencher| bencher.iter(&mut write));
            write();
            let file = Bytes::from(file);
            group.bench_function(format!("read {len} B, {name}"), |bencher| bencher.iter(|| read(&file)));
        }
    }
    group.finish();
}

/// Bytes of all records, each of them looked at.
fn read(file: &Bytes) -> usize {
    let mut reader = Reader::new(file.len() as u64, OnDamage::Stop);
    reader.supply(0, file.clone());
    let mut bytes = 0;
    while let Next::Records { records, .. } = reader.next_step().unwrap() {
        bytes += records.iter().map(|record| black_box(record).len()).sum::<usize>();
    }
    bytes
}

criterion_group!(benches, reading, writing, disky);
criterion_main!(benches);

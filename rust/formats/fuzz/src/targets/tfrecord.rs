//! TFRecord files, their index, and the examples in them.

use bytes::Bytes;
use s3dlio_formats::tfrecord::compression::{Compression, Inflate};
use s3dlio_formats::tfrecord::decode::Decoder;
use s3dlio_formats::tfrecord::example;
use s3dlio_formats::tfrecord::index::{Entry, Index, Scan, Verify, parse_index, write_entry};
use s3dlio_formats::tfrecord::{OVERHEAD, Salvage, Salvaged, append};

use super::input::Input;

pub fn records(data: &[u8]) {
    let mut input = Input(data);
    let flags = input.byte();
    let (verify, piece) = (flags & 1 != 0, usize::from(input.byte()) + 1);
    let mut file = Vec::new();
    if flags & 2 != 0 {
        for _ in 0..input.byte() {
            append(&mut file, input.short());
        }
        input.damage(&mut file);
    }
    file.extend_from_slice(input.rest());
    inflate(&file);
    salvage(&file);
    let found = decoded(&file, piece, verify);
    // A file that is read to its end has the same records by its headers alone.
    if let Some(found) = found {
        let scanned = scanned(&file, piece.max(12)).expect("the headers have just been read");
        assert_eq!(found, scanned);
    }
}

/// The records of a sound file.
fn decoded(file: &[u8], piece: usize, verify: bool) -> Option<Vec<Entry>> {
    let mut decoder = Decoder::new(verify);
    let mut found = Vec::new();
    for piece in file.chunks(piece) {
        decoder.push(Bytes::copy_from_slice(piece));
        loop {
            let offset = decoder.offset();
            let Some(record) = decoder.next_record().ok()? else { break };
            found.push(Entry { offset, size: (record.len() + OVERHEAD) as u64 });
            let start = offset as usize + 12;
            assert_eq!(record, file[start..start + record.len()]);
        }
    }
    decoder.finish().ok()?;
    Some(found)
}

/// What is whole of a file: records as they stand there, and damage between them.
fn salvage(file: &[u8]) {
    let file = Bytes::copy_from_slice(file);
    let mut salvage = Salvage::new(file.len() as u64);
    let mut next = 0;
    loop {
        match salvage.next_step() {
            Salvaged::Need(need) => {
                let end = need.offset + need.len.min(300);
                salvage.supply(need.offset, file.slice(need.offset as usize..end as usize));
            }
            Salvaged::Record { offset, record } => {
                let start = offset as usize + 12;
                assert_eq!(record, file[start..start + record.len()]);
                assert_eq!(offset, next, "nothing is passed over in silence");
                next = offset + (record.len() + OVERHEAD) as u64;
            }
            Salvaged::Damage { lost, .. } => {
                assert!(lost.start == next && lost.end > next && lost.end <= file.len() as u64);
                next = lost.end;
            }
            Salvaged::End => break,
        }
    }
    assert_eq!(next, file.len() as u64);
}

fn scanned(file: &[u8], window: usize) -> Option<Vec<Entry>> {
    let mut scan = Scan::new(file.len() as u64, Verify::Never);
    let mut found = Vec::new();
    while !scan.is_done().ok()? {
        let start = scan.next();
        let bytes = &file[start as usize..file.len().min(start as usize + window)];
        scan.window(start, bytes, |entry| found.push(entry)).ok()?;
        assert!(scan.next() > start, "a window with a header leads on");
    }
    Some(found)
}

fn inflate(file: &[u8]) {
    if let Some(mut inflate) = Inflate::new(Compression::detect(file)) {
        let mut out = Vec::new();
        for piece in file.chunks(100) {
            if inflate.push(piece, &mut out).is_err() || out.len() > 1 << 20 {
                return;
            }
        }
        let _ = inflate.finish();
    }
}

pub fn index(data: &[u8]) {
    let Ok(entries) = parse_index(data) else { return };
    let (mut text, mut index) = (Vec::new(), Index::default());
    for &entry in &entries {
        write_entry(&mut text, entry);
        index.push(entry);
    }
    assert_eq!(parse_index(&text).as_ref(), Ok(&entries));
    assert_eq!(index.len(), entries.len() as u64);
    // Sizes are kept as where records end, which no file has room for past the largest position.
    if entries.iter().all(|entry| entry.offset.checked_add(entry.size).is_some()) {
        assert!(index.iter().eq(entries.iter().copied()));
    }
    assert_eq!(index.get(index.len()), None);
    for size in [0, index.end(), u64::MAX] {
        let _ = index.check(size);
    }
}

pub fn example(data: &[u8]) {
    let record = Bytes::copy_from_slice(data);
    let _ = example::columns(&[record.clone(), record.clone()], None);
    let Ok(features) = example::parse(record) else { return };
    // As bytes, since a NaN differs from itself.
    let once = example::serialize(features);
    let again = example::serialize(example::parse(once.clone().into()).expect("an example just written"));
    assert_eq!(once, again);
}

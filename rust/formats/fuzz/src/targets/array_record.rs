//! ArrayRecord files and the options of their readers and writers.

use bytes::Bytes;
use s3dlio_formats::array_record::{
    Checked, DEFAULT_GROUP_SIZE, Index, Opened, Opener, ReaderOptions, Salvage, Salvaged, Scan, Scanned, Verify,
    WriterOptions,
};
use s3dlio_formats::riegeli::{Compression, Dialect, Group, Need, chunk, simple, transpose};
use s3dlio_formats::varint;

use super::input::Input;

const MAGIC: u64 = 0x7193_0e70_4fda_e05e;

/// A message of numbers, as the index is made of them.
fn message(fields: &[u64]) -> Vec<u8> {
    let mut out = Vec::new();
    for (field, &value) in (1_u64..).zip(fields) {
        varint::put(&mut out, field << 3);
        varint::put(&mut out, value);
    }
    out
}

/// What the input says instead of the right message, where it says anything.
fn or(right: Vec<u8>, input: &mut Input<'_>) -> Vec<u8> {
    match input.byte() {
        0 => right,
        len => input.take(usize::from(len)).to_vec(),
    }
}

/// A file with chunks of records, an index and a pointer to it, each of which may be something else.
fn build(input: &mut Input<'_>) -> Vec<u8> {
    let mut file = Vec::new();
    let mut at = chunk::write_signature(&mut file);
    let (mut entries, mut all) = (Vec::new(), 0);
    for _ in 0..input.byte() % 8 {
        let mut group = Group::default();
        for _ in 0..input.byte() % 16 {
            group.push(input.short());
        }
        let records = group.take();
        let count = records.len() as u64;
        entries.push(or(message(&[at, records.data().len() as u64, count]), input));
        all += count;
        let encoded = match input.byte() % 2 {
            0 => simple::encode(&records, Compression::None, Dialect::Riegeli),
            _ => transpose::encode(records.view(), Compression::None, 1),
        };
        at = encoded.expect("nothing to refuse").write(at, &mut file).expect("a legal place");
    }
    let metadata = message(&[1, entries.len() as u64, all]);
    let mut whole = vec![10, metadata.len() as u8];
    whole.extend(metadata);
    let mut index = Group::default();
    index.push(&or(whole, input));
    entries.iter().for_each(|entry| index.push(entry));
    let footer = at;
    at = put(&index, footer, &mut file);
    at = chunk::write_padding(at, &mut file).expect("a legal place");
    let mut pointer = Group::default();
    pointer.push(&or(message(&[footer, MAGIC]), input));
    at = put(&pointer, at, &mut file);
    chunk::write_padding(at, &mut file).expect("a legal place");
    input.damage(&mut file);
    file
}

fn put(group: &Group, at: u64, file: &mut Vec<u8>) -> u64 {
    let written = simple::write(at, group.view(), Compression::None, Dialect::Riegeli, file);
    written.expect("a legal place").1
}

pub fn file(data: &[u8]) {
    let file = Bytes::from(build(&mut Input(data)));
    let index = open(&file);
    if let Some(index) = &index {
        chunks(&file, index);
    }
    let scanned = scan(&file);
    let is_sound = verify(&file);
    let salvaged = salvage(&file);
    if let Some(index) = index.filter(|_| is_sound) {
        assert_eq!((scanned, salvaged), (index.num_records(), index.num_records()));
    }
}

fn bytes_for(file: &Bytes, need: Need) -> Bytes {
    assert!(need.len > 0 && need.offset + need.len <= file.len() as u64, "{need:?} of {}", file.len());
    // Less than is asked for will do, too.
    let len = if need.len > 70_000 { need.len / 2 } else { need.len };
    file.slice(need.offset as usize..(need.offset + len) as usize)
}

fn open(file: &Bytes) -> Option<Index> {
    let mut opener = Opener::new(file.len() as u64, 0).ok()?;
    loop {
        match opener.next_step().ok()? {
            Opened::Need(need) => opener.supply(need.offset, bytes_for(file, need)),
            Opened::Index(index) => return Some(index),
        }
    }
}

/// What the index says has to make sense, and chunks hold what it says.
fn chunks(file: &Bytes, index: &Index) {
    let mut next = 0;
    for number in 0..index.num_chunks() {
        let entry = index.chunk(number).expect("a chunk of the file");
        let (records, range) = (entry.records, entry.range);
        assert!(records.start == next && records.end > next && range.end <= index.end());
        for record in [records.start, records.end - 1] {
            assert_eq!(index.locate(record), Some((number, (record - records.start) as usize)));
        }
        next = records.end;
        if let Ok(decoded) = index.decode(number, &file.slice(range.start as usize..range.end as usize)) {
            assert_eq!(decoded.len() as u64, records.end - records.start);
        }
    }
    assert_eq!((next, index.locate(next)), (index.num_records(), None));
}

/// Records that are found without the index; their chunks can be read.
fn scan(file: &Bytes) -> u64 {
    let mut scan = Scan::new(file.len() as u64);
    let index = loop {
        match scan.next_step() {
            Scanned::Need(need) => scan.supply(need.offset, bytes_for(file, need)),
            Scanned::Damage(damage) => assert!(damage.lost.end <= file.len() as u64),
            Scanned::Index(index) => break index,
        }
    };
    for number in 0..index.num_chunks() {
        let range = index.range(number).expect("a chunk of the file");
        index.decode(number, &file.slice(range.start as usize..range.end as usize)).expect("a chunk that was whole");
    }
    index.num_records()
}

/// Whether nothing is wrong.
fn verify(file: &Bytes) -> bool {
    let mut verify = Verify::new(file.len() as u64);
    let mut faults = 0;
    loop {
        match verify.next_step() {
            Checked::Need(need) => verify.supply(need.offset, bytes_for(file, need)),
            Checked::Fault { lost, .. } => {
                faults += 1;
                assert!(lost.start <= lost.end && lost.end <= file.len() as u64);
            }
            Checked::Done(summary) => {
                assert_eq!(summary.faults, faults);
                return faults == 0;
            }
        }
    }
}

/// Records that are whole.
fn salvage(file: &Bytes) -> u64 {
    let mut salvage = Salvage::new(file.len() as u64);
    let (mut records, mut last) = (0, 0);
    loop {
        match salvage.next_step() {
            Salvaged::Need(need) => salvage.supply(need.offset, bytes_for(file, need)),
            Salvaged::Records { begin, records: group } => {
                assert!(begin > last && !group.is_empty());
                last = begin;
                records += group.len() as u64;
            }
            Salvaged::Damage { lost, .. } => assert!(lost.end <= file.len() as u64),
            Salvaged::End => return records,
        }
    }
}

pub fn options(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = text.parse::<ReaderOptions>();
    if let Ok(options) = text.parse::<WriterOptions>() {
        let group_size = options.group_size.unwrap_or(DEFAULT_GROUP_SIZE);
        let written = options.text(group_size);
        let again: WriterOptions = written.parse().expect("options just written");
        assert_eq!(again.text(group_size), written);
    }
}

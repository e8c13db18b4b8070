//! Disky files: the golden ones byte for byte, the damaged ones with no more lost than the reference readers lose.

use crate::fixtures::{digest, disky_record, list, manifest, number, repeated, sha256, text, unhex};
use bytes::Bytes;
use s3dlio_formats::disky::{AppendCheck, Next, Options, Reader, Tail, Writer};
use s3dlio_formats::riegeli::{Compression, Damage, OnDamage, RiegeliError};
use serde_json::Value;

/// What a reader made of a file.
struct Outcome {
    records: Vec<Bytes>,
    positions: Vec<(u64, usize)>,
    damage: Vec<Damage>,
    error: Option<RiegeliError>,
}

/// Reads a file that is supplied in pieces of at most `piece` bytes.
fn read_from(file: &Bytes, begin: u64, on_damage: OnDamage, piece: u64) -> Outcome {
    let size = file.len() as u64;
    let mut reader = Reader::from(begin, size, on_damage).read_ahead(piece);
    let mut outcome = Outcome { records: vec![], positions: vec![], damage: vec![], error: None };
    loop {
        match reader.next_step() {
            Ok(Next::Need(need)) => {
                assert!(need.len > 0 && need.offset + need.len <= size, "{need:?} of {size}");
                let len = need.len.min(piece);
                reader.supply(need.offset, file.slice(need.offset as usize..(need.offset + len) as usize));
            }
            Ok(Next::Records { begin, records }) => {
                assert!(!records.is_empty());
                for index in 0..records.len() {
                    outcome.records.push(records.get(index).unwrap());
                    outcome.positions.push((begin, index));
                }
            }
            Ok(Next::Damage(damage)) => {
                assert_eq!(on_damage, OnDamage::Skip);
                outcome.damage.push(damage);
            }
            Ok(Next::End) => {
                assert_eq!(reader.next_step(), Ok(Next::End));
                return outcome;
            }
            Err(error) => {
                assert_eq!(on_damage, OnDamage::Stop);
                assert_eq!(reader.next_step(), Err(error.clone()));
                outcome.error = Some(error);
                return outcome;
            }
        }
    }
}

fn read(file: &Bytes, on_damage: OnDamage) -> Outcome {
    let whole = read_from(file, 0, on_damage, 1 << 30);
    for piece in [1 << 16, 1000] {
        let same = read_from(file, 0, on_damage, piece);
        assert_eq!(same.records, whole.records);
        assert_eq!(same.damage, whole.damage);
        assert_eq!(same.error, whole.error);
    }
    whole
}

/// The bytes of a manifest entry, made from its base where they are not stored.
fn file(entry: &Value) -> Bytes {
    let bytes = if entry["stored"] == Value::Bool(false) {
        let mut bytes = crate::fixtures::read(&format!("disky/{}", text(&entry["base"])));
        let mutation = &entry["mutation"];
        for xor in list(&mutation["xor"]) {
            bytes[number(&xor[0]) as usize] ^= number(&xor[1]) as u8;
        }
        if let Some(len) = mutation["truncate_to"].as_u64() {
            bytes.truncate(len as usize);
        }
        if let Some(hex) = mutation["append_hex"].as_str() {
            bytes.extend(unhex(hex));
        }
        bytes
    } else {
        crate::fixtures::read(&format!("disky/{}", text(&entry["file"])))
    };
    assert_eq!(sha256(&bytes), text(&entry["sha256"]), "{}", entry["file"]);
    bytes.into()
}

fn entries(manifest: &Value, kind: &str) -> Vec<Value> {
    let entries: Vec<_> = list(&manifest["files"]).iter().filter(|entry| entry["kind"] == kind).cloned().collect();
    assert!(!entries.is_empty(), "{kind}");
    entries
}

fn compression(name: &str) -> Compression {
    match name.strip_prefix("zstd") {
        Some(level) => Compression::Zstd { level: level.parse().unwrap(), window_log: None },
        None => Compression::None,
    }
}

fn write(out: &mut Vec<u8>, writer: &mut Writer, ops: &[Value]) {
    for op in ops {
        match disky_record(op) {
            Some(record) => writer.push(&record, out).unwrap(),
            None => writer.flush(out).unwrap(),
        }
    }
    writer.flush(out).unwrap();
    assert_eq!(writer.position(), out.len() as u64);
}

fn tail(file: &Bytes) -> Tail {
    let mut check = AppendCheck::new(file.len() as u64);
    loop {
        match check.next_step() {
            Tail::Need(need) => {
                let range = need.offset as usize..(need.offset + need.len) as usize;
                check.supply(need.offset, file.slice(range));
            }
            tail => return tail,
        }
    }
}

/// How often each record of `ranges` occurs among `count`.
fn in_ranges(ranges: &Value, count: usize) -> Vec<bool> {
    let mut flags = vec![false; count];
    for range in list(ranges) {
        flags[number(&range[0]) as usize..number(&range[1]) as usize].fill(true);
    }
    flags
}

#[test]
fn valid_files_are_read_in_full() {
    for entry in entries(&manifest("disky"), "valid") {
        let file = file(&entry);
        for on_damage in [OnDamage::Stop, OnDamage::Skip] {
            let outcome = read(&file, on_damage);
            assert_eq!((outcome.error, outcome.damage), (None, vec![]), "{}", entry["file"]);
            assert_eq!(outcome.records.len() as u64, number(&entry["num_records"]), "{}", entry["file"]);
            assert_eq!(digest(&outcome.records), text(&entry["records_digest"]), "{}", entry["file"]);
        }
    }
}

#[test]
fn valid_files_are_written_byte_for_byte() {
    for entry in entries(&manifest("disky"), "valid") {
        let expected = file(&entry);
        let mut out = Vec::new();
        let mut is_plain = true;
        for session in list(&entry["sessions"]) {
            let compression = compression(text(&session["compression"]));
            is_plain &= compression == Compression::None;
            let options = Options { compression, chunk_size: number(&session["chunk_size_bytes"]) };
            let mut writer = if session["open"] == "append" {
                assert_eq!(tail(&Bytes::copy_from_slice(&out)), Tail::Whole);
                Writer::at(options, out.len() as u64)
            } else {
                Writer::new(options, &mut out)
            };
            write(&mut out, &mut writer, list(&session["ops"]));
        }
        if is_plain {
            assert_eq!(sha256(&out), text(&entry["sha256"]), "{}", entry["file"]);
        } else {
            let ours = read(&out.into(), OnDamage::Stop).records;
            assert_eq!(ours, read(&expected, OnDamage::Stop).records, "{}", entry["file"]);
        }
    }
}

#[test]
fn large_files_are_written_byte_for_byte() {
    for entry in list(&manifest("disky")["hash_only"]) {
        let name = text(&entry["name"]);
        let mut out = Vec::new();
        let mut writer = Writer::new(Options::default(), &mut out);
        match name {
            "2500_records_of_1000" => {
                (0..2500).for_each(|i| writer.push(&repeated(2000 + i, 1000), &mut out).unwrap());
            }
            "100000_records_of_100" => {
                (0..100_000).for_each(|i| writer.push(&repeated(3000 + i % 100, 100), &mut out).unwrap());
            }
            _ => assert!(!list(&entry["ops"]).is_empty(), "{name} has a rule that the test does not know"),
        }
        write(&mut out, &mut writer, list(&entry["ops"]));
        assert_eq!(
            (out.len() as u64, sha256(&out).as_str()),
            (number(&entry["size"]), text(&entry["sha256"])),
            "{name}"
        );
        let records = read_from(&out.into(), 0, OnDamage::Stop, 1 << 20).records;
        assert_eq!(digest(records), text(&entry["records_digest"]), "{name}");
    }
}

#[test]
fn damage_costs_no_more_than_with_the_reference_readers() {
    let manifest = manifest("disky");
    let bases: Vec<_> = entries(&manifest, "valid").into_iter().map(|entry| (entry["file"].clone(), entry)).collect();
    for entry in entries(&manifest, "corrupt") {
        let name = text(&entry["file"]);
        let (_, base) = bases.iter().find(|(file, _)| *file == entry["base"]).unwrap();
        let originals = read(&file(base), OnDamage::Stop).records;
        let file = file(&entry);
        let index = |records: &[Bytes]| -> Vec<usize> {
            let find = |record| originals.iter().position(|original| original == record);
            records.iter().map(|record| find(record).unwrap_or_else(|| panic!("{name}: was never written"))).collect()
        };

        let skipped = read(&file, OnDamage::Skip);
        let ours = index(&skipped.records);
        assert!(ours.is_sorted_by(|a, b| a < b), "{name}: {ours:?}");
        for reference in [&entry["upstream_recover"], &entry["riegeli_rs"]["recovery"]] {
            let theirs = in_ranges(&reference["returned"], originals.len());
            let lost: Vec<_> = (0..originals.len()).filter(|at| theirs[*at] && !ours.contains(at)).collect();
            assert!(lost.is_empty(), "{name}: lost {lost:?}");
        }
        for damage in &skipped.damage {
            assert!(damage.lost.start <= damage.lost.end && damage.lost.end <= file.len() as u64, "{name}: {damage:?}");
            assert!(damage.error.offset().is_some_and(|at| at <= file.len() as u64), "{name}: {damage:?}");
        }

        let stopped = read(&file, OnDamage::Stop);
        let before = index(&stopped.records);
        assert!(before.iter().copied().eq(0..before.len()), "{name}: {before:?}");
        for reference in [&entry["upstream_default"], &entry["riegeli_rs"]["default"]] {
            assert!(before.len() as u64 >= number(&reference["count"]), "{name}");
        }
        assert_eq!(stopped.error.is_none(), skipped.damage.is_empty(), "{name}");
        if entry["riegeli_rs"]["default"]["end"] == "err" {
            assert!(stopped.error.is_some(), "{name}");
        }
    }
}

/// Nothing is lost with a block header, since the chunks guard themselves.
#[test]
fn broken_block_headers_cost_nothing() {
    for entry in entries(&manifest("disky"), "corrupt") {
        if entry["note"].as_str().is_some_and(|note| note.starts_with("block header") || note.starts_with("both block"))
        {
            let outcome = read(&file(&entry), OnDamage::Skip);
            assert_eq!(outcome.records.len() as u64, number(&entry["num_records"]), "{}", entry["file"]);
            assert!(outcome.damage.iter().all(|damage| damage.lost.is_empty()), "{}", entry["file"]);
        }
    }
}

/// Chunks with sound hashes that contradict themselves give none of their records.
#[test]
fn contradictory_chunks() {
    for entry in entries(&manifest("disky"), "crafted") {
        let name = text(&entry["file"]);
        let file = file(&entry);
        let (stopped, skipped) = (read(&file, OnDamage::Stop), read(&file, OnDamage::Skip));
        let reference = &entry["riegeli_rs"];
        assert_eq!(stopped.records.len() as u64, number(&reference["default"]["count"]), "{name}");
        assert_eq!(stopped.error.is_some(), reference["default"]["end"] == "err", "{name}");
        assert_eq!(skipped.records.len() as u64, number(&reference["recovery"]["count"]), "{name}");
        assert_eq!(stopped.error.is_none(), skipped.damage.is_empty(), "{name}");
    }
}

#[test]
fn files_of_another_writer_are_read() {
    for entry in entries(&manifest("disky"), "interop") {
        let name = text(&entry["file"]);
        let outcome = read(&file(&entry), OnDamage::Stop);
        let expected: Vec<Bytes> = list(&entry["ops"]).iter().filter_map(disky_record).collect();
        assert_eq!((outcome.error, outcome.records), (None, expected), "{name}");
    }
}

#[test]
fn shards_hold_their_records() {
    for entry in entries(&manifest("disky"), "sharded") {
        let calls = list(&entry["calls"]).iter().flat_map(|call| list(&call["ops"]));
        let all: Vec<Bytes> = calls.filter_map(disky_record).collect();
        for (shard, expected) in entry["shards"].as_object().unwrap() {
            let bytes = crate::fixtures::read(&format!("disky/{}/{shard}", text(&entry["file"])));
            assert_eq!(sha256(&bytes), text(&expected["sha256"]), "{shard}");
            let records = read(&bytes.into(), OnDamage::Stop).records;
            let indices = list(&expected["record_index"]).iter().map(|index| number(index) as usize);
            assert_eq!(records, indices.map(|index| all[index].clone()).collect::<Vec<_>>(), "{shard}");
        }
    }
}

#[test]
fn reading_goes_on_at_the_position_of_a_record() {
    for name in ["valid/flushes.disky", "valid/chunk_size_64.disky", "corrupt/base_three_blocks.disky"] {
        let file = Bytes::from(crate::fixtures::read(&format!("disky/{name}")));
        let whole = read(&file, OnDamage::Stop);
        for (at, (begin, index)) in whole.positions.iter().enumerate() {
            let rest = read_from(&file, *begin, OnDamage::Stop, 5000);
            assert_eq!(rest.records[*index..], whole.records[at..], "{name}");
        }
    }
}

#[test]
fn a_cut_file_is_not_appended_to() {
    let file = Bytes::from(crate::fixtures::read("disky/corrupt/base_three_blocks.disky"));
    let mut ends: Vec<u64> = read(&file, OnDamage::Stop).positions.iter().map(|(begin, _)| *begin).collect();
    ends.dedup();
    ends.push(file.len() as u64);
    for len in (0..file.len()).step_by(997).chain([0, 10, 63, 64, 65536, 65540, 65560, 131_072, 131_080]) {
        let cut = file.slice(..len);
        let whole = ends.iter().rev().find(|end| **end <= len as u64).copied().unwrap_or(0);
        match tail(&cut) {
            Tail::Whole => assert_eq!(whole, len as u64),
            Tail::Damaged { whole: found, .. } => {
                assert!(found < len as u64 || len == 0, "{len}");
                assert_eq!(found, whole, "{len}");
            }
            Tail::Need(need) => panic!("{need:?}"),
        }
    }
    assert_eq!(tail(&file), Tail::Whole);
}

#[test]
fn a_file_that_shrinks_ends_where_it_does() {
    let file = Bytes::from(crate::fixtures::read("disky/valid/flushes.disky"));
    let mut reader = Reader::new(file.len() as u64, OnDamage::Stop);
    reader.supply(0, file.slice(..600));
    let mut records = 0;
    let error = loop {
        match reader.next_step() {
            Ok(Next::Records { records: some, .. }) => records += some.len(),
            Ok(Next::Need(need)) => reader.supply(need.offset, Bytes::new()),
            Ok(other) => panic!("{other:?}"),
            Err(error) => break error,
        }
    };
    assert_eq!(records, 3);
    assert!(matches!(error, RiegeliError::Truncated { found: 600, .. }), "{error}");
}

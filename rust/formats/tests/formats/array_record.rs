//! ArrayRecord files: the golden ones read and rewritten, the damaged ones refused or recovered.

use crate::golden::{digest, file, manifest};
use bytes::Bytes;
use proptest::prelude::*;
use s3dlio_formats::array_record::{
    ArrayRecordError, Checked, Encoder, FIRST_GROUP_BYTES, Grouper, Index, Opened, Opener, Placer, Result, Scan,
    Scanned, Summary, Verify, Writer, WriterOptions,
};
use s3dlio_formats::riegeli::{Compression, Damage, Need, Records};
use serde_json::Value;

/// What is asked for, in pieces of at most `piece` bytes.
fn bytes_for(file: &Bytes, need: Need, piece: u64) -> Bytes {
    let end = need.offset + need.len;
    assert!(need.len > 0 && end <= file.len() as u64, "{need:?} of {}", file.len());
    file.slice(need.offset as usize..end.min(need.offset.saturating_add(piece)) as usize)
}

/// The index, and how many reads it took.
fn open(file: &Bytes, prefetch: u64) -> Result<(Index, usize)> {
    let mut opener = Opener::new(file.len() as u64, prefetch)?;
    let mut reads = 0;
    loop {
        match opener.next_step()? {
            Opened::Need(need) => opener.supply(need.offset, bytes_for(file, need, u64::MAX)),
            Opened::Index(index) => return Ok((index, reads)),
        }
        reads += 1;
        assert!(reads < 10);
    }
}

fn chunk(file: &Bytes, index: &Index, chunk: usize) -> Result<Records> {
    let range = index.range(chunk).unwrap();
    index.decode(chunk, &file.slice(range.start as usize..(range.end as usize).min(file.len())))
}

/// All records of a file, chunk by chunk, or the first error.
fn read_with(file: &Bytes, index: &Index) -> Result<Vec<Bytes>> {
    let mut all = Vec::new();
    for at in 0..index.num_chunks() {
        let records = chunk(file, index, at)?;
        all.extend((0..records.len()).map(|record| records.get(record).unwrap()));
    }
    assert_eq!(all.len() as u64, index.num_records());
    Ok(all)
}

fn read(file: &Bytes) -> Result<Vec<Bytes>> {
    read_with(file, &open(file, 0)?.0)
}

fn scan(file: &Bytes, piece: u64) -> (Index, Vec<Damage>) {
    let mut scan = Scan::new(file.len() as u64);
    let mut damage = Vec::new();
    loop {
        match scan.next_step() {
            Scanned::Need(need) => scan.supply(need.offset, bytes_for(file, need, piece)),
            Scanned::Damage(found) => damage.push(found),
            Scanned::Index(index) => {
                assert_eq!(scan.next_step(), Scanned::Index(index.clone()));
                return (index, damage);
            }
        }
    }
}

fn verify(file: &Bytes) -> (Summary, Vec<ArrayRecordError>) {
    let mut verify = Verify::new(file.len() as u64);
    let mut faults = Vec::new();
    loop {
        match verify.next_step() {
            Checked::Need(need) => verify.supply(need.offset, bytes_for(file, need, u64::MAX)),
            Checked::Fault { error, lost } => {
                assert!(lost.start <= lost.end && lost.end <= file.len() as u64);
                faults.push(error);
            }
            Checked::Done(summary) => {
                assert_eq!(summary.faults as usize, faults.len());
                return (summary, faults);
            }
        }
    }
}

/// A file written from front to back, and one whose groups were encoded apart, which must be the same.
fn write(options: &WriterOptions, records: &[impl AsRef<[u8]>]) -> Bytes {
    let mut out = Vec::new();
    let mut writer = Writer::new(options.clone(), &mut out);
    for record in records {
        writer.push(record.as_ref(), &mut out).unwrap();
    }
    assert_eq!(writer.num_records(), records.len() as u64);
    let size = writer.finish(&mut out).unwrap();
    assert_eq!(size, out.len() as u64);

    let (mut same, mut grouper, encoder) = (Vec::new(), Grouper::new(options), Encoder::new(options));
    let mut placer = Placer::new(options.clone(), &mut same);
    let mut groups = Vec::new();
    for record in records {
        if grouper.push(record.as_ref()) {
            groups.push(grouper.take());
        }
    }
    if !grouper.group().is_empty() {
        groups.push(grouper.take());
    }
    for group in groups {
        placer.place(&encoder.encode(&group).unwrap(), &mut same).unwrap();
    }
    placer.finish(&mut same).unwrap();
    assert!(out == same);
    out.into()
}

fn options(entry: &Value) -> Option<WriterOptions> {
    Some(entry["options"].as_str()?.parse().unwrap())
}

fn texts(seed: u64, n: usize, max: u64) -> Vec<Vec<u8>> {
    const WORDS: &str = "lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor incididunt ut \
                         labore et dolore magna aliqua enim minim veniam";
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    let mut state = seed;
    let mut below = |limit: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % limit
    };
    let mut record = || {
        let list: Vec<&str> = (0..below(max) + 1).map(|_| words[below(words.len() as u64) as usize]).collect();
        list.join(" ").into_bytes()
    };
    (0..n).map(|_| record()).collect()
}

#[test]
fn golden_files_are_read() {
    let files = manifest("files");
    assert_eq!(files.len(), 190);
    for entry in &files {
        let name = &entry["name"];
        let file = file(entry);
        let (index, reads) = open(&file, 1 << 20).unwrap();
        assert!(reads <= 2, "{name}: {reads}");
        assert_eq!(open(&file, 0).unwrap().0, index, "{name}");
        assert_eq!(index.num_records(), entry["num_records"].as_u64().unwrap(), "{name}");
        assert_eq!(index.num_chunks() as u64, entry["num_chunks"].as_u64().unwrap(), "{name}");
        assert_eq!(index.writer_options(), entry["writer_options_string"].as_str(), "{name}");
        assert_eq!(index.end(), entry["footer_offset"].as_u64().unwrap(), "{name}");
        let group = entry["group_size"].as_u64().unwrap();
        assert_eq!(index.records(0).map_or(0, |records| records.end), group, "{name}");
        for (chunk, offset) in entry["first_chunk_offsets"].as_array().unwrap().iter().enumerate() {
            assert_eq!(index.range(chunk).unwrap().start, offset.as_u64().unwrap(), "{name}");
        }
        let records = read_with(&file, &index).unwrap();
        assert_eq!(digest(records.iter().map(|record| &record[..])), entry["records_sha256"], "{name}");
        for record in [0, records.len() / 3, records.len().saturating_sub(1)] {
            let Some((at, inner)) = index.locate(record as u64) else { continue };
            assert_eq!(chunk(&file, &index, at).unwrap().get(inner).unwrap(), records[record], "{name}");
        }
    }
}

#[test]
fn golden_files_are_rewritten() {
    let (mut identical, mut read_back) = (0, 0);
    for entry in manifest("files") {
        let name = &entry["name"];
        // Files from before the default of the group size changed say nothing of today's.
        let (Some(mut options), "array_record 0.8.6") = (options(&entry), entry["producer"].as_str().unwrap()) else {
            continue;
        };
        options.group_size.get_or_insert(1);
        let golden = file(&entry);
        let records = read(&golden).unwrap();
        let ours = write(&options, &records);
        let (index, _) = open(&ours, 0).unwrap();
        assert_eq!(index.writer_options(), entry["writer_options_string"].as_str(), "{name}");
        if options.compression == Compression::None && !options.transpose {
            assert!(ours == golden, "{name}");
            identical += 1;
        } else {
            assert_eq!(read(&ours).unwrap(), records, "{name}");
            read_back += 1;
        }
    }
    assert_eq!((identical, read_back), (39, 133));
}

#[test]
fn sound_files_are_verified_and_scanned() {
    for entry in manifest("files") {
        let name = &entry["name"];
        let file = file(&entry);
        let (index, _) = open(&file, 0).unwrap();
        let (summary, faults) = verify(&file);
        assert_eq!(faults, [], "{name}");
        assert_eq!((summary.chunks, summary.records), (index.num_chunks() as u64, index.num_records()), "{name}");
        assert_eq!(summary.record_bytes, entry["total_record_bytes"].as_u64().unwrap(), "{name}");
        for piece in [u64::MAX, 30_000] {
            let (scanned, damage) = scan(&file, piece);
            assert_eq!(damage, [], "{name}");
            assert_eq!(scanned.num_records(), index.num_records(), "{name}");
            assert_eq!((scanned.end(), scanned.writer_options()), (index.end(), index.writer_options()), "{name}");
            let ranges = |index: &Index| (0..index.num_chunks()).map(|at| index.range(at)).collect::<Vec<_>>();
            assert_eq!(ranges(&scanned), ranges(&index), "{name}");
        }
    }
}

/// The damaged file that an entry of the manifest describes, and the sound one that it was made from, if any.
fn bad(entry: &Value) -> (Bytes, Option<Bytes>) {
    let Some(base) = entry["base"].as_str() else { return (file(entry), None) };
    let base = file(manifest("files").iter().find(|file| file["name"] == base).unwrap());
    let mut bytes = base.to_vec();
    for edit in entry["edits"].as_array().unwrap() {
        let number = |at: usize| edit[at].as_u64().unwrap() as usize;
        match edit[0].as_str().unwrap() {
            "xor" => bytes[number(1)] ^= number(2) as u8,
            "truncate" => bytes.truncate(number(1)),
            "append" => bytes.push(u8::from_str_radix(edit[1].as_str().unwrap(), 16).unwrap()),
            "zero" => bytes[number(1)..number(1) + number(2)].fill(0),
            other => panic!("{other}"),
        }
    }
    (bytes.into(), Some(base))
}

#[test]
fn bad_files_are_refused_or_recovered() {
    let entries = manifest("bad_files");
    assert_eq!(entries.len(), 84);
    for entry in &entries {
        let name = entry["name"].as_str().unwrap();
        let required = entry["required"].as_str().unwrap();
        let (file, base) = bad(entry);
        let opened = open(&file, 0).map(|(index, _)| index);
        let found = opened.clone().and_then(|index| read_with(&file, &index));
        let originals = base.map(|base| read(&base).unwrap());
        let expected = || originals.clone().unwrap_or_else(|| texts(601, 60, 9).into_iter().map(Bytes::from).collect());
        if required.starts_with("read correctly") || required.starts_with("may read") || name == "edit_tail_padding" {
            assert_eq!(found.clone().unwrap(), expected(), "{name}");
        } else if name == "t_valid_control" {
            assert_eq!(found.clone().unwrap().len(), 3);
        } else if required.starts_with("error on open or read") {
            assert!(found.is_err(), "{name}");
        } else if required.starts_with("error on open") {
            assert!(opened.is_err(), "{name}");
        } else {
            assert!(required.starts_with("error on read") || required.starts_with("error when"), "{name}: {required}");
            let error = found.clone().unwrap_err();
            assert!(error.offset().is_some_and(|at| at >= 64 && at < file.len() as u64), "{name}: {error}");
        }
        if required.contains("other chunks still readable") {
            let index = opened.as_ref().unwrap();
            let broken: Vec<_> = (0..index.num_chunks()).filter(|at| chunk(&file, index, *at).is_err()).collect();
            assert_eq!(broken, [0], "{name}");
        }
        let (_, faults) = verify(&file);
        let is_sound = name == "t_valid_control" || name.starts_with("uneven_groups");
        assert_eq!(faults.is_empty(), is_sound, "{name}: {faults:?}");

        let (scanned, damage) = scan(&file, 30_000);
        let recovered = read_with(&file, &scanned).unwrap_or_else(|error| panic!("{name}: {error}"));
        if let Some(originals) = originals {
            let at = |record| originals.iter().position(|original| original == record);
            assert!(recovered.iter().all(|record| at(record).is_some()), "{name}");
            if required.contains("recover") && !required.contains("first chunk") {
                assert_eq!(recovered, originals, "{name}");
            } else if required.contains("recovery finds the first chunk") {
                assert_eq!(recovered, originals[..2], "{name}");
                assert!(!damage.is_empty(), "{name}");
            } else if required.starts_with("error when") {
                assert!(recovered.len() >= originals.len() - 2 || name.starts_with("edit_chunk_header"), "{name}");
            }
        }
    }
}

/// Chunks on block boundaries are found behind a broken chunk header; others behind it in the same block are not.
#[test]
fn padding_bounds_what_a_broken_chunk_costs() {
    let records = texts(1, 9, 9);
    let options: WriterOptions = "group_size:2,pad_to_block_boundary".parse().unwrap();
    let file = write(&options, &records);
    let (index, _) = open(&file, 0).unwrap();
    let mut broken = file.to_vec();
    broken[index.range(1).unwrap().start as usize + 30] ^= 1;
    let broken = Bytes::from(broken);
    let (scanned, damage) = scan(&broken, u64::MAX);
    let kept: Vec<_> = records[..2].iter().chain(&records[4..]).map(|record| Bytes::copy_from_slice(record)).collect();
    assert_eq!(read_with(&broken, &scanned).unwrap(), kept);
    assert_eq!(scanned.group_size(), Some(2));
    assert_eq!(scanned.writer_options(), index.writer_options());
    assert_eq!(damage.len(), 1);
}

/// Chunks guard themselves, so that those of a recovered file are read past block headers that are not sound.
#[test]
fn recovered_chunks_need_no_block_headers() {
    let records = [vec![b'x'; 100_000], vec![b'y'; 100_000]];
    let file = write(&"group_size:1,uncompressed".parse().unwrap(), &records);
    let mut broken = file.to_vec();
    broken[65536] ^= 1;
    let broken = Bytes::from(broken);
    assert!(read(&broken).is_err());
    let (scanned, damage) = scan(&broken, u64::MAX);
    assert_eq!(read_with(&broken, &scanned).unwrap(), records);
    assert!(damage.len() == 1 && damage[0].lost.is_empty(), "{damage:?}");
}

/// A flipped bit is noticed wherever it is.
#[test]
fn verifying_notices_every_byte() {
    let records = [vec![b'x'; 100], vec![], vec![b'y'; 500]];
    let plain = write(&"group_size:2,uncompressed".parse().unwrap(), &records);
    // A thousand empty records leave a chunk that is mostly filled up.
    let filled = write(&"group_size:70000,zstd".parse().unwrap(), &vec![b""; 70_000]);
    for file in [plain, filled] {
        assert_eq!(verify(&file).1, []);
        for at in (0..file.len()).filter(|at| *at < 400 || at % 65536 < 200 || at % 1009 == 0) {
            let mut wrong = file.to_vec();
            wrong[at] ^= 1 << (at % 8);
            let faults = verify(&wrong.into()).1;
            assert!(!faults.is_empty(), "byte {at} of {}", file.len());
            assert!(faults.iter().all(|fault| fault.offset().is_some()), "byte {at}: {faults:?}");
        }
    }
}

#[test]
fn entries_without_chunks_are_reported() {
    let records = texts(1, 9, 9);
    let file = write(&"group_size:2".parse().unwrap(), &records);
    let entry =
        manifest("bad_files").into_iter().find(|entry| entry["name"] == "footer_entry_offset_off_by_one").unwrap();
    let faults = verify(&bad(&entry).0).1;
    assert!(faults.iter().any(|fault| matches!(fault, ArrayRecordError::Entry { entry: 0, .. })), "{faults:?}");
    assert!(faults.iter().any(|fault| matches!(fault, ArrayRecordError::NotIndexed { begin: 64, .. })), "{faults:?}");
    assert_eq!(verify(&file).0.records, 9);
}

#[test]
fn groups_close_by_bytes_only_where_no_size_is_given() {
    let large = vec![7; FIRST_GROUP_BYTES / 4 + 1];
    let records = vec![large; 6];
    let adaptive = write(&"snappy".parse().unwrap(), &records);
    let (index, _) = open(&adaptive, 0).unwrap();
    assert_eq!((index.num_chunks(), index.group_size()), (2, Some(4)));
    assert!(index.writer_options().unwrap().starts_with("group_size:4,"));
    let given = write(&"snappy,group_size:5".parse().unwrap(), &records);
    assert_eq!(open(&given, 0).unwrap().0.group_size(), Some(5));
    let small = write(&"".parse().unwrap(), &[b"one"]);
    assert!(open(&small, 0).unwrap().0.writer_options().unwrap().starts_with("group_size:65536,"));
}

#[test]
fn groups_are_of_one_size() {
    let options: WriterOptions = "group_size:2".parse().unwrap();
    let encoder = Encoder::new(&options);
    let group = |n: usize| encoder.encode(&crate::golden::records(vec![b"x"; n])).unwrap();
    let mut out = Vec::new();
    let mut placer = Placer::new(options, &mut out);
    assert!(placer.place(&group(3), &mut out).is_err());
    assert!(placer.place(&group(0), &mut out).is_err());
    placer.place(&group(2), &mut out).unwrap();
    placer.place(&group(1), &mut out).unwrap();
    assert!(placer.place(&group(1), &mut out).is_err());
    placer.finish(&mut out).unwrap();
    assert_eq!(read(&out.into()).unwrap().len(), 3);
}

fn any_options() -> impl Strategy<Value = WriterOptions> {
    let compression = prop_oneof![
        Just("uncompressed".to_owned()),
        Just("snappy".to_owned()),
        (-50_i32..10, 10..=31_u8).prop_map(|(level, log)| format!("zstd:{level},window_log:{log}")),
        (0..=7_u8, 10..=30_u8).prop_map(|(level, log)| format!("brotli:{level},window_log:{log}")),
    ];
    let group = prop_oneof![Just(String::new()), (1..9_u32).prop_map(|size| format!("group_size:{size},"))];
    (compression, group, any::<bool>(), any::<bool>(), 1..5000_u32).prop_map(
        |(compression, group, pad, split, bucket)| {
            let text = format!(
                "{group}transpose:{split},transpose_bucket_size:{bucket},pad_to_block_boundary:{pad},{compression}"
            );
            text.parse().unwrap()
        },
    )
}

fn any_records() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let record = prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..40),
        1 => (any::<u8>(), 0..100_000_usize).prop_map(|(byte, len)| vec![byte; len]),
    ];
    prop::collection::vec(record, 0..30)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read(options in any_options(), records in any_records()) {
        let file = write(&options, &records);
        let (index, _) = open(&file, 1000).unwrap();
        prop_assert_eq!(read_with(&file, &index).unwrap(), records.clone());
        prop_assert_eq!(verify(&file).1, vec![]);
        let text = index.writer_options().unwrap();
        let again: WriterOptions = text.parse().unwrap();
        prop_assert_eq!(again.text(again.group_size.unwrap()), text);
        // The groups are found without the index, too.
        let cut = file.slice(..index.end() as usize);
        let (scanned, damage) = scan(&cut, 50_000);
        prop_assert_eq!(damage, vec![]);
        prop_assert_eq!(read_with(&cut, &scanned).unwrap(), records);
    }

    #[test]
    fn damage_neither_panics_nor_invents_records(
        options in any_options(),
        records in any_records(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut file = write(&options, &records).to_vec();
        for (at, byte) in edits {
            let at = at.index(file.len());
            file[at] = byte;
        }
        if let Some(cut) = cut {
            file.truncate(cut.index(file.len()));
        }
        let file = Bytes::from(file);
        if let Ok(found) = read(&file) {
            prop_assert_eq!(found, records.clone());
        }
        verify(&file);
        let (index, _) = scan(&file, 70_000);
        for record in read_with(&file, &index).unwrap() {
            prop_assert!(records.iter().any(|original| *original == record));
        }
    }

    #[test]
    fn option_strings_never_panic(text in "[a-z_:,0-9 .BkMGE-]{0,60}") {
        let _ = text.parse::<WriterOptions>();
        let _ = text.parse::<s3dlio_formats::array_record::ReaderOptions>();
    }
}

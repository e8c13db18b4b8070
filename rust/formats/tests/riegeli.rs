//! The container: chunks come back as they were written, and no bytes make a reader panic, hang or reserve memory that
//! they do not account for.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bytes::Bytes;
use proptest::prelude::*;
use s3dlio_formats::disky;
use s3dlio_formats::riegeli::chunk::{self, Check};
use s3dlio_formats::riegeli::walk::{OnDamage, Step, Walker};
use s3dlio_formats::riegeli::{
    BLOCK, Chunk, ChunkHeader, ChunkKind, Codec, Compression, Dialect, Group, Records, decode_chunk, simple,
};

/// The system's memory, with the largest piece that each thread has asked for.
struct Largest;

thread_local! {
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

fn note(size: usize) {
    LARGEST.with(|largest| largest.set(largest.get().max(size)));
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Largest {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size);
        // SAFETY: as above.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Largest = Largest;

/// The largest piece of memory that `work` asks for.
fn largest(work: impl FnOnce()) -> usize {
    LARGEST.set(0);
    work();
    LARGEST.get()
}

fn records(list: &[impl AsRef<[u8]>]) -> Records {
    let mut group = Group::default();
    list.iter().for_each(|record| group.push(record.as_ref()));
    group.take()
}

fn crafted(num_records: u64, decoded_size: u64, data: Vec<u8>) -> Chunk {
    let header = ChunkHeader::of(ChunkKind::Simple, num_records, decoded_size, &[&data]);
    Chunk { begin: 64, header, data: data.into() }
}

const COMPRESSIONS: [Compression; 4] = [
    Compression::None,
    Compression::Brotli { level: 5, window_log: None },
    Compression::Zstd { level: 3, window_log: Some(20) },
    Compression::Snappy,
];

#[test]
fn announced_sizes_reserve_nothing() {
    for compression in COMPRESSIONS {
        let encoded = simple::encode(&records(&[b"abc", b"def"]), compression, Dialect::Riegeli).unwrap();
        let mut file = Vec::new();
        encoded.write(64, &mut file).unwrap();
        let sound = chunk::read(64, &file.into(), Check::All).unwrap();
        for (num_records, decoded_size) in [(2, 1 << 40), (1 << 50, 6), (1 << 55, u64::MAX), (2, u64::MAX)] {
            let chunk = crafted(num_records, decoded_size, sound.data.to_vec());
            let most = largest(|| assert!(decode_chunk(&chunk, Dialect::Riegeli).is_err()));
            assert!(most < 4 << 20, "{compression:?} {num_records} {decoded_size}: {most}");
        }
        // The sizes of the buffers are lies, too. A decoder of Brotli has a window of 4 MiB besides.
        for at in 1..sound.data.len() {
            let mut data = sound.data.to_vec();
            data.splice(at..=at, [0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]);
            for dialect in [Dialect::Riegeli, Dialect::Disky] {
                let chunk = crafted(2, 1 << 45, data.clone());
                let most = largest(|| assert!(decode_chunk(&chunk, dialect).is_err()));
                assert!(most < 5 << 20, "{compression:?} {at}: {most}");
            }
        }
    }
}

/// A window is as large as the content needs, not as large as the stream says.
#[test]
fn large_windows_of_small_streams() {
    for compression in
        [Compression::Brotli { level: 5, window_log: Some(30) }, Compression::Zstd { level: 3, window_log: Some(31) }]
    {
        let mut out = Vec::new();
        compression.put_buffer(&[7; 100_000], &mut out).unwrap();
        let out = Bytes::from(out);
        let most = largest(|| drop(compression.codec().get_buffer(out, "text", 100_000).unwrap()));
        assert!(most < 5 << 20, "{compression:?}: {most}");
    }
}

/// What shrinks well is still read, in a few growing steps.
#[test]
fn extreme_ratios_are_decoded() {
    let zeros = vec![vec![0; 30 << 20], vec![1; 10]];
    for compression in COMPRESSIONS {
        for dialect in [Dialect::Riegeli, Dialect::Disky] {
            let Ok(encoded) = simple::encode(&records(&zeros), compression, dialect) else {
                assert!(dialect == Dialect::Disky && !matches!(compression.codec(), Codec::None | Codec::Zstd));
                continue;
            };
            let mut file = Vec::new();
            encoded.write(64, &mut file).unwrap();
            let chunk = chunk::read(64, &file.into(), Check::All).unwrap();
            assert!(decode_chunk(&chunk, Dialect::of(&chunk)).unwrap().iter().eq(zeros.iter().map(|it| &it[..])));
        }
    }
}

#[test]
fn every_level_and_window_is_read() {
    let text: Vec<u8> = (0..100_000_u32).map(|at| (at * at / 7 % 251) as u8).collect();
    let mut all = vec![Compression::None, Compression::Snappy];
    for window_log in [None, Some(10), Some(16), Some(24), Some(25), Some(30)] {
        all.extend((0..=11).map(|level| Compression::Brotli { level, window_log }));
    }
    for window_log in [None, Some(10), Some(20), Some(27), Some(31)] {
        all.extend([-131_072, -7, 0, 1, 3, 9, 16].map(|level| Compression::Zstd { level, window_log }));
    }
    for compression in all {
        let mut out = Vec::new();
        compression.put_buffer(&text, &mut out).unwrap();
        let back = compression.codec().get_buffer(out.into(), "text", 1 << 20);
        assert!(back.unwrap() == text, "{compression:?}");
    }
}

fn any_compression() -> impl Strategy<Value = Compression> {
    prop_oneof![
        Just(Compression::None),
        Just(Compression::Snappy),
        (-9..5_i32, prop::option::of(10..=31_u8))
            .prop_map(|(level, window_log)| Compression::Zstd { level, window_log }),
        (0..=6_u8, prop::option::of(10..=30_u8))
            .prop_map(|(level, window_log)| Compression::Brotli { level, window_log }),
    ]
}

fn any_records() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let record = prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..200),
        1 => (any::<u8>(), 0..150_000_usize).prop_map(|(byte, len)| vec![byte; len]),
    ];
    prop::collection::vec(record, 0..20)
}

/// Positions near a boundary, where everything happens.
fn any_begin() -> impl Strategy<Value = u64> {
    (1..4_u64, -200..200_i64).prop_filter_map("no chunk begins there", |(block, offset)| {
        let begin = (block * BLOCK).checked_add_signed(offset)?;
        s3dlio_formats::riegeli::block::is_legal(begin).then_some(begin)
    })
}

/// Records of a Disky file with flushes in between.
fn disky_file(records: &[Vec<u8>], flushes: &[usize], options: disky::Options) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = disky::Writer::new(options, &mut out);
    for (at, record) in records.iter().enumerate() {
        writer.push(record, &mut out).unwrap();
        if flushes.contains(&at) {
            writer.flush(&mut out).unwrap();
        }
    }
    writer.flush(&mut out).unwrap();
    out
}

/// All records, and whether the file was sound.
fn read_disky(file: &Bytes, on_damage: OnDamage, piece: u64) -> (Vec<Bytes>, bool) {
    let mut reader = disky::Reader::new(file.len() as u64, on_damage).read_ahead(piece);
    let (mut all, mut is_sound) = (Vec::new(), true);
    loop {
        match reader.next_step() {
            Ok(disky::Next::Need(need)) => {
                reader.supply(need.offset, file.slice(need.offset as usize..(need.offset + need.len) as usize));
            }
            Ok(disky::Next::Records { records, .. }) => {
                all.extend((0..records.len()).map(|index| records.get(index).unwrap()));
            }
            Ok(disky::Next::Damage(_)) => is_sound = false,
            Ok(disky::Next::End) => return (all, is_sound),
            Err(_) => return (all, false),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn chunks_come_back(list in any_records(), compression in any_compression(), begin in any_begin()) {
        let list = records(&list);
        for dialect in [Dialect::Riegeli, Dialect::Disky] {
            let Ok(encoded) = simple::encode(&list, compression, dialect) else { continue };
            let mut out = Vec::new();
            let end = encoded.write(begin, &mut out).unwrap();
            prop_assert_eq!(end, begin + out.len() as u64);
            let chunk = chunk::read(begin, &out.into(), Check::All).unwrap();
            prop_assert_eq!(chunk.header.end(begin), Ok(end));
            let found = decode_chunk(&chunk, Dialect::of(&chunk)).unwrap();
            prop_assert!(found.iter().eq(list.iter()));
        }
    }

    #[test]
    fn chunk_data_of_any_bytes(
        data in prop::collection::vec(any::<u8>(), 0..300),
        num_records in 0..200_u64,
        decoded_size in 0..1000_u64,
        codec in prop::sample::select(&b"\0bzs"[..]),
    ) {
        let mut data = data;
        if let Some(first) = data.first_mut() {
            *first = codec;
        }
        let chunk = crafted(num_records, decoded_size, data);
        for dialect in [Dialect::Riegeli, Dialect::Disky] {
            if let Ok(records) = decode_chunk(&chunk, dialect) {
                prop_assert_eq!(records.len() as u64, num_records);
                prop_assert_eq!(records.data().len() as u64, decoded_size);
            }
        }
    }

    #[test]
    fn damaged_streams(
        list in any_records(),
        compression in any_compression(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let list = records(&list);
        let mut out = Vec::new();
        simple::encode(&list, compression, Dialect::Riegeli).unwrap().write(64, &mut out).unwrap();
        let sound = chunk::read(64, &out.into(), Check::All).unwrap();
        let mut data = sound.data.to_vec();
        for (at, byte) in edits {
            let at = at.index(data.len());
            data[at] = byte;
        }
        let chunk = crafted(sound.header.num_records, sound.header.decoded_size, data);
        for dialect in [Dialect::Riegeli, Dialect::Disky] {
            if let Ok(records) = decode_chunk(&chunk, dialect) {
                prop_assert_eq!(records.len(), list.len());
            }
        }
    }

    #[test]
    fn any_bytes_are_walked(
        head in any::<bool>(),
        bytes in prop::collection::vec(any::<u8>(), 0..500),
        zeros in 0..200_000_usize,
        begin in prop::sample::select(&[0_u64, 1, 64, 100, 65536, 65540][..]),
    ) {
        let mut file = if head { disky_file(&[], &[], disky::Options::default()) } else { Vec::new() };
        file.extend(&bytes);
        file.resize(file.len() + zeros, 0);
        file.extend(&bytes);
        let file = Bytes::from(file);
        for on_damage in [OnDamage::Stop, OnDamage::Skip] {
            let mut walker = Walker::from(begin, file.len() as u64, on_damage).thorough();
            let mut steps = 0;
            loop {
                steps += 1;
                prop_assert!(steps < 1000);
                match walker.step() {
                    Ok(Step::End) | Err(_) => break,
                    Ok(Step::Need(need)) => {
                        let range = need.offset as usize..(need.offset + need.len) as usize;
                        walker.supply(need.offset, file.slice(range));
                    }
                    Ok(_) => {}
                }
            }
        }
    }

    #[test]
    fn disky_files_come_back(
        list in any_records(),
        flushes in prop::collection::vec(0..20_usize, 0..8),
        chunk_size in 1..100_000_u64,
        level in prop::option::of(1..6_i32),
        piece in 1..200_000_u64,
    ) {
        let compression = level.map_or(Compression::None, |level| Compression::Zstd { level, window_log: None });
        let file = disky_file(&list, &flushes, disky::Options { compression, chunk_size });
        let (found, is_sound) = read_disky(&file.into(), OnDamage::Stop, piece);
        prop_assert!(is_sound);
        prop_assert_eq!(found, list);
    }

    #[test]
    fn damaged_disky_files_lose_only_what_is_damaged(
        list in any_records(),
        flushes in prop::collection::vec(0..20_usize, 0..8),
        edit in any::<prop::sample::Index>(),
        flip in 1..=255_u8,
        cut in prop::option::of(any::<prop::sample::Index>()),
        // Whole blocks vanish where a disk loses them.
        lost in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut file = disky_file(&list, &flushes, disky::Options::default());
        let at = edit.index(file.len());
        file[at] ^= flip;
        if let Some(lost) = lost {
            let start = lost.index(file.len());
            file.drain(start..file.len().min(start + BLOCK as usize));
        }
        if let Some(cut) = cut.filter(|_| !file.is_empty()) {
            file.truncate(cut.index(file.len()));
        }
        let file = Bytes::from(file);
        let (stopped, _) = read_disky(&file, OnDamage::Stop, 5000);
        prop_assert!(list.starts_with(&stopped.iter().map(|record| record.to_vec()).collect::<Vec<_>>()) || lost.is_some());
        let (skipped, _) = read_disky(&file, OnDamage::Skip, 5000);
        prop_assert!(skipped.len() >= stopped.len());
        // What comes out is a part of what went in, in order.
        let mut rest = list.iter();
        prop_assert!(skipped.iter().all(|record| rest.any(|original| original == record)));
        let mut check = disky::AppendCheck::new(file.len() as u64);
        while let disky::Tail::Need(need) = check.next_step() {
            check.supply(need.offset, file.slice(need.offset as usize..(need.offset + need.len) as usize));
        }
    }
}

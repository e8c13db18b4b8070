//! `direct://`: reads and writes past the page cache.

use std::fs;
use std::ops::Range;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use s3dlio_store::StoreError;
use s3dlio_store::local::{self, Create, Mode};
use tempfile::TempDir;

const STRICT: Mode = Mode::Direct { fallback: false };
const LENIENT: Mode = Mode::Direct { fallback: true };

/// On the disk of the build and not in `/tmp`, which may be one that knows no `O_DIRECT`.
fn directory() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn at(dir: &TempDir, name: &str) -> String {
    dir.path().join(name).to_str().unwrap().to_owned()
}

/// Bytes that differ between any two blocks and inside each.
fn pattern(length: usize) -> Vec<u8> {
    (0..length as u64).map(|n| (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect()
}

/// Pages of a file that are in the page cache.
fn cached(path: &str) -> usize {
    let file = fs::File::open(path).unwrap();
    let length = file.metadata().unwrap().len() as usize;
    let mut pages = vec![0_u8; length.div_ceil(4096)];
    // SAFETY: maps the file for reading, asks about that mapping and removes it again.
    unsafe {
        let fd = std::os::fd::AsRawFd::as_raw_fd(&file);
        let map = libc::mmap(std::ptr::null_mut(), length, libc::PROT_READ, libc::MAP_SHARED, fd, 0);
        assert_ne!(map, libc::MAP_FAILED);
        assert_eq!(libc::mincore(map, length, pages.as_mut_ptr()), 0);
        libc::munmap(map, length);
    }
    pages.iter().filter(|&&page| page & 1 == 1).count()
}

fn drop_cache(path: &str) {
    let file = fs::File::open(path).unwrap();
    file.sync_all().unwrap();
    // SAFETY: advice about an open file.
    unsafe { libc::posix_fadvise(std::os::fd::AsRawFd::as_raw_fd(&file), 0, 0, libc::POSIX_FADV_DONTNEED) };
}

#[test]
fn every_length_around_a_block_comes_back_and_the_file_has_no_padding() {
    let dir = directory();
    let mebibyte = 1 << 20;
    for length in [0, 1, 511, 512, 513, 4095, 4096, 4097, 8191, 8192, 100_001, mebibyte - 1, mebibyte + 1, 5_000_003] {
        let (path, data) = (at(&dir, &length.to_string()), pattern(length));
        local::write_atomic(&path, &data, STRICT).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), length as u64);
        assert!(fs::read(&path).unwrap() == data, "{length} bytes");
        assert!(local::read(&path, 0, None, STRICT).unwrap() == data, "{length} bytes");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 14, "temporary files are left");
}

#[test]
fn the_page_cache_stays_empty() {
    let dir = directory();
    let path = at(&dir, "file");
    let data = pattern(3_000_001);
    local::write_atomic(&path, &data, STRICT).unwrap();
    assert_eq!(cached(&path), 0, "after the write");
    assert!(local::read(&path, 0, None, STRICT).unwrap() == data);
    assert_eq!(cached(&path), 0, "after the read");
    local::read(&path, 0, None, Mode::Buffered).unwrap();
    assert!(cached(&path) > 0, "the test can tell");
}

#[test]
fn ranges_are_cut_as_in_the_page_cache() {
    let dir = directory();
    let path = at(&dir, "file");
    let data = pattern(20_000);
    fs::write(&path, &data).unwrap();
    for offset in [0, 1, 511, 512, 4095, 4096, 4097, 12_288, 19_999, 20_000, 20_001, u64::MAX] {
        for length in [Some(0), Some(1), Some(512), Some(4096), Some(4097), Some(20_000), Some(u64::MAX), None] {
            let expected = local::read(&path, offset, length, Mode::Buffered).unwrap();
            assert_eq!(local::read(&path, offset, length, STRICT).unwrap(), expected, "{offset} {length:?}");
        }
    }
}

#[test]
fn a_large_file_is_read_by_several_threads_in_the_right_order() {
    let dir = directory();
    let path = at(&dir, "file");
    let data = pattern((33 << 20) + 777);
    local::write_atomic(&path, &data, STRICT).unwrap();
    for mode in [STRICT, Mode::Buffered] {
        assert!(local::read(&path, 0, None, mode).unwrap() == data);
        assert!(local::read(&path, 12_345, Some(20 << 20), mode).unwrap() == data[12_345..12_345 + (20 << 20)]);
        let mut memory = vec![0; data.len() + 10];
        assert_eq!(local::read_into(&path, 0, &mut memory, mode).unwrap(), data.len());
        assert!(memory[..data.len()] == data && memory[data.len()..] == [0; 10]);
    }
}

#[test]
fn a_read_that_nobody_waits_for_ends_early() {
    let dir = directory();
    let path = at(&dir, "holes");
    fs::File::create(&path).unwrap().set_len(8 << 30).unwrap();
    let handle = s3dlio_runtime::executor::handle().unwrap();
    let began = Instant::now();
    for mode in [STRICT, Mode::Buffered].repeat(4) {
        let work = local::Reader::open(path.clone(), mode).unwrap().read_on_pool(0, None);
        handle.block_on(async { tokio::time::timeout(Duration::from_millis(20), work).await }).unwrap_err();
        // The threads are free again, or this would wait for the rest of the 8 GiB.
        let work = local::Reader::open(path.clone(), mode).unwrap().read_on_pool(1 << 20, Some(20 << 20));
        assert!(handle.block_on(work).unwrap().iter().all(|&byte| byte == 0));
    }
    assert!(began.elapsed() < Duration::from_secs(12), "{:?}", began.elapsed());
}

#[test]
fn memory_of_any_alignment_is_filled() {
    let dir = directory();
    let path = at(&dir, "file");
    let data = pattern(50_000);
    fs::write(&path, &data).unwrap();
    drop_cache(&path);
    let mut memory = vec![0; 60_000];
    for mode in [STRICT, Mode::Buffered] {
        for shift in [0, 1, 3, 4, 511, 512] {
            for (offset, length) in [(0, 50_000), (0, 4096), (4096, 8192), (1, 4096), (49_999, 100), (50_000, 5)] {
                let memory = &mut memory[shift..shift + length];
                memory.fill(0xEE);
                let read = local::read_into(&path, offset, memory, mode).unwrap();
                let expected = &data[(offset as usize).min(data.len())..(offset as usize + length).min(data.len())];
                assert_eq!(read, expected.len(), "{shift} {offset} {length}");
                assert!(&memory[..read] == expected && memory[read..].iter().all(|&byte| byte == 0xEE));
            }
        }
    }
    assert!(matches!(local::read_into(&at(&dir, "no"), 0, &mut [0], STRICT), Err(StoreError::NotFound { .. })));
    let mut version = [0; 5];
    assert_eq!(local::read_into("/proc/version", 2, &mut version, LENIENT).unwrap(), 5);
    assert_eq!(version, fs::read("/proc/version").unwrap()[2..7]);
}

#[test]
fn a_result_outlives_the_file_and_later_reads() {
    let dir = directory();
    let path = at(&dir, "file");
    let data = pattern(3 << 20);
    for mode in [STRICT, Mode::Buffered] {
        fs::write(&path, &data).unwrap();
        let kept = local::read(&path, 100, Some(2 << 20), mode).unwrap();
        let part = local::read(&path, 0, None, mode).unwrap().slice(7..1000);
        fs::write(&path, vec![0; 3 << 20]).unwrap();
        for _ in 0..5 {
            drop(local::read(&path, 0, None, mode).unwrap());
        }
        assert!(kept == data[100..100 + (2 << 20)] && part == data[7..1000]);
    }
}

#[test]
fn a_file_system_that_refuses_is_named_with_the_way_out() {
    let proc = "/proc/version";
    let error = local::read(proc, 0, None, STRICT).unwrap_err();
    assert!(matches!(&error, StoreError::Unsupported { uri, .. } if uri == "direct:///proc/version"), "{error:?}");
    let text = error.to_string();
    assert!(["O_DIRECT", "direct_fallback=True", "S3DLIO_DIRECT_FALLBACK=1"].iter().all(|part| text.contains(part)));
    assert_eq!(local::read(proc, 0, None, LENIENT).unwrap(), fs::read(proc).unwrap());
    assert_eq!(local::read(proc, 2, Some(5), LENIENT).unwrap(), fs::read(proc).unwrap()[2..7]);
}

#[test]
fn errors_name_the_scheme_that_was_asked_for() {
    let dir = directory();
    fs::write(at(&dir, "file"), b"x").unwrap();
    let error = local::read(&at(&dir, "missing"), 0, None, STRICT).unwrap_err();
    let expected = format!("direct://{}", at(&dir, "missing"));
    assert!(matches!(&error, StoreError::NotFound { uri, .. } if *uri == expected), "{error:?}");
    let error = local::read(dir.path().to_str().unwrap(), 0, None, STRICT).unwrap_err();
    assert!(matches!(&error, StoreError::Unsupported { .. }) && error.to_string().contains("directory"), "{error:?}");
    let error = local::write_atomic(&at(&dir, "file/below"), b"x", STRICT).unwrap_err();
    assert!(error.uri().starts_with("direct://") && error.uri().ends_with("file/below"), "{error:?}");
    let error = local::write(&at(&dir, "file"), b"x", STRICT, &Create::New).unwrap_err();
    assert!(matches!(&error, StoreError::AlreadyExists { uri, .. } if uri.starts_with("direct://")), "{error:?}");
}

#[test]
fn a_file_that_shrinks_while_it_is_read_is_an_error_and_no_hang() {
    let dir = directory();
    let path = at(&dir, "file");
    fs::write(&path, pattern(64 << 20)).unwrap();
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    std::thread::scope(|scope| {
        let cut = scope.spawn(|| {
            for _ in 0..50 {
                file.set_len(10_001).unwrap();
                file.set_len(40 << 20).unwrap();
            }
        });
        while !cut.is_finished() {
            match local::read(&path, 0, None, STRICT) {
                Ok(_) | Err(StoreError::Length { .. }) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_range_of_any_file(length in 0_usize..200_000, ranges in prop::collection::vec((0_u64..220_000, 0_u64..220_000), 8)) {
        let dir = directory();
        let (path, data) = (at(&dir, "file"), pattern(length));
        local::write_atomic(&path, &data, STRICT).unwrap();
        for (offset, want) in ranges {
            let range: Range<usize> = (offset as usize).min(length)..((offset + want) as usize).min(length);
            prop_assert!(local::read(&path, offset, Some(want), STRICT).unwrap() == data[range.clone()]);
            let mut memory = vec![0; want as usize];
            let read = local::read_into(&path, offset, &mut memory, STRICT).unwrap();
            prop_assert!(memory[..read] == data[range]);
        }
    }
}

//! Content for benchmarks, made on several threads.

use std::sync::{Mutex, PoisonError};

use s3dlio_formats::generate::Content;
use s3dlio_runtime::settings;

/// Bytes that a thread makes at a time: less would cost more to share out than it takes to make.
const PIECE: usize = 1 << 20;

/// As [`Content::fill`], on `threads` threads (0 means one for each core); the bytes do not depend on their number.
pub fn fill(content: &Content, number: u64, offset: u64, out: &mut [u8], threads: usize) {
    let wanted = if threads == 0 { settings::cores() } else { threads };
    let helpers = wanted.min(out.len() / PIECE).saturating_sub(1);
    let pieces = Mutex::new(out.chunks_mut(PIECE).enumerate());
    let work = || {
        loop {
            let next = pieces.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((at, piece)) = next else { return };
            content.fill(number, offset + (at * PIECE) as u64, piece);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..helpers {
            // Where the system grants no thread, the others do its share.
            let _ = std::thread::Builder::new().name("s3dlio-generate".into()).spawn_scoped(scope, work);
        }
        work();
    });
}

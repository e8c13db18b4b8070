//! Memory that several ranges of a local file are read into, used again.
//!
//! A batch of records needs it for as long as they are copied out of it. Fresh memory of this size comes from the system page
//! by page, which takes longer than reading and copying what it then holds.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use s3dlio_runtime::fork::ForkLocal;

/// Smaller memory the allocator has at hand anyway.
const LEAST: usize = 128 << 10;

/// Pieces that are kept: with those of a mebibyte that [`Input`](crate::Input) asks for, a batch of 64 records of
/// 100 KiB finds all of its memory again.
const KEPT: usize = 8;

/// The pieces of memory that were handed out last. Some may still be in use.
static LAST: ForkLocal<Mutex<Vec<Bytes>>> = ForkLocal::new();

fn last<T>(use_it: impl FnOnce(&mut Vec<Bytes>) -> T) -> T {
    use_it(&mut LAST.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner))
}

/// Empty memory for `capacity` bytes.
pub(crate) fn take(capacity: usize) -> Vec<u8> {
    if capacity < LEAST {
        return Vec::with_capacity(capacity);
    }
    let free = last(|last| {
        let found = last.iter().position(Bytes::is_unique)?;
        last.swap_remove(found).try_into_mut().ok()
    });
    let mut memory = free.map_or_else(Vec::new, |mut memory| {
        memory.clear();
        Vec::from(memory)
    });
    memory.reserve_exact(capacity);
    memory
}

/// Hands over what was read, and remembers its memory.
pub(crate) fn keep(memory: Vec<u8>) -> Bytes {
    let length = memory.capacity();
    let bytes = Bytes::from(memory);
    if length >= LEAST {
        // What has to go is freed outside of the lock.
        let old = last(|last| {
            let old = (last.len() == KEPT).then(|| last.remove(0));
            last.push(bytes.clone());
            old
        });
        drop(old);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_once_nobody_has_it() {
        let made = |byte| {
            let mut memory = take(1 << 20);
            memory.extend_from_slice(&vec![byte; 1 << 20]);
            keep(memory)
        };
        let (first, second) = (made(1), made(2));
        let place = first.as_ptr();
        assert_ne!(place, second.as_ptr());
        let slice = first.slice(5..6);
        drop(first);
        assert_eq!(slice, [1][..]);
        assert_ne!(made(3).as_ptr(), place);
        drop(slice);
        // The one in use stays as it is, the others come back.
        let taken = [take(1 << 20), take(1 << 20)];
        assert!(taken.iter().any(|memory| memory.as_ptr() == place));
        assert!(second.iter().all(|byte| *byte == 2));
        assert_eq!(keep(take(10)).len(), 0);
    }
}

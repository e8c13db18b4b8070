//! Copying a file inside the file systems of this machine, by the kernel.

use std::fs::{File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::options::Progress;
use crate::error::{Result, StoreError};
use crate::local;

/// Bytes between two looks at whether anybody still waits: 64 MiB take a tenth of a second on a slow disk.
const STEP: u64 = 64 << 20;

/// Names of temporary files begin so; see [`local::is_temporary`].
const TEMPORARY: &str = ".s3dlio-tmp-";

/// Copies a file, whole under its new name or not at all; directories are made. Returns the bytes.
pub(super) fn copy(from: &str, to: &str, stop: &AtomicBool, progress: &Arc<Progress>) -> Result<u64> {
    let at = |path: &str| {
        let uri = format!("file://{path}");
        move |source: io::Error| StoreError::io(uri, &source)
    };
    let source = File::open(from).map_err(at(from))?;
    let target = Path::new(to);
    let parent = target.parent().unwrap_or_else(|| Path::new("/"));
    std::fs::create_dir_all(parent).map_err(at(to))?;
    let mut file = tempfile::Builder::new()
        .prefix(TEMPORARY)
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(parent)
        .map_err(at(to))?;
    debug_assert!(local::is_temporary(TEMPORARY));
    let mut copied = 0;
    loop {
        if stop.load(Ordering::Relaxed) {
            return Err(StoreError::Store { uri: format!("file://{to}"), detail: "the transfer was given up".into() });
        }
        // The kernel copies between two files, and shares their blocks where the file system can.
        let step = io::copy(&mut (&source).take(STEP), file.as_file_mut()).map_err(at(to))?;
        if step == 0 {
            break;
        }
        copied += step;
        progress.moved(step);
    }
    file.flush().map_err(at(to))?;
    file.as_file().sync_data().map_err(at(to))?;
    file.persist(target).map_err(|source| at(to)(source.error))?;
    Ok(copied)
}

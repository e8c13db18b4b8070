//! The steps of `file://` and `direct://`.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags};

use super::{Found, Report};
use crate::uri::{Scheme, Uri};

/// Looks whether the path can be read, and with `write` whether files can be made beside or below it.
pub(super) fn look(mut report: Report, uri: &Uri, write: bool) -> Report {
    let path = Path::new(&uri.key);
    let began = Instant::now();
    if report.add("exists", began, exists(path, write)) {
        report.add("readable", Instant::now(), readable(path));
    }
    let folder = folder_of(path);
    if write {
        report.add("writable", Instant::now(), writable(&folder));
    }
    if uri.scheme == Scheme::Direct || path.is_file() {
        let found = direct(path, &folder, uri.scheme == Scheme::Direct);
        report.add("O_DIRECT", Instant::now(), found);
    }
    report
}

/// The nearest folder that exists.
fn folder_of(path: &Path) -> PathBuf {
    let below = |path: &Path| if path.as_os_str().is_empty() { PathBuf::from(".") } else { path.to_owned() };
    path.ancestors().map(below).find(|path| path.is_dir()).unwrap_or_else(|| PathBuf::from("/"))
}

fn exists(path: &Path, write: bool) -> Found {
    match fs::metadata(path) {
        Ok(meta) if meta.is_dir() => Found::good("a directory"),
        Ok(meta) => Found::good(format!("a file of {} bytes", meta.len())),
        Err(source) if write && source.kind() == std::io::ErrorKind::NotFound => {
            Found::unknown("not there yet; writing makes it")
        }
        Err(source) => Found::bad(source.to_string(), "check the path"),
    }
}

fn readable(path: &Path) -> Found {
    let result = if path.is_dir() {
        fs::read_dir(path).map(|entries| format!("{} entries", entries.take(1000).count()))
    } else {
        fs::File::open(path).map(|_| "opens".to_owned())
    };
    match result {
        Ok(detail) => Found::good(detail),
        Err(source) if !path.exists() => Found::unknown(source.to_string()),
        Err(source) => Found::bad(source.to_string(), "check the owner and the mode of the path"),
    }
}

fn writable(folder: &Path) -> Found {
    let result = tempfile::Builder::new()
        .prefix(".s3dlio-check-")
        .tempfile_in(folder)
        .and_then(|mut file| file.write_all(b"s3dlio check").and_then(|()| file.as_file().sync_all()));
    match result {
        Ok(()) => Found::good(format!("a file was made in {} and removed", folder.display())),
        Err(source) => Found::bad(format!("{}: {source}", folder.display()), "check the mode and the free space"),
    }
}

/// Opens the file, or a folder's own temporary file, past the page cache.
fn direct(path: &Path, folder: &Path, needed: bool) -> Found {
    let own = if path.is_file() { None } else { tempfile::NamedTempFile::new_in(folder).ok() };
    let target = own.as_ref().map_or(path, |file| file.path());
    if !target.is_file() {
        return Found::unknown("no file to try it on");
    }
    match rustix::fs::open(target, OFlags::RDONLY | OFlags::DIRECT | OFlags::CLOEXEC, Mode::empty()) {
        Ok(file) => {
            let asked = rustix::fs::statx(&file, c"", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN);
            match asked {
                Ok(told) if told.stx_mask & StatxFlags::DIOALIGN.bits() != 0 && told.stx_dio_offset_align > 0 => {
                    let (memory, offset) = (told.stx_dio_mem_align, told.stx_dio_offset_align);
                    Found::good(format!("alignment of memory {memory}, of offsets {offset} bytes"))
                }
                _ => Found::good("works; the file system does not tell its alignment"),
            }
        }
        Err(source) if needed => Found::bad(
            format!("{}: {source}", target.display()),
            "use file://, or S3DLIO_DIRECT_FALLBACK=1 to go through the page cache",
        ),
        Err(source) => Found::unknown(format!("refused: {source}")),
    }
}

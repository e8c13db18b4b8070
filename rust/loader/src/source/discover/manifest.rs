//! Manifests: texts that name the objects of a data set, one in each line.

use bytes::Bytes;
use s3dlio_records::Input;
use s3dlio_records::ahead::Ahead;
use s3dlio_store::{Result, StoreError, Uri, Work};
use serde::Deserialize;

use super::measured;
use crate::source::ObjectTable;

/// Bytes of a window: some 100,000 lines, and long beside the round trip that it costs.
const WINDOW: u64 = 8 << 20;

/// Windows under way or in hand.
const WINDOWS: usize = 4;

/// Longest line: a key has at most 1,024 bytes, and a line of JSON may say more of it than its name.
const LONGEST: usize = 64 << 10;

/// Reads a manifest in pieces, so that only the table of its objects is ever whole in memory.
///
/// # Errors
/// At once: settings that cannot work. From the work: [`StoreError::Corrupt`] naming the line, and what reading raises.
pub(super) fn read(uri: &Uri) -> crate::Result<Work<ObjectTable>> {
    let opening = Input::open(uri)?;
    let mut lines = Lines::new(uri.clone());
    Ok(Work::network(async move {
        let input = opening.into_future().await?;
        if input.is_local() {
            return Work::pool(move || {
                for start in (0..input.size()).step_by(WINDOW as usize) {
                    lines.feed(&input.read_now(start..input.size().min(start + WINDOW))?)?;
                }
                lines.finish()
            })
            .into_future()
            .await;
        }
        let mut ahead = Ahead::new(input, 0, WINDOW, WINDOWS);
        while let Some((_, window)) = ahead.window().await? {
            lines = parse(lines, window).await?;
        }
        Work::pool(move || lines.finish()).into_future().await
    }))
}

/// Parses a window on the pool: a million lines take some tenths of a second.
async fn parse(mut lines: Lines, window: Bytes) -> Result<Lines> {
    Work::pool(move || lines.feed(&window).map(|()| lines)).into_future().await
}

/// One line of a manifest in JSON; what else it says is left to those who need it.
#[derive(Deserialize)]
struct Line {
    uri: String,
    size: Option<u64>,
}

struct Lines {
    manifest: Uri,
    /// What names without a scheme stand behind.
    folder: String,
    table: ObjectTable,
    /// The beginning of a line whose end has not come yet.
    begun: Vec<u8>,
    number: u64,
}

impl Lines {
    fn new(manifest: Uri) -> Self {
        let folder = manifest.key.rfind('/').map_or("", |slash| &manifest.key[..=slash]).to_owned();
        Self { manifest, folder, table: ObjectTable::default(), begun: Vec::new(), number: 0 }
    }

    fn feed(&mut self, mut bytes: &[u8]) -> Result<()> {
        while let Some(end) = bytes.iter().position(|&byte| byte == b'\n') {
            if self.begun.is_empty() {
                self.line(&bytes[..end])?;
            } else {
                let mut line = std::mem::take(&mut self.begun);
                line.extend_from_slice(&bytes[..end]);
                self.line(&line)?;
            }
            bytes = &bytes[end + 1..];
        }
        self.begun.extend_from_slice(bytes);
        if self.begun.len() > LONGEST {
            self.number += 1;
            return Err(self.bad(format!("found a line of more than {LONGEST} bytes, expected one URI in each")));
        }
        Ok(())
    }

    fn finish(mut self) -> Result<ObjectTable> {
        let line = std::mem::take(&mut self.begun);
        self.line(&line)?;
        if self.table.is_empty() {
            let detail = "the data set is empty: this manifest names no object".into();
            return Err(StoreError::NotFound { uri: self.manifest.to_string(), detail });
        }
        Ok(measured(self.table))
    }

    fn line(&mut self, line: &[u8]) -> Result<()> {
        self.number += 1;
        let text = std::str::from_utf8(line).map_err(|error| self.bad(format!("found no UTF-8 text: {error}")))?.trim();
        if text.is_empty() || text.starts_with('#') {
            return Ok(());
        }
        let Line { uri, size } = if text.starts_with('{') {
            let expected = "expected a URI, or an object of JSON with \"uri\" and perhaps \"size\"";
            serde_json::from_str(text).map_err(|error| self.bad(format!("{error}; {expected}")))?
        } else {
            let (name, size) = text.split_once('\t').map_or((text, None), |(name, size)| (name, Some(size)));
            let number = |size: &str| {
                let expected = "a size in bytes behind the tab, or only a URI";
                size.trim().parse().map_err(|_| self.bad(format!("found {size:?}, expected {expected}")))
            };
            Line { uri: name.trim_end().to_owned(), size: size.map(number).transpose()? }
        };
        self.push(&uri, size)
    }

    fn push(&mut self, name: &str, size: Option<u64>) -> Result<()> {
        if name.contains("://") {
            let uri = Uri::parse(name).map_err(|error| self.bad(error.to_string()))?;
            self.table.push(&uri.root(), &uri.key, size);
        } else if name.is_empty() || name.starts_with('/') {
            let expected = "a URI, or a name below the folder of the manifest";
            return Err(self.bad(format!("found {name:?}, expected {expected}")));
        } else {
            let key = format!("{}{name}", self.folder);
            self.table.push(&self.manifest.root(), &key, size);
        }
        Ok(())
    }

    fn bad(&self, what: String) -> StoreError {
        StoreError::Corrupt { uri: self.manifest.to_string(), detail: format!("line {}: {what}", self.number) }
    }
}

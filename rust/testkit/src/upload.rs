//! Uploads in parts.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

use crate::bucket::Attributes;
use crate::refusal::Refusal;
use crate::xml::{Complete, CompletePart};

/// The least size of every part but the last, in bytes; the protocols' own rule.
const LEAST_PART: usize = 5 << 20;

#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) pieces: Vec<Bytes>,
    pub(crate) etag: String,
    pub(crate) checksum: Option<(HeaderName, HeaderValue)>,
}

impl Part {
    pub(crate) fn len(&self) -> usize {
        self.pieces.iter().map(Bytes::len).sum()
    }

    fn is(&self, named: &CompletePart) -> bool {
        let checksum = |name: &str, named: &Option<String>| {
            let found = self.checksum.as_ref().filter(|(header, _)| header.as_str().ends_with(name));
            match (named, found) {
                (Some(named), Some((_, found))) => found == named.as_str(),
                (Some(_), None) => false,
                (None, _) => true,
            }
        };
        named.etag.trim_matches('"') == self.etag
            && checksum("-sha256", &named.sha256)
            && checksum("-crc64nvme", &named.crc64nvme)
            && checksum("-crc32", &named.crc32)
            && checksum("-crc32c", &named.crc32c)
    }
}

/// An upload that is neither completed nor aborted.
#[derive(Debug, Clone)]
pub(crate) struct Upload {
    pub(crate) key: String,
    pub(crate) attributes: Attributes,
    pub(crate) parts: BTreeMap<u32, Part>,
}

impl Upload {
    /// The named parts in order.
    pub(crate) fn assemble(&self, named: &Complete) -> Result<Vec<&Part>, Refusal> {
        if named.parts.is_empty() {
            return Err(Refusal::new(400, "MalformedXML", "no part is named"));
        }
        if !named.parts.is_sorted_by(|a, b| a.number < b.number) {
            return Err(Refusal::new(400, "InvalidPartOrder", "the parts are not named in the order of their numbers"));
        }
        let invalid = |number| Refusal::new(400, "InvalidPart", format!("part {number} is not what was uploaded"));
        let find = |part: &CompletePart| {
            let found = self.parts.get(&part.number).filter(|found| found.is(part));
            found.ok_or_else(|| invalid(part.number))
        };
        let parts: Vec<_> = named.parts.iter().map(find).collect::<Result<_, _>>()?;
        if let Some(small) = parts.iter().rev().skip(1).find(|part| part.len() < LEAST_PART) {
            let message = format!("a part of {} bytes that is not the last", small.len());
            return Err(Refusal::new(400, "EntityTooSmall", message));
        }
        Ok(parts)
    }
}

/// What a completed upload has made.
#[derive(Debug, Clone)]
pub(crate) struct Completed {
    pub(crate) etag: String,
    pub(crate) generation: u64,
}

/// The uploads of a bucket.
#[derive(Debug, Default)]
pub(crate) struct Uploads {
    open: HashMap<String, Upload>,
    /// To complete once more is answered as the first time: a client may not know that the first was heard.
    completed: HashMap<String, Completed>,
}

impl Uploads {
    pub(crate) fn start(&mut self, key: &str, attributes: Attributes) -> String {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = format!("upload-{:012}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.open.insert(id.clone(), Upload { key: key.into(), attributes, parts: BTreeMap::new() });
        id
    }

    pub(crate) fn get(&mut self, key: &str, id: &str) -> Result<&mut Upload, Refusal> {
        let found = self.open.get_mut(id).filter(|upload| upload.key == key);
        found.ok_or_else(|| Refusal::new(404, "NoSuchUpload", format!("no upload {id:?} of {key:?}")))
    }

    pub(crate) fn completed(&self, id: &str) -> Option<Completed> {
        self.completed.get(id).cloned()
    }

    pub(crate) fn finish(&mut self, id: &str, completed: Completed) {
        self.open.remove(id);
        self.completed.insert(id.into(), completed);
    }

    pub(crate) fn abort(&mut self, key: &str, id: &str) -> Result<(), Refusal> {
        self.get(key, id)?;
        self.open.remove(id);
        Ok(())
    }

    /// Keys and identifiers of the open uploads, in order.
    pub(crate) fn all(&self) -> Vec<(String, String)> {
        let mut all: Vec<_> = self.open.iter().map(|(id, upload)| (upload.key.clone(), id.clone())).collect();
        all.sort();
        all
    }
}

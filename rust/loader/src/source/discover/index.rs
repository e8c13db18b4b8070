//! The index of a data set: what a listing has found, kept for later runs.
//!
//! An index is valid as long as it was made for this very URI and pattern and a few of its objects, spread evenly from
//! the first to the last, are there with the sizes that it says. That notices a data set that was moved, cut or written
//! anew, for a handful of requests; it does not notice single objects that came, went or changed since. Whoever adds to a
//! data set removes its index.

use std::sync::Arc;

use bytes::Bytes;
use highway::{HighwayHash, HighwayHasher, Key};
use s3dlio_store::local::Create;
use s3dlio_store::ops::{self, GetOptions, within};
use s3dlio_store::registry::{self, Backend};
use s3dlio_store::{StoreError, Uri, Work};
use serde::{Deserialize, Serialize};

use super::listing;
use crate::error::{LoaderError, Result};
use crate::source::ObjectTable;

/// First bytes of an index; the digit is the version of the layout.
const MAGIC: &[u8; 8] = b"S3DLIDX1";

/// What an index of any version begins with.
const KIND: &[u8] = b"S3DLIDX";

/// Objects that are looked at before an index is believed.
const PROBES: u64 = 8;

/// Bytes of the digest at the end.
const DIGEST: usize = 8;

/// What an index was made for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Question {
    uri: String,
    pattern: Option<String>,
}

/// As [`listing::below`], by the index at `place` where that is valid; otherwise it is written.
///
/// # Errors
/// At once also [`LoaderError::Config`] for a place below the data set, of which it would become a part. From the work: as
/// [`listing::below`]; [`StoreError::AlreadyExists`] where `place` holds something else, which stays as it is, and what
/// reading and writing it raise.
pub(super) fn below(text: &str, pattern: Option<&str>, place: &str) -> Result<Work<ObjectTable>> {
    let question = Question { uri: text.to_owned(), pattern: pattern.map(str::to_owned) };
    let place = Uri::parse(place)?;
    let root = Uri::parse(text)?;
    if pattern.is_none() && !text.contains('*') && place.to_string().starts_with(&folder(&root)) {
        return Err(LoaderError::config("index", format!("{place}, below {text}"), "a place outside of the data set"));
    }
    let (kept, found) = (registry::open(&place)?, registry::open(&root)?);
    let reading = ops::get(&place, GetOptions::default())?;
    let listing = listing::below(text, pattern)?;
    Ok(Work::network(async move {
        let bytes = match reading.into_future().await {
            Ok(bytes) => Some(bytes),
            Err(StoreError::NotFound { .. }) => None,
            Err(error) => return Err(error),
        };
        if let Some(bytes) = bytes {
            if !bytes.starts_with(KIND) {
                let detail = "found something else than an index of a data set, which is not written over".into();
                return Err(StoreError::AlreadyExists { uri: place.to_string(), detail });
            }
            let asked = question.clone();
            let parsed = Work::pool(move || Ok(parse(&bytes, &asked))).into_future().await?;
            if let Some(table) = parsed
                && still_there(&found, &root, &table).await?
            {
                return Ok(table);
            }
        }
        let table = Arc::new(listing.await?);
        let made = Arc::clone(&table);
        let bytes = Work::pool(move || Ok(pack(&made, &question))).into_future().await?;
        within::put_pieces(&kept, &place, vec![Bytes::from(bytes)], Create::Overwrite).await?;
        // Nobody else has it any more.
        Ok(Arc::unwrap_or_clone(table))
    }))
}

fn folder(uri: &Uri) -> String {
    if uri.is_directory() { uri.to_string() } else { format!("{uri}/") }
}

fn pack(table: &ObjectTable, question: &Question) -> Vec<u8> {
    let question = serde_json::to_vec(question).unwrap_or_default();
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&(question.len() as u64).to_le_bytes());
    out.extend_from_slice(&question);
    out.extend_from_slice(&table.pack());
    let digest = digest(&out);
    out.extend_from_slice(&digest);
    out
}

/// The table of an index that is whole and was made for this question.
fn parse(bytes: &[u8], question: &Question) -> Option<ObjectTable> {
    let (content, end) = bytes.split_at_checked(bytes.len().checked_sub(DIGEST)?)?;
    let (length, rest) = content.strip_prefix(MAGIC)?.split_at_checked(8)?;
    let length = usize::try_from(u64::from_le_bytes(length.try_into().ok()?)).ok()?;
    let (made_for, packed) = rest.split_at_checked(length)?;
    if digest(content) != end || serde_json::from_slice::<Question>(made_for).ok()? != *question {
        return None;
    }
    ObjectTable::unpack(packed).ok().filter(|table| !table.is_empty())
}

/// HighwayHash with a fixed key: against damage, not against forgery.
fn digest(bytes: &[u8]) -> [u8; DIGEST] {
    let mut hasher = HighwayHasher::new(Key([0x7333_646c, 0x696f_2d69, 0x6e64_6578, 0x0000_0001]));
    hasher.append(bytes);
    hasher.finalize64().to_le_bytes()
}

/// Whether objects from the first to the last are as the table says.
async fn still_there(found: &Backend, root: &Uri, table: &ObjectTable) -> s3dlio_store::Result<bool> {
    let last = table.len() as u64 - 1;
    let mut numbers: Vec<u64> = (0..PROBES).map(|probe| last * probe / (PROBES - 1)).collect();
    numbers.dedup();
    let probes = numbers.into_iter().filter_map(|number| {
        let number = usize::try_from(number).ok()?;
        Some((root.with_key(table.place(number)?.1), table.size(number)))
    });
    let looks = ops::each(probes.collect(), PROBES as usize, |(uri, size)| {
        let found = found.clone();
        async move {
            match within::look(&found, &uri).await {
                Ok(stat) => Ok(size.is_none_or(|size| size == stat.size)),
                Err(StoreError::NotFound { .. } | StoreError::Unsupported { .. }) => Ok(false),
                Err(error) => Err(error),
            }
        }
    });
    Ok(looks.await?.into_iter().all(|good| good))
}

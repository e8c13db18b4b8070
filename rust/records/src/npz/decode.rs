//! From the bytes of members to arrays, on as many threads as are worth it.

use bytes::Bytes;
use s3dlio_formats::Array;
use s3dlio_formats::npz::{Limits, Member, Npz};
use s3dlio_store::work::Step;
use s3dlio_store::{StoreError, Uri};

use super::{Arrays, wrong};
use crate::Result;
use crate::error::{Place, RecordError};
use crate::jobs::{self, Stop};

/// How many bytes' checksums take as long as inflating one.
const CHECKED: u64 = 32;

/// Inflated bytes above which a second thread helps: they take 0.5 ms, and waking a thread a tenth of that.
const SHARED: u64 = 256 << 10;

/// Inflated bytes above which the calling thread does not decode itself: they take a tenth of a second, and then its
/// caller wants to be able to give up. The same number of bytes is read in some 20 ms.
pub(super) const LONG: u64 = 64 << 20;

/// Inflated bytes below which a thread of the network runtime may decode: 0.1 ms, the time of a few system calls.
const SHORT: u64 = 64 << 10;

/// A member and its bytes.
pub(super) type Part = (Member, Bytes);

/// The arrays of an archive that is at hand, not yet decoded.
pub(super) fn open(uri: &Uri, archive: &Bytes, limits: Limits) -> Result<Vec<Part>> {
    let archive = Npz::open(archive, limits).map_err(|error| wrong(uri, error))?;
    Ok(archive.directory().arrays().map(|member| (member.clone(), archive.extent(member))).collect())
}

/// Decodes one member.
pub(super) fn array(uri: &Uri, (member, extent): &Part, limits: Limits) -> Result<Array> {
    let place = Place { offset: Some(member.range().start), record: None };
    member.array(extent, &limits).map_err(|error| RecordError::format(uri, place, error))
}

/// Decodes an array with its name.
pub(super) fn named(uri: &Uri, part: &Part, limits: Limits) -> Result<(String, Array)> {
    Ok((part.0.array_name().to_owned(), array(uri, part, limits)?))
}

/// All arrays of an archive, decoded on this thread alone.
pub(super) fn whole(uri: &Uri, archive: &Bytes, limits: Limits) -> Result<Arrays> {
    open(uri, archive, limits)?.iter().map(|part| named(uri, part, limits)).collect()
}

/// What to make of a member.
type Decode<T> = fn(&Uri, &Part, Limits) -> Result<T>;

fn now<T: Send + 'static>(
    uri: Uri,
    parts: Vec<Part>,
    limits: Limits,
    decode: Decode<T>,
    stop: &Stop,
) -> Result<Vec<T>> {
    let many = work(&parts) > SHARED;
    let stop = stop.clone();
    let one = move |part: &Part| {
        if stop.is_set() {
            let detail = "the read was given up".into();
            return Err(StoreError::Store { uri: uri.to_string(), detail }.into());
        }
        decode(&uri, part, limits)
    };
    if many { jobs::each(parts, one) } else { parts.iter().map(one).collect() }
}

fn work(parts: &[Part]) -> u64 {
    let one = |(member, _): &Part| if member.is_compressed() { member.len() } else { member.len() / CHECKED };
    parts.iter().map(one).fold(0, u64::saturating_add)
}

/// Decodes members, in their order, on this thread with the help of others; or elsewhere, where it takes long.
pub(super) fn step<T>(uri: &Uri, parts: Vec<Part>, limits: Limits, decode: Decode<T>) -> Step<Result<Vec<T>>>
where
    T: Send + 'static,
{
    let uri = uri.clone();
    if work(&parts) <= LONG {
        return Step::Done(now(uri, parts, limits, decode, &Stop::default()));
    }
    Step::Later(Box::pin(jobs::stoppable(move |stop| now(uri, parts, limits, decode, stop))))
}

/// As [`step`], in a task of the network runtime.
pub(super) async fn task<T>(uri: &Uri, parts: Vec<Part>, limits: Limits, decode: Decode<T>) -> Result<Vec<T>>
where
    T: Send + 'static,
{
    let uri = uri.clone();
    if work(&parts) <= SHORT {
        return now(uri, parts, limits, decode, &Stop::default());
    }
    jobs::stoppable(move |stop| now(uri, parts, limits, decode, stop)).await?
}

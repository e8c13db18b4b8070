//! Buckets: to make, list and remove them.

use http::StatusCode;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Answer, document, iso, quoted, status};
use crate::bucket::{Bucket, Buckets};
use crate::listing::{self, Wanted};
use crate::refusal::Refusal;
use crate::request::Request;
use crate::xml;

/// Keys on a page; a client may ask for fewer.
const PAGE: usize = 1000;

const UNRESERVED: AsciiSet = NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');

pub(super) fn all(buckets: &Buckets) -> Answer {
    let entry = |(name, bucket): (String, std::sync::Arc<Bucket>)| xml::BucketEntry {
        name,
        creation_date: iso(bucket.created),
    };
    let bucket = buckets.all().into_iter().map(entry).collect();
    document(&xml::ListAllMyBucketsResult { buckets: xml::Buckets { bucket } })
}

pub(super) fn create(buckets: &Buckets, request: &Request) -> Answer {
    if buckets.create(&request.bucket, Bucket::new(None)) {
        return Ok(status(StatusCode::OK));
    }
    Err(Refusal::new(409, "BucketAlreadyOwnedByYou", format!("bucket {:?} exists", request.bucket)))
}

pub(super) fn versioning(buckets: &Buckets, request: &Request) -> Answer {
    let on = buckets.get(&request.bucket)?.lock().versioning;
    document(&xml::Versioning { status: on.then(|| "Enabled".into()) })
}

pub(super) fn set_versioning(buckets: &Buckets, request: &Request, body: &[u8]) -> Answer {
    let wanted: xml::Versioning = xml::read(body)?;
    buckets.get(&request.bucket)?.write()?.versioning = wanted.status.as_deref() == Some("Enabled");
    Ok(status(StatusCode::OK))
}

pub(super) fn list(buckets: &Buckets, request: &Request) -> Answer {
    let bucket = buckets.get(&request.bucket)?;
    let most = request.query("max-keys").map_or(Ok(PAGE), |most| {
        let most = most.parse::<usize>().map(|most| most.min(PAGE));
        most.map_err(|_| Refusal::invalid_argument("max-keys is no number"))
    })?;
    let delimiter = request.query("delimiter");
    let wanted = Wanted {
        prefix: request.query("prefix").unwrap_or_default(),
        delimiter,
        after: request.query("start-after"),
        token: request.query("continuation-token"),
        most,
    };
    let page = listing::page(&bucket, &wanted)?;
    let encoded = request.query("encoding-type") == Some("url");
    let name = |text: &str| if encoded { utf8_percent_encode(text, &UNRESERVED).to_string() } else { text.to_owned() };
    let contents = page.objects.iter().map(|(key, object)| xml::Contents {
        key: name(key),
        last_modified: iso(object.modified),
        etag: quoted(&object.etag),
        size: object.content.len(),
        storage_class: "STANDARD",
    });
    document(&xml::ListBucketResult {
        name: &request.bucket,
        prefix: name(wanted.prefix),
        key_count: page.objects.len() + page.prefixes.len(),
        max_keys: most,
        delimiter: delimiter.map(name),
        encoding_type: encoded.then_some("url"),
        is_truncated: page.next.is_some(),
        contents: contents.collect(),
        common_prefixes: page.prefixes.iter().map(|prefix| xml::CommonPrefix { prefix: name(prefix) }).collect(),
        next_continuation_token: page.next,
    })
}

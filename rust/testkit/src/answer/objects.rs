//! Whole objects: to read, write, copy and remove them.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use percent_encoding::percent_decode_str;

use super::{Answer, document, iso, name_version, quoted, status, value, written};
use crate::body::Body;
use crate::bucket::{Attributes, Buckets, Contents, Stored, next_generation, now};
use crate::checksum;
use crate::conditions;
use crate::content::Content;
use crate::refusal::Refusal;
use crate::request::{Operation, Protocol, Request};
use crate::xml;

const KEPT: [header::HeaderName; 6] = [
    header::CACHE_CONTROL,
    header::CONTENT_DISPOSITION,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_TYPE,
    header::EXPIRES,
];

/// The headers of a request that are stored with its object.
pub(super) fn attributes(request: &Request) -> Attributes {
    let prefix = request.protocol.prefix();
    let own =
        |name: &str| name.strip_prefix(prefix).is_some_and(|name| name.starts_with("meta-") || name == "storage-class");
    let kept = request.headers.iter().filter(|(name, _)| KEPT.contains(name) || own(name.as_str()));
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn version(request: &Request) -> Result<Option<u64>, Refusal> {
    let text = request.query(request.protocol.version_query());
    text.map(|text| text.parse().map_err(|_| Refusal::new(404, "NoSuchVersion", format!("no version {text:?}"))))
        .transpose()
}

pub(super) fn get(buckets: &Buckets, request: &Request) -> Answer {
    let bucket = buckets.get(&request.bucket)?;
    let object = bucket.object(&request.key, version(request)?)?;
    conditions::readable(request, &object)?;
    let size = object.content.len();
    let range = conditions::range(request.header("range"), size)?;
    let sent = range.clone().unwrap_or(0..size);
    let length = sent.end - sent.start;
    let head = request.operation == Operation::HeadObject;
    let pieces = if head { 0..0 } else { sent.clone() };
    let mut response = Response::new(Body::from(object.content.slice(&pieces)));
    describe(&mut response, request, &object, &bucket.lock())?;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    if range.is_some() {
        let text = format!("bytes {}-{}/{size}", sent.start, sent.end - 1);
        headers.insert(header::CONTENT_RANGE, value(&text)?);
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    } else if let (Some("ENABLED"), Some((name, value))) = (request.own_header("checksum-mode"), &object.checksum) {
        response.headers_mut().insert(name, value.clone());
    }
    Ok(response)
}

fn describe(
    response: &mut Response<Body>,
    request: &Request,
    object: &Stored,
    contents: &Contents,
) -> Result<(), Refusal> {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("binary/octet-stream"));
    for (name, value) in &object.attributes {
        headers.insert(name, value.clone());
    }
    headers.insert(header::ETAG, value(&quoted(&object.etag))?);
    let date = object.modified.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    headers.insert(header::LAST_MODIFIED, value(&date)?);
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    name_version(response, request, contents, object.generation)
}

pub(super) fn put(buckets: &Buckets, request: &Request, body: Bytes) -> Answer {
    let bucket = buckets.get(&request.bucket)?;
    let checksum = checksum::verify(request, &body)?;
    let etag = checksum::etag(std::slice::from_ref(&body));
    let object = Stored {
        content: body.into(),
        etag,
        modified: now(),
        generation: next_generation(),
        attributes: attributes(request),
        checksum,
    };
    let mut contents = bucket.write()?;
    conditions::writable(request, contents.objects.get(&request.key).map(Arc::as_ref))?;
    let response = written(request, &contents, &object);
    contents.put(&request.key, object);
    response
}

/// The object that a request copies from.
pub(super) fn source(buckets: &Buckets, request: &Request) -> Result<Arc<Stored>, Refusal> {
    let text = request.own_header("copy-source").unwrap_or_default();
    let path = percent_decode_str(text).decode_utf8().unwrap_or_default();
    let path = path.strip_prefix('/').unwrap_or(&path);
    let (bucket, key) =
        path.split_once('/').ok_or_else(|| Refusal::invalid_argument(format!("copy-source: found {text:?}")))?;
    let object = buckets.get(bucket)?.object(key, None)?;
    conditions::copyable(request, &object)?;
    Ok(object)
}

pub(super) fn copy(buckets: &Buckets, request: &Request) -> Answer {
    let source = source(buckets, request)?;
    let mut object = Stored { modified: now(), generation: next_generation(), ..(*source).clone() };
    if request.own_header("metadata-directive") == Some("REPLACE") {
        object.attributes = attributes(request);
    }
    let bucket = buckets.get(&request.bucket)?;
    let mut contents = bucket.write()?;
    conditions::writable(request, contents.objects.get(&request.key).map(Arc::as_ref))?;
    let mut response = document(&xml::CopyResult { etag: &quoted(&object.etag), modified: iso(object.modified) })?;
    name_version(&mut response, request, &contents, object.generation)?;
    contents.put(&request.key, object);
    Ok(response)
}

pub(super) fn delete(buckets: &Buckets, request: &Request) -> Answer {
    let bucket = buckets.get(&request.bucket)?;
    let found = bucket.write()?.delete(&request.key);
    if !found && request.protocol == Protocol::Gcs {
        return Err(Refusal::no_key(&request.key));
    }
    Ok(status(StatusCode::NO_CONTENT))
}

pub(super) fn delete_many(buckets: &Buckets, request: &Request, body: &[u8]) -> Answer {
    let checked = checksum::verify(request, body)?;
    if checked.is_none() && request.header("content-md5").is_none() {
        return Err(Refusal::new(400, "InvalidRequest", "to delete many objects takes a checksum of the request"));
    }
    let named: xml::Delete = xml::read(body)?;
    if named.objects.len() > 1000 {
        return Err(Refusal::new(400, "MalformedXML", "more than 1000 keys"));
    }
    let bucket = buckets.get(&request.bucket)?;
    let mut contents = bucket.write()?;
    let mut result = xml::DeleteResult::default();
    for object in named.objects {
        contents.delete(&object.key);
        if !named.quiet {
            result.deleted.push(xml::Deleted { key: object.key });
        }
    }
    document(&result)
}

/// The content of uploaded parts as one.
pub(super) fn joined(pieces: Vec<Bytes>) -> Content {
    Content::Stored(pieces.into())
}

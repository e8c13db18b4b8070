//! Uploads in parts.

use std::sync::Arc;

use bytes::Bytes;
use http::{StatusCode, header};

use super::objects::{attributes, joined, source};
use super::{Answer, document, iso, name_version, quoted, status, value};
use crate::bucket::{Buckets, Contents, Stored, next_generation, now};
use crate::checksum;
use crate::conditions;
use crate::request::Request;
use crate::upload::{Completed, Part};
use crate::xml;

fn id(request: &Request) -> &str {
    request.query("uploadId").unwrap_or_default()
}

pub(super) fn create(buckets: &Buckets, request: &Request) -> Answer {
    let bucket = buckets.get(&request.bucket)?;
    let upload_id = bucket.write()?.uploads.start(&request.key, attributes(request));
    document(&xml::InitiateMultipartUploadResult { bucket: &request.bucket, key: &request.key, upload_id: &upload_id })
}

pub(super) fn part(buckets: &Buckets, request: &Request, body: Bytes) -> Answer {
    let number = request.part_number()?;
    let checksum = checksum::verify(request, &body)?;
    let etag = checksum::etag(std::slice::from_ref(&body));
    let mut response = status(StatusCode::OK);
    response.headers_mut().insert(header::ETAG, value(&quoted(&etag))?);
    if let Some((name, value)) = &checksum {
        response.headers_mut().insert(name, value.clone());
    }
    let bucket = buckets.get(&request.bucket)?;
    let part = Part { pieces: vec![body], etag, checksum };
    bucket.write()?.uploads.get(&request.key, id(request))?.parts.insert(number, part);
    Ok(response)
}

pub(super) fn part_copy(buckets: &Buckets, request: &Request) -> Answer {
    let number = request.part_number()?;
    let source = source(buckets, request)?;
    let size = source.content.len();
    let range = conditions::range(request.own_header("copy-source-range"), size)?.unwrap_or(0..size);
    let mut left = source.content.slice(&range);
    let pieces: Vec<_> = std::iter::from_fn(|| left.next(u64::MAX)).collect();
    let etag = checksum::etag(&pieces);
    let answer = xml::write(&xml::CopyPartResult { etag: &quoted(&etag), modified: iso(now()) })?;
    let bucket = buckets.get(&request.bucket)?;
    let part = Part { pieces, etag, checksum: None };
    bucket.write()?.uploads.get(&request.key, id(request))?.parts.insert(number, part);
    Ok(http::Response::new(answer.into()))
}

pub(super) fn complete(buckets: &Buckets, request: &Request, body: &[u8], dropped: Option<u32>) -> Answer {
    let bucket = buckets.get(&request.bucket)?;
    let named: xml::Complete = xml::read(body)?;
    let mut contents = bucket.write()?;
    if let Some(completed) = contents.uploads.completed(id(request)) {
        return done(request, &contents, &completed);
    }
    let upload = contents.uploads.get(&request.key, id(request))?.clone();
    let parts = upload.assemble(&named)?;
    let kept = named.parts.iter().zip(&parts).filter(|(named, _)| Some(named.number) != dropped);
    let pieces: Vec<_> = kept.flat_map(|(_, part)| part.pieces.iter().cloned()).collect();
    let object = Stored {
        etag: format!("{}-{}", checksum::etag(&pieces), parts.len()),
        content: joined(pieces),
        modified: now(),
        generation: next_generation(),
        attributes: upload.attributes.clone(),
        checksum: None,
    };
    conditions::writable(request, contents.objects.get(&request.key).map(Arc::as_ref))?;
    let completed = Completed { etag: object.etag.clone(), generation: object.generation };
    contents.put(&request.key, object);
    contents.uploads.finish(id(request), completed.clone());
    done(request, &contents, &completed)
}

fn done(request: &Request, contents: &Contents, completed: &Completed) -> Answer {
    let mut response = document(&xml::CompleteMultipartUploadResult {
        bucket: &request.bucket,
        key: &request.key,
        etag: &quoted(&completed.etag),
    })?;
    name_version(&mut response, request, contents, completed.generation)?;
    Ok(response)
}

pub(super) fn abort(buckets: &Buckets, request: &Request) -> Answer {
    let bucket = buckets.get(&request.bucket)?;
    bucket.write()?.uploads.abort(&request.key, id(request))?;
    Ok(status(StatusCode::NO_CONTENT))
}

pub(super) fn parts(buckets: &Buckets, request: &Request) -> Answer {
    let bucket = buckets.get(&request.bucket)?;
    let mut contents = bucket.lock();
    let upload = contents.uploads.get(&request.key, id(request))?;
    let part = upload.parts.iter().map(|(number, part)| xml::PartEntry {
        part_number: *number,
        etag: quoted(&part.etag),
        size: part.len() as u64,
    });
    document(&xml::ListPartsResult {
        bucket: &request.bucket,
        key: &request.key,
        upload_id: id(request),
        is_truncated: false,
        part: part.collect(),
    })
}

pub(super) fn all(buckets: &Buckets, request: &Request) -> Answer {
    let bucket = buckets.get(&request.bucket)?;
    let prefix = request.query("prefix").unwrap_or_default();
    let open = bucket.lock().uploads.all();
    let entries = open
        .into_iter()
        .filter(|(key, _)| key.starts_with(prefix))
        .map(|(key, upload_id)| xml::UploadEntry { key, upload_id, initiated: iso(bucket.created) });
    document(&xml::ListMultipartUploadsResult {
        bucket: &request.bucket,
        is_truncated: false,
        upload: entries.collect(),
    })
}

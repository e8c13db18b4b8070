//! The operations.

mod buckets;
mod objects;
mod uploads;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;

use crate::body::Body;
use crate::bucket::{Buckets, Contents, Stored};
use crate::refusal::Refusal;
use crate::request::{Operation as Op, Protocol, Request};
use crate::xml;

pub(crate) type Answer = Result<Response<Body>, Refusal>;

/// Carries out a request; `dropped` is a part that is left out of a completed upload.
pub(crate) fn answer(buckets: &Buckets, request: &Request, body: Bytes, dropped: Option<u32>) -> Answer {
    match request.operation {
        Op::ListBuckets => buckets::all(buckets),
        Op::CreateBucket => buckets::create(buckets, request),
        Op::HeadBucket => buckets.get(&request.bucket).map(|_| status(StatusCode::OK)),
        Op::DeleteBucket => buckets.delete(&request.bucket).map(|()| status(StatusCode::NO_CONTENT)),
        Op::GetBucketLocation => buckets.get(&request.bucket).and_then(|_| document(&xml::LocationConstraint {})),
        Op::GetBucketVersioning => buckets::versioning(buckets, request),
        Op::PutBucketVersioning => buckets::set_versioning(buckets, request, &body),
        Op::ListObjectsV2 => buckets::list(buckets, request),
        Op::ListMultipartUploads => uploads::all(buckets, request),
        Op::DeleteObjects => objects::delete_many(buckets, request, &body),
        Op::GetObject | Op::HeadObject => objects::get(buckets, request),
        Op::PutObject => objects::put(buckets, request, body),
        Op::CopyObject => objects::copy(buckets, request),
        Op::DeleteObject => objects::delete(buckets, request),
        Op::CreateMultipartUpload => uploads::create(buckets, request),
        Op::UploadPart => uploads::part(buckets, request, body),
        Op::UploadPartCopy => uploads::part_copy(buckets, request),
        Op::ListParts => uploads::parts(buckets, request),
        Op::CompleteMultipartUpload => uploads::complete(buckets, request, &body, dropped),
        Op::AbortMultipartUpload => uploads::abort(buckets, request),
    }
}

fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::from(Bytes::new()));
    *response.status_mut() = status;
    response
}

fn document(document: &impl Serialize) -> Answer {
    let mut response = Response::new(Body::from(xml::write(document)?));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    Ok(response)
}

fn value(text: &str) -> Result<HeaderValue, Refusal> {
    text.parse().map_err(|_| Refusal::invalid_argument(format!("{text:?} in a header")))
}

fn quoted(etag: &str) -> String {
    format!("\"{etag}\"")
}

fn iso(date: chrono::DateTime<chrono::Utc>) -> String {
    date.format("%Y-%m-%dT%H:%M:%S.000Z").to_string()
}

/// Says which version an answer is about: GCS always does, S3 in buckets that keep versions.
fn name_version(
    response: &mut Response<Body>,
    request: &Request,
    contents: &Contents,
    generation: u64,
) -> Result<(), Refusal> {
    if request.protocol == Protocol::Gcs || contents.versioning {
        response.headers_mut().insert(request.protocol.version_header(), value(&generation.to_string())?);
    }
    Ok(())
}

/// The answer to a request that wrote this object.
fn written(request: &Request, contents: &Contents, object: &Stored) -> Answer {
    let mut response = status(StatusCode::OK);
    response.headers_mut().insert(header::ETAG, value(&quoted(&object.etag))?);
    if let Some((name, value)) = &object.checksum {
        response.headers_mut().insert(name, value.clone());
    }
    name_version(&mut response, request, contents, object.generation)?;
    Ok(response)
}

//! Checksums that come with a request, compared with its body.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use crc_fast::{CrcAlgorithm, checksum};
use http::{HeaderName, HeaderValue};
use md5::{Digest, Md5};
use sha2::Sha256;

use crate::refusal::Refusal;
use crate::request::{Protocol, Request};

fn crc(algorithm: CrcAlgorithm, body: &[u8], bytes: usize) -> Vec<u8> {
    checksum(algorithm, body).to_be_bytes()[8 - bytes..].to_vec()
}

fn compute(name: &str, body: &[u8]) -> Option<Vec<u8>> {
    Some(match name {
        "crc32" => crc(CrcAlgorithm::Crc32IsoHdlc, body, 4),
        "crc32c" => crc(CrcAlgorithm::Crc32Iscsi, body, 4),
        "crc64nvme" => crc(CrcAlgorithm::Crc64Nvme, body, 8),
        "sha256" => Sha256::digest(body).to_vec(),
        "md5" => Md5::digest(body).to_vec(),
        _ => return None,
    })
}

fn compare(name: &str, sent: &str, body: &[u8]) -> Result<(), Refusal> {
    let found = compute(name, body).ok_or_else(|| Refusal::new(501, "NotImplemented", format!("checksum {name}")))?;
    let found = BASE64_STANDARD.encode(found);
    if found == sent {
        return Ok(());
    }
    Err(Refusal::new(400, "BadDigest", format!("{name} of the body is {found}, the request says {sent}")))
}

/// Refuses a body that is not what its checksums say; gives back the checksum that is stored with the object.
pub(crate) fn verify(request: &Request, body: &[u8]) -> Result<Option<(HeaderName, HeaderValue)>, Refusal> {
    if let Some(sent) = request.header("content-md5") {
        compare("md5", sent, body)?;
    }
    match request.protocol {
        Protocol::S3 => {
            verify_signed(request, body)?;
            verify_s3(request, body)
        }
        Protocol::Gcs => verify_gcs(request, body).map(|()| None),
    }
}

fn verify_s3(request: &Request, body: &[u8]) -> Result<Option<(HeaderName, HeaderValue)>, Refusal> {
    let mut kept = None;
    for (header, value) in &request.headers {
        let Some(name) = header.as_str().strip_prefix("x-amz-checksum-") else { continue };
        if !["algorithm", "type", "mode"].contains(&name) {
            compare(name, value.to_str().unwrap_or_default(), body)?;
            kept = Some((header.clone(), value.clone()));
        }
    }
    Ok(kept)
}

fn verify_gcs(request: &Request, body: &[u8]) -> Result<(), Refusal> {
    let hashes = request.headers.get_all("x-goog-hash").into_iter().filter_map(|value| value.to_str().ok());
    for hash in hashes.flat_map(|value| value.split(',')) {
        let (name, sent) = hash.trim().split_once('=').unwrap_or((hash, ""));
        compare(name, sent, body)?;
    }
    Ok(())
}

/// The digest that the signature covers.
fn verify_signed(request: &Request, body: &[u8]) -> Result<(), Refusal> {
    let Some(sent) = request.header("x-amz-content-sha256") else { return Ok(()) };
    if sent.starts_with("STREAMING-") {
        return Err(Refusal::new(501, "NotImplemented", "bodies in signed chunks"));
    }
    if sent == "UNSIGNED-PAYLOAD" {
        return Ok(());
    }
    let found: String = Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect();
    if found == sent {
        return Ok(());
    }
    Err(Refusal::new(400, "XAmzContentSHA256Mismatch", format!("the body's is {found}, the request says {sent}")))
}

/// A name for a content. S3's is often an MD5 of it; that is not promised, costs ten times the processor time, and a
/// client that relied on it would fail here.
pub(crate) fn etag(pieces: &[bytes::Bytes]) -> String {
    let mut digest = crc_fast::Digest::new(CrcAlgorithm::Crc64Nvme);
    let mut length = 0;
    for piece in pieces {
        digest.update(piece);
        length += piece.len();
    }
    format!("{:016x}{length:016x}", digest.finalize())
}

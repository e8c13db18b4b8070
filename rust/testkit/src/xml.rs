//! The documents of the protocol.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::refusal::Refusal;

const HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

#[derive(Serialize)]
#[serde(rename = "Error", rename_all = "PascalCase")]
struct Error<'a> {
    code: &'a str,
    message: &'a str,
    request_id: &'a str,
}

pub(crate) fn error(code: &str, message: &str) -> Bytes {
    write(&Error { code, message, request_id: "0" }).unwrap_or_default()
}

/// A document as text.
pub(crate) fn write(document: &impl Serialize) -> Result<Bytes, Refusal> {
    let mut text = HEAD.to_owned();
    quick_xml::se::to_writer(&mut text, document)
        .map_err(|error| Refusal::new(500, "InternalError", error.to_string()))?;
    Ok(text.into())
}

/// A document that came in a request.
pub(crate) fn read<T: for<'de> Deserialize<'de>>(text: &[u8]) -> Result<T, Refusal> {
    quick_xml::de::from_reader(text).map_err(|error| Refusal::new(400, "MalformedXML", error.to_string()))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Delete {
    #[serde(rename = "Object", default)]
    pub(crate) objects: Vec<DeleteKey>,
    #[serde(default)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DeleteKey {
    pub(crate) key: String,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename = "DeleteResult", rename_all = "PascalCase")]
pub(crate) struct DeleteResult {
    pub(crate) deleted: Vec<Deleted>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Deleted {
    pub(crate) key: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Complete {
    #[serde(rename = "Part", default)]
    pub(crate) parts: Vec<CompletePart>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct CompletePart {
    #[serde(rename = "PartNumber")]
    pub(crate) number: u32,
    #[serde(rename = "ETag")]
    pub(crate) etag: String,
    #[serde(rename = "ChecksumSHA256")]
    pub(crate) sha256: Option<String>,
    #[serde(rename = "ChecksumCRC64NVME")]
    pub(crate) crc64nvme: Option<String>,
    #[serde(rename = "ChecksumCRC32")]
    pub(crate) crc32: Option<String>,
    #[serde(rename = "ChecksumCRC32C")]
    pub(crate) crc32c: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CompleteMultipartUploadResult<'a> {
    pub(crate) bucket: &'a str,
    pub(crate) key: &'a str,
    #[serde(rename = "ETag")]
    pub(crate) etag: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct InitiateMultipartUploadResult<'a> {
    pub(crate) bucket: &'a str,
    pub(crate) key: &'a str,
    pub(crate) upload_id: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename = "CopyObjectResult")]
pub(crate) struct CopyResult<'a> {
    #[serde(rename = "ETag")]
    pub(crate) etag: &'a str,
    #[serde(rename = "LastModified")]
    pub(crate) modified: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct CopyPartResult<'a> {
    #[serde(rename = "ETag")]
    pub(crate) etag: &'a str,
    #[serde(rename = "LastModified")]
    pub(crate) modified: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListBucketResult<'a> {
    pub(crate) name: &'a str,
    pub(crate) prefix: String,
    pub(crate) key_count: usize,
    pub(crate) max_keys: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) delimiter: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) encoding_type: Option<&'static str>,
    pub(crate) is_truncated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_continuation_token: Option<String>,
    pub(crate) contents: Vec<Contents>,
    pub(crate) common_prefixes: Vec<CommonPrefix>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Contents {
    pub(crate) key: String,
    pub(crate) last_modified: String,
    #[serde(rename = "ETag")]
    pub(crate) etag: String,
    pub(crate) size: u64,
    pub(crate) storage_class: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CommonPrefix {
    pub(crate) prefix: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct ListAllMyBucketsResult {
    #[serde(rename = "Buckets")]
    pub(crate) buckets: Buckets,
}

#[derive(Debug, Serialize)]
pub(crate) struct Buckets {
    #[serde(rename = "Bucket")]
    pub(crate) bucket: Vec<BucketEntry>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct BucketEntry {
    pub(crate) name: String,
    pub(crate) creation_date: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListMultipartUploadsResult<'a> {
    pub(crate) bucket: &'a str,
    pub(crate) is_truncated: bool,
    pub(crate) upload: Vec<UploadEntry>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UploadEntry {
    pub(crate) key: String,
    pub(crate) upload_id: String,
    pub(crate) initiated: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListPartsResult<'a> {
    pub(crate) bucket: &'a str,
    pub(crate) key: &'a str,
    pub(crate) upload_id: &'a str,
    pub(crate) is_truncated: bool,
    pub(crate) part: Vec<PartEntry>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PartEntry {
    pub(crate) part_number: u32,
    #[serde(rename = "ETag")]
    pub(crate) etag: String,
    pub(crate) size: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename = "VersioningConfiguration", rename_all = "PascalCase")]
pub(crate) struct Versioning {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct LocationConstraint {}

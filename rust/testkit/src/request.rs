//! What a request asks for.

use http::{HeaderMap, Method, Uri};
use percent_encoding::percent_decode_str;

use crate::refusal::Refusal;

/// The language a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// Amazon S3, path style.
    #[default]
    S3,
    /// The XML API of Google Cloud Storage.
    Gcs,
}

impl Protocol {
    /// What the protocol's own headers begin with.
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Self::S3 => "x-amz-",
            Self::Gcs => "x-goog-",
        }
    }

    pub(crate) fn version_header(self) -> &'static str {
        match self {
            Self::S3 => "x-amz-version-id",
            Self::Gcs => "x-goog-generation",
        }
    }

    pub(crate) fn version_query(self) -> &'static str {
        match self {
            Self::S3 => "versionId",
            Self::Gcs => "generation",
        }
    }
}

macro_rules! operations {
    ($($name:ident),* $(,)?) => {
        /// The operations of this server, by S3's names for them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[allow(missing_docs, reason = "the protocol documents them")]
        pub enum Operation { $($name),* }

        impl Operation {
            /// S3's name.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),* }
            }
        }
    };
}

operations!(
    ListBuckets,
    CreateBucket,
    HeadBucket,
    DeleteBucket,
    GetBucketLocation,
    GetBucketVersioning,
    PutBucketVersioning,
    ListObjectsV2,
    ListMultipartUploads,
    DeleteObjects,
    GetObject,
    HeadObject,
    PutObject,
    CopyObject,
    DeleteObject,
    CreateMultipartUpload,
    UploadPart,
    UploadPartCopy,
    ListParts,
    CompleteMultipartUpload,
    AbortMultipartUpload,
);

/// Parts of an object or bucket that this server does not have; to ignore them would answer another question.
const SUBRESOURCES: [&str; 14] = [
    "acl",
    "attributes",
    "cors",
    "encryption",
    "legal-hold",
    "lifecycle",
    "object-lock",
    "policy",
    "restore",
    "retention",
    "select",
    "tagging",
    "versions",
    "website",
];

/// A request without its body.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) protocol: Protocol,
    pub(crate) operation: Operation,
    pub(crate) method: Method,
    pub(crate) bucket: String,
    pub(crate) key: String,
    pub(crate) raw_query: String,
    pub(crate) headers: HeaderMap,
    query: Vec<(String, String)>,
}

impl Request {
    pub(crate) fn new(protocol: Protocol, method: Method, uri: &Uri, headers: HeaderMap) -> Result<Self, Refusal> {
        let raw_query = uri.query().unwrap_or_default().to_owned();
        let query: Vec<_> = url::form_urlencoded::parse(raw_query.as_bytes()).into_owned().collect();
        let path = uri.path().strip_prefix('/').unwrap_or_default();
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        let decode = |text: &str| {
            percent_decode_str(text)
                .decode_utf8()
                .map(|text| text.into_owned())
                .map_err(|_| Refusal::invalid_argument(format!("{text:?} is not UTF-8")))
        };
        let (bucket, key) = (decode(bucket)?, decode(key)?);
        let mut request =
            Self { protocol, operation: Operation::ListBuckets, method, bucket, key, raw_query, headers, query };
        request.operation = request.find_operation().ok_or_else(|| {
            let what = format!("{} {path}?{}", request.method, request.raw_query);
            Refusal::new(501, "NotImplemented", what)
        })?;
        Ok(request)
    }

    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// A header of the protocol's own, without its prefix.
    pub(crate) fn own_header(&self, name: &str) -> Option<&str> {
        self.header(&format!("{}{name}", self.protocol.prefix()))
    }

    /// The number of an uploaded part.
    pub(crate) fn part_number(&self) -> Result<u32, Refusal> {
        let number = self.query("partNumber").unwrap_or_default();
        number.parse().ok().filter(|number| (1..=10_000).contains(number)).ok_or_else(|| {
            Refusal::invalid_argument(format!("part number: found {number:?}, expected an integer from 1 to 10000"))
        })
    }

    fn has(&self, name: &str) -> bool {
        self.query(name).is_some()
    }

    fn find_operation(&self) -> Option<Operation> {
        if SUBRESOURCES.iter().any(|name| self.has(name)) {
            return None;
        }
        match (self.bucket.as_str(), self.key.as_str()) {
            ("", _) => (self.method == Method::GET).then_some(Operation::ListBuckets),
            (_, "") => self.bucket_operation(),
            _ => self.object_operation(),
        }
    }

    fn bucket_operation(&self) -> Option<Operation> {
        Some(match self.method {
            Method::PUT if self.has("versioning") => Operation::PutBucketVersioning,
            Method::PUT => Operation::CreateBucket,
            Method::HEAD => Operation::HeadBucket,
            Method::DELETE => Operation::DeleteBucket,
            Method::POST if self.has("delete") && self.protocol == Protocol::S3 => Operation::DeleteObjects,
            Method::GET if self.query("list-type") == Some("2") => Operation::ListObjectsV2,
            Method::GET if self.has("location") => Operation::GetBucketLocation,
            Method::GET if self.has("versioning") => Operation::GetBucketVersioning,
            Method::GET if self.has("uploads") => Operation::ListMultipartUploads,
            _ => return None,
        })
    }

    fn object_operation(&self) -> Option<Operation> {
        let copies = self.own_header("copy-source").is_some();
        Some(match self.method {
            Method::GET if self.has("uploadId") => Operation::ListParts,
            Method::GET if self.has("partNumber") => return None,
            Method::GET => Operation::GetObject,
            Method::HEAD => Operation::HeadObject,
            Method::PUT if self.has("uploadId") && copies => Operation::UploadPartCopy,
            Method::PUT if self.has("uploadId") => Operation::UploadPart,
            Method::PUT if copies => Operation::CopyObject,
            Method::PUT => Operation::PutObject,
            Method::POST if self.has("uploads") => Operation::CreateMultipartUpload,
            Method::POST if self.has("uploadId") => Operation::CompleteMultipartUpload,
            Method::DELETE if self.has("uploadId") => Operation::AbortMultipartUpload,
            Method::DELETE => Operation::DeleteObject,
            _ => return None,
        })
    }
}

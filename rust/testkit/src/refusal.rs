//! Answers that say no.

use bytes::Bytes;
use http::{Response, StatusCode, header};

use crate::body::Body;
use crate::xml;

/// Why a request is refused, as the error document says it.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    status: u16,
    code: String,
    message: String,
    headers: Vec<(String, String)>,
}

impl Refusal {
    pub(crate) fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self { status, code: code.into(), message: message.into(), headers: Vec::new() }
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(crate) fn invalid_argument(message: impl Into<String>) -> Self {
        Self::new(400, "InvalidArgument", message)
    }

    pub(crate) fn precondition(what: &str) -> Self {
        Self::new(412, "PreconditionFailed", format!("the condition {what} does not hold"))
    }

    pub(crate) fn no_key(key: &str) -> Self {
        Self::new(404, "NoSuchKey", format!("no object {key:?}"))
    }

    /// What a server says with this status; for scripted answers.
    pub(crate) fn scripted(status: u16, code: Option<String>) -> Self {
        let usual = match status {
            400 => "InvalidRequest",
            401 => "Unauthorized",
            403 => "AccessDenied",
            404 => "NoSuchKey",
            409 => "OperationAborted",
            412 => "PreconditionFailed",
            429 | 503 => "SlowDown",
            301 | 302 | 307 | 308 => "TemporaryRedirect",
            _ => "InternalError",
        };
        Self::new(status, &code.unwrap_or_else(|| usual.into()), "as the test asked for")
    }

    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The answer; without a document where HTTP allows none.
    pub(crate) fn response(&self, head: bool) -> Response<Body> {
        let status = self.status();
        let silent = head || status == StatusCode::NOT_MODIFIED || status == StatusCode::NO_CONTENT;
        let document = if silent { Bytes::new() } else { xml::error(&self.code, &self.message) };
        let mut response = Response::new(Body::from(document));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        if !silent {
            headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/xml"));
        }
        for (name, value) in &self.headers {
            if let (Ok(name), Ok(value)) = (name.parse::<header::HeaderName>(), value.parse()) {
                headers.append(name, value);
            }
        }
        response
    }
}

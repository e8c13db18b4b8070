//! What a test tells the server and asks it, over HTTP beside the protocol.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::body::Body;
use crate::bucket::Bucket;
use crate::fault::Rule;
use crate::service::State;
use crate::synthetic::Synthetic;

pub(crate) fn answer(state: &State, path: &str, body: &Bytes) -> Response<Body> {
    let answer = match path {
        "faults" => parse::<Vec<Rule>>(body)
            .and_then(|rules| state.faults.set(rules).map_err(|error| error.to_string()))
            .map(|()| json!({})),
        "synthetic" => parse(body).and_then(|synthetic| make(state, synthetic)).map(|()| json!({})),
        "requests" => Ok(json!({"counts": state.log.counts(), "requests": state.log.entries()})),
        "counts" => Ok(json!(state.log.counts())),
        "reset" => parse(body).map(|what| reset(state, &what)),
        _ => Err(format!("no control named {path:?}")),
    };
    let (status, value) = match answer {
        Ok(value) => (StatusCode::OK, value),
        Err(message) => (StatusCode::BAD_REQUEST, json!({ "error": message })),
    };
    let mut response = Response::new(Body::from(Bytes::from(value.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn parse<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, String> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

/// A bucket of computed objects, in the place of any other of that name.
pub(crate) fn make(state: &State, synthetic: Synthetic) -> Result<(), String> {
    if let Some(fault) = synthetic.fault() {
        return Err(fault);
    }
    let name = synthetic.bucket.clone();
    if state.buckets.create(&name, Bucket::new(Some(synthetic))) {
        return Ok(());
    }
    Err(format!("bucket {name:?} exists"))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reset {
    /// Also forgets the buckets; not by default.
    #[serde(default)]
    buckets: bool,
}

fn reset(state: &State, what: &Reset) -> Value {
    // Without rules nothing can be wrong with them.
    let _ = state.faults.set(Vec::new());
    state.log.clear();
    if what.buckets {
        state.buckets.clear();
    }
    json!({})
}

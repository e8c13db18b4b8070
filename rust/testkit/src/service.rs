//! From a request on a connection to its answer, through the faults that a test has asked for.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Response, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::answer;
use crate::body::{Body, Broken, Then};
use crate::bucket::Buckets;
use crate::control;
use crate::fault::{Action, Faults, Stage};
use crate::log::{Entry, Log};
use crate::refusal::Refusal;
use crate::request::{Protocol, Request};
use crate::wire::Ending;

/// Room made at once for a body of announced length; more grows as it comes, as the announcement may be a lie.
const ROOM: u64 = 64 << 20;

/// What all connections of a server share.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) protocol: Protocol,
    pub(crate) buckets: Buckets,
    pub(crate) faults: Faults,
    pub(crate) log: Arc<Log>,
}

/// Answers a request, or breaks its connection.
pub(crate) async fn serve(
    state: Arc<State>,
    ending: Arc<Ending>,
    request: hyper::Request<Incoming>,
) -> Result<Response<Body>, Broken> {
    let (head, body) = request.into_parts();
    if let Some(path) = head.uri.path().strip_prefix("/_testkit/") {
        let body = receive(body, &Intake::default(), &ending, |_| ()).await?;
        return Ok(control::answer(&state, path, &body));
    }
    let request = match Request::new(state.protocol, head.method, &head.uri, head.headers) {
        Ok(request) => request,
        Err(refusal) => {
            receive(body, &Intake::default(), &ending, |_| ()).await?;
            return Ok(refusal.response(false));
        }
    };
    let action = state.faults.of(&request);
    let (entry, answering) = state.log.begin(request.clone());
    if let Some(action) = &action {
        entry.hit(action);
    }
    let mut response = answered(&state, &request, body, action.as_ref(), &ending, &entry).await?;
    response.body_mut().hold(answering);
    entry.answered(response.status().as_u16());
    Ok(response)
}

async fn answered(
    state: &State,
    request: &Request,
    body: Incoming,
    action: Option<&Action>,
    ending: &Arc<Ending>,
    entry: &Entry,
) -> Result<Response<Body>, Broken> {
    let head = request.method == http::Method::HEAD;
    interrupt(action, Stage::Request, ending).await?;
    let body = receive(body, &Intake::of(action), ending, |bytes| entry.received(bytes)).await?;
    if let Some(Action::Status { status, code, headers }) = action {
        let mut refusal = Refusal::scripted(*status, code.clone());
        for (name, value) in headers {
            refusal = refusal.with(name, value);
        }
        return Ok(refusal.response(head));
    }
    let dropped = if let Some(Action::DropPart { part }) = action { Some(*part) } else { None };
    let mut response =
        answer::answer(&state.buckets, request, body, dropped).unwrap_or_else(|refusal| refusal.response(head));
    interrupt(action, Stage::Reply, ending).await?;
    if let Some(action) = action.filter(|_| !head) {
        distort(&mut response, action, ending);
    }
    Ok(response)
}

/// How the connection is broken at this stage, and after how many bytes of a body.
fn break_at(action: Option<&Action>, wanted: Stage) -> Option<(u64, Then)> {
    let (stage, after, then) = match action? {
        Action::Reset { stage, after } => (stage, after, Then::Reset),
        Action::Close { stage, after } => (stage, after, Then::Close),
        Action::Stall { stage, after, seconds } => {
            (stage, after, Then::Stall(seconds.map(|seconds| Duration::from_secs_f64(seconds.clamp(0.0, 3600.0)))))
        }
        _ => return None,
    };
    (*stage == wanted).then_some((*after, then))
}

async fn carry_out(then: &Then, ending: &Ending) -> Result<(), Broken> {
    match then {
        Then::Reset => {
            ending.reset();
            Err(Broken)
        }
        Then::Stall(Some(time)) => {
            tokio::time::sleep(*time).await;
            Ok(())
        }
        Then::Stall(None) => std::future::pending().await,
        Then::Close | Then::Overrun => Err(Broken),
    }
}

async fn interrupt(action: Option<&Action>, stage: Stage, ending: &Ending) -> Result<(), Broken> {
    match break_at(action, stage) {
        Some((_, then)) => carry_out(&then, ending).await,
        None => Ok(()),
    }
}

/// How a request's body is received.
#[derive(Debug, Default)]
struct Intake {
    bytes_per_second: Option<u64>,
    breaks: Option<(u64, Then)>,
}

impl Intake {
    fn of(action: Option<&Action>) -> Self {
        let bytes_per_second = match action {
            Some(Action::Throttle { bytes_per_second }) => Some((*bytes_per_second).max(1)),
            _ => None,
        };
        Self { bytes_per_second, breaks: break_at(action, Stage::Upload) }
    }
}

async fn receive(mut body: Incoming, intake: &Intake, ending: &Ending, count: impl Fn(u64)) -> Result<Bytes, Broken> {
    let announced = hyper::body::Body::size_hint(&body).exact().unwrap_or_default();
    let mut received = BytesMut::with_capacity(announced.min(ROOM) as usize);
    let mut breaks = intake.breaks.as_ref();
    loop {
        if let Some((_, then)) = breaks.filter(|(after, _)| received.len() as u64 >= *after) {
            carry_out(then, ending).await?;
            breaks = None;
        }
        let Some(frame) = body.frame().await else { return Ok(received.freeze()) };
        let Ok(data) = frame.map_err(|_| Broken)?.into_data() else { continue };
        count(data.len() as u64);
        received.extend_from_slice(&data);
        if let Some(pace) = intake.bytes_per_second {
            tokio::time::sleep(Duration::from_secs_f64(data.len() as f64 / pace as f64)).await;
        }
    }
}

/// Changes how the answer's body goes over the wire.
fn distort(response: &mut Response<Body>, action: &Action, ending: &Arc<Ending>) {
    let length = response.body().len();
    match action {
        Action::Length { by } => {
            let announced = length.saturating_add_signed(*by);
            response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(announced));
            let (at, then) = if announced < length { (announced, Then::Overrun) } else { (length, Then::Close) };
            response.body_mut().cut(at, then, ending);
        }
        Action::Chunked { after } => {
            response.headers_mut().remove(header::CONTENT_LENGTH);
            response.body_mut().distrust_length();
            if let Some(after) = after {
                response.body_mut().cut(*after, Then::Close, ending);
            }
        }
        Action::Corrupt { at } => response.body_mut().flip(*at),
        Action::Throttle { bytes_per_second } => response.body_mut().throttle(*bytes_per_second),
        action => {
            if let Some((after, then)) = break_at(Some(action), Stage::Body) {
                response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
                response.body_mut().cut(after, then, ending);
            }
        }
    }
}

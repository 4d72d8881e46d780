//! `POST /rpc` and `POST /rpc/{service}`: the way of every JSON call into the relay.

use super::Shared;
use super::body::read_json;
use super::call_headers::{self, Asked};
use super::connection::Connection;
use super::cors::RELAY_ERROR;
use super::reply::{Reply, json_bytes, refusal};
use crate::json_rpc::{
    Call, DiscoverInfo, Entry, Front, Parsed, Target, Trace, write_answer, write_discover,
    write_error,
};
use crate::metrics::{CallTimer, Outcome};
use bytes::Bytes;
use futures_util::future::join_all;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use relay_tokio::{Answer, CallError, CallRequest, ErrorCode, Executed, TraceHop, is_service};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Which of the two forms of the path a request uses.
pub(super) enum Endpoint {
    /// `/rpc`
    Any,
    /// `/rpc/{service}`
    Of(String),
    /// `/rpc/` and something that is not the name of a service.
    Nothing,
}

impl Endpoint {
    /// None when the path is not about JSON-RPC.
    pub(super) fn of(path: &str) -> Option<Self> {
        let rest = path.strip_prefix("/rpc")?;
        if rest.is_empty() {
            return Some(Self::Any);
        }
        let service = rest.strip_prefix('/')?;
        Some(if is_service(service) { Self::Of(service.to_owned()) } else { Self::Nothing })
    }

    fn service(&self) -> Option<&str> {
        match self {
            Self::Of(service) => Some(service),
            Self::Any | Self::Nothing => None,
        }
    }
}

/// Answers one HTTP request to a JSON-RPC endpoint.
pub(super) async fn answer(
    shared: &Shared,
    endpoint: Endpoint,
    request: Request<Incoming>,
    connection: &Connection,
) -> Response<Reply> {
    if matches!(endpoint, Endpoint::Nothing) {
        let detail = "post to /rpc, or to /rpc/ and the name of a service";
        return refusal(StatusCode::NOT_FOUND, "Not Found", detail).map(Either::Right);
    }
    if request.method() != Method::POST {
        let status = StatusCode::METHOD_NOT_ALLOWED;
        let mut response = refusal(status, "Method Not Allowed", "JSON-RPC is sent by POST");
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
        return response.map(Either::Right);
    }
    let asked = match call_headers::read(request.headers()) {
        Ok(asked) => asked,
        Err(detail) => {
            return refusal(StatusCode::BAD_REQUEST, "Bad Request", detail).map(Either::Right);
        }
    };
    let (head, body) = request.into_parts();
    let bytes_max = shared.config.body_bytes_max;
    let body = match read_json(&head.headers, body, bytes_max, connection).await {
        Ok(body) => body,
        Err(response) => return response.map(Either::Right),
    };
    let Asked { options, passed_on } = asked;
    let front = Front { node: shared.node.id().as_str(), service: endpoint.service(), options };
    let response = match Parsed::of(&body, &front) {
        Parsed::Single(entry) => single(shared, entry, &passed_on).await,
        Parsed::Batch(entries) => batch(shared, entries, &passed_on).await,
    };
    response.map(Either::Left)
}

async fn single(shared: &Shared, entry: Entry, passed_on: &PassedOn) -> Response<Full<Bytes>> {
    let answered = run(shared, entry, passed_on).await;
    let mut out = Vec::new();
    let Some(failure) = answered.write(shared, &mut out) else { return nothing() };
    let mut response = json_bytes(StatusCode::OK, out);
    if let Some(code) = failure {
        response.headers_mut().insert(RELAY_ERROR, HeaderValue::from_static(code.name()));
    }
    response
}

/// Runs the entries side by side; each fails alone. Answers keep the order of the requests.
async fn batch(
    shared: &Shared,
    entries: Vec<Entry>,
    passed_on: &PassedOn,
) -> Response<Full<Bytes>> {
    let bytes_max = shared.config.batch_bytes_max;
    let room = AtomicUsize::new(bytes_max);
    let bounded = async |entry| {
        let mut answered = run(shared, entry, passed_on).await;
        let bytes = answered.result_bytes();
        let take = |left: usize| left.checked_sub(bytes);
        if room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_err() {
            // Dropped at once, so that a batch never holds more than the bound.
            answered.refuse(shared, bytes_max);
        }
        answered
    };
    let answered = join_all(entries.into_iter().map(bounded)).await;
    let mut out = Vec::with_capacity(bytes_max - room.into_inner() + 64 * answered.len());
    out.push(b'[');
    for entry in answered {
        let start = out.len();
        if entry.write(shared, &mut out).is_some() && start > 1 {
            out.insert(start, b',');
        }
    }
    if out.len() == 1 {
        return nothing();
    }
    out.push(b']');
    json_bytes(StatusCode::OK, out)
}

/// What became of an entry.
enum Answered {
    /// Nothing to tell the caller.
    Silent,
    /// The entry was no call.
    Invalid { id: Option<Bytes>, error: CallError },
    /// The call ran, or the relay says why not.
    Call { id: Bytes, done: Done },
}

/// What became of a call.
struct Done {
    answer: Result<Answer, CallError>,
    way: Option<Way>,
    /// Calls to the node itself have none.
    timer: Option<CallTimer>,
}

/// The way of a call that was traced.
struct Way {
    hops: Vec<TraceHop>,
    total: Duration,
}

/// Pairs of key and value that go along with each call, up to the service.
type PassedOn = [(String, String)];

impl Answered {
    fn result_bytes(&self) -> usize {
        let Self::Call { done: Done { answer: Ok(answer), .. }, .. } = self else { return 0 };
        match answer {
            Answer::Result(bytes) | Answer::ApplicationError(bytes) => bytes.len(),
        }
    }

    fn refuse(&mut self, shared: &Shared, bytes_max: usize) {
        if let Self::Call { done: Done { answer, .. }, .. } = self {
            let detail = "the answers of this batch are too large together: send fewer at once";
            let error = CallError::new(ErrorCode::TooLarge, shared.node.id().as_str(), detail);
            *answer = Err(error.with_executed(Executed::Yes).with_limit(bytes_max as u64));
        }
    }

    /// Writes the response object, if there is one. Says what failed, if the relay failed it.
    fn write(self, shared: &Shared, out: &mut Vec<u8>) -> Option<Option<ErrorCode>> {
        match self {
            Self::Silent => None,
            Self::Invalid { id, error } => {
                shared.metrics.calls().count(Outcome::Failed(error.code));
                write_error(out, id.as_deref(), &error);
                Some(Some(error.code))
            }
            Self::Call { id, done: Done { answer, way, timer } } => {
                let node = shared.node.id().as_str();
                let trace =
                    way.as_ref().map(|way| Trace { node, hops: &way.hops, total: way.total });
                let failure = write_answer(out, &id, &answer, trace.as_ref(), node);
                end(shared, timer, failure.map_or_else(|| Outcome::of(&answer), Outcome::Failed));
                Some(failure)
            }
        }
    }
}

async fn run(shared: &Shared, entry: Entry, passed_on: &PassedOn) -> Answered {
    match entry {
        Entry::Call { id, call } => {
            let done = run_call(shared, call, passed_on).await;
            Answered::Call { id, done }
        }
        Entry::Notification(call) => {
            let Done { answer, timer, .. } = run_call(shared, call, passed_on).await;
            end(shared, timer, Outcome::of(&answer));
            if let Err(error) = answer {
                tracing::debug!(%error, "a notification failed");
            }
            Answered::Silent
        }
        Entry::Ignored(error) => {
            shared.metrics.calls().count(Outcome::Failed(error.code));
            tracing::debug!(%error, "a notification could not run");
            Answered::Silent
        }
        Entry::Invalid { id, error } => Answered::Invalid { id, error },
    }
}

async fn run_call(shared: &Shared, call: Call, passed_on: &PassedOn) -> Done {
    let began = Instant::now();
    let is_traced = call.options.is_traced;
    let way = |hops| is_traced.then(|| Way { hops, total: began.elapsed() });
    let Target::Service { node, service, method } = call.target else {
        let mut out = Vec::new();
        let version = env!("CARGO_PKG_VERSION");
        let info = DiscoverInfo { node: shared.node.id().as_str(), version };
        write_discover(&mut out, &info, &shared.node.registry());
        let answer = Ok(Answer::Result(Bytes::from(out)));
        return Done { answer, way: way(Vec::new()), timer: None };
    };
    let mut timer = shared.metrics.calls().begin(&service);
    let mut request = CallRequest::new(service, method, call.params);
    request.node = node;
    request.idempotent = call.options.is_idempotent;
    request.priority = call.options.priority;
    request.trace = call.options.is_traced;
    request.headers = passed_on.to_vec();
    if let Some(timeout) = call.options.timeout {
        request.deadline = timeout;
    }
    let (answer, hops) = shared.node.call_traced(request).await;
    timer.answered();
    Done { answer, way: way(hops), timer: Some(timer) }
}

fn end(shared: &Shared, timer: Option<CallTimer>, outcome: Outcome) {
    match timer {
        Some(timer) => timer.end(outcome),
        None => shared.metrics.calls().count(outcome),
    }
}

fn nothing() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

//! `POST /rpc` and `POST /rpc/{service}`: the way of every JSON call into the relay.

use super::Shared;
use super::body::read_json;
use super::call_headers::{self, Asked};
use super::connection::Connection;
use super::cors::RELAY_ERROR;
use super::reply::{Reply, json_bytes, refusal};
use crate::calls::{PassedOn, Runner};
use crate::json_rpc::{Entry, Front, Parsed};
use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use relay_tokio::is_service;

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
    let runner = &shared.runner;
    let front =
        Front { node: runner.id(), service: endpoint.service(), options, is_connected: false };
    let response = match Parsed::of(&body, &front) {
        Parsed::Single(entry) => single(runner, entry, &passed_on).await,
        Parsed::Batch(entries) => {
            let entries = entries.into_iter().map(|entry| runner.run(entry, &passed_on));
            let written = runner.batch(entries).await;
            written.map_or_else(nothing, |out| json_bytes(StatusCode::OK, out))
        }
    };
    response.map(Either::Left)
}

async fn single(runner: &Runner, entry: Entry, passed_on: &PassedOn) -> Response<Full<Bytes>> {
    let answered = runner.run(entry, passed_on).await;
    let mut out = Vec::new();
    let Some(failure) = runner.write(answered, &mut out) else { return nothing() };
    let mut response = json_bytes(StatusCode::OK, out);
    if let Some(code) = failure {
        response.headers_mut().insert(RELAY_ERROR, HeaderValue::from_static(code.name()));
    }
    response
}

fn nothing() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

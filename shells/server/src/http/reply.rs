//! How responses are put together.

use axum::body::Body;
use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;

/// The body of a response: bytes at hand, or what a route made.
pub(super) type Reply = Either<Full<Bytes>, Body>;

/// A response with JSON that is already written.
pub(super) fn json_bytes(status: StatusCode, body: Vec<u8>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response
}

/// A response with `value` as JSON.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    match serde_json::to_vec(value) {
        Ok(body) => json_bytes(status, body).map(Body::new),
        Err(error) => {
            tracing::error!(%error, "a response could not be written as JSON");
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response
        }
    }
}

/// A refusal: `{"error": what, "detail": how to do it right}`.
pub(super) fn refusal(status: StatusCode, error: &str, detail: &str) -> Response<Body> {
    #[derive(Serialize)]
    struct Refusal<'a> {
        error: &'a str,
        detail: &'a str,
    }
    json(status, &Refusal { error, detail })
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");

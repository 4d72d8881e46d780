//! `GET /metrics`: the numbers of this node for a scraper.

use super::Shared;
use super::reply::refusal;
use crate::metrics::Format;
use axum::body::Body;
use axum::extract::State;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};
use std::sync::Arc;

pub(super) async fn scrape(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
) -> Response<Body> {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let format = Format::of(accept.unwrap_or_default());
    match shared.metrics.write(format) {
        Ok(text) => {
            let mut response = Response::new(Body::from(text));
            let content_type = HeaderValue::from_static(format.content_type());
            response.headers_mut().insert(header::CONTENT_TYPE, content_type);
            response
        }
        Err(error) => {
            tracing::error!(%error, "the metrics could not be written");
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            refusal(status, "Internal Server Error", "see the log of the node")
        }
    }
}

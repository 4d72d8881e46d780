//! `POST /publish/{topic}` and `GET /topics`: pub/sub for programs that speak only HTTP.

use super::accept::RouteContext;
use super::body::read_json;
use super::call_headers::trace_context;
use super::cors::RELAY_ERROR;
use super::reply::{json, refusal};
use super::{Shared, rfc3339};
use crate::json_rpc::{SCAN_DEPTH_MAX, one_value};
use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State};
use data_encoding::HEXLOWER_PERMISSIVE;
use hyper::header::HeaderValue;
use hyper::{Request, Response, StatusCode, Uri};
use relay_tokio::{CallError, ErrorCode, Publish, is_pattern};
use serde::Serialize;
use std::sync::Arc;
use std::time::SystemTime;

/// `POST /publish/{topic}`: the body is published as it came.
pub(super) async fn publish(
    State(shared): State<Arc<Shared>>,
    Extension(context): Extension<RouteContext>,
    Path(topic): Path<String>,
    request: Request<Body>,
) -> Response<Body> {
    #[derive(Serialize)]
    struct Handed {
        links: u32,
        mains: u32,
    }
    let (head, body) = request.into_parts();
    let bytes_max = shared.config.body_bytes_max;
    let body = match read_json(&head.headers, body, bytes_max, &context.connection).await {
        Ok(body) => body,
        Err(response) => return response,
    };
    if let Err(error) = one_value(&body, SCAN_DEPTH_MAX) {
        let detail = format!("the body is not JSON: {}, at byte {}", error.what, error.at);
        return refusal(StatusCode::BAD_REQUEST, "Bad Request", &detail);
    }
    let passed_on = trace_context(&head.headers);
    let headers: Vec<(&str, &str)> =
        passed_on.iter().map(|(key, value)| (&key[..], &value[..])).collect();
    let publish = Publish { topic: &topic, body: &body, headers: &headers };
    if !shared.publishing().admits() {
        let node = shared.node.id().as_str();
        let detail = "more is published here by HTTP than may be";
        return failed(&CallError::new(ErrorCode::RateLimited, node, detail));
    }
    match shared.node.publish_with(publish) {
        Ok(done) => {
            shared.publishing().spend(topic.len() + body.len(), done);
            json(StatusCode::ACCEPTED, &Handed { links: done.links, mains: done.mains })
        }
        Err(error) => failed(&error),
    }
}

/// `GET /topics`: patterns that are subscribed to here, in the order of their bytes. `?after=` goes
/// on behind one, `?limit=` takes fewer at a time.
pub(super) async fn all(State(shared): State<Arc<Shared>>, uri: Uri) -> Response<Body> {
    #[derive(Serialize)]
    struct Topics<'a> {
        node_id: &'a str,
        topics: Vec<Topic<'a>>,
        count: usize,
        #[serde(skip_serializing_if = "Option::is_none")]
        next: Option<&'a str>,
        timestamp: String,
    }
    #[derive(Serialize)]
    struct Topic<'a> {
        pattern: &'a str,
        links: u32,
    }
    let Some(Asked { after, limit }) = Asked::of(uri.query().unwrap_or_default()) else {
        let detail = format!("ask with ?after=PATTERN, ?limit=1 to {LIMIT_MAX}, or both");
        return refusal(StatusCode::BAD_REQUEST, "Bad Request", &detail);
    };
    let mut found = shared.node.subscriptions_after(&after, limit + 1);
    let has_more = found.len() > limit;
    found.truncate(limit);
    let topics = found.iter().map(|(pattern, links)| Topic { pattern, links: *links }).collect();
    let last = found.last().map(|(pattern, _)| pattern.as_str());
    let topics = Topics {
        node_id: shared.node.id().as_str(),
        topics,
        count: shared.node.census().patterns,
        next: last.filter(|_| has_more),
        timestamp: rfc3339(SystemTime::now()),
    };
    json(StatusCode::OK, &topics)
}

/// Which part of the list is wanted.
#[derive(PartialEq, Eq, Debug)]
struct Asked {
    after: String,
    limit: usize,
}

impl Asked {
    fn of(query: &str) -> Option<Self> {
        let mut asked = Self { after: String::new(), limit: LIMIT_MAX };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=')? {
                ("after", text) => asked.after = decoded(text).filter(|text| is_pattern(text))?,
                ("limit", text) => {
                    asked.limit =
                        text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit))?;
                }
                _ => return None,
            }
        }
        Some(asked)
    }
}

/// `%2A` is a `*`: some programs write it so.
fn decoded(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut out = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.as_bytes().split_at_checked(2)?;
        out.extend(HEXLOWER_PERMISSIVE.decode(digits).ok()?);
        out.extend_from_slice(rest);
    }
    String::from_utf8(out).ok()
}

/// A refusal in the words of the relay, with the name of the error where `POST /rpc` has it too.
fn failed(error: &CallError) -> Response<Body> {
    let status = StatusCode::from_u16(error.code.http_status());
    let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let detail = if error.message.is_empty() { error.code.meaning() } else { &error.message };
    let mut response = refusal(status, error.code.name(), detail);
    response.headers_mut().insert(RELAY_ERROR, HeaderValue::from_static(error.code.name()));
    response
}

/// Patterns in one answer.
const LIMIT_MAX: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_the_list_are_asked_for() {
        let of = |after: &str, limit| Some(Asked { after: after.to_owned(), limit });
        assert_eq!(Asked::of(""), of("", LIMIT_MAX));
        assert_eq!(Asked::of("after=a.%2a&limit=5"), of("a.*", 5));
        assert_eq!(Asked::of("after=%2A%2A"), of("**", LIMIT_MAX));
        for bad in [
            "after=",
            "after=a..b",
            "after=%2",
            "after=%é",
            "limit=0",
            "limit=1001",
            "limit",
            "x=1",
        ] {
            assert_eq!(Asked::of(bad), None, "{bad}");
        }
    }
}

//! Reads the body of a request, bounded before anything is kept.
//!
//! Time is not kept here: the socket fails the read when the body is late (`connection.rs`).

use super::connection::Connection;
use super::reply::refusal;
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::header::{self, HeaderMap};
use hyper::{Response, StatusCode};

/// Reads a JSON body whole, or says what to answer instead.
pub(super) async fn read_json<B>(
    headers: &HeaderMap,
    body: B,
    bytes_max: usize,
    connection: &Connection,
) -> Result<Bytes, Response<Body>>
where
    B: hyper::body::Body<Data = Bytes> + Unpin,
{
    if !is_json(headers) {
        let detail = "send the header 'Content-Type: application/json'";
        return Err(refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Unsupported Media Type", detail));
    }
    let read = read(body, bytes_max).await;
    connection.body_ended();
    read.map_err(|fault| match fault {
        Fault::TooLarge => {
            let detail = format!("a request body has at most {bytes_max} bytes");
            refusal(StatusCode::PAYLOAD_TOO_LARGE, "Content Too Large", &detail)
        }
        Fault::Broken if connection.is_late() => {
            let detail = "the body did not arrive in time";
            refusal(StatusCode::REQUEST_TIMEOUT, "Request Timeout", detail)
        }
        Fault::Broken => refusal(StatusCode::BAD_REQUEST, "Bad Request", "the body is broken"),
    })
}

enum Fault {
    TooLarge,
    Broken,
}

async fn read<B>(mut body: B, bytes_max: usize) -> Result<Bytes, Fault>
where
    B: hyper::body::Body<Data = Bytes> + Unpin,
{
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(Fault::TooLarge);
    }
    let mut whole = Bytes::new();
    let mut parts = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return Err(Fault::Broken) };
        let Ok(data) = frame.into_data() else { continue };
        if data.len() > bytes_max - parts.len().max(whole.len()) {
            return Err(Fault::TooLarge);
        }
        // Most bodies come in one piece, which is then handed on without a copy.
        if whole.is_empty() && parts.is_empty() {
            whole = data;
        } else {
            if parts.is_empty() {
                parts.extend_from_slice(&whole);
            }
            parts.extend_from_slice(&data);
        }
    }
    Ok(if parts.is_empty() { whole } else { parts.freeze() })
}

/// Whether the one `Content-Type` is `application/json`, with any parameters. Types that a web
/// page can send to another origin without asking first must not get through.
fn is_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(only), None) = (types.next(), types.next()) else { return false };
    let essence = only.as_bytes().split(|&byte| byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(b"application/json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w09_only_json_is_json() {
        let verdict = |types: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in types {
                headers.append(header::CONTENT_TYPE, header::HeaderValue::from_static(value));
            }
            is_json(&headers)
        };
        for good in ["application/json", "Application/JSON; charset=utf-8", "application/json;"] {
            assert!(verdict(&[good]), "{good}");
        }
        for bad in [
            "text/plain",
            "application/jsonp",
            "application/json2",
            "",
            "text/plain; application/json",
            "application/x-www-form-urlencoded",
        ] {
            assert!(!verdict(&[bad]), "{bad}");
        }
        assert!(!verdict(&[]) && !verdict(&["application/json", "text/plain"]));
    }
}

//! `GET /ws/p2p`: turns an HTTP connection into the link of another relay (RFC 6455, section 4).
//!
//! Browsers always name the page that asks (`Origin`). Only pages of this node's own loopback
//! address and pages that the operator listed get through; a relay sends no `Origin`.

use super::Shared;
use super::accept::RouteContext;
use super::connection::TimedSocket;
use super::reply::refusal;
use async_tungstenite::tungstenite::handshake::derive_accept_key;
use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use hyper::body::Body as _;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response, StatusCode, Version};
use hyper_util::rt::TokioIo;
use relay_tokio::{Role, WebSocket};
use std::sync::Arc;

/// Answers 101 and hands the socket to the node, or says why not.
pub(super) async fn relay_link(
    State(shared): State<Arc<Shared>>,
    Extension(context): Extension<RouteContext>,
    mut request: Request<Body>,
) -> Response<Body> {
    if shared.node.role() != Role::Main {
        let detail = "only a Main takes relay links; dial a Main";
        return refusal(StatusCode::NOT_FOUND, "Not Found", detail);
    }
    if shared.is_draining() {
        let detail = "the node is shutting down: dial another Main";
        return refusal(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable", detail);
    }
    let checked = check_origin(&shared, request.headers(), context.port);
    let accept = match checked.and_then(|()| accept_key(&request)) {
        Ok(accept) => accept,
        Err(refused) => return refused.response(),
    };
    tokio::spawn(hand_over(hyper::upgrade::on(&mut request), Arc::clone(&shared)));
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, WEBSOCKET);
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    response
}

async fn hand_over(upgrade: OnUpgrade, shared: Arc<Shared>) {
    let upgraded = match upgrade.await {
        Ok(upgraded) => upgraded,
        Err(error) => return tracing::debug!(%error, "a relay link broke off in its upgrade"),
    };
    match upgraded.downcast::<TokioIo<TimedSocket>>() {
        Ok(parts) => {
            let socket = parts.io.into_inner().into_stream();
            let options = &shared.config.socket;
            let link = WebSocket::accept_with_options(socket, parts.read_buf, options).await;
            shared.node.accept(link);
        }
        Err(_) => tracing::error!("an upgraded connection is not one of ours"),
    }
}

fn check_origin(shared: &Shared, headers: &HeaderMap, port: u16) -> Result<(), Refused> {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let is_listed = |origin: &HeaderValue| {
        shared.config.allowed_origins.iter().any(|allowed| allowed.is(origin))
            || is_own_loopback(origin, port, shared.config.tls.is_some())
    };
    match (origins.next(), origins.next()) {
        (None, _) => Ok(()),
        (Some(origin), None) if is_listed(origin) => Ok(()),
        (Some(_), _) => {
            let detail = "this web page may not open relay links: list it in allowed_origins";
            Err(Refused { status: StatusCode::FORBIDDEN, detail })
        }
    }
}

fn is_own_loopback(origin: &HeaderValue, port: u16, is_encrypted: bool) -> bool {
    let (scheme, usual) = if is_encrypted { ("https", 443) } else { ("http", 80) };
    // Browsers leave out the usual port.
    let port = if port == usual { String::new() } else { format!(":{port}") };
    ["127.0.0.1", "localhost", "[::1]"]
        .iter()
        .any(|host| origin.as_bytes() == format!("{scheme}://{host}{port}").as_bytes())
}

/// Checks the request of a WebSocket handshake and derives the key that accepts it.
fn accept_key(request: &Request<Body>) -> Result<HeaderValue, Refused> {
    let headers = request.headers();
    if !has_token(headers, &header::UPGRADE, "websocket")
        || !has_token(headers, &header::CONNECTION, "upgrade")
    {
        return Err(upgrade_required("relay links are WebSockets: send 'Upgrade: websocket'"));
    }
    let mut versions = headers.get_all(header::SEC_WEBSOCKET_VERSION).iter();
    if versions.next().is_none_or(|version| version != "13") || versions.next().is_some() {
        return Err(upgrade_required("the version of WebSocket is 13, given once"));
    }
    // Its bytes could be taken for the first ones of the link.
    if !request.body().is_end_stream() {
        return Err(bad_request("a request for a WebSocket has no body"));
    }
    let mut keys = headers.get_all(header::SEC_WEBSOCKET_KEY).iter();
    let key = match (keys.next(), keys.next()) {
        (Some(key), None) if is_key(key.as_bytes()) => key.as_bytes(),
        _ => return Err(bad_request("'Sec-WebSocket-Key' is 16 bytes in base64, given once")),
    };
    if request.version() != Version::HTTP_11 {
        return Err(bad_request("a WebSocket needs HTTP/1.1"));
    }
    HeaderValue::try_from(derive_accept_key(key)).map_err(|_| bad_request("the key is not usable"))
}

/// Whether a header holds `token` in one of its comma-separated lists.
fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers.get_all(name).iter().any(|value| {
        let mut tokens = value.as_bytes().split(|&byte| byte == b',');
        tokens.any(|one| one.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
    })
}

/// 16 bytes in base64: 22 digits and two signs of padding.
fn is_key(key: &[u8]) -> bool {
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    key.len() == 24 && key[..22].iter().all(is_digit) && key[22..] == *b"=="
}

const fn upgrade_required(detail: &'static str) -> Refused {
    Refused { status: StatusCode::UPGRADE_REQUIRED, detail }
}

const fn bad_request(detail: &'static str) -> Refused {
    Refused { status: StatusCode::BAD_REQUEST, detail }
}

/// Why a request is not upgraded.
struct Refused {
    status: StatusCode,
    detail: &'static str,
}

impl Refused {
    fn response(&self) -> Response<Body> {
        let error = self.status.canonical_reason().unwrap_or_default();
        let mut response = refusal(self.status, error, self.detail);
        if self.status == StatusCode::UPGRADE_REQUIRED {
            let headers = response.headers_mut();
            headers.insert(header::UPGRADE, WEBSOCKET);
            headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
            headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        }
        response
    }
}

const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");

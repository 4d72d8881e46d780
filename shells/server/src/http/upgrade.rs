//! `GET /ws/p2p` and `GET /ws`: turn an HTTP connection into the link of another relay, or into the
//! connection of a JSON client (RFC 6455, section 4).
//!
//! Browsers always name the page that asks (`Origin`). Only pages of this node's own loopback
//! address and pages that the operator listed get through; other programs send no `Origin`.

use super::Shared;
use super::accept::RouteContext;
use super::connection::TimedSocket;
use super::reply::refusal;
use crate::ws::Unwelcome;
use async_tungstenite::tungstenite::handshake::derive_accept_key;
use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use hyper::body::Body as _;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::upgrade::{OnUpgrade, Parts};
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
    match switch(&shared, &context, &mut request) {
        Ok((response, upgrade)) => {
            tokio::spawn(hand_over(upgrade, Arc::clone(&shared)));
            response
        }
        Err(refused) => refused.response(),
    }
}

/// Answers 101 and serves the client, or says why not.
pub(super) async fn json_client(
    State(shared): State<Arc<Shared>>,
    Extension(context): Extension<RouteContext>,
    mut request: Request<Body>,
) -> Response<Body> {
    if shared.is_draining() {
        let detail = "the node is shutting down: connect to another one";
        return refusal(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable", detail);
    }
    let admitted = bearer(request.headers()).and_then(|token| {
        // In this order, so that a page that may not ask learns nothing about the token.
        let (response, upgrade) = switch(&shared, &context, &mut request)?;
        let seat = shared.clients.admit(token.as_deref()).map_err(Refused::unwelcome)?;
        Ok((response, upgrade, seat))
    });
    match admitted {
        Ok((response, upgrade, seat)) => {
            tokio::spawn(async move {
                let Some(parts) = socket_of(upgrade).await else { return };
                context.connection.upgraded();
                seat.serve(parts.io.into_inner(), parts.read_buf).await;
            });
            response
        }
        Err(refused) => refused.response(),
    }
}

/// Checks the request of a WebSocket handshake and writes the answer that accepts it.
fn switch(
    shared: &Shared,
    context: &RouteContext,
    request: &mut Request<Body>,
) -> Result<(Response<Body>, OnUpgrade), Refused> {
    check_origin(shared, request.headers(), context.port)?;
    let accept = accept_key(request)?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, WEBSOCKET);
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    Ok((response, hyper::upgrade::on(request)))
}

async fn hand_over(upgrade: OnUpgrade, shared: Arc<Shared>) {
    if let Some(parts) = socket_of(upgrade).await {
        let socket = parts.io.into_inner().into_stream();
        let options = &shared.config.socket;
        let link = WebSocket::accept_with_options(socket, parts.read_buf, options).await;
        shared.node.accept(link);
    }
}

/// The connection, once the answer is written.
async fn socket_of(upgrade: OnUpgrade) -> Option<Parts<TokioIo<TimedSocket>>> {
    let upgraded = upgrade.await.inspect_err(|error| {
        tracing::debug!(%error, "a connection broke off in its upgrade to a WebSocket");
    });
    let parts = upgraded.ok()?.downcast();
    if parts.is_err() {
        tracing::error!("an upgraded connection is not one of ours");
    }
    parts.ok()
}

/// The token of an `Authorization: Bearer` header, if there is one. Any other scheme is refused:
/// its sender counts on it.
fn bearer(headers: &HeaderMap) -> Result<Option<Vec<u8>>, Refused> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => {
            let token = value.as_bytes().split_at_checked(BEARER.len());
            let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case(BEARER));
            token.map(|(_, token)| Some(token.trim_ascii().to_vec())).ok_or(NO_BEARER)
        }
        (Some(_), Some(_)) => Err(NO_BEARER),
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
            let detail =
                "this web page may not open WebSockets here: list its origin in http.link_origins";
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
        return Err(upgrade_required("this is for WebSockets: send 'Upgrade: websocket'"));
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
    fn unwelcome(why: Unwelcome) -> Self {
        match why {
            Unwelcome::WrongToken => NO_BEARER,
            Unwelcome::Full => Self {
                status: StatusCode::SERVICE_UNAVAILABLE,
                detail: "there are as many WebSocket clients as there may be",
            },
        }
    }

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

const NO_BEARER: Refused = Refused {
    status: StatusCode::UNAUTHORIZED,
    detail: "send 'Authorization: Bearer' and the token of this node, once",
};
const BEARER: &[u8] = b"Bearer ";
const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");

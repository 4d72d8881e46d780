//! Takes connections, drives each, and lets them end well at shutdown.

use super::backoff::Backoff;
use super::connection::{Connection, TimedSocket};
use super::reply::{Reply, refusal};
use super::{Gateway, rpc, status};
use http_body_util::Either;
use hyper::body::{Body, Incoming};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use relay_tokio::Stream;
use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

pub(super) async fn serve(
    gateway: Arc<Gateway>,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) {
    if let Ok(address) = listener.local_addr() {
        gateway.shared.listens_at.get_or_init(|| address.to_string());
    }
    let (stop, stopped) = watch::channel(false);
    let mut connections = Connections { gateway, stopped, tasks: JoinSet::new() };
    connections.accept_until(&listener, shutdown).await;
    connections.gateway.drain();
    // Callers learn from an answer that this node takes no calls, and go to another one. A caller
    // that the end of the listener hits cannot tell whether its call ran.
    connections.accept_until(&listener, tokio::time::sleep(LAST_CALLS)).await;
    connections.accept_waiting(listener);
    stop.send_replace(true);
    connections.gateway.shared.clients.leave();
    connections.end().await;
}

/// The open connections.
struct Connections {
    gateway: Arc<Gateway>,
    stopped: watch::Receiver<bool>,
    tasks: JoinSet<()>,
}

impl Connections {
    async fn accept_until(&mut self, listener: &TcpListener, end: impl Future<Output = ()>) {
        let mut backoff = Backoff::default();
        let mut end = pin!(end);
        loop {
            tokio::select! {
                biased;
                () = &mut end => return,
                Some(ended) = self.tasks.join_next(), if !self.tasks.is_empty() => {
                    if let Err(error) = ended && error.is_panic() {
                        tracing::error!(%error, "a connection ended by a defect of the server");
                    }
                }
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        backoff.reset();
                        self.take(stream);
                    }
                    Err(error) => backoff.wait(&error).await,
                }
            }
        }
    }

    /// Closes the listener, but not on those who are connected and were not accepted yet: the
    /// system would reset their connections.
    fn accept_waiting(&mut self, listener: TcpListener) {
        let Ok(listener) = listener.into_std() else { return };
        while let Ok((stream, _)) = listener.accept() {
            let stream = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
            match stream {
                Ok(stream) => self.take(stream),
                Err(error) => tracing::debug!(%error, "a connection ended before it was served"),
            }
        }
    }

    fn take(&mut self, stream: TcpStream) {
        let config = &self.gateway.shared.config;
        if self.tasks.len() < config.connections_max {
            self.tasks.spawn(drive(Arc::clone(&self.gateway), stream, self.stopped.clone()));
        } else if config.tls.is_none() {
            turn_away(&stream);
        }
    }

    async fn end(mut self) {
        let grace = self.gateway.shared.config.shutdown_grace;
        let clients = Arc::clone(&self.gateway.shared.clients);
        let all_ended = async {
            while self.tasks.join_next().await.is_some() {}
            clients.ended().await;
        };
        if tokio::time::timeout(grace, all_ended).await.is_err() {
            let count = self.tasks.len() + clients.count();
            tracing::warn!(count, "connections were cut because their requests outlived the grace");
        }
        self.tasks.shutdown().await;
        clients.close();
        let _in_time = tokio::time::timeout(LAST_WORDS, clients.ended()).await;
    }
}

/// Drives one connection to its end. An upgraded socket leaves this task for the node.
async fn drive(gateway: Arc<Gateway>, stream: TcpStream, mut stopped: watch::Receiver<bool>) {
    let config = &gateway.shared.config;
    // Among others, so that the second write of a pipelined answer need not wait for the client's
    // delayed ACK.
    config.socket.apply(&stream);
    let port = stream.local_addr().map_or(0, |address| address.port());
    let stream = match &config.tls {
        None => Stream::Plain(stream),
        Some(acceptor) => {
            let peer = stream.peer_addr().ok();
            match acceptor.accept(stream).await {
                Ok(stream) => Stream::Tls(Box::new(stream.into())),
                Err(refused) => return refused.log(peer),
            }
        }
    };
    let connection = Arc::new(Connection::default());
    let socket = TimedSocket::new(stream, Arc::clone(&connection), config);
    let service = service_fn(|request| {
        let (gateway, connection) = (Arc::clone(&gateway), Arc::clone(&connection));
        async move {
            let response = gateway.answer(request, &connection, port).await;
            connection.answered();
            Ok::<_, Infallible>(response)
        }
    });
    let mut http = http1::Builder::new();
    http.max_header_size(HEAD_BYTES_MAX).header_read_timeout(None).max_buf_size(BUFFER_BYTES_MAX);
    let mut driving = pin!(http.serve_connection(TokioIo::new(socket), service).with_upgrades());
    // What a client sent as soon as it was connected may still be on its way to here.
    let not_before = Instant::now() + FIRST_REQUEST;
    let stop = async {
        // The sender is gone only when all of this ends.
        drop(stopped.wait_for(|is_stopped| *is_stopped).await);
        tokio::time::sleep_until(not_before).await;
    };
    let ended = tokio::select! {
        biased;
        ended = driving.as_mut() => ended,
        () = stop => {
            driving.as_mut().graceful_shutdown();
            driving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an HTTP connection ended early");
    }
}

impl Gateway {
    /// Answers one request, whatever it is.
    async fn answer(
        &self,
        mut request: Request<Incoming>,
        connection: &Arc<Connection>,
        port: u16,
    ) -> Response<Reply> {
        let has_body = !request.body().is_end_stream();
        let is_clear = connection.head_ended(has_body);
        let is_chunked = request.headers().contains_key(header::TRANSFER_ENCODING);
        let route = status::route_of(request.uri().path());
        let cors = &self.shared.config.cors;
        let origin =
            if cors.is_off() { None } else { request.headers().get(header::ORIGIN).cloned() };
        let mut response = if !is_clear {
            let detail = "the head frames its body in two ways";
            refusal(StatusCode::BAD_REQUEST, "Bad Request", detail).map(Either::Right)
        } else if is_chunked && !is_plainly_chunked(request.headers()) {
            let detail = "the only transfer coding read here is 'chunked'";
            refusal(StatusCode::NOT_IMPLEMENTED, "Not Implemented", detail).map(Either::Right)
        } else if request.headers().len() > HEADERS_MAX {
            let detail = format!("a request has at most {HEADERS_MAX} headers");
            refusal(
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "Request Header Fields Too Large",
                &detail,
            )
            .map(Either::Right)
        } else if origin.is_some() && is_preflight(&request) {
            let mut response = Response::new(Either::Right(axum::body::Body::empty()));
            *response.status_mut() = StatusCode::NO_CONTENT;
            cors.permit_request(response.headers_mut(), origin.as_ref());
            response
        } else if let Some(endpoint) = rpc::Endpoint::of(request.uri().path()) {
            rpc::answer(&self.shared, endpoint, request, connection).await
        } else {
            let context = RouteContext { port, connection: Arc::clone(connection) };
            request.extensions_mut().insert(context);
            match TowerToHyperService::new(self.router.clone()).call(request).await {
                Ok(response) => response.map(Either::Right),
                Err(never) => match never {},
            }
        };
        let status = response.status();
        self.shared.metrics.count_request(route, status.as_u16());
        let is_unread = has_body && status.is_client_error();
        let is_abusive = status == StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        if is_chunked || is_unread || is_abusive || !is_clear {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            connection.linger();
        }
        if self.shared.is_draining() && status != StatusCode::SWITCHING_PROTOCOLS {
            // So that the next call of this client goes elsewhere, by a connection of its own.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        let headers = response.headers_mut();
        for (name, value) in &self.shared.headers {
            headers.insert(name.clone(), value.clone());
        }
        cors.permit_reading(headers, origin.as_ref());
        response
    }
}

/// What routes know about the connection that a request came on.
#[derive(Clone)]
pub(super) struct RouteContext {
    /// The port of this node that the client connected to.
    pub(super) port: u16,
    /// The connection.
    pub(super) connection: Arc<Connection>,
}

/// Whether the body is chunked and nothing else. hyper takes any list that ends in `chunked`, and
/// would hand on a body that is still compressed.
fn is_plainly_chunked(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let first = codings.next().map(HeaderValue::as_bytes).unwrap_or_default();
    first.trim_ascii().eq_ignore_ascii_case(b"chunked") && codings.next().is_none()
}

fn is_preflight<B>(request: &Request<B>) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// Answers a connection over the limit without reading from it. It fits any send buffer, and a
/// client that cannot take it at once is let go without.
fn turn_away(stream: &TcpStream) {
    if stream.try_write(BUSY).is_err() {
        tracing::debug!("a connection over the limit was closed unanswered");
    }
}

const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\n\
    Content-Length: 0\r\n\r\n";
/// How long calls are still refused in words once the gateway closes.
const LAST_CALLS: Duration = Duration::from_millis(100);
/// How long a new connection may take to its first request before it counts as idle.
const FIRST_REQUEST: Duration = Duration::from_millis(100);
/// How long clients of WebSockets may take to read why they are let go.
const LAST_WORDS: Duration = Duration::from_secs(1);
const HEAD_BYTES_MAX: usize = 16 << 10;
const BUFFER_BYTES_MAX: usize = 64 << 10;
const HEADERS_MAX: usize = 64;

//! A JSON-RPC 2.0 server behind HTTP POST as a service. Decides what each way to fail proves: only
//! a connection that never opened proves that nothing ran. Connections are kept and used again.

use super::envelope::{
    MESSAGE_BYTES_MAX, answer_too_large, bad_response, check_params, discovered, request, response,
};
use super::{HostError, shortened};
use crate::trace_context::{TRACEPARENT, TRACESTATE, is_traceparent, is_tracestate};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use relay_tokio::{
    BoxFuture, ErrorCode, Executed, Service, ServiceError, ServiceRequest, ServiceResult,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;

/// A service whose calls are sent on to an HTTP server.
pub struct HttpUpstream {
    connection: Arc<Connection>,
    methods: Vec<String>,
}

impl HttpUpstream {
    /// Makes a service of the server at `url` and asks it for its methods. A server that does not
    /// answer within two seconds, or has no `rpc.discover`, announces none: any may be tried.
    pub async fn open(url: Uri) -> Self {
        let connection = Arc::new(Connection::new(url));
        let nothing = Bytes::new();
        let asked = connection.call("rpc.discover", &nothing, &[]);
        let methods = match tokio::time::timeout(DISCOVER_TIMEOUT, asked).await {
            Ok(Ok(result)) => discovered(&result),
            Ok(Err(_)) | Err(_) => Vec::new(),
        };
        Self { connection, methods }
    }
}

impl Service for HttpUpstream {
    fn methods(&self) -> Vec<String> {
        self.methods.clone()
    }

    fn call(&self, request: ServiceRequest) -> BoxFuture<ServiceResult> {
        let connection = Arc::clone(&self.connection);
        Box::pin(
            async move { connection.call(&request.method, &request.body, &request.headers).await },
        )
    }
}

/// Checks that `url` is one this host can call.
pub(super) fn parse_url(url: &str) -> Result<Uri, HostError> {
    // The part before an '@' may be a password; it must not reach a log.
    let shown = || shortened(url.rsplit_once('@').map_or(url, |(_, rest)| rest));
    let bad = |reason: &str| HostError::BadUrl { url: shown(), reason: reason.to_owned() };
    let uri: Uri = url.parse().map_err(|error| bad(&format!("{error}")))?;
    let authority = uri.authority().ok_or_else(|| bad("there is no host"))?;
    if authority.as_str().contains('@') {
        return Err(bad("a user name or password in the URL is not sent"));
    }
    if authority.host().is_empty() {
        return Err(bad("there is no host"));
    }
    if authority.as_str().len() > authority.host().len() && uri.port_u16().is_none() {
        return Err(bad("the port is not a number from 0 to 65535"));
    }
    Ok(uri)
}

struct Connection {
    client: Client<HttpConnector, Full<Bytes>>,
    url: Uri,
    next_id: AtomicU64,
    calls: Semaphore,
    /// Bytes that answers still being read may hold, all together.
    held: Semaphore,
}

impl Connection {
    fn new(url: Uri) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .build(connector);
        Self {
            client,
            url,
            next_id: AtomicU64::new(1),
            calls: Semaphore::new(CALLS_MAX),
            held: Semaphore::new(HELD_BYTES_MAX),
        }
    }

    async fn call(
        &self,
        method: &str,
        params: &Bytes,
        headers: &[(String, String)],
    ) -> ServiceResult {
        check_params(params)?;
        let _slot = self.calls.try_acquire().map_err(|_| {
            let message = format!("{CALLS_MAX} calls are in flight to this upstream");
            ServiceError::refused(ErrorCode::Overloaded, message)
        })?;
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let mut http = Request::builder()
            .method(Method::POST)
            .uri(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json")
            .header(USER_AGENT, "relay")
            .body(Full::new(Bytes::from(request(method, params, id))))
            .map_err(|error| ServiceError::refused(ErrorCode::Internal, error.to_string()))?;
        http.headers_mut().extend(trace_context(headers));
        let answer = self.client.request(http).await.map_err(|error| not_answered(&error))?;
        let status = answer.status();
        let body = self.read(answer.into_body()).await?;
        understand(status, &body, id)
    }

    async fn read(&self, mut body: Incoming) -> ServiceResult {
        if body.size_hint().lower() > MESSAGE_BYTES_MAX as u64 {
            return Err(answer_too_large());
        }
        let mut bytes = BytesMut::new();
        let mut held = self.hold(0)?;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| link_lost(&error))?;
            let Ok(data) = frame.into_data() else { continue };
            if bytes.len() + data.len() > MESSAGE_BYTES_MAX {
                return Err(answer_too_large());
            }
            held.merge(self.hold(data.len())?);
            bytes.extend_from_slice(&data);
        }
        Ok(bytes.freeze())
    }

    fn hold(&self, bytes: usize) -> Result<tokio::sync::SemaphorePermit<'_>, ServiceError> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.held.try_acquire_many(bytes).map_err(|_| ServiceError::Failed {
            code: ErrorCode::Overloaded,
            executed: Executed::Unknown,
            message: format!("the answers being read hold {HELD_BYTES_MAX} bytes"),
        })
    }
}

/// The headers of Trace Context that a call carries. Any other one of the caller's choice could
/// mean something to the upstream that only its operator may say.
fn trace_context(headers: &[(String, String)]) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    headers.iter().filter_map(|(key, value)| {
        let name = match key.as_str() {
            TRACEPARENT if is_traceparent(value) => HeaderName::from_static(TRACEPARENT),
            TRACESTATE if is_tracestate(value) => HeaderName::from_static(TRACESTATE),
            _ => return None,
        };
        Some((name, HeaderValue::from_str(value).ok()?))
    })
}

fn understand(status: StatusCode, body: &Bytes, id: u64) -> ServiceResult {
    match response(body) {
        Ok(answer) if answer.id == Some(id) => answer.result,
        Ok(_) => Err(bad_response("the upstream answered another call (wrong id)")),
        Err(_) if status != StatusCode::OK => {
            Err(bad_response(format!("the upstream answered with HTTP status {}", status.as_u16())))
        }
        Err(reason) => Err(bad_response(format!("the upstream's answer is {reason}"))),
    }
}

fn not_answered(error: &Error) -> ServiceError {
    if error.is_connect() {
        let message = format!("the upstream cannot be reached: {}", root_cause(error));
        ServiceError::refused(ErrorCode::Unavailable, message)
    } else {
        link_lost(error)
    }
}

fn link_lost(error: &(dyn std::error::Error + 'static)) -> ServiceError {
    let message = format!("the connection to the upstream broke: {}", root_cause(error));
    ServiceError::failed(ErrorCode::LinkLost, message)
}

fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    shortened(&cause.to_string())
}

const CALLS_MAX: usize = 1024;
const HELD_BYTES_MAX: usize = 256 * 1024 * 1024;
const IDLE_CONNECTIONS_MAX: usize = 64;
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const DISCOVER_TIMEOUT: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_checked() {
        for good in ["http://host", "http://127.0.0.1:3000/rpc", "http://[::1]:80/a?b=c"] {
            parse_url(good).unwrap();
        }
        for bad in ["http://", "http://host:99999/", "http://host:/", "http://a b/", "http://:80/"]
        {
            assert!(parse_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_trace_context_reaches_the_upstream() {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let pairs = [("host", "evil"), (TRACEPARENT, parent), (TRACESTATE, "a\r\nb: c")];
        let pairs = pairs.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let sent: Vec<_> = trace_context(&pairs).collect();
        assert_eq!(sent.len(), 1);
        assert_eq!((sent[0].0.as_str(), sent[0].1.to_str().unwrap()), (TRACEPARENT, parent));
    }

    #[test]
    fn a_status_alone_is_no_answer() {
        let body = Bytes::from_static(b"<h1>Bad Gateway</h1>");
        let error = understand(StatusCode::BAD_GATEWAY, &body, 1).unwrap_err();
        let ServiceError::Failed { code, message, .. } = error else { panic!("{error:?}") };
        assert_eq!(code, ErrorCode::BadResponse);
        assert!(message.contains("502"), "{message}");
        let body =
            Bytes::from_static(br#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":""}}"#);
        let error = understand(StatusCode::INTERNAL_SERVER_ERROR, &body, 1).unwrap_err();
        assert!(matches!(error, ServiceError::Application(_)));
    }
}

//! Calls by `POST /rpc` over connections that are kept, as any JSON-RPC client makes them.

use super::answer::Answer;
use super::targets::{Attempt, LOST_AFTER};
use crate::cli::Failure;
use crate::commands::connector::Connector;
use crate::http::RELAY_ERROR;
use crate::json_rpc::TIMEOUT_MAX;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Request, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use relay_tokio::tls::ClientTls;
use relay_tokio::{Endpoint, Executed, Runtime as _, Tokio};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::error::Error;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// One URL with its connections: as many as there are calls in flight.
#[derive(Debug)]
pub(super) struct Http {
    endpoint: Endpoint,
    uri: Uri,
    runtime: Tokio,
    client: Client<Connector, Full<Bytes>>,
}

impl Http {
    pub(super) fn new(endpoint: &Endpoint, uri: &Uri, tls: ClientTls) -> Self {
        let runtime = Tokio::current().with_tls(tls);
        let client = Client::builder(TokioExecutor::new()).build(Connector(runtime.clone()));
        Self { endpoint: endpoint.clone(), uri: uri.clone(), runtime, client }
    }

    /// Tries whether anything listens there.
    pub(super) async fn reach(&self, timeout: Duration) -> Result<(), Failure> {
        let probe = tokio::time::timeout(timeout, self.runtime.connect_http(&self.endpoint)).await;
        let why = match probe {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => error.to_string(),
            Err(_) => String::from("no connection in time"),
        };
        Err(Failure::work(format!("nothing answers at {}: {why}", self.uri))
            .with_hint("check that it runs, and that host and port are right"))
    }

    pub(super) async fn ask(&self, attempt: &Attempt<'_>, number: u64) -> Answer {
        let request = match self.request(attempt, number) {
            Ok(request) => request,
            Err(error) => return Answer::failed("BAD_REQUEST", Executed::No, error.to_string()),
        };
        // The gateway answers by the deadline itself; the rest covers one that does not.
        let exchange = timeout_at(attempt.until + LOST_AFTER, self.exchange(request, number));
        exchange.await.unwrap_or(Answer::Lost)
    }

    fn request(
        &self,
        attempt: &Attempt<'_>,
        number: u64,
    ) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
        let question = attempt.question;
        let left = attempt.until.saturating_duration_since(Instant::now()).as_millis();
        let left = left.clamp(1, TIMEOUT_MAX.as_millis());
        let mut request = Request::post(self.uri.clone())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header("relay-timeout-ms", left as u64);
        if question.request.idempotent {
            request = request.header("relay-idempotent", "true");
        }
        request.body(Full::new(body(&question.method, &attempt.params, number)))
    }

    async fn exchange(&self, request: Request<Full<Bytes>>, number: u64) -> Answer {
        let response = match self.client.request(request).await {
            Ok(response) => response,
            Err(error) if error.is_connect() => {
                return Answer::failed("NOT_CONNECTED", Executed::No, cause(&error));
            }
            Err(error) => {
                return Answer::failed("CONNECTION_LOST", Executed::Unknown, cause(&error));
            }
        };
        let status = response.status();
        let is_of_relay = response.headers().contains_key(RELAY_ERROR);
        match Limited::new(response.into_body(), BODY_BYTES_MAX).collect().await {
            Ok(body) => read(status, is_of_relay, &body.to_bytes(), number),
            Err(error) => {
                Answer::failed("CONNECTION_LOST", Executed::Unknown, cause(error.as_ref()))
            }
        }
    }
}

fn body(method: &str, params: &[u8], number: u64) -> Bytes {
    let mut body = Vec::with_capacity(method.len() + params.len() + 80);
    // The name of a method needs no escapes: its characters were checked.
    let head = format!("{{\"jsonrpc\":\"2.0\",\"id\":{number},\"method\":\"{method}\"");
    body.extend_from_slice(head.as_bytes());
    if !params.is_empty() {
        body.extend_from_slice(b",\"params\":");
        body.extend_from_slice(params);
    }
    body.push(b'}');
    body.into()
}

/// What a response says. An error is the relay's own only where a header says so: what a service
/// writes into its errors proves nothing.
fn read(status: StatusCode, is_of_relay: bool, body: &Bytes, number: u64) -> Answer {
    let reply = match serde_json::from_slice::<Reply<'_>>(body) {
        Ok(reply) if status == StatusCode::OK => reply,
        Ok(_) | Err(_) => {
            let code = format!("HTTP_{}", status.as_u16());
            return Answer::failed(&code, Executed::Unknown, String::from_utf8_lossy(body));
        }
    };
    let id = reply.id.map_or("none", RawValue::get);
    match (reply.result, reply.error) {
        (None, Some(error)) if is_of_relay => Answer::of_gateway(error.get().as_bytes()),
        (Some(_), None) | (None, Some(_)) if id != number.to_string() => {
            Answer::Strange(format!("an answer to {id} came for {number}"))
        }
        (Some(result), None) => Answer::Result(body.slice_ref(result.get().as_bytes())),
        (None, Some(error)) => Answer::of_service(error.get().as_bytes()),
        (Some(_), Some(_)) | (None, None) => {
            let message = "neither a result nor an error came back";
            Answer::failed("BAD_RESPONSE", Executed::Unknown, message)
        }
    }
}

#[derive(Deserialize)]
struct Reply<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    error: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
}

/// A `null` that is there, unlike one that is not.
fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

/// The innermost reason, which is the one that helps.
fn cause(error: &(dyn Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// Largest answer.
const BODY_BYTES_MAX: usize = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn code(answer: &Answer) -> (&str, Executed) {
        match answer {
            Answer::Failed(failed) => (&failed.code, failed.executed),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn results_pass_byte_for_byte() {
        for result in ["null", "[1e400, 2.0]", "{\"a\":1,\"a\":2}"] {
            let text = format!("{{\"jsonrpc\":\"2.0\",\"result\":{result},\"id\":7}}");
            let answer = read(StatusCode::OK, false, &Bytes::from(text), 7);
            assert_eq!(answer, Answer::Result(result.into()));
        }
    }

    #[test]
    fn an_answer_to_another_call_is_noticed() {
        let body = Bytes::from_static(b"{\"result\":1,\"id\":8}");
        assert!(matches!(read(StatusCode::OK, false, &body, 7), Answer::Strange(_)));
        let body = Bytes::from_static(b"{\"error\":{\"code\":1,\"message\":\"\"},\"id\":\"7\"}");
        assert!(matches!(read(StatusCode::OK, false, &body, 7), Answer::Strange(_)));
    }

    #[test]
    fn a_service_cannot_say_that_it_did_not_run() {
        let text = br#"{"error":{"code":-5,"message":"x","data":{"code":"UNAVAILABLE",
            "executed":"no","retry":"safe"}},"id":7}"#;
        let body = Bytes::from_static(text);
        assert_eq!(code(&read(StatusCode::OK, false, &body, 7)), ("-5", Executed::Yes));
        assert_eq!(code(&read(StatusCode::OK, true, &body, 7)), ("UNAVAILABLE", Executed::No));
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        for (status, body, wanted) in [
            (StatusCode::SERVICE_UNAVAILABLE, "{\"error\":\"x\"}", "HTTP_503"),
            (StatusCode::OK, "<html>", "HTTP_200"),
            (StatusCode::OK, "{\"id\":7}", "BAD_RESPONSE"),
            (StatusCode::NO_CONTENT, "", "HTTP_204"),
        ] {
            let answer = read(status, false, &Bytes::from_static(body.as_bytes()), 7);
            assert_eq!(code(&answer), (wanted, Executed::Unknown));
        }
    }

    #[test]
    fn a_request_is_json() {
        let text = body("a.b", b"[1]", 7);
        assert_eq!(text, r#"{"jsonrpc":"2.0","id":7,"method":"a.b","params":[1]}"#);
        assert_eq!(body("a.b", b"", 7), r#"{"jsonrpc":"2.0","id":7,"method":"a.b"}"#);
    }
}

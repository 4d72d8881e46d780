//! One GET request to a node, bounded in time and size.

use super::connector::Connector;
use super::{block_on, timeout_of};
use crate::cli::{Failure, NodeArgs};
use crate::config::duration_text;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::Request;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use relay_tokio::{Endpoint, Runtime as _, Tokio};
use serde_json::Value;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

/// The answer of a node.
pub(super) struct Answer {
    /// Host and port that were asked.
    pub(super) authority: String,
    /// The answer as it came.
    pub(super) text: String,
    /// What it says.
    pub(super) json: Value,
}

/// Asks the node that `args` name for `path`.
pub(super) fn ask(args: &NodeArgs, path: &str) -> Result<Answer, Failure> {
    let timeout = timeout_of(&args.timeout)?;
    let endpoint = endpoint_of(&args.connect)?;
    let authority = endpoint.authority().to_owned();
    let tls = super::tls::of_args(&args.tls)?;
    let mut body = Vec::new();
    block_on(async {
        let connector = Connector(Tokio::current().with_tls(tls));
        body = get(connector, &endpoint, path, timeout).await?;
        Ok(ExitCode::SUCCESS)
    })?;
    let json = serde_json::from_slice(&body).map_err(|error| {
        Failure::work(format!("the answer of {authority} is no JSON: {error}"))
            .with_hint("check that a relay listens there")
    })?;
    let text = String::from_utf8_lossy(&body).trim_end().to_owned() + "\n";
    Ok(Answer { authority, text, json })
}

/// An address in any of the forms that the other flags take, if HTTP is spoken there.
fn endpoint_of(url: &str) -> Result<Endpoint, Failure> {
    let refused = |why: &dyn std::fmt::Display| {
        Failure::usage(format!("--connect: {why}"))
            .with_hint("write it as in http://127.0.0.1:8080")
    };
    let endpoint = Endpoint::parse(url).map_err(|error| refused(&error))?;
    match &endpoint {
        Endpoint::WebSocket { .. } | Endpoint::SecureWebSocket { .. } => Ok(endpoint),
        Endpoint::Tcp { .. } | Endpoint::Tls { .. } | Endpoint::Quic { .. } => {
            Err(refused(&format!("{endpoint} does not speak HTTP")))
        }
    }
}

/// The body at `path` of the HTTP port at `endpoint`.
async fn get(
    connector: Connector,
    endpoint: &Endpoint,
    path: &str,
    timeout: Duration,
) -> Result<Vec<u8>, Failure> {
    let authority = endpoint.authority();
    match tokio::time::timeout(timeout, fetch(connector, endpoint, path)).await {
        Ok(body) => body,
        Err(_) => {
            let shown = duration_text(timeout);
            Err(unreachable(authority, &format!("no answer came within {shown}")))
        }
    }
}

async fn fetch(connector: Connector, endpoint: &Endpoint, path: &str) -> Result<Vec<u8>, Failure> {
    let authority = endpoint.authority();
    let scheme = if endpoint.transport().is_encrypted() { "https" } else { "http" };
    let request = Request::get(format!("{scheme}://{authority}{path}"))
        .header(hyper::header::ACCEPT, "application/json")
        .body(Empty::<Bytes>::new())
        .map_err(|error| Failure::usage(format!("{authority} is no address: {error}")))?;
    let client = Client::builder(TokioExecutor::new()).build(connector);
    let response =
        client.request(request).await.map_err(|error| unreachable(authority, &cause(&error)))?;
    let status = response.status();
    let body = Limited::new(response.into_body(), BODY_BYTES_MAX).collect().await;
    let body = body
        .map_err(|error| Failure::work(format!("the answer of {authority} broke off: {error}")))?
        .to_bytes();
    if !status.is_success() {
        let text = String::from_utf8_lossy(&body);
        let said: String = text.trim().chars().take(200).collect();
        return Err(Failure::work(format!("{authority} answered {status} to {path}: {said}"))
            .with_hint("check that a relay listens there and that its registry is not disabled"));
    }
    Ok(body.to_vec())
}

fn unreachable(authority: &str, why: &str) -> Failure {
    Failure::work(format!("cannot reach a node at {authority}: {why}"))
        .with_hint("check that it runs, and that host and port are right")
}

/// The innermost reason, which is the one that helps.
fn cause(error: &dyn Error) -> String {
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

    #[test]
    fn addresses_come_in_several_forms() {
        for (url, wanted) in [
            ("http://127.0.0.1:8080", "127.0.0.1:8080"),
            ("ws://relay.com:81/ws/p2p", "relay.com:81"),
            ("localhost:8080", "localhost:8080"),
            ("http://relay.com", "relay.com:80"),
            ("http://[::1]:8080/", "[::1]:8080"),
            ("https://relay.com", "relay.com:443"),
        ] {
            assert_eq!(endpoint_of(url).expect(url).authority(), wanted);
        }
        for url in ["", "http://", "quic://a:1", "tcp://a:1", "http://a b", "http://u@h:1", ":80"] {
            assert_eq!(endpoint_of(url).expect_err(url).exit_code(), 2);
        }
    }
}

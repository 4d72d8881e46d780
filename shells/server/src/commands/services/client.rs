//! One GET request, bounded in time and size.

use crate::cli::Failure;
use crate::config::duration_text;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::Request;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use std::error::Error;
use std::time::Duration;

/// The body of `http://authority/path`.
pub(super) async fn get(
    authority: &str,
    path: &str,
    timeout: Duration,
) -> Result<Vec<u8>, Failure> {
    match tokio::time::timeout(timeout, fetch(authority, path)).await {
        Ok(body) => body,
        Err(_) => {
            let shown = duration_text(timeout);
            Err(unreachable(authority, &format!("no answer came within {shown}")))
        }
    }
}

async fn fetch(authority: &str, path: &str) -> Result<Vec<u8>, Failure> {
    let request = Request::get(format!("http://{authority}{path}"))
        .header(hyper::header::ACCEPT, "application/json")
        .body(Empty::<Bytes>::new())
        .map_err(|error| Failure::usage(format!("{authority} is no address: {error}")))?;
    let client = Client::builder(TokioExecutor::new()).build_http();
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

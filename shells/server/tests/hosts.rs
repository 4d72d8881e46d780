//! The hosts against the real thing: Python behind HTTP and behind pipes, servers that answer
//! nonsense, programs in Rhai.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "this is all test code")]

#[path = "hosts/exec.rs"]
mod exec;
#[path = "hosts/http.rs"]
mod http;
#[path = "hosts/programs.rs"]
mod programs;

use bytes::Bytes;
use relay_server::hosts::ServiceSpec;
use relay_tokio::{ErrorCode, Executed, Service, ServiceError, ServiceRequest, ServiceResult};
use std::sync::Arc;
use std::time::Duration;

/// Far more than any step takes, so that only what hangs is ended.
const LONG: Duration = Duration::from_secs(120);

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples");

async fn open(text: &str) -> Arc<dyn Service> {
    ServiceSpec::parse(text).unwrap().open().await.unwrap()
}

async fn call(service: &dyn Service, method: &str, body: impl Into<Bytes>) -> ServiceResult {
    let request = ServiceRequest {
        method: method.to_owned(),
        body: body.into(),
        deadline: LONG,
        idempotent: false,
        headers: Vec::new(),
        stream: None,
    };
    tokio::time::timeout(LONG, service.call(request)).await.expect("a call hangs")
}

fn text(result: ServiceResult) -> String {
    String::from_utf8(result.unwrap().to_vec()).unwrap()
}

fn failure(result: ServiceResult) -> (ErrorCode, Executed) {
    match result.unwrap_err() {
        ServiceError::Failed { code, executed, .. } => (code, executed),
        ServiceError::Application(object) => panic!("{object:?}"),
    }
}

fn application(result: ServiceResult) -> serde_json::Value {
    match result.unwrap_err() {
        ServiceError::Application(object) => serde_json::from_slice(&object).unwrap(),
        ServiceError::Failed { message, .. } => panic!("{message}"),
    }
}

/// Tries until `done` holds.
async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let began = std::time::Instant::now();
    while !done().await {
        assert!(began.elapsed() < LONG, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

//! The gateway over real sockets: raw requests in, raw responses out.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test program")]

#[path = "http/client.rs"]
mod client;
#[path = "http/federation.rs"]
mod federation;
#[path = "http/limits.rs"]
mod limits;
#[path = "http/metrics.rs"]
mod metrics;
#[path = "http/routes.rs"]
mod routes;
#[path = "http/rpc.rs"]
mod rpc;
#[path = "support/client.rs"]
mod support;

//! Peers found by DNS: the binary asks a DNS server of the test, whose records change.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test program")]

#[path = "discovery/changes.rs"]
mod changes;
#[path = "support/client.rs"]
#[expect(dead_code, reason = "other tests need more of it")]
mod client;
#[path = "discovery/dns.rs"]
mod dns;
#[path = "discovery/failures.rs"]
mod failures;
#[path = "support/process.rs"]
#[expect(dead_code, reason = "other tests need more of it")]
mod process;
#[path = "discovery/relay.rs"]
mod relay;

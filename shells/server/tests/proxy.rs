//! Real processes with a proxy of bytes between them, which cuts, stalls, loses and crumbles what
//! they send. What comes of it is what the simulator promises: whoever waits is told at once and
//! honestly, nothing runs twice, and links come back by themselves.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test program")]

#[expect(dead_code, reason = "other tests need more of it")]
#[path = "support/client.rs"]
mod client;
#[path = "proxy/crumbs.rs"]
mod crumbs;
#[path = "proxy/cuts.rs"]
mod cuts;
#[path = "proxy/ledger.rs"]
mod ledger;
#[path = "support/process.rs"]
mod process;
#[path = "proxy/silence.rs"]
mod silence;
#[path = "proxy/stalls.rs"]
mod stalls;
#[expect(dead_code, reason = "other tests need more of it")]
#[path = "acceptance/upstream.rs"]
mod upstream;
#[path = "proxy/wire.rs"]
mod wire;
#[expect(dead_code, reason = "other tests need more of it")]
#[path = "acceptance/world.rs"]
mod world;

//! What the product promises, shown with real processes: a Main, Homes, Python behind them, curl
//! and `relay call` in front. A condition is waited for, never a time.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test program")]

#[path = "acceptance/bench.rs"]
mod bench;
#[path = "acceptance/calls.rs"]
mod calls;
#[path = "../../tokio/tests/support/certificates.rs"]
mod certificates;
#[path = "support/client.rs"]
mod client;
#[path = "acceptance/deaths.rs"]
mod deaths;
#[path = "acceptance/hostile.rs"]
mod hostile;
#[path = "acceptance/load.rs"]
mod load;
#[path = "acceptance/moves.rs"]
mod moves;
#[path = "support/process.rs"]
mod process;
#[path = "acceptance/routing.rs"]
mod routing;
#[path = "acceptance/specification.rs"]
mod specification;
#[path = "acceptance/startup.rs"]
mod startup;
#[path = "acceptance/stops.rs"]
mod stops;
#[path = "acceptance/tls.rs"]
mod tls;
#[path = "acceptance/tools.rs"]
mod tools;
#[path = "acceptance/topics.rs"]
mod topics;
#[path = "acceptance/upstream.rs"]
mod upstream;
#[path = "acceptance/world.rs"]
mod world;

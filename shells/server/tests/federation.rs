//! Federations of real processes under load while something happens to them: Mains that are killed
//! or restarted one after the other, a thousand Homes that come back at once, a host that is cut
//! off. What is asserted are counts and outcomes; times are printed.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test program")]

#[path = "federation/herd.rs"]
mod herd;
#[path = "federation/http.rs"]
mod http;
#[path = "federation/kills.rs"]
mod kills;
#[path = "federation/mesh.rs"]
mod mesh;
#[path = "federation/namespaces.rs"]
mod namespaces;
#[expect(dead_code, reason = "other tests need more of it")]
#[path = "support/process.rs"]
mod process;
#[path = "federation/record.rs"]
mod record;
#[path = "federation/rolling.rs"]
mod rolling;
#[path = "federation/traffic.rs"]
mod traffic;

//! Whole worlds, each with what must hold in it.
#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod damage;
mod federation;
mod leases;
mod memory;
mod model;
mod net;
mod regressions;
mod rolling;
mod seeds;
mod topics;
mod two_shards;

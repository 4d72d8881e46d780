//! The bytes of the wire format: golden vectors, and a second decoder written from the document.
#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod coverage;
mod differential;
mod envelopes;
mod error_table;
mod nodes;
mod ours;
mod vectors;
mod zstd;

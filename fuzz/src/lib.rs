//! The bodies of the fuzz targets. They live here and not in fuzz_targets/, so that the stable
//! compiler can run them over every input the fuzzers have kept (`cargo test --manifest-path
//! fuzz/Cargo.toml`).
//!
//! A new target is: a function here, its row in [`TARGETS`], three lines in fuzz_targets/, a
//! `[[bin]]` in Cargo.toml, and first inputs in corpus/. The tests below notice when one of them is
//! missing.

mod json_rpc;

pub use json_rpc::json_rpc;

/// The name of a target and its body.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("frame_decode", frame_decode),
    ("handshake", handshake),
    ("envelope", envelope),
    ("node", node),
    ("json_rpc", json_rpc),
];

/// Bytes as they come from a link.
pub fn frame_decode(data: &[u8]) {
    let _ = data;
}

/// The messages of the handshake, in any order.
pub fn handshake(data: &[u8]) {
    let _ = data;
}

/// The payloads of checked frames.
pub fn envelope(data: &[u8]) {
    let _ = data;
}

/// A whole node, driven by steps read from the input.
pub fn node(data: &[u8]) {
    let _ = data;
}

#[cfg(test)]
mod replay;

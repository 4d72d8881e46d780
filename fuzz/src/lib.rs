//! The bodies of the fuzz targets. They live here and not in fuzz_targets/, so that the stable
//! compiler can run them over every input the fuzzers have kept (`cargo test --manifest-path
//! fuzz/Cargo.toml`).
//!
//! A new target is: a function here, its row in [`TARGETS`], three lines in fuzz_targets/, a
//! `[[bin]]` in Cargo.toml, and first inputs in corpus/. The tests below notice when one of them is
//! missing.

mod envelope;
mod frames;
mod handshake;
mod inflate;
mod input;
#[cfg(feature = "gateway")]
mod json_rpc;
mod node;
mod shards;

pub use envelope::envelope;
pub use frames::frame_decode;
pub use handshake::handshake;
pub use inflate::inflate;
#[cfg(feature = "gateway")]
pub use json_rpc::json_rpc;
pub use node::node;
pub use shards::shards;

/// The name of a target and its body.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("frame_decode", frame_decode),
    ("handshake", handshake),
    ("envelope", envelope),
    ("inflate", inflate),
    ("node", node),
    ("shards", shards),
    #[cfg(feature = "gateway")]
    ("json_rpc", json_rpc),
];

#[cfg(test)]
mod replay;
#[cfg(test)]
mod seeds;

//! Replays golden traces through the driver, on the executor of each shell.
//!
//! A trace is the life of one node: inputs with their times. Here the node is a
//! [`Node`](relay_driver::Node) of the driver on a [`Runtime`](relay_driver::Runtime) whose clock,
//! chance and connections are those of the trace, and whose tasks run on tokio, on the executor of
//! smol, or in a browser. The driver and its executor must neither reorder, lose nor add anything:
//! the digest is that of the bare loop (`relay_sim::golden`), which has neither.

mod application;
#[cfg(target_family = "wasm")]
mod browser;
mod player;
mod runtime;
#[cfg(not(target_family = "wasm"))]
mod smol;
mod task;
#[cfg(not(target_family = "wasm"))]
mod tokio;
mod transport;

#[cfg(target_family = "wasm")]
pub use browser::replay_all;
pub use player::{line, replay};
pub use runtime::Executor;
#[cfg(not(target_family = "wasm"))]
pub use {smol::play_on_smol, tokio::play_on_tokio};

#[cfg(all(test, not(target_family = "wasm")))]
mod tests;

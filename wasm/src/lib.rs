//! Relay in a browser tab, in a worker and in Node: a Home and a caller as WebAssembly.
//!
//! JavaScript uses the npm package `relay-wasm`, whose classes stand on the few exported here
//! ([`RelayNode`], [`Outgoing`], [`Chunks`],
//! [`Subscribed`]). Rust uses [`Home`], [`Client`] and [`Node`] as on
//! any other runtime:
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use relay_wasm::{Client, Home};
//! use serde_json::{Value, json};
//!
//! let home = Home::connect("ws://relay.example.com:8080")
//!     .service("notes", |method: String, params: Value| async move {
//!         Ok(json!({ "method": method, "params": params }))
//!     })
//!     .start()
//!     .await?;
//! let client = Client::connect("ws://relay.example.com:8080").await?;
//! let notes: Value = client.call("notes", "list", &json!([])).await?;
//! # drop((home, notes)); Ok(()) }
//! ```

mod alarm;
mod clock;
mod fields;
mod node;
mod outgoing;
mod runtime;
mod service;
mod socket;
mod topics;

pub use node::RelayNode;
pub use outgoing::{Chunks, Outgoing};
pub use relay_driver::api::*;
pub use runtime::Browser;
pub use topics::Subscribed;

/// A handle on a running node: a Home or a caller.
pub type Node = relay_driver::Node<Browser>;
/// A Home relay: it dials a Main and offers services there.
pub type Home = relay_driver::Home<Browser>;
/// A Home that is being set up.
pub type HomeBuilder = relay_driver::HomeBuilder<Browser>;
/// A caller with a link to a Main.
pub type Client = relay_driver::Client<Browser>;

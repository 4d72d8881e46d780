//! Relay on smol: a Main, a Home or a caller in ten lines.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use relay_smol::{Client, Home};
//!
//! // A service, behind NAT or not:
//! let home = Home::connect("ws://relay.example.com:8080")
//!     .service("blog", |method: String, params: serde_json::Value| async move {
//!         Ok(serde_json::json!({ "method": method, "params": params }))
//!     })
//!     .start()
//!     .await?;
//!
//! // A caller, anywhere:
//! let client = Client::connect("ws://relay.example.com:8080").await?;
//! let posts: serde_json::Value = client.call("blog", "get_posts", &[1, 2]).await?;
//! # drop((home, posts)); Ok(()) }
//! ```
//!
//! A Main takes connections from wherever they come, by [`Node::accept`]; the example `main_relay`
//! takes TCP and WebSockets. [`Smol`] tells where the tasks of a node run.

mod runtime;
mod tcp;
mod websocket;

pub use relay_driver::api::*;
pub use runtime::Smol;
pub use tcp::Tcp;
pub use websocket::WebSocket;

/// A handle on a running node: a Main, a Home or a caller.
pub type Node = relay_driver::Node<Smol>;
/// A Home relay: it dials a Main and offers services there.
pub type Home = relay_driver::Home<Smol>;
/// A Home that is being set up.
pub type HomeBuilder = relay_driver::HomeBuilder<Smol>;
/// A caller with a link to a Main.
pub type Client = relay_driver::Client<Smol>;
/// Several links that share the calls of a program.
pub type Pool = relay_driver::Pool<Smol>;

//! Relay on tokio: a Main, a Home or a caller in ten lines.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use relay_tokio::{Client, Home};
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
//! A service can send any number of chunks before its result, each as soon as there is one. They
//! come no faster than the caller reads them:
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use relay_tokio::{CallRequest, Client, Home, ServiceRequest, service_fn};
//!
//! let progress = service_fn(&["run"], |request: ServiceRequest| async move {
//!     for percent in [0, 50, 100] {
//!         // There is a stream if the caller asked for one.
//!         if let Some(stream) = &request.stream {
//!             let _ = stream.send(format!("{percent}")).await;
//!         }
//!     }
//!     Ok("\"done\"".into())
//! });
//! let address = "ws://relay.example.com:8080";
//! let home = Home::connect(address).raw_service("job", progress).start().await?;
//!
//! let client = Client::connect(address).await?;
//! let (stream, answer) = client.node().call_streaming(&CallRequest::new("job", "run", ""))?;
//! while let Some(chunk) = stream.next().await {
//!     println!("{} %", String::from_utf8_lossy(&chunk));
//! }
//! println!("{:?}", answer.await?);
//! # drop(home); Ok(()) }
//! ```
//!
//! Addresses with `wss://`, `tls://` and `quic://` encrypt. The certificate of the Main is checked
//! against the CAs of the system, or of your own federation:
//!
//! ```no_run
//! # fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use relay_tokio::{Home, Runtime, Tokio, tls::ClientTls};
//!
//! let tls = ClientTls::default().with_ca_file("ca.crt")?;
//! let runtime = Tokio::current().with_tls(tls);
//! let home = Home::connect("quic://relay.example.com:8443").start_on(runtime)?;
//! # drop(home); Ok(()) }
//! ```

mod complaints;
mod first_byte;
pub mod quic;
mod runtime;
mod socket;
mod stream;
mod tcp;
pub mod tls;
mod websocket;

pub use relay_driver::api::*;
pub use runtime::Tokio;
pub use socket::SocketOptions;
pub use stream::{ByteStream, Stream};
pub use tcp::Tcp;
pub use websocket::WebSocket;

/// A handle on a running node: a Main, a Home or a caller.
pub type Node = relay_driver::Node<Tokio>;
/// A Home relay: it dials a Main and offers services there.
pub type Home = relay_driver::Home<Tokio>;
/// A Home that is being set up.
pub type HomeBuilder = relay_driver::HomeBuilder<Tokio>;
/// A caller with a link to a Main.
pub type Client = relay_driver::Client<Tokio>;
/// Several links that share the calls of a program.
pub type Pool = relay_driver::Pool<Tokio>;

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

mod client;
mod dial;
mod home;
mod link;
mod node;
mod tcp;
mod websocket;

pub use client::{CallFailure, Client};
pub use home::{ConnectError, Home, HomeBuilder, JsonError};
pub use node::{Answer, Node, NodeConfig, StartError};
pub use relay_core::DialId;
pub use relay_core::{
    Balance, Balancing, BreakerState, CallError, CloseReason, ErrorCode, Event, Executed, Limits,
    LimitsInvalid, NameInvalid, NodeId, Priority, Retry, Role, ServiceDown, ServiceRules, Stats,
    TraceHop, is_method, is_node_id, is_service, is_target,
};
pub use relay_driver::{
    BoxFuture, BreakerView, CallRequest, Census, Endpoint, EndpointError, EventStream, LinkCensus,
    PeerStatus, PeerView, RegistryView, Scope, Service, ServiceError, ServiceRequest,
    ServiceResult, ServiceView, service_fn,
};

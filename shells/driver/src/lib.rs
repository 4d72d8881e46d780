//! The runtime-free half of every shell.
//!
//! An [`Engine`] holds one node of `relay-core` and turns its outbox into effects: bytes in write
//! queues, wakers to wake, handlers to run, answers to hand over. Every method takes the lock once,
//! for a whole batch. [`Node`], [`Home`] and [`Client`] are what applications hold. A shell adds
//! what only a runtime can: an implementation of [`Runtime`] (clocks, chance, tasks) and one of
//! [`Transport`] for each kind of connection. WebSockets over any byte stream are here already
//! (`WebSocketTransport`, with the feature `websocket`).

pub mod api;
mod call;
mod census;
mod client;
mod endpoint;
mod engine;
mod events;
mod frames;
mod handlers;
mod happenings;
mod home;
mod links;
mod node;
mod pool;
mod runtime;
mod service;
mod stream;
mod tasks;
mod topics;
mod transport;
mod view;
#[cfg(feature = "websocket")]
mod websocket;

pub use call::{Answered, CallFuture, CallRequest};
pub use census::{Census, LinkCensus};
pub use client::{CallFailure, Client};
pub use endpoint::{Endpoint, EndpointError, TransportKind};
pub use engine::{Engine, TimerChange};
pub use events::EventStream;
pub use frames::{poll_write_frames, with_read_space};
pub use happenings::Happenings;
pub use home::{ConnectError, Home, HomeBuilder, JsonError};
pub use links::WriteOrder;
pub use node::{Answer, Node, NodeConfig, StartError, TracedAnswer};
pub use pool::{Pool, PoolConfig, PoolStats, Selection};
pub use runtime::Runtime;
pub use service::{BoxFuture, Service, ServiceError, ServiceRequest, ServiceResult, service_fn};
pub use stream::{CallStream, STREAM_WINDOW};
pub use topics::{Received, Subscription};
pub use transport::Transport;
pub use view::{BreakerView, LinkState, PeerStatus, PeerView, RegistryView, Scope, ServiceView};
#[cfg(feature = "websocket")]
pub use websocket::WebSocketTransport;

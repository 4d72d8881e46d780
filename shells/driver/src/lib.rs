//! The runtime-free half of every shell.
//!
//! An [`Engine`] holds one node of `relay-core` and turns its outbox into effects: bytes in write
//! queues, wakers to wake, handlers to run, answers to hand over. A shell adds what only a runtime
//! can: sockets, sleeping and spawning. Every method takes the lock once, for a whole batch.

mod call;
mod census;
mod endpoint;
mod engine;
mod events;
mod handlers;
mod links;
mod service;
mod stream;
mod view;

pub use call::{Answered, CallFuture, CallRequest};
pub use census::{Census, LinkCensus};
pub use endpoint::{Endpoint, EndpointError};
pub use engine::{Engine, Spawner, TimerChange};
pub use events::EventStream;
pub use links::WriteOrder;
pub use service::{BoxFuture, Service, ServiceError, ServiceRequest, ServiceResult, service_fn};
pub use stream::{CallStream, STREAM_WINDOW};
pub use view::{BreakerView, PeerStatus, PeerView, RegistryView, Scope, ServiceView};

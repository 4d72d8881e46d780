//! Everything that an application names of core and driver. A shell re-exports it, so that one
//! dependency is enough and the shells differ in nothing but their runtime.

pub use crate::{
    Answer, BoxFuture, BreakerView, CallFailure, CallRequest, CallStream, Census, ConnectError,
    Endpoint, EndpointError, EventStream, JsonError, LinkCensus, LinkState, NodeConfig, PeerStatus,
    PeerView, PoolConfig, PoolStats, RegistryView, Runtime, STREAM_WINDOW, Scope, Selection,
    Service, ServiceError, ServiceRequest, ServiceResult, ServiceView, StartError, Transport,
    TransportKind, service_fn,
};
pub use relay_core::message::CHUNK_BYTES_MAX;
pub use relay_core::{
    Balance, Balancing, BreakerState, CallError, CloseReason, Compression, DialId, ErrorCode,
    Event, Executed, Limits, LimitsInvalid, NameInvalid, NodeId, Priority, Retry, Role,
    ServiceDown, ServiceRules, Stats, StreamError, TraceHop, is_method, is_node_id, is_service,
    is_target,
};

//! Everything that an application names of core and driver. A shell re-exports it, so that one
//! dependency is enough and the shells differ in nothing but their runtime.

pub use crate::{
    Answer, BoxFuture, BreakerView, CallFailure, CallRequest, CallStream, Census, ConnectError,
    Endpoint, EndpointError, EventStream, Happenings, JsonError, LinkCensus, LinkState, NodeConfig,
    PeerStatus, PeerView, PoolConfig, PoolStats, Received, RegistryView, Runtime, STREAM_WINDOW,
    Scope, Selection, Service, ServiceError, ServiceRequest, ServiceResult, ServiceView,
    StartError, Subscription, Transport, TransportKind, service_fn,
};
pub use relay_core::message::CHUNK_BYTES_MAX;
pub use relay_core::topic::{is_pattern, is_topic, matches as topic_matches};
pub use relay_core::{
    Balance, Balancing, BreakerState, CallError, CloseReason, Compression, DialId, ErrorCode,
    Event, Executed, Gap, Limits, LimitsInvalid, NameInvalid, NodeId, Priority, Publication,
    Publish, Published, Retry, Role, ServiceDown, ServiceRules, Stats, StreamError, TraceHop,
    is_method, is_node_id, is_service, is_target,
};

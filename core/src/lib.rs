//! The protocol of Relay as pure state machines.
//!
//! *Every call takes `now` and an [`Outbox`]. What must happen in the world is in the outbox when
//! the call returns. Call `handle_timeout` when `poll_timeout` is due. Time never goes backwards.
//! Nothing else.*
//!
//! There is no clock, socket, thread, waker, channel or hidden randomness in here. A [`Node`] is
//! what most users hold; [`Shard`] and [`Control`] are its halves, for hosts with several cores.
//!
//! ```
//! use bytes::BytesMut;
//! use relay_core::{Call, Config, Delivery, Identity, Instant, Node, Outbox, Output};
//! use relay_core::{Reply, Role, Side};
//! use std::time::Duration;
//!
//! let node = |role, key| {
//!     let identity = Identity::new(&[key; 32], None).expect("any 32 bytes are a key");
//!     Node::new(Config::new(role), identity, [key; 32])
//! };
//! let mut nodes = [node(Role::Main, 1), node(Role::Home, 2)];
//! let (mut out, now) = (Outbox::default(), Instant::ZERO);
//! nodes[1].register("blog", &["count"], now, &mut out).expect("a legal name");
//! let dial = nodes[1].dial("main", now, &mut out);
//! out.drain().for_each(drop);
//!
//! // Two nodes, one wire: each queue holds the bytes on their way to that node.
//! let mut wires = [BytesMut::new(), BytesMut::new()];
//! let links = [
//!     nodes[0].open_link(Side::Accepted, now, &mut out).expect("room"),
//!     nodes[1].open_link(Side::Dialled(dial), now, &mut out).expect("room"),
//! ];
//! let mut result = None;
//! let mut called = false;
//! let mut at = 1; // the outbox now holds the request of the dialler
//! loop {
//!     let outputs: Vec<Output> = out.drain().collect();
//!     for output in outputs {
//!         match output {
//!             Output::Transmit { frame, .. } => wires[1 - at].extend_from_slice(&frame),
//!             Output::Deliver(Delivery::Request(call)) => {
//!                 assert_eq!((call.service(), call.method()), ("blog", "count"));
//!                 nodes[at].reply(call.call, Reply::Result(b"42"), now, &mut out);
//!             }
//!             Output::Deliver(Delivery::Answer { answer, .. }) => result = Some(answer),
//!             _ => {}
//!         }
//!     }
//!     if !out.is_empty() {
//!         continue;
//!     }
//!     let Some(next) = (0..2).find(|n| !wires[*n].is_empty()) else {
//!         if called {
//!             break;
//!         }
//!         called = true;
//!         at = 0;
//!         let deadline = Duration::from_secs(1);
//!         let (service, method) = ("blog", "count");
//!         let call = Call { service, method, body: b"[]", deadline, ..Call::default() };
//!         nodes[0].call(call, now, &mut out).expect("accepted");
//!         continue;
//!     };
//!     at = next;
//!     nodes[at].handle_received(links[at], &mut wires[at], now, &mut out);
//! }
//! assert_eq!(result, Some(relay_core::Answer::Result("42".into())));
//! ```

#![no_std]
#![forbid(unsafe_code)]
#![warn(clippy::wildcard_enum_match_arm, clippy::needless_pass_by_ref_mut)]

extern crate alloc;
#[cfg(any(test, feature = "std"))]
extern crate std;

#[macro_use]
#[cfg(not(mutants))]
mod planted;
#[macro_use]
#[cfg(mutants)]
pub mod planted;

mod calls;
mod close;
pub mod compress;
mod config;
mod control;
mod deadlines;
mod error;
mod event;
mod federation;
mod flow;
pub mod frame;
pub mod handshake;
mod holdings;
mod interests;
mod mail;
pub mod message;
mod name;
mod node;
mod outbox;
mod recent;
mod registry;
mod rng;
mod route;
mod shard;
mod slots;
mod stats;
mod time;
pub mod topic;

pub use close::CloseReason;
pub use compress::Compression;
pub use config::{Balance, Balancing, Config, Limits, LimitsInvalid, Role, ServiceRules};
pub use control::{Control, Dial, DialState, Linked};
pub use error::{CallError, ErrorCode, Executed, Retry};
pub use event::{BreakerState, Event, ServiceDown};
pub use federation::{Federation, Learned};
pub use handshake::{HandshakeError, Identity, Peer};
pub use holdings::Holdings;
pub use mail::{Mail, MailTo};
pub use message::{Priority, is_target};
pub use name::{
    METHOD_BYTES_MAX, NODE_ID_BYTES_MAX, NameInvalid, NodeId, SERVICE_BYTES_MAX, is_method,
    is_node_id, is_service,
};
pub use node::{Node, Siblings};
pub use outbox::{
    Answer, CallEnd, CallId, Delivery, DialId, Gap, IncomingCall, LinkId, LocalCallId, Open,
    Outbox, Output, Publication, TraceHop,
};
pub use registry::{Registration, Registry};
pub use shard::{
    Call, InstanceView, LinkLimitReached, Publish, Published, Reply, Shard, Side, StreamError,
    Usage,
};
pub use stats::Stats;
pub use time::Instant;

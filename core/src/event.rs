//! What happened, for logs, metrics and applications. Nothing depends on reading events.

use crate::close::CloseReason;
use crate::config::Role;
use crate::error::ErrorCode;
use crate::name::NodeId;
use crate::outbox::{DialId, LinkId};
use alloc::string::String;
use alloc::sync::Arc;

/// Something worth a line in a log.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A link is authenticated.
    LinkUp {
        /// The link.
        link: LinkId,
        /// The peer's id.
        node: NodeId,
        /// What the peer is.
        role: Role,
        /// Names the link in the logs of both sides.
        session: [u8; 16],
    },
    /// A link ended.
    LinkDown {
        /// The link.
        link: LinkId,
        /// The peer's id, if it had authenticated.
        node: Option<NodeId>,
        /// Why.
        reason: CloseReason,
        /// What the peer or the handshake said; empty where `reason` says it all.
        detail: String,
    },
    /// The peer said why it is about to close a link.
    Goodbye {
        /// The link.
        link: LinkId,
        /// The peer's id.
        node: NodeId,
        /// Its reason.
        reason: CloseReason,
        /// Its reason for a person.
        message: String,
    },
    /// A dial failed or its link ended; the next attempt comes after the pause.
    DialAgain {
        /// Which dial.
        dial: DialId,
        /// Where to.
        address: String,
        /// The pause, in milliseconds.
        pause_ms: u32,
    },
    /// A service can be called.
    ServiceUp {
        /// The service.
        service: Arc<str>,
        /// The node that offers it.
        node: NodeId,
    },
    /// A service of a node can no longer be called.
    ServiceDown {
        /// The service.
        service: Arc<str>,
        /// The node that offered it.
        node: NodeId,
        /// Why.
        why: ServiceDown,
    },
    /// The Main refused a registration of this node.
    RegistrationRefused {
        /// The service.
        service: String,
        /// Its reason as a code.
        code: ErrorCode,
        /// Its reason for a person.
        message: String,
    },
    /// A peer Main announces more than it may; the rest is not taken.
    AnnouncementRefused {
        /// The link.
        link: LinkId,
        /// The peer.
        peer: NodeId,
        /// The first service that was not taken.
        service: Arc<str>,
        /// The node that offers it.
        node: NodeId,
    },
    /// What is known of the ways to a service of a node at another Main has changed.
    RouteChanged {
        /// The service.
        service: Arc<str>,
        /// The node that offers it, or did.
        node: NodeId,
        /// The Main to which the node is attached, or was.
        origin: NodeId,
    },
    /// What a peer Main announced did not fit its digest; it has to announce it again.
    Resync {
        /// The link.
        link: LinkId,
        /// The peer.
        node: NodeId,
    },
    /// An instance of a service failed often and gets no calls, or is tried again.
    Breaker {
        /// The service.
        service: Arc<str>,
        /// The node, or the peer Main behind which the service is.
        node: NodeId,
        /// The link to it. While there are two, each has a breaker of its own.
        link: LinkId,
        /// How it stands from now on.
        state: BreakerState,
    },
    /// A call was sent to another instance because the first one provably did not run it.
    Retried {
        /// The service.
        service: Arc<str>,
        /// Why.
        code: ErrorCode,
    },
    /// Publications that a pattern stands for are passed on to this node from now on. Said again
    /// after each new link.
    Subscribed {
        /// The pattern.
        pattern: String,
    },
    /// The Main refused a subscription of this node; it has ended.
    SubscriptionRefused {
        /// The pattern.
        pattern: String,
        /// Its reason as a code.
        code: ErrorCode,
        /// Its reason for a person.
        message: String,
    },
    /// The Main did not pass on what this node published.
    NotPublished {
        /// How many publications, since this was said last.
        count: u32,
        /// Why, the last time.
        code: ErrorCode,
    },
    /// A peer answered a call that it was never asked (audit).
    StrayAnswer {
        /// The link.
        link: LinkId,
        /// The label of the answer.
        label: u64,
    },
}

/// Why a service can no longer be called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ServiceDown {
    /// The node withdrew it.
    Withdrawn,
    /// The link to the node ended.
    LinkLost,
    /// Nobody refreshed it.
    Expired,
}

/// Whether an instance of a service gets calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BreakerState {
    /// It does.
    Closed,
    /// It failed too often in a row and gets none for a while.
    Open,
    /// One call finds out whether it works again.
    HalfOpen,
}

impl BreakerState {
    /// The word used in JSON, logs and docs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

//! What the machines of one node tell each other. Opaque to drivers, which only carry it.

use crate::close::CloseReason;
use crate::error::ErrorCode;
use crate::frame::Frame;
use crate::handshake::Peer;
use crate::interests::Interests;
use crate::outbox::{DialId, LinkId};
use crate::route::RouteTable;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;

/// A message to another machine of the same node.
///
/// Bounded by construction: each call in flight between two shards holds one label of the link
/// between them, and control mail is bounded by links and registrations.
#[derive(Debug)]
pub struct Mail {
    pub(crate) to: MailTo,
    pub(crate) body: MailBody,
}

impl Mail {
    /// The machine to carry it to.
    #[must_use]
    pub const fn to(&self) -> MailTo {
        self.to
    }
}

/// A machine of a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MailTo {
    /// The control plane.
    Control,
    /// One shard of the data plane.
    Shard(u16),
}

#[derive(Debug)]
pub(crate) enum MailBody {
    /// Shard to Control: a link is authenticated.
    LinkUp { link: LinkId, peer: Arc<Peer>, dial: Option<DialId> },
    /// Shard to Control: a link (or the dial that should have become one) ended.
    /// With a pause when the other side had no time for it now.
    LinkDown { link: LinkId, dial: Option<DialId>, pause: Option<Duration> },
    /// Shard to Control: a control message, not yet decoded.
    Control { link: LinkId, payload: Bytes },
    /// Control to Shard: send this control message.
    Send { link: LinkId, payload: Vec<u8> },
    /// Control to Shard: close this link.
    Close { link: LinkId, reason: CloseReason },
    /// Control to Shard: close this link once no call is in flight over it.
    Retire { link: LinkId },
    /// Control to Shard: measure how far the peer is.
    Ping { link: LinkId },
    /// Control to Shard: where services are now.
    Routes(Arc<RouteTable>),
    /// Control to Shard: a link of the receiver wants what a pattern stands for, or not any more.
    Subscription { link: LinkId, pattern: Arc<str>, is_on: bool },
    /// Control to Shard: what other Mains want.
    Interests(Arc<Interests>),
    /// Control to Shard: the Main at the other end refuses what is published here.
    NotPublished { link: LinkId, code: ErrorCode },
    /// Shard to Shard: a publication for a link of the receiver, or else for its subscribers.
    Publication { from: u16, link: Option<LinkId>, frame: Bytes },
    /// Shard to Shard: so many bytes of publications that the receiver sent were taken.
    Taken { from: u16, bytes: u32 },
    /// Shard to Shard: a request for a link of the receiver.
    Request { from: u16, link: LinkId, frame: Frame },
    /// Shard to Shard: an answer or a cancel on the link between the two.
    Frame { from: u16, frame: Frame },
}

//! The links of a shard: a slab whose ids name a slot and its generation, so that nothing that
//! arrives for an ended link can touch the one that took its slot.

use super::account::Account;
use crate::calls::{Inbound, Outbound};
use crate::config::Limits;
use crate::handshake::{Acceptor, Dialler, Peer};
use crate::message::Priority;
use crate::outbox::{DialId, LinkId};
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

/// All links of one shard.
#[derive(Debug)]
pub(crate) struct Links {
    shard: u16,
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Network links, and those of them that are not authenticated.
    pub(crate) network: u32,
    pub(crate) handshaking: u32,
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    link: Option<Box<Link>>,
}

/// One link: to a peer, to the local application, or to another shard of the same node.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) end: End,
    /// Calls sent over it, and how many the other side takes.
    pub(crate) outbound: Outbound,
    pub(crate) outbound_max: u32,
    /// Calls that came over it, and how many this side takes.
    pub(crate) inbound: Inbound,
    pub(crate) inbound_max: u32,
    /// No outbound call ends before this; `None` when there is none.
    pub(crate) call_deadline: Option<Instant>,
    /// What the timer is set to.
    pub(crate) wake_at: Option<Instant>,
}

/// What is at the other end of a link.
#[derive(Debug)]
pub(crate) enum End {
    /// The application that holds this node.
    Local,
    /// Another shard of the same node.
    Sibling(u16),
    /// A peer, over bytes.
    Network(Network),
}

/// State of a link over bytes.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) phase: Phase,
    pub(crate) dial: Option<DialId>,
    /// Largest frame to accept and to send.
    pub(crate) frame_bytes_in: u32,
    pub(crate) frame_bytes_out: u32,
    /// A bit for each compression that frames to this node, and from it, may have.
    pub(crate) compressions_in: u8,
    pub(crate) compressions_out: u8,
    /// Bytes handed out and not yet written.
    pub(crate) write_bytes: u32,
    pub(crate) opened_at: Instant,
    pub(crate) heard_at: Instant,
    pub(crate) pinged: bool,
    /// Both ends are Mains.
    pub(crate) between_mains: bool,
    /// The time to the peer and back, when it was last measured.
    pub(crate) round_trip: Option<Duration>,
    /// The link ends once nothing is in flight over it.
    pub(crate) retiring: Option<Retiring>,
    /// How long the peer is to wait before it dials again, or this node, if it dialled.
    pub(crate) pause: Option<Duration>,
    /// A frame that has begun and is not whole: since when, and how much of it is there.
    pub(crate) partial: Option<(Instant, u32)>,
    /// Frames that cost the sender little: since when they are counted, and how many.
    pub(crate) cheap: Window,
    pub(crate) extensions: Window,
    /// Answers to nothing.
    pub(crate) strays: Window,
    /// What is remembered of its publications and of those for it, once there were any.
    pub(super) account: Option<Box<Account>>,
}

/// A link that ends once nothing is in flight over it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retiring {
    /// The peer has read everything that was sent before the link was to end.
    pub(crate) is_heard: bool,
    /// When to look at it next.
    pub(crate) look_at: Instant,
}

/// How far the handshake is.
#[derive(Debug)]
pub(crate) enum Phase {
    Accepting(Box<Acceptor>),
    Dialling(Box<Dialler>),
    Open(Arc<Peer>),
}

/// Counts events in a window of time that starts with the first of them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Window {
    since: Instant,
    count: u32,
}

impl Window {
    /// Counts one more and tells whether there were more than `max` in `seconds`.
    pub(crate) fn over(&mut self, max: u32, seconds: u64, now: Instant) -> bool {
        if self.count == 0 || now.since(self.since).as_secs() >= seconds {
            *self = Self { since: now, count: 0 };
        }
        self.count += 1;
        self.count > max
    }
}

impl Links {
    /// The links every shard has: slot 0 is the local application, then one for each shard.
    pub(crate) fn new(shard: u16, shards: u16, limits: &Limits) -> Self {
        let mut links =
            Self { shard, slots: Vec::new(), free: Vec::new(), network: 0, handshaking: 0 };
        let max = limits.local_calls_max;
        links.insert(Link::new(End::Local, max, max, u32::MAX));
        for sibling in 0..shards {
            links.insert(Link::new(End::Sibling(sibling), max, max, u32::MAX));
        }
        links
    }

    /// The local application.
    pub(crate) const fn local(&self) -> LinkId {
        LinkId { shard: self.shard, slot: 0, generation: 1 }
    }

    /// The link to another shard of this node.
    pub(crate) const fn sibling(&self, shard: u16) -> LinkId {
        LinkId { shard: self.shard, slot: 1 + shard as u32, generation: 1 }
    }

    pub(crate) fn insert(&mut self, link: Link) -> LinkId {
        self.network += u32::from(matches!(link.end, End::Network(_)));
        self.handshaking += u32::from(link.is_handshaking());
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 1, link: None });
            self.slots.len() as u32 - 1
        });
        let entry = &mut self.slots[slot as usize];
        entry.link = Some(Box::new(link));
        LinkId { shard: self.shard, slot, generation: entry.generation }
    }

    #[inline]
    pub(crate) fn get(&self, id: LinkId) -> Option<&Link> {
        let slot = self.slots.get(id.slot as usize)?;
        let ended = slot.generation != id.generation && !planted!("epoch_unchecked");
        if ended || id.shard != self.shard {
            return None;
        }
        slot.link.as_deref()
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, id: LinkId) -> Option<&mut Link> {
        let slot = self.slots.get_mut(id.slot as usize)?;
        let ended = slot.generation != id.generation && !planted!("epoch_unchecked");
        if ended || id.shard != self.shard {
            return None;
        }
        slot.link.as_deref_mut()
    }

    /// The state of a link over bytes.
    #[inline]
    pub(crate) fn network(&mut self, id: LinkId) -> Option<&mut Network> {
        match &mut self.get_mut(id)?.end {
            End::Network(network) => Some(network),
            End::Local | End::Sibling(_) => None,
        }
    }

    /// Whether the link goes over bytes to a peer.
    #[inline]
    pub(crate) fn is_network(&self, id: LinkId) -> bool {
        self.get(id).is_some_and(|link| matches!(link.end, End::Network(_)))
    }

    /// Who is authenticated at the other end of a link, if it goes over bytes.
    #[inline]
    pub(crate) fn peer(&self, id: LinkId) -> Option<&Arc<Peer>> {
        match &self.get(id)?.end {
            End::Network(network) => network.peer(),
            End::Local | End::Sibling(_) => None,
        }
    }

    /// The id of the link in this slot now.
    pub(crate) fn id_of(&self, slot: u32) -> Option<LinkId> {
        let entry = self.slots.get(slot as usize).filter(|entry| entry.link.is_some())?;
        Some(LinkId { shard: self.shard, slot, generation: entry.generation })
    }

    /// As many links as there ever were at once.
    pub(crate) const fn places(&self) -> usize {
        self.slots.len()
    }

    /// Every link, the local application and other shards included.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (LinkId, &Link)> {
        self.slots.iter().enumerate().filter_map(|(slot, entry)| {
            let id = LinkId { shard: self.shard, slot: slot as u32, generation: entry.generation };
            entry.link.as_deref().map(|link| (id, link))
        })
    }

    /// The ids of all links over bytes, by slot.
    pub(crate) fn network_ids(&self) -> Vec<LinkId> {
        let slots = 0..self.slots.len() as u32;
        let ids = slots.filter_map(|slot| self.id_of(slot));
        ids.filter(|id| self.is_network(*id)).collect()
    }

    pub(crate) fn remove(&mut self, id: LinkId) -> Option<Box<Link>> {
        self.get(id)?;
        let slot = &mut self.slots[id.slot as usize];
        let link = slot.link.take()?;
        // A slot out of generations stays empty, so that an id never repeats.
        if let Some(next) = slot.generation.checked_add(1) {
            slot.generation = next;
            self.free.push(id.slot);
        }
        self.network -= u32::from(matches!(link.end, End::Network(_)));
        self.handshaking -= u32::from(link.is_handshaking());
        Some(link)
    }
}

impl Link {
    pub(crate) fn new(end: End, outbound_max: u32, inbound_max: u32, labels_per_slot: u32) -> Self {
        Self {
            end,
            outbound: Outbound::new(labels_per_slot),
            outbound_max,
            inbound: Inbound::default(),
            inbound_max,
            call_deadline: None,
            wake_at: None,
        }
    }

    pub(crate) const fn is_handshaking(&self) -> bool {
        match &self.end {
            End::Network(network) => !matches!(network.phase, Phase::Open(_)),
            End::Local | End::Sibling(_) => false,
        }
    }

    /// Whether a new call of `caller` fits: the handshake is done, a label is free, the queue is
    /// not full, and others are left room.
    #[inline]
    pub(crate) fn takes_calls(
        &self,
        caller: LinkId,
        write_bytes_max: u32,
        priority: Priority,
        now: Instant,
    ) -> bool {
        let (_, calls_max) = self.share(write_bytes_max, priority);
        let is_retiring = matches!(&self.end, End::Network(network) if network.retiring.is_some());
        let has_room = self.outbound.has_room(self.outbound_max) && !is_retiring;
        has_room
            && self.outbound.allows(caller, calls_max, now)
            && self.takes_bytes(write_bytes_max, priority)
    }

    /// Whether more may be queued: the handshake is done, the queue is not full.
    #[inline]
    pub(crate) fn takes_bytes(&self, write_bytes_max: u32, priority: Priority) -> bool {
        match &self.end {
            End::Network(network) => {
                let (bytes_max, _) = self.share(write_bytes_max, priority);
                matches!(network.phase, Phase::Open(_)) && network.write_bytes <= bytes_max
            }
            End::Local | End::Sibling(_) => true,
        }
    }

    /// What calls of a priority may use of a link, in bytes queued and in calls in flight: those of
    /// low priority half of it, and a sixteenth of the calls is kept for those of high priority.
    fn share(&self, write_bytes_max: u32, priority: Priority) -> (u32, u32) {
        let calls = self.outbound_max;
        match priority {
            Priority::Low => (write_bytes_max / 2, calls.div_ceil(2)),
            Priority::Normal => (write_bytes_max, calls - calls / 16),
            Priority::High => (write_bytes_max.saturating_mul(2), calls),
        }
    }
}

impl Network {
    pub(crate) fn new(phase: Phase, dial: Option<DialId>, limits: &Limits, now: Instant) -> Self {
        Self {
            phase,
            dial,
            frame_bytes_in: limits.handshake_frame_bytes_max,
            frame_bytes_out: limits.handshake_frame_bytes_max,
            compressions_in: 0,
            compressions_out: 0,
            write_bytes: 0,
            opened_at: now,
            heard_at: now,
            pinged: false,
            between_mains: false,
            round_trip: None,
            retiring: None,
            pause: None,
            partial: None,
            cheap: Window::default(),
            extensions: Window::default(),
            strays: Window::default(),
            account: None,
        }
    }

    /// The authenticated peer.
    pub(crate) const fn peer(&self) -> Option<&Arc<Peer>> {
        match &self.phase {
            Phase::Open(peer) => Some(peer),
            Phase::Accepting(_) | Phase::Dialling(_) => None,
        }
    }
}

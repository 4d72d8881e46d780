//! Links come and go: who may take whose place, and what ends with them.

use super::{Control, Linked, PAUSE_MAX};
use crate::close::CloseReason;
use crate::config::Role;
use crate::error::ErrorCode;
use crate::event::{Event, ServiceDown};
use crate::handshake::Peer;
use crate::mail::{MailBody, MailTo};
use crate::message::ControlMessage;
use crate::outbox::{DialId, LinkId, Outbox};
use crate::time::Instant;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

impl Control {
    pub(super) fn link_up(
        &mut self,
        link: LinkId,
        peer: Arc<Peer>,
        dial: Option<DialId>,
        now: Instant,
        out: &mut Outbox,
    ) {
        // Callers offer nothing, so any number of them may share an identity of their own.
        if peer.role == Role::Caller {
            if self.is_taken(&peer) {
                return self.close(link, CloseReason::Fault(ErrorCode::NameConflict), out);
            }
        } else {
            match self.meet(&peer, dial) {
                Meeting::First => {}
                Meeting::Replaces(older) => self.close(older, CloseReason::Superseded, out),
                Meeting::Outlives(older) => self.retire_later(older, now),
                Meeting::OneTooMany => {
                    if let Some(dial) = dial {
                        let _ = self.dials.connected(dial, link, &peer.node, now);
                        self.dials.stand_by(dial);
                    }
                    return self.close(link, CloseReason::Superseded, out);
                }
                Meeting::Refused(code) => {
                    return self.close(link, CloseReason::Fault(code), out);
                }
            }
        }
        let mut replaced = None;
        if let Some(dial) = dial {
            match self.dials.connected(dial, link, &peer.node, now) {
                Some(leaving) => replaced = leaving,
                None => return self.close(link, CloseReason::Requested, out),
            }
        }
        if peer.role != Role::Caller {
            self.nodes.insert(peer.node.clone(), link);
        }
        let is_peer = peer.role == Role::Main && self.config.is_main();
        let linked = Linked::new(peer, dial, now);
        self.links.insert(link, linked);
        if let Some(replaced) = replaced {
            self.retiring.push((now.after(RETIRE_AFTER), replaced));
        }
        if is_peer {
            self.peer_up(link, now, out);
            self.changed(now, out);
        } else if dial.is_some() {
            self.introduce(link, now, out);
        }
    }

    /// What a new link of a Main or a Home means, given the ones there are. A name belongs to one
    /// key. Two Mains that dial each other keep the link of the one whose id is lower, so that both
    /// give up the same one; otherwise a newer link replaces an older one.
    fn meet(&self, peer: &Peer, dial: Option<DialId>) -> Meeting {
        if peer.node == self.node {
            return Meeting::Refused(ErrorCode::NameConflict);
        }
        let older = self.nodes.get(&peer.node);
        let Some((older, linked)) = older.and_then(|at| Some((*at, self.links.get(at)?))) else {
            let holder = match peer.role {
                Role::Home => self.federation.holder(&peer.node),
                Role::Main | Role::Caller => None,
            };
            let other = holder.is_some_and(|mark| mark != peer.mark);
            return if other { Meeting::Refused(ErrorCode::NameConflict) } else { Meeting::First };
        };
        if linked.peer.key != peer.key {
            return Meeting::Refused(ErrorCode::NameConflict);
        }
        let between_mains = peer.role == Role::Main && self.config.is_main();
        if !between_mains || linked.dial.is_some() == dial.is_some() {
            return Meeting::Replaces(older);
        }
        let ours_is_kept = self.node < peer.node;
        if dial.is_some() == ours_is_kept { Meeting::Outlives(older) } else { Meeting::OneTooMany }
    }

    /// Whether a caller goes by the name of a node that is linked here under another key.
    fn is_taken(&self, peer: &Peer) -> bool {
        let linked = self.nodes.get(&peer.node).and_then(|link| self.links.get(link));
        peer.node == self.node || linked.is_some_and(|linked| linked.peer.key != peer.key)
    }

    pub(super) fn link_down(
        &mut self,
        link: LinkId,
        dial: Option<DialId>,
        pause: Option<Duration>,
        now: Instant,
        out: &mut Outbox,
    ) {
        match (dial, pause) {
            (Some(dial), Some(pause)) => self.dials.paced(dial, now.after(pause.min(PAUSE_MAX))),
            (Some(dial), None) if self.links.contains_key(&link) => {
                self.dials.ended(dial, link, &mut self.generator, now, out);
            }
            (Some(dial), None) => self.dials.failed(dial, &mut self.generator, now, out),
            (None, _) => {}
        }
        self.retiring.retain(|(_, retiring)| *retiring != link);
        let Some(linked) = self.links.remove(&link) else { return };
        let node = &linked.peer.node;
        if self.nodes.get(node) == Some(&link) {
            self.nodes.remove(node);
            self.dials.gone(node, now, &mut self.generator);
        }
        for service in linked.services {
            if planted!("lost_link_stays_offered") {
                break;
            }
            if self.remove_offer(&service, node, link, now, out) {
                let (node, why) = (node.clone(), ServiceDown::LinkLost);
                out.event(Event::ServiceDown { service, node, why });
            }
        }
        self.topics_down(link, linked.patterns, now, out);
        self.topics_follow(now, out);
        self.peer_down(link, now, out);
        self.changed(now, out);
    }

    /// Both Mains dialled: the older link works on until all is said over the newer one.
    fn retire_later(&mut self, link: LinkId, now: Instant) {
        self.retiring.push((now.after(RETIRE_AFTER), link));
        if let Some(dial) = self.links.get(&link).and_then(|linked| linked.dial) {
            self.dials.stand_by(dial);
        }
    }

    /// Links that others have taken the place of for a while: nothing is offered over them any
    /// more, and they end when the last call over them has.
    pub(super) fn retire(&mut self, now: Instant, out: &mut Outbox) {
        while self.retiring.first().is_some_and(|(at, _)| *at <= now) {
            let (_, link) = self.retiring.remove(0);
            let offers =
                if self.config.role == Role::Home { self.own_services() } else { Vec::new() };
            for service in offers {
                self.send(link, &ControlMessage::Withdraw { service: &service }, out);
            }
            out.mail(MailTo::Shard(link.shard), MailBody::Retire { link });
        }
    }
}

/// What a new link of a node means.
enum Meeting {
    /// It is the only one.
    First,
    /// The older one ends.
    Replaces(LinkId),
    /// The older one ends when nothing is in flight over it.
    Outlives(LinkId),
    /// The older one is kept.
    OneTooMany,
    /// The node may not be linked here.
    Refused(ErrorCode),
}

impl Linked {
    fn new(peer: Arc<Peer>, dial: Option<DialId>, now: Instant) -> Self {
        Self {
            peer,
            since: now,
            confirmed_at: now,
            is_leaving: false,
            labels: Arc::from([]),
            services: BTreeSet::new(),
            lapsed: BTreeMap::new(),
            patterns: BTreeSet::new(),
            dial,
        }
    }
}

/// The Main that a node moved to has told its peers by then.
const RETIRE_AFTER: Duration = Duration::from_secs(2);

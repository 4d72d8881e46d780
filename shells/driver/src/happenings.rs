//! What events tell, added up for those who look now and then instead of listening.

use relay_core::{BreakerState, Event};

/// How often something happened since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Happenings {
    /// Connections that ended before the other side had authenticated.
    pub handshakes_failed: u64,
    /// An attempt to dial failed or the link ended, so that it has to be dialled again.
    pub redials: u64,
    /// An instance of a service was shut out.
    pub breakers_opened: u64,
    /// What a peer announced did not fit its digest, so that it had to announce it again.
    pub resyncs: u64,
    /// A peer began to announce more than it may.
    pub announcements_refused: u64,
}

impl Happenings {
    pub(crate) fn note(&mut self, event: &Event) {
        let counter = match event {
            Event::LinkDown { node: None, .. } => &mut self.handshakes_failed,
            Event::DialAgain { .. } => &mut self.redials,
            Event::Breaker { state: BreakerState::Open, .. } => &mut self.breakers_opened,
            Event::Resync { .. } => &mut self.resyncs,
            Event::AnnouncementRefused { .. } => &mut self.announcements_refused,
            _ => return,
        };
        *counter += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use relay_core::{CloseReason, Config, Identity, Instant, Node, NodeId, Outbox, Role, Side};

    #[test]
    fn each_event_counts_where_it_belongs() {
        let identity = Identity::new(&[1; 32], None).expect("a key");
        let mut node = Node::new(Config::new(Role::Main), identity, [2; 32]);
        let (now, mut out) = (Instant::ZERO, Outbox::default());
        let link = node.open_link(Side::Accepted, now, &mut out).expect("room");
        let dial = node.dial("ws://a:1", now, &mut out);
        let (peer, service) = (NodeId::new("peer").expect("a name"), "blog".into());
        let down = |node| Event::LinkDown {
            link,
            node,
            reason: CloseReason::IdleTimeout,
            detail: String::new(),
        };
        let breaker =
            |state| Event::Breaker { service: "blog".into(), node: peer.clone(), link, state };
        let mut counted = Happenings::default();
        for event in [
            down(None),
            down(Some(peer.clone())),
            Event::DialAgain { dial, address: String::new(), pause_ms: 1 },
            breaker(BreakerState::Open),
            breaker(BreakerState::HalfOpen),
            breaker(BreakerState::Closed),
            Event::Resync { link, node: peer.clone() },
            Event::AnnouncementRefused { link, peer: peer.clone(), service, node: peer },
        ] {
            counted.note(&event);
        }
        let each = Happenings {
            handshakes_failed: 1,
            redials: 1,
            breakers_opened: 1,
            resyncs: 1,
            announcements_refused: 1,
        };
        assert_eq!(counted, each);
    }
}

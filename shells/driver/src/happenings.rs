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

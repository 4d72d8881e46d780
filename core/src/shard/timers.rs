//! What a link waits for: one timer each, set to the earliest of everything that may fall due.

use super::links::Retiring;
use super::{End, PING, Phase, Shard};
use crate::close::CloseReason;
use crate::config::Limits;
use crate::error::ErrorCode;
use crate::frame::Kind;
use crate::outbox::{LinkId, Outbox};
use crate::time::Instant;
use core::time::Duration;

/// Something a link waited for.
pub(super) enum Due {
    HandshakeTimeout,
    IdleTimeout,
    FrameTimeout,
    Ping,
    Retired,
}

impl Shard {
    /// Makes sure that a link is looked at by `at`. A timer that is already set earlier stays: it
    /// finds out for itself what the link waits for then, so the hot path seldom moves one.
    #[inline]
    pub(super) fn wake_by(&mut self, id: LinkId, at: Instant) {
        let Some(link) = self.links.get_mut(id) else { return };
        if link.wake_at.is_some_and(|set| set <= at) {
            return;
        }
        let before = link.wake_at.replace(at);
        self.timers.set(id.slot, before, Some(at));
    }

    /// Sets the timer of a link to what it waits for now.
    pub(super) fn rewind_timer(&mut self, id: LinkId) {
        let limits = &self.config.limits;
        let Some(link) = self.links.get_mut(id) else { return };
        let network = match &link.end {
            End::Network(network) => network.next_due(limits).map(|(at, _)| at),
            End::Local | End::Sibling(_) => None,
        };
        let calls = link.call_deadline.map(to_tick);
        let at = match (network, calls) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let before = core::mem::replace(&mut link.wake_at, at);
        self.timers.set(id.slot, before, at);
    }

    /// Does what is due on a link whose timer has just been taken.
    pub(super) fn handle_link_timeout(&mut self, id: LinkId, now: Instant, out: &mut Outbox) {
        let limits = &self.config.limits;
        let Some(link) = self.links.get_mut(id) else { return };
        link.wake_at = None;
        if let End::Network(network) = &mut link.end {
            match network.next_due(limits).filter(|(at, _)| *at <= now) {
                Some((_, Due::HandshakeTimeout)) => {
                    return self.close(id, CloseReason::HandshakeTimeout, "", now, out);
                }
                Some((_, Due::IdleTimeout)) if planted!("silence_is_fine") => {
                    network.heard_at = now;
                }
                Some((_, Due::IdleTimeout)) => {
                    return self.close(id, CloseReason::IdleTimeout, "", now, out);
                }
                Some((_, Due::FrameTimeout)) => {
                    let reason = CloseReason::Fault(ErrorCode::Truncated);
                    let text = "a frame did not arrive in time";
                    return self.close(id, reason, text, now, out);
                }
                Some((_, Due::Ping)) => self.ping(id, PING, now, out),
                Some((_, Due::Retired)) if self.end_if_idle(id, now, out) => return,
                Some((_, Due::Retired)) | None => {}
            }
        }
        self.expire_calls(id, now, out);
        self.rewind_timer(id);
        self.tell_missed(id, now, out);
        self.tell_refused(id, now, out);
    }

    /// Asks a peer whether it lives.
    pub(super) fn ping(&mut self, id: LinkId, number: u64, now: Instant, out: &mut Outbox) {
        let Some(network) = self.links.network(id) else { return };
        if network.peer().is_none() {
            return;
        }
        network.pinged = true;
        let stamp = now.as_nanos().to_be_bytes();
        let ping = self.writer.write(Kind::Ping, number, 0, |_| {}, &stamp);
        self.transmit(id, ping, out);
    }

    /// Ends a link once nothing is in flight over it. That is so when the peer has answered a ping
    /// sent after it was told that nothing is offered here: it sends no more calls then.
    pub(super) fn retire(&mut self, id: LinkId, now: Instant, out: &mut Outbox) {
        let Some(network) = self.links.network(id) else { return };
        let look_at = now.after(RETIRED_LOOK);
        network.retiring = Some(Retiring { is_heard: false, look_at });
        self.ping(id, RETIRING_PING, now, out);
        self.wake_by(id, look_at);
    }

    fn end_if_idle(&mut self, id: LinkId, now: Instant, out: &mut Outbox) -> bool {
        let Some(link) = self.links.get_mut(id) else { return true };
        let is_idle =
            (link.inbound.live() == 0 && link.outbound.live() == 0) || planted!("leaves_at_once");
        let End::Network(network) = &mut link.end else { return false };
        let Some(retiring) = &mut network.retiring else { return false };
        if retiring.is_heard && is_idle {
            self.close(id, CloseReason::Requested, "another Main serves this node now", now, out);
            return true;
        }
        retiring.look_at = now.after(RETIRED_LOOK);
        false
    }

    fn expire_calls(&mut self, id: LinkId, now: Instant, out: &mut Outbox) {
        let Some(link) = self.links.get_mut(id) else { return };
        if link.call_deadline.is_none_or(|at| to_tick(at) > now) {
            return;
        }
        let (due, next) = link.outbound.expired(now);
        link.call_deadline = next;
        for label in due {
            self.expire(id, label, now, out);
        }
    }
}

impl super::Network {
    pub(super) const fn frame_due(since: Instant, bytes: u32, limits: &Limits) -> Instant {
        // A large frame on a slow link gets a second more for each piece that came.
        let grace = Duration::from_secs((bytes / BYTES_PER_SECOND_LEAST) as u64);
        since.after(limits.frame_timeout).after(grace)
    }

    pub(super) fn next_due(&self, limits: &Limits) -> Option<(Instant, Due)> {
        if !matches!(self.phase, Phase::Open(_)) {
            if planted!("handshake_waits_for_ever") {
                return None;
            }
            return Some((self.opened_at.after(limits.handshake_timeout), Due::HandshakeTimeout));
        }
        // Mains notice each other's death sooner: all calls between them hang on it.
        let (keepalive_after, idle_timeout) = if self.between_mains {
            let keepalive_after = limits.keepalive_after.min(limits.peer_keepalive_after);
            (keepalive_after, limits.idle_timeout.min(limits.peer_idle_timeout))
        } else {
            (limits.keepalive_after, limits.idle_timeout)
        };
        let silence = if self.pinged {
            (self.heard_at.after(idle_timeout), Due::IdleTimeout)
        } else {
            (self.heard_at.after(keepalive_after), Due::Ping)
        };
        let due = |(since, bytes)| (Self::frame_due(since, bytes, limits), Due::FrameTimeout);
        let frame = self.partial.map(due);
        let retired = self.retiring.map(|retiring| (retiring.look_at, Due::Retired));
        [frame, retired, Some(silence)].into_iter().flatten().min_by_key(|(at, _)| *at)
    }
}

/// Deadlines of calls are looked at once in a millisecond, so that many short ones cost one look.
pub(super) const fn to_tick(at: Instant) -> Instant {
    Instant::from_nanos(at.as_nanos().div_ceil(TICK_NANOS).saturating_mul(TICK_NANOS))
}

/// The number of the ping that a link which is about to end waits for.
pub(super) const RETIRING_PING: u64 = 1;
/// How often a link that is about to end is looked at.
const RETIRED_LOOK: Duration = Duration::from_millis(50);
const TICK_NANOS: u64 = 1_000_000;
/// A frame that comes slower than this is given up.
const BYTES_PER_SECOND_LEAST: u32 = 64 << 10;

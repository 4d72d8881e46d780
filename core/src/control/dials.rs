//! Whom this node dials: one link kept for each address, with growing pauses after failures.

use crate::config::Limits;
use crate::event::Event;
use crate::outbox::{DialId, LinkId, Open, Outbox, Output};
use crate::rng::Generator;
use crate::time::{Instant, millis};
use alloc::collections::BTreeMap;
use alloc::string::String;
use core::time::Duration;

/// All addresses this node keeps dialling.
#[derive(Debug, Default)]
pub(super) struct Dials {
    dials: BTreeMap<DialId, Dial>,
    last: u32,
    stopped: bool,
}

/// One address this node keeps dialling.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dial {
    /// The address.
    pub address: String,
    /// How it stands.
    pub state: DialState,
    /// Attempts that failed since a link last held.
    pub failures: u32,
    /// Not to be dialled before, because the peer asked for a pause.
    not_before: Instant,
}

/// How a dial stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DialState {
    /// The next attempt comes then.
    Waiting(Instant),
    /// The driver was asked to connect, or the handshake runs.
    Connecting,
    /// A link is authenticated, since then.
    Up(LinkId, Instant),
}

impl Dials {
    pub(super) fn add(&mut self, address: &str, now: Instant) -> DialId {
        self.last += 1;
        let id = DialId(self.last);
        let (address, state) = (String::from(address), DialState::Waiting(now));
        self.dials.insert(id, Dial { address, state, failures: 0, not_before: Instant::ZERO });
        id
    }

    /// Removes a dial and returns the link that it holds.
    pub(super) fn remove(&mut self, id: DialId) -> Option<Option<LinkId>> {
        let dial = self.dials.remove(&id)?;
        match dial.state {
            DialState::Up(link, _) => Some(Some(link)),
            DialState::Waiting(_) | DialState::Connecting => Some(None),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (DialId, &Dial)> {
        self.dials.iter().map(|(id, dial)| (*id, dial))
    }

    /// Asks for every connection that is due.
    pub(super) fn poll(&mut self, now: Instant, out: &mut Outbox) {
        if self.stopped {
            return;
        }
        for (id, dial) in &mut self.dials {
            if matches!(dial.state, DialState::Waiting(at) if at <= now) {
                dial.state = DialState::Connecting;
                out.push(Output::Open(Open { dial: *id, address: dial.address.clone() }));
            }
        }
    }

    pub(super) fn next(&self) -> Option<Instant> {
        let waiting = self.dials.values().filter_map(|dial| match dial.state {
            DialState::Waiting(at) => Some(at),
            DialState::Connecting | DialState::Up(..) => None,
        });
        waiting.min().filter(|_| !self.stopped)
    }

    /// Notes that a dial has its link. Tells whether the dial is still wanted.
    pub(super) fn connected(&mut self, id: DialId, link: LinkId, now: Instant) -> bool {
        let Some(dial) = self.dials.get_mut(&id) else { return false };
        dial.state = DialState::Up(link, now);
        true
    }

    /// Notes that the peer asked for a pause before the next attempt.
    pub(super) fn pause(&mut self, id: DialId, until: Instant) {
        if let Some(dial) = self.dials.get_mut(&id) {
            dial.not_before = until;
        }
    }

    /// Notes that an attempt failed or a link ended, and sets the next attempt: after a pause of
    /// random length up to a bound that doubles with each failure ("full jitter": Brooker,
    /// "Exponential Backoff and Jitter").
    pub(super) fn failed(
        &mut self,
        id: DialId,
        limits: &Limits,
        generator: &mut Generator,
        now: Instant,
        out: &mut Outbox,
    ) {
        let Some(dial) = self.dials.get_mut(&id) else { return };
        if cfg!(mutant = "dial_once") {
            return;
        }
        let held = matches!(dial.state, DialState::Up(_, since) if now.since(since) >= HELD_AFTER);
        let doublings = if held { 0 } else { dial.failures.min(DOUBLINGS_MAX) };
        dial.failures = if held { 1 } else { dial.failures.saturating_add(1) };
        let bound = limits.reconnect_min.saturating_mul(1 << doublings).min(limits.reconnect_max);
        let at = now.after(generator.up_to(bound)).max(dial.not_before);
        dial.state = DialState::Waiting(at);
        if !self.stopped {
            let (address, pause_ms) = (dial.address.clone(), millis(at.since(now)));
            out.event(Event::DialAgain { dial: id, address, pause_ms });
        }
    }

    /// Dials nothing any more.
    pub(super) fn stop(&mut self) {
        self.stopped = true;
    }
}

/// A link that lived this long was good: the pauses start small again after it.
const HELD_AFTER: Duration = Duration::from_secs(10);
/// 100 ms doubled this often is beyond any sensible bound.
const DOUBLINGS_MAX: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_bound_and_shrink_after_a_link_that_held() {
        let (limits, mut generator) = (Limits::default(), Generator::new([3; 32]));
        let (mut dials, mut out, mut now) = (Dials::default(), Outbox::default(), Instant::ZERO);
        let id = dials.add("ws://main", now);
        let mut longest = [Duration::ZERO; 12];
        for round in 0..600 {
            let attempt = round % 12;
            dials.poll(now, &mut out);
            if attempt == 0 {
                assert!(dials.connected(id, LinkId { shard: 0, slot: 9, generation: 1 }, now));
                now = now.after(HELD_AFTER);
            }
            dials.failed(id, &limits, &mut generator, now, &mut out);
            let next = dials.next().expect("waiting");
            let bound = limits.reconnect_min.saturating_mul(1 << attempt.min(16));
            assert!(next.since(now) <= bound.min(limits.reconnect_max));
            longest[attempt] = longest[attempt].max(next.since(now));
            now = next;
        }
        assert!(longest[0] <= limits.reconnect_min && longest[11] > limits.reconnect_max / 2);
    }
}

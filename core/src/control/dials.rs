//! Whom this node dials: one link kept for each dial, with growing pauses after failures. A dial
//! may name several Mains; it keeps a link to one of them and goes to the next when that one dies
//! or leaves.

use crate::config::{Limits, Role};
use crate::event::Event;
use crate::name::NodeId;
use crate::outbox::{DialId, LinkId, Open, Outbox, Output};
use crate::rng::Generator;
use crate::time::{Instant, millis};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

/// All dials of this node.
#[derive(Debug)]
pub(super) struct Dials {
    dials: BTreeMap<DialId, Dial>,
    last: u32,
    stopped: bool,
    pause_min: Duration,
    pause_max: Duration,
}

/// One link that this node keeps.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dial {
    /// Where it may go, in the order in which it is tried.
    pub addresses: Vec<String>,
    /// Which of them it goes to now.
    at: usize,
    /// How it stands.
    pub state: DialState,
    /// Attempts that failed since a link last held.
    pub failures: u32,
    /// Who answered at the address it goes to.
    node: Option<NodeId>,
    /// The link to a Main that is leaving, good until there is another one.
    leaving: Option<LinkId>,
    /// Not to be dialled before, because the peer asked for a pause.
    not_before: Instant,
    /// Since when there is no link.
    lost_at: Instant,
    /// The longest pause that there could have been before the last attempt.
    bound: Duration,
    /// The peer said that this node may not be linked there.
    was_sent_away: bool,
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
    /// The Main at that address is linked already, by a link that it dialled itself.
    Standby,
}

impl Dial {
    /// The address it goes to now.
    #[must_use]
    pub fn address(&self) -> &str {
        self.addresses.get(self.at).map_or("", String::as_str)
    }

    /// The node that answered where it goes, if any did.
    #[must_use]
    pub const fn node(&self) -> Option<&NodeId> {
        self.node.as_ref()
    }

    /// The link that calls go over: the newest one that is authenticated.
    #[must_use]
    pub const fn link(&self) -> Option<LinkId> {
        match self.state {
            DialState::Up(link, _) => Some(link),
            DialState::Waiting(_) | DialState::Connecting | DialState::Standby => self.leaving,
        }
    }

    fn next_address(&mut self) {
        if self.addresses.len() > 1 {
            self.at = (self.at + 1) % self.addresses.len();
            self.node = None;
            self.not_before = Instant::ZERO;
        }
    }
}

impl Dials {
    /// No dials yet; Mains dial each other more often than others dial them.
    pub(super) const fn new(role: Role, limits: &Limits) -> Self {
        let pause_max = match role {
            Role::Main => limits.peer_reconnect_max,
            Role::Home | Role::Caller => limits.reconnect_max,
        };
        let pause_min = limits.reconnect_min;
        Self { dials: BTreeMap::new(), last: 0, stopped: false, pause_min, pause_max }
    }

    pub(super) fn add(&mut self, addresses: Vec<String>, now: Instant) -> DialId {
        self.last += 1;
        let id = DialId(self.last);
        let dial = Dial {
            addresses,
            at: 0,
            state: DialState::Waiting(now),
            failures: 0,
            node: None,
            leaving: None,
            not_before: Instant::ZERO,
            lost_at: now,
            bound: Duration::ZERO,
            was_sent_away: false,
        };
        self.dials.insert(id, dial);
        id
    }

    /// Removes a dial and returns the links that it holds.
    pub(super) fn remove(&mut self, id: DialId) -> Option<Vec<LinkId>> {
        let dial = self.dials.remove(&id)?;
        let up = match dial.state {
            DialState::Up(link, _) => Some(link),
            DialState::Waiting(_) | DialState::Connecting | DialState::Standby => None,
        };
        Some(up.into_iter().chain(dial.leaving).collect())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (DialId, &Dial)> {
        self.dials.iter().map(|(id, dial)| (*id, dial))
    }

    /// The node that answered where this dial goes.
    pub(super) fn node(&self, id: DialId) -> Option<&NodeId> {
        self.dials.get(&id)?.node.as_ref()
    }

    /// Asks for every connection that is due, but for those to nodes that are linked already.
    pub(super) fn poll(
        &mut self,
        now: Instant,
        is_linked: impl Fn(&NodeId) -> bool,
        out: &mut Outbox,
    ) {
        if self.stopped {
            return;
        }
        for (id, dial) in &mut self.dials {
            if !matches!(dial.state, DialState::Waiting(at) if at <= now) {
                continue;
            }
            let elsewhere = dial.node.as_ref().is_some_and(&is_linked) && dial.leaving.is_none();
            if elsewhere && dial.addresses.len() == 1 {
                dial.state = DialState::Standby;
                continue;
            }
            dial.state = DialState::Connecting;
            out.push(Output::Open(Open { dial: *id, address: dial.address().into() }));
        }
    }

    pub(super) fn next(&self) -> Option<Instant> {
        let waiting = self.dials.values().filter_map(|dial| match dial.state {
            DialState::Waiting(at) => Some(at),
            DialState::Connecting | DialState::Up(..) | DialState::Standby => None,
        });
        waiting.min().filter(|_| !self.stopped)
    }

    /// Notes that a dial has its link, and returns the one it takes the place of, if any. Nothing
    /// when the dial is not wanted any more.
    pub(super) fn connected(
        &mut self,
        id: DialId,
        link: LinkId,
        node: &NodeId,
        now: Instant,
    ) -> Option<Option<LinkId>> {
        let dial = self.dials.get_mut(&id)?;
        let older = dial.link().filter(|older| *older != link);
        dial.state = DialState::Up(link, now);
        dial.node = Some(node.clone());
        Some(older)
    }

    /// The link of this dial is one too many: the peer's own is kept.
    pub(super) fn stand_by(&mut self, id: DialId) {
        if let Some(dial) = self.dials.get_mut(&id) {
            dial.state = DialState::Standby;
        }
    }

    /// A node is not linked any more: whoever stood by for it dials now.
    pub(super) fn gone(&mut self, node: &NodeId, now: Instant, generator: &mut Generator) {
        for dial in self.dials.values_mut() {
            if dial.state == DialState::Standby && dial.node.as_ref() == Some(node) {
                dial.state = DialState::Waiting(now.after(generator.up_to(self.pause_min)));
            }
        }
    }

    /// The Main at the other end of a link is leaving: another one is dialled, if there is one.
    /// Tells whether there is.
    pub(super) fn leave(
        &mut self,
        id: DialId,
        link: LinkId,
        now: Instant,
        generator: &mut Generator,
    ) -> bool {
        let Some(dial) = self.dials.get_mut(&id) else { return false };
        let is_it = matches!(dial.state, DialState::Up(up, _) if up == link);
        if !is_it || dial.addresses.len() < 2 {
            return false;
        }
        dial.leaving = Some(link);
        dial.failures = 0;
        dial.next_address();
        dial.state = DialState::Waiting(now.after(generator.up_to(LEAVE_WITHIN)));
        true
    }

    /// Notes that the peer asked for a pause before the next attempt.
    pub(super) fn pause(&mut self, id: DialId, until: Instant) {
        if let Some(dial) = self.dials.get_mut(&id) {
            dial.not_before = until;
        }
    }

    /// Notes that the peer will not have this node, and is about to end the link.
    pub(super) fn sent_away(&mut self, id: DialId) {
        if let Some(dial) = self.dials.get_mut(&id) {
            dial.was_sent_away = true;
        }
    }

    /// A Main has no time for a handshake now and said when to come again: no failure of anybody.
    pub(super) fn paced(&mut self, id: DialId, until: Instant) {
        if let Some(dial) = self.dials.get_mut(&id) {
            dial.state = DialState::Waiting(until.max(dial.not_before));
        }
    }

    /// Notes that a link that was authenticated has ended. It may be one that another one has long
    /// taken the place of; then nothing follows.
    pub(super) fn ended(
        &mut self,
        id: DialId,
        link: LinkId,
        generator: &mut Generator,
        now: Instant,
        out: &mut Outbox,
    ) {
        let Some(dial) = self.dials.get_mut(&id) else { return };
        if dial.leaving == Some(link) {
            dial.leaving = None;
        } else if matches!(dial.state, DialState::Up(up, _) if up == link) {
            self.again(id, generator, now, out);
        }
    }

    /// Notes that an attempt failed.
    pub(super) fn failed(
        &mut self,
        id: DialId,
        generator: &mut Generator,
        now: Instant,
        out: &mut Outbox,
    ) {
        if self.dials.get(&id).is_some_and(|dial| dial.state == DialState::Connecting) {
            self.again(id, generator, now, out);
        }
    }

    /// Sets the next attempt: at the next address, after a pause of random length up to a bound
    /// that doubles with each failure ("full jitter": Brooker, "Exponential Backoff and Jitter").
    fn again(&mut self, id: DialId, generator: &mut Generator, now: Instant, out: &mut Outbox) {
        let Some(dial) = self.dials.get_mut(&id) else { return };
        if planted!("dial_once") {
            return;
        }
        // A link that lived for longer than the pause before it was good: pauses start small again.
        let good_after = dial.bound.max(HELD_AFTER);
        let held = matches!(dial.state, DialState::Up(_, since) if now.since(since) >= good_after);
        // Who is sent away as soon as he has said who he is has lost nothing, and must not knock
        // for ever as if it were the first time.
        let was_sent_away = core::mem::take(&mut dial.was_sent_away);
        if matches!(dial.state, DialState::Up(..)) && !was_sent_away {
            dial.lost_at = now;
        }
        // With several addresses a round over all of them counts as one failure.
        let rounds = if held { 0 } else { dial.failures / dial.addresses.len().max(1) as u32 };
        dial.failures = if held { 1 } else { dial.failures.saturating_add(1) };
        dial.next_address();
        let doublings = rounds.min(DOUBLINGS_MAX);
        let bound = self.pause_min.saturating_mul(1 << doublings).min(self.pause_max);
        // A short outage must not cost a long pause, however the lots fell.
        let bound = bound.min((now.since(dial.lost_at) * 2).max(self.pause_min));
        dial.bound = bound;
        let at = now.after(generator.up_to(bound)).max(dial.not_before);
        dial.state = DialState::Waiting(at);
        if !self.stopped {
            let (address, pause_ms) = (dial.address().into(), millis(at.since(now)));
            out.event(Event::DialAgain { dial: id, address, pause_ms });
        }
    }

    /// Waits no longer than the peers asked for.
    pub(super) fn hasten(&mut self, now: Instant) {
        for dial in self.dials.values_mut() {
            if let DialState::Waiting(at) = &mut dial.state {
                *at = (*at).min(now.max(dial.not_before));
            }
        }
    }

    /// Dials nothing any more.
    pub(super) fn stop(&mut self) {
        self.stopped = true;
    }
}

/// No link that lived shorter was good.
const HELD_AFTER: Duration = Duration::from_secs(1);
/// 100 ms doubled this often is beyond any sensible bound.
const DOUBLINGS_MAX: u32 = 16;
/// All nodes of a Main that leaves go elsewhere within this time.
const LEAVE_WITHIN: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    fn dials(addresses: &[&str]) -> (Dials, DialId) {
        let mut dials = Dials::new(Role::Home, &Limits::default());
        let addresses = addresses.iter().map(|address| String::from(*address)).collect();
        let id = dials.add(addresses, Instant::ZERO);
        (dials, id)
    }

    fn link(slot: u32) -> LinkId {
        LinkId { shard: 0, slot, generation: 1 }
    }

    #[test]
    fn pauses_grow_to_their_bound_and_shrink_after_a_link_that_held() {
        let (limits, mut generator) = (Limits::default(), Generator::new([3; 32]));
        let ((mut dials, id), mut out) = (dials(&["ws://main"]), Outbox::default());
        let (mut now, main) = (Instant::ZERO, NodeId::unknown());
        let mut longest = [Duration::ZERO; 12];
        for round in 0..600 {
            let attempt = round % 12;
            dials.poll(now, |_| false, &mut out);
            if attempt == 0 {
                assert!(dials.connected(id, link(9), &main, now).is_some());
                now = now.after(limits.reconnect_max);
                dials.ended(id, link(9), &mut generator, now, &mut out);
            } else {
                dials.failed(id, &mut generator, now, &mut out);
            }
            let next = dials.next().expect("waiting");
            let bound = limits.reconnect_min.saturating_mul(1 << attempt.min(16));
            assert!(next.since(now) <= bound.min(limits.reconnect_max));
            longest[attempt] = longest[attempt].max(next.since(now));
            now = next;
        }
        assert!(longest[0] <= limits.reconnect_min && longest[11] > limits.reconnect_max / 2);
    }

    #[test]
    fn another_main_is_dialled_before_the_one_that_leaves_is_given_up() {
        let ((mut dials, id), mut out) = (dials(&["a", "b"]), Outbox::default());
        let (now, mut generator) = (Instant::ZERO, Generator::new([3; 32]));
        let main = NodeId::unknown();
        dials.poll(now, |_| false, &mut out);
        assert_eq!(dials.connected(id, link(3), &main, now), Some(None));
        assert!(dials.leave(id, link(3), now, &mut generator));
        let dial = dials.iter().next().expect("one").1.clone();
        assert_eq!((dial.address(), dial.link()), ("b", Some(link(3))));
        let at = dials.next().expect("soon");
        dials.poll(at, |_| true, &mut out);
        assert_eq!(dials.connected(id, link(4), &main, at), Some(Some(link(3))));
        dials.ended(id, link(3), &mut generator, at, &mut out);
        let dial = dials.iter().next().expect("one").1;
        assert_eq!((dial.link(), dial.leaving), (Some(link(4)), None));
    }

    /// Links that live for some seconds each and are lost again and again are no reason to wait.
    #[test]
    fn pauses_stay_small_as_long_as_every_attempt_succeeds() {
        let ((mut dials, id), mut out) = (dials(&["a", "b", "c"]), Outbox::default());
        let (mut now, mut generator) = (Instant::ZERO, Generator::new([3; 32]));
        for round in 0..60 {
            dials.poll(now, |_| false, &mut out);
            assert!(dials.connected(id, link(round), &NodeId::unknown(), now).is_some());
            now = now.after(Duration::from_secs(5));
            dials.ended(id, link(round), &mut generator, now, &mut out);
            let next = dials.next().expect("waiting");
            assert!(next.since(now) <= Limits::default().reconnect_min);
            now = next;
        }
    }

    /// As where another key holds the name: the handshake succeeds, then the link ends.
    #[test]
    fn pauses_grow_where_the_peer_will_not_have_this_node() {
        let (limits, mut generator) = (Limits::default(), Generator::new([3; 32]));
        let ((mut dials, id), mut out) = (dials(&["a"]), Outbox::default());
        let (mut now, mut pauses) = (Instant::ZERO, Vec::new());
        for round in 0..40 {
            dials.poll(now, |_| false, &mut out);
            assert!(dials.connected(id, link(round), &NodeId::unknown(), now).is_some());
            dials.sent_away(id);
            dials.ended(id, link(round), &mut generator, now, &mut out);
            let next = dials.next().expect("waiting");
            pauses.push(next.since(now));
            now = next;
        }
        assert!(pauses[..3].iter().all(|pause| *pause < limits.reconnect_min * 8), "{pauses:?}");
        assert!(pauses.iter().any(|pause| *pause > limits.reconnect_max / 2), "{pauses:?}");
    }

    #[test]
    fn a_pause_ends_early_but_not_one_that_the_peer_asked_for() {
        let ((mut dials, id), mut out) = (dials(&["a"]), Outbox::default());
        let (mut now, mut generator) = (Instant::ZERO, Generator::new([3; 32]));
        while dials.next().is_none_or(|at| at.since(now) < Duration::from_secs(5)) {
            now = dials.next().unwrap_or(now);
            dials.poll(now, |_| false, &mut out);
            now = now.after(Duration::from_secs(10));
            dials.failed(id, &mut generator, now, &mut out);
        }
        dials.hasten(now);
        assert_eq!(dials.next(), Some(now));
        dials.poll(now, |_| false, &mut out);
        let asked = now.after(Duration::from_secs(2));
        dials.pause(id, asked);
        dials.failed(id, &mut generator, now, &mut out);
        dials.hasten(now);
        assert_eq!(dials.next(), Some(asked));
    }

    #[test]
    fn with_one_main_nobody_leaves() {
        let ((mut dials, id), mut generator) = (dials(&["a"]), Generator::new([3; 32]));
        let now = Instant::ZERO;
        assert!(dials.connected(id, link(3), &NodeId::unknown(), now).is_some());
        assert!(!dials.leave(id, link(3), now, &mut generator));
    }
}

//! A host: a node, the time as it sees it, and what its application waits for.

use super::leaving::Leave;
use super::registries::Word;
use super::streams::Sending;
use crate::dice::Dice;
use crate::queue::Event;
use crate::said::Hearing;
use relay_core::{CallId, Instant, LinkId, LocalCallId, Node, NodeId, Outbox, Role};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// One host of the world, up or down.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) role: Role,
    pub(super) name: NodeId,
    /// Counts its starts.
    pub(super) life: u32,
    /// Nothing while the host is down.
    pub(super) node: Option<Node>,
    pub(super) out: Outbox,
    /// By the slot of the link: its wire, and which end of it this is.
    pub(super) links: Vec<Option<Joint>>,
    /// Calls made here that wait for their answer, by slot.
    pub(super) waiting: Vec<Option<(LocalCallId, u32)>>,
    /// Calls that run here, by slot.
    pub(super) running: Vec<Option<(CallId, u32)>>,
    /// Those of them that send a stream before their result.
    pub(super) sending: BTreeMap<CallId, Sending>,
    /// When the node is to be looked at, if that is arranged.
    pub(super) timer_at: Option<Instant>,
    /// What came while it slept.
    pub(super) deferred: Vec<Event>,
    pub(super) clock: Clock,
    pub(super) condition: Condition,
    pub(super) seen: Seen,
    /// It sent what no honest node sends.
    pub(super) hostile: bool,
    /// Since when it is not linked to its Main.
    pub(super) unlinked_since: Option<Instant>,
    /// Services that every Home offers and this one does not at the moment.
    pub(super) withdrawn: bool,
    /// When this life of the node began handshakes in the last second.
    pub(super) challenges: VecDeque<Instant>,
    /// The newest word on each offer of other Mains that this life of the node went by.
    pub(super) newest: BTreeMap<(String, NodeId, NodeId), Word>,
    /// What it subscribed to in this life, and heard.
    pub(super) hearing: Hearing,
    /// How it left last in good order.
    pub(super) leave: Option<Leave>,
}

/// Where a link of a host is in the world.
#[derive(Clone, Copy, Debug)]
pub(super) struct Joint {
    pub(super) link: LinkId,
    pub(super) wire: u32,
    pub(super) side: u8,
}

/// What is wrong with a host. Each lasts until its time.
#[derive(Clone, Debug, Default)]
pub(super) struct Condition {
    pub(super) asleep_until: Instant,
    pub(super) sending_until: Instant,
    pub(super) receiving_until: Instant,
    pub(super) slow_until: Instant,
    pub(super) bytes_per_second: u32,
    /// A bit of the next bytes is changed: of those it is sent, and of those it sends.
    pub(super) corrupt: [Option<u32>; 2],
    /// The last time anything went wrong here.
    pub(super) troubled_at: Instant,
    /// The last time that bytes had to wait here because a way was full.
    pub(super) congested_at: Instant,
    /// Until when it leaves in good order and is started again.
    pub(super) leaves_until: Instant,
    /// Down for good, or cut off for good.
    pub(super) lost: bool,
    /// Its wall clock is wrong by so many seconds.
    pub(super) skew_seconds: i64,
}

/// What a bystander counted of the node since it started.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Seen {
    pub(super) frames_out: u64,
    pub(super) bytes_out: u64,
    pub(super) bytes_fed: u64,
}

/// The clock of a host: it started somewhere and runs a little too fast or too slow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    offset: u64,
    ppm: i64,
}

impl Clock {
    pub(super) fn new(dice: &mut Dice, drift_ppm: u32) -> Self {
        let ppm = dice.between(0, 2 * u64::from(drift_ppm)) as i64 - i64::from(drift_ppm);
        Self { offset: dice.below(1 << 40), ppm }
    }

    /// A clock that is right and at zero at that moment of the world.
    pub(super) const fn started_at(world: Instant) -> Self {
        Self { offset: 0_u64.wrapping_sub(world.as_nanos()), ppm: 0 }
    }

    /// What the host takes a moment of the world for.
    pub(super) const fn local(&self, world: Instant) -> Instant {
        let nanos = world.as_nanos();
        let drift = (nanos as i128 * self.ppm as i128 / 1_000_000) as i64;
        Instant::from_nanos(self.offset.wrapping_add(nanos.saturating_add_signed(drift)))
    }

    /// The first moment of the world that the host takes for this one, or a little later.
    pub(super) const fn world(&self, local: Instant) -> Instant {
        let nanos = local.as_nanos().wrapping_sub(self.offset);
        if self.ppm == 0 {
            return Instant::from_nanos(nanos);
        }
        let scaled = nanos as u128 * 1_000_000;
        Instant::from_nanos(scaled.div_ceil((1_000_000 + self.ppm) as u128) as u64 + 1)
    }
}

impl Host {
    pub(super) fn new(role: Role, name: NodeId, clock: Clock) -> Self {
        Self {
            role,
            name,
            life: 0,
            node: None,
            out: Outbox::default(),
            links: Vec::new(),
            waiting: Vec::new(),
            running: Vec::new(),
            sending: BTreeMap::new(),
            timer_at: None,
            deferred: Vec::new(),
            clock,
            condition: Condition::default(),
            seen: Seen::default(),
            hostile: false,
            unlinked_since: Some(Instant::ZERO),
            withdrawn: false,
            challenges: VecDeque::new(),
            newest: BTreeMap::new(),
            hearing: Hearing::default(),
            leave: None,
        }
    }

    /// Whether nothing went wrong here since then, and it did not leave.
    pub(super) fn is_untroubled_since(&self, since: Instant) -> bool {
        let left = self.condition.leaves_until;
        self.is_sane_since(since) && (left < since || left == Instant::ZERO)
    }

    /// Whether nothing went wrong here since then, though it may have left in good order.
    pub(super) fn is_sane_since(&self, since: Instant) -> bool {
        let condition = &self.condition;
        let lasting = [
            condition.asleep_until,
            condition.sending_until,
            condition.receiving_until,
            condition.slow_until,
            condition.troubled_at,
        ];
        !condition.lost && lasting.iter().all(|until| *until < since || *until == Instant::ZERO)
    }

    /// The same, and no bytes had to wait here either.
    pub(super) fn is_calm_since(&self, since: Instant) -> bool {
        let congested = self.condition.congested_at;
        self.is_sane_since(since) && (congested < since || congested == Instant::ZERO)
    }

    pub(super) fn joint(&self, link: LinkId) -> Option<Joint> {
        self.links.get(link.slot()).copied().flatten().filter(|joint| joint.link == link)
    }

    pub(super) fn join(&mut self, joint: Joint) {
        put(&mut self.links, joint.link.slot(), joint);
    }

    pub(super) fn wait(&mut self, call: LocalCallId, uid: u32) {
        put(&mut self.waiting, call.slot(), (call, uid));
    }

    pub(super) fn run(&mut self, call: CallId, uid: u32) {
        put(&mut self.running, call.slot(), (call, uid));
    }

    /// The call of this id that waits.
    pub(super) fn waiting_for(&self, call: LocalCallId) -> Option<u32> {
        let waiting = self.waiting.get(call.slot()).copied().flatten();
        waiting.filter(|(waiting, _)| *waiting == call).map(|(_, uid)| uid)
    }

    /// The call of this id that waits, which then waits no more.
    pub(super) fn take_waiting(&mut self, call: LocalCallId) -> Option<u32> {
        let slot = self.waiting.get_mut(call.slot())?;
        slot.take_if(|(waiting, _)| *waiting == call).map(|(_, uid)| uid)
    }
}

impl Condition {
    /// Bytes it reads in a second, where it reads slowly.
    pub(super) fn reading_rate(&self, now: Instant) -> Option<u32> {
        (self.slow_until > now).then_some(self.bytes_per_second)
    }

    /// Something is wrong from `now` until then.
    pub(super) fn trouble(&mut self, now: Instant, lasts: Duration) -> Instant {
        let until = now.after(lasts);
        self.troubled_at = self.troubled_at.max(until);
        until
    }
}

fn put<T: Copy>(slots: &mut Vec<Option<T>>, at: usize, value: T) {
    if slots.len() <= at {
        slots.resize(at + 1, None);
    }
    slots[at] = Some(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_is_never_early_on_a_clock_that_drifts() {
        let mut dice = Dice::new(5, &[]);
        for _ in 0..10_000 {
            let clock = Clock::new(&mut dice, 1_000);
            let local = Instant::from_nanos(clock.offset + dice.below(1 << 50));
            let world = clock.world(local);
            assert!(clock.local(world) >= local);
            assert!(clock.local(world).since(local) < Duration::from_nanos(5));
        }
    }
}

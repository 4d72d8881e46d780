//! The calls of one link: labels, the way back, deadlines.
//!
//! A label is the index of a slot in its low 32 bits and the generation of that slot in its high
//! 32 bits. The sender of a request allocates it, so its index stays below the number of streams
//! that the receiver granted, and both sides find a call by indexing a short array: no hash, no
//! search, and an answer can only ever reach a call of the link on which it arrives.

use crate::compress::Compression;
use crate::flow::Flow;
use crate::holdings::Holdings;
use crate::message::{OPTION_STREAM, Towards};
use crate::outbox::LinkId;
use crate::slots::Slot;
use crate::time::Instant;
use alloc::vec::Vec;

mod labels;
mod shares;

pub(crate) use labels::Labels;
use shares::Shares;

/// Calls that this node sent over a link and that wait for an answer.
#[derive(Debug)]
pub(crate) struct Outbound {
    slots: Vec<OutSlot>,
    free: Option<u32>,
    live: u32,
    /// The last generation that a slot may have.
    generation_max: u32,
    /// Answers that may still come for calls we no longer wait for, and how much of their streams.
    late: u32,
    late_bytes: LateBytes,
    /// Who has how many of them.
    shares: Shares,
}

/// A call that waits for an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutCall {
    /// Where the answer goes.
    pub(crate) back: LinkId,
    /// The label of the call there.
    pub(crate) back_label: u64,
    /// When the wait ends.
    pub(crate) deadline: Instant,
    /// When it was sent.
    pub(crate) sent_at: Instant,
    /// The instance it was sent to, where this shard chose it.
    pub(crate) slot: Slot,
    /// Where its frame is kept, to be sent elsewhere if it must; [`NOT_KEPT`] if it is not.
    pub(crate) kept: u32,
    /// The options of the request.
    pub(crate) options: u8,
    /// Instances it was sent to, this one included.
    pub(crate) attempts: u8,
    /// A bit for each compression that its answer may have.
    pub(crate) reads: u8,
    /// How this node compressed the request.
    pub(crate) packed: Option<Compression>,
    /// Its streams, by [`Towards`].
    pub(crate) flows: [Flow; 2],
}

impl OutCall {
    pub(crate) const fn flow(&self, to: Towards) -> &Flow {
        &self.flows[to as usize]
    }

    /// Whether the stream towards the caller has not come to its end: a part of it may be missing.
    pub(crate) const fn is_unfinished(&self) -> bool {
        self.options & OPTION_STREAM != 0 && !self.flow(Towards::Caller).is_ended()
    }

    pub(crate) const fn flow_mut(&mut self, to: Towards) -> &mut Flow {
        &mut self.flows[to as usize]
    }
}

/// Bytes of streams that were granted and may still come after their call has ended.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LateBytes(u64);

impl LateBytes {
    const fn add(&mut self, bytes: u32) {
        self.0 = self.0.saturating_add(bytes as u64);
    }

    const fn take(&mut self, cost: u32) -> bool {
        let left = self.0.checked_sub(cost as u64);
        if let Some(left) = left {
            self.0 = left;
        }
        left.is_some()
    }
}

/// Among the options of a call: it may have run where it was sent before.
pub(crate) const MAY_HAVE_RUN: u8 = 1 << 7;

/// The frame of a call was not kept.
pub(crate) const NOT_KEPT: u32 = u32::MAX;

#[derive(Debug)]
struct OutSlot {
    generation: u32,
    state: OutState,
}

#[derive(Debug)]
enum OutState {
    Live(OutCall),
    Free {
        next: Option<u32>,
    },
    /// Every generation was used; the slot never serves again, so a label never repeats.
    Retired,
}

/// What an answer's label stands for.
#[derive(Debug)]
pub(crate) enum Answered {
    /// A call that waited; it is now gone from the table.
    Live(OutCall),
    /// A call that was cancelled or timed out before.
    Late,
    /// Nothing that was asked.
    Stray,
}

impl Outbound {
    /// An empty table whose slots serve `labels_per_slot` calls each.
    pub(crate) const fn new(labels_per_slot: u32) -> Self {
        Self {
            slots: Vec::new(),
            free: None,
            live: 0,
            generation_max: labels_per_slot,
            late: 0,
            late_bytes: LateBytes(0),
            shares: Shares::new(),
        }
    }

    /// Calls in flight.
    pub(crate) const fn live(&self) -> u32 {
        self.live
    }

    /// Whether another call fits while `max` may be in flight: a label is free, or a slot is.
    #[inline]
    pub(crate) const fn has_room(&self, max: u32) -> bool {
        self.live < max && (self.free.is_some() || (self.slots.len() as u32) < max)
    }

    /// Whether a caller may have another call in flight, of `max`, besides those that it has.
    #[inline]
    pub(crate) fn allows(&self, caller: LinkId, max: u32, now: Instant) -> bool {
        self.live < max && self.shares.allow(caller, self.live, max - self.live, now)
    }

    /// A caller was refused because too many calls are in flight.
    #[cold]
    pub(crate) fn claim(&mut self, caller: LinkId, now: Instant) {
        self.shares.claim(caller, self.live, now);
    }

    /// What the table takes.
    pub(crate) fn holdings(&self) -> Holdings {
        let (places, shares) = (self.slots.len(), self.shares.len());
        Holdings::default().entries::<OutSlot>(places).entries::<u32>(shares)
    }

    /// Whether it is known right who has how many calls in flight.
    pub(crate) fn shares_agree(&self) -> bool {
        self.shares.agrees(self.iter().map(|(_, call)| call.back))
    }

    /// Whether no call fits and none ever will: every slot has used up its labels.
    pub(crate) const fn is_used_up(&self, max: u32) -> bool {
        max > 0 && self.live == 0 && !self.has_room(max)
    }

    /// Adds a call and returns its label, or nothing when `max` calls are in flight.
    #[inline]
    pub(crate) fn insert(&mut self, call: OutCall, max: u32) -> Option<u64> {
        if self.live >= max {
            return None;
        }
        let index = match self.free {
            Some(index) => index,
            None if (self.slots.len() as u32) < max => {
                let generation = FIRST_GENERATION;
                self.slots.push(OutSlot { generation, state: OutState::Free { next: None } });
                self.slots.len() as u32 - 1
            }
            None => return None,
        };
        let slot = &mut self.slots[index as usize];
        self.free = match slot.state {
            OutState::Free { next } => next,
            OutState::Live(_) | OutState::Retired => None,
        };
        slot.state = OutState::Live(call);
        let label = label(index, slot.generation);
        self.live += 1;
        if self.shares.is_counting() {
            self.shares.add(call.back);
        } else if self.live >= max / 4 {
            self.count_shares(max);
        }
        Some(label)
    }

    /// A good part of the link is in use: from now on it matters who has how many.
    #[cold]
    fn count_shares(&mut self, max: u32) {
        let live = self.slots.iter().filter_map(|slot| match &slot.state {
            OutState::Live(call) => Some(call.back),
            OutState::Free { .. } | OutState::Retired => None,
        });
        self.shares.start(live, max / 8);
    }

    /// The call of `label`, which stays.
    pub(crate) fn peek(&self, label: u64) -> Option<&OutCall> {
        let (index, generation) = split(label);
        let slot = self.slots.get(index as usize).filter(|slot| slot.generation == generation)?;
        match &slot.state {
            OutState::Live(call) => Some(call),
            OutState::Free { .. } | OutState::Retired => None,
        }
    }

    /// The call of `label`, which stays.
    #[inline]
    pub(crate) fn peek_mut(&mut self, label: u64) -> Option<&mut OutCall> {
        let (index, generation) = split(label);
        match self.slots.get_mut(index as usize)? {
            OutSlot { state: OutState::Live(call), generation: live } if *live == generation => {
                Some(call)
            }
            _ => None,
        }
    }

    /// Notes where the frame of a call is kept.
    pub(crate) fn keep(&mut self, label: u64, kept: u32) {
        if let Some(call) = self.peek_mut(label) {
            call.kept = kept;
        }
    }

    /// Whether a chunk for this call, which has ended, may still come.
    pub(crate) fn takes_late(&mut self, label: u64, cost: u32) -> bool {
        let (index, generation) = split(label);
        let slot = self.slots.get(index as usize);
        slot.is_some_and(|slot| slot.generation > generation) && self.late_bytes.take(cost)
    }

    /// Takes the call of `label` out because it was answered.
    #[inline]
    pub(crate) fn answered(&mut self, label: u64) -> Answered {
        if let Some(call) = self.release(label) {
            return Answered::Live(call);
        }
        let (index, generation) = split(label);
        let was_sent = self.slots.get(index as usize).is_some_and(|s| s.generation > generation);
        if was_sent && self.late > 0 {
            self.late -= 1;
            return Answered::Late;
        }
        Answered::Stray
    }

    /// Takes the call of `label` out because nobody waits for it any more; its answer may still
    /// come and is then no offence.
    pub(crate) fn abandon(&mut self, label: u64) -> Option<OutCall> {
        if planted!("cancel_leaks") {
            return self.peek(label).copied();
        }
        let call = self.release(label)?;
        self.late = self.late.saturating_add(1);
        self.late_bytes.add(call.flow(Towards::Caller).allowed);
        Some(call)
    }

    /// The labels of all calls whose deadline passed, and the earliest deadline of the others.
    pub(crate) fn expired(&self, now: Instant) -> (Vec<u64>, Option<Instant>) {
        let mut due = Vec::new();
        let mut next: Option<Instant> = None;
        for (index, slot) in self.slots.iter().enumerate() {
            let OutState::Live(call) = &slot.state else { continue };
            if call.deadline <= now {
                due.push(label(index as u32, slot.generation));
            } else {
                next = Some(next.map_or(call.deadline, |next| next.min(call.deadline)));
            }
        }
        (due, next)
    }

    /// Takes every call out.
    pub(crate) fn drain(&mut self) -> Vec<OutCall> {
        let live = self.slots.iter().filter_map(|slot| match slot.state {
            OutState::Live(call) => Some(call),
            OutState::Free { .. } | OutState::Retired => None,
        });
        let calls = live.collect();
        *self = Self::new(self.generation_max);
        calls
    }

    /// Every call in flight with its label.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &OutCall)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| match &slot.state {
            OutState::Live(call) => Some((label(index as u32, slot.generation), call)),
            OutState::Free { .. } | OutState::Retired => None,
        })
    }

    #[inline]
    fn release(&mut self, label: u64) -> Option<OutCall> {
        let (index, generation) = split(label);
        let slot = self.slots.get_mut(index as usize)?;
        let OutState::Live(call) = slot.state else { return None };
        if slot.generation != generation && !planted!("reply_by_index") {
            return None;
        }
        self.live -= 1;
        self.shares.remove(call.back, self.live);
        if generation < self.generation_max {
            slot.generation += 1;
            slot.state = OutState::Free { next: self.free };
            self.free = Some(index);
        } else {
            slot.state = OutState::Retired;
        }
        Some(call)
    }
}

/// Calls that the peer of a link sent here and that are not answered yet.
#[derive(Debug, Default)]
pub(crate) struct Inbound {
    slots: Vec<InSlot>,
    live: u32,
    late_bytes: LateBytes,
}

/// Where a call went from here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Onward {
    /// The link it was sent over.
    pub(crate) link: LinkId,
    /// Its label there.
    pub(crate) label: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct InSlot {
    generation: u32,
    onward: Option<Onward>,
}

/// Why a label is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LabelError {
    /// Its index is not below the number of streams granted.
    TooMany,
    /// A call with this index is not answered yet.
    InUse,
    /// Lower indices were never used. A sender takes the lowest free one, so that the table of
    /// the receiver is as long as the most calls there ever were at once, and no longer.
    Skipped,
}

impl Inbound {
    /// Calls not answered yet.
    pub(crate) const fn live(&self) -> u32 {
        self.live
    }

    /// What the table takes.
    pub(crate) fn holdings(&self) -> Holdings {
        Holdings::default().entries::<InSlot>(self.slots.len())
    }

    /// Whether a new call may carry `label`. Its slot is there from now on.
    #[inline]
    pub(crate) fn check(&mut self, label: u64, max: u32) -> Result<(), LabelError> {
        let (index, _) = split(label);
        if index >= max && !planted!("cap_unchecked") {
            return Err(LabelError::TooMany);
        }
        let used = self.slots.len();
        match self.slots.get(index as usize) {
            Some(InSlot { onward: Some(_), .. }) => Err(LabelError::InUse),
            Some(_) => Ok(()),
            None if index as usize == used => {
                self.slots.push(InSlot::default());
                Ok(())
            }
            None => Err(LabelError::Skipped),
        }
    }

    /// Remembers where the call of a checked label went.
    #[inline]
    pub(crate) fn insert(&mut self, label: u64, onward: Onward) {
        let (index, generation) = split(label);
        if let Some(slot) = self.slots.get_mut(index as usize) {
            *slot = InSlot { generation, onward: Some(onward) };
            self.live += 1;
        }
    }

    /// The call of `label` was sent elsewhere.
    pub(crate) fn redirect(&mut self, label: u64, onward: Onward) {
        let (index, generation) = split(label);
        if let Some(slot) = self.slots.get_mut(index as usize)
            && slot.generation == generation
            && slot.onward.is_some()
        {
            slot.onward = Some(onward);
        }
    }

    /// Forgets an answered call. What its caller may still send of a stream is no offence.
    #[inline]
    pub(crate) fn answered(&mut self, call: &OutCall) -> bool {
        let was_live = self.release(call.back_label).is_some();
        if was_live {
            self.late_bytes.add(call.flow(Towards::Handler).allowed);
        }
        was_live
    }

    /// Whether a chunk for this call, which has ended, may still come.
    pub(crate) fn takes_late(&mut self, label: u64, cost: u32) -> bool {
        let (index, generation) = split(label);
        let slot = self.slots.get(index as usize);
        slot.is_some_and(|slot| slot.generation >= generation) && self.late_bytes.take(cost)
    }

    /// Forgets the call of `label` and tells where it went.
    #[inline]
    pub(crate) fn release(&mut self, label: u64) -> Option<Onward> {
        let (index, generation) = split(label);
        let slot = self.slots.get_mut(index as usize)?;
        if slot.generation != generation {
            return None;
        }
        let onward = slot.onward.take()?;
        self.live -= 1;
        Some(onward)
    }

    /// Where the call of `label` went.
    pub(crate) fn peek(&self, label: u64) -> Option<Onward> {
        let (index, generation) = split(label);
        let slot = self.slots.get(index as usize).filter(|slot| slot.generation == generation)?;
        slot.onward
    }

    /// Every call in flight with its label.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, Onward)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| {
            slot.onward.map(|onward| (label(index as u32, slot.generation), onward))
        })
    }

    /// Takes every call out.
    pub(crate) fn drain(&mut self) -> Vec<Onward> {
        let onward = self.slots.iter().filter_map(|slot| slot.onward).collect();
        *self = Self::default();
        onward
    }
}

/// Generations start at one, so that the label zero is never valid.
const FIRST_GENERATION: u32 = 1;

const fn label(index: u32, generation: u32) -> u64 {
    (generation as u64) << 32 | index as u64
}

const fn split(label: u64) -> (u32, u32) {
    (label as u32, (label >> 32) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(back_label: u64) -> OutCall {
        let back = LinkId { shard: 0, slot: 9, generation: 1 };
        let deadline = Instant::from_nanos(back_label);
        let (sent_at, slot, kept) = (Instant::ZERO, Slot::NONE, NOT_KEPT);
        let (options, attempts, reads, packed) = (0, 1, 0, None);
        OutCall {
            back,
            back_label,
            deadline,
            sent_at,
            slot,
            kept,
            options,
            attempts,
            reads,
            packed,
            flows: Default::default(),
        }
    }

    #[test]
    fn an_answer_finds_its_call_once() {
        let mut calls = Outbound::new(u32::MAX);
        let (a, b) = (calls.insert(call(1), 8), calls.insert(call(2), 8));
        let (a, b) = (a.expect("room"), b.expect("room"));
        assert!(matches!(calls.answered(b), Answered::Live(call) if call.back_label == 2));
        assert!(matches!(calls.answered(b), Answered::Stray));
        assert!(matches!(calls.answered(a), Answered::Live(call) if call.back_label == 1));
        assert_eq!(calls.live(), 0);
    }

    #[test]
    fn a_reused_slot_has_another_label() {
        let mut calls = Outbound::new(u32::MAX);
        let first = calls.insert(call(1), 1).expect("room");
        assert!(calls.insert(call(2), 1).is_none());
        assert!(calls.abandon(first).is_some());
        let second = calls.insert(call(2), 1).expect("room");
        assert_ne!(first, second);
        assert!(matches!(calls.answered(first), Answered::Late));
        assert!(matches!(calls.answered(first), Answered::Stray), "one late answer for one call");
        assert!(matches!(calls.answered(second), Answered::Live(_)));
    }

    #[test]
    fn f17_a_slot_out_of_generations_is_retired() {
        let mut calls = Outbound::new(u32::MAX);
        let first = calls.insert(call(1), 2).expect("room");
        assert!(calls.abandon(first).is_some());
        calls.slots[0].generation = u32::MAX;
        let last = calls.insert(call(1), 2).expect("room");
        assert_eq!(split(last), (0, u32::MAX));
        assert!(matches!(calls.answered(last), Answered::Live(_)));
        let next = calls.insert(call(1), 2).expect("the other slot");
        assert_eq!(split(next).0, 1);
        assert!(calls.insert(call(1), 2).is_none(), "exhausted, and no label repeats");
    }

    #[test]
    fn f16_a_label_in_use_is_refused() {
        let link = LinkId { shard: 0, slot: 1, generation: 1 };
        let mut calls = Inbound::default();
        assert_eq!(calls.check(label(0, 1), 2), Ok(()));
        assert_eq!(calls.check(label(2, 1), 2), Err(LabelError::TooMany));
        calls.insert(label(0, 1), Onward { link, label: 7 });
        assert_eq!(calls.check(label(0, 2), 2), Err(LabelError::InUse));
        assert!(calls.release(label(0, 2)).is_none());
        assert_eq!(calls.release(label(0, 1)).map(|onward| onward.label), Some(7));
        assert_eq!((calls.check(label(0, 1), 2), calls.live()), (Ok(()), 0));
    }

    #[test]
    fn r2_the_table_is_as_long_as_what_was_used() {
        let mut calls = Inbound::default();
        assert_eq!(calls.check(label(1, 1), 100), Err(LabelError::Skipped));
        assert_eq!(calls.check(label(0, 1), 100), Ok(()));
        assert_eq!(calls.check(label(1, 1), 100), Ok(()), "refused calls count as used");
        assert_eq!(calls.check(label(99, 1), 100), Err(LabelError::Skipped));
        assert_eq!(calls.slots.len(), 2);
    }

    #[test]
    fn deadlines_are_found() {
        let mut calls = Outbound::new(u32::MAX);
        let labels: Vec<u64> = (1..4).filter_map(|n| calls.insert(call(n), 8)).collect();
        let (due, next) = calls.expired(Instant::from_nanos(2));
        assert_eq!((due, next), (Vec::from(&labels[..2]), Some(Instant::from_nanos(3))));
    }
}

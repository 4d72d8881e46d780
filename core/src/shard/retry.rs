//! Calls that are sent elsewhere because they provably did not run where they were sent first, or
//! because their caller said that running twice does no harm.
//!
//! Whoever chose the instance may choose again: the Main of the node for nodes attached to it, the
//! first Main on the way for other Mains. So that a fault does not multiply the load, there is a
//! budget (a share of all calls) and a bound of attempts.

use super::forward::Plan;
use super::instances::Ending;
use super::{End, Shard};
use crate::calls::{MAY_HAVE_RUN, NOT_KEPT, Onward, OutCall};
use crate::compress::Compression;
use crate::config::{Limits, Role};
use crate::error::{CallError, Executed, Retry};
use crate::event::{BreakerState, Event};
use crate::frame::Frame;
use crate::message::{OPTION_IDEMPOTENT, RequestEnvelope, Towards};
use crate::outbox::{LinkId, Outbox};
use crate::slots::Slot;
use crate::time::Instant;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;

/// The frames of calls in flight that may have to be sent elsewhere, and the budget for it.
#[derive(Debug)]
pub(crate) struct Kept {
    frames: Vec<Option<Bytes>>,
    free: Vec<u32>,
    count: u32,
    bytes: u64,
    bytes_max: u64,
    /// Hundredths of retries that may be made now.
    budget: u32,
    earned_by_call: u32,
}

impl Kept {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            frames: Vec::new(),
            free: Vec::new(),
            count: 0,
            bytes: 0,
            bytes_max: u64::from(limits.retry_bytes_max),
            budget: BUDGET_AT_FIRST,
            earned_by_call: limits.retry_percent,
        }
    }

    /// Keeps the frame of a call, if there is room for it.
    pub(crate) fn keep(&mut self, frame: Bytes) -> u32 {
        let bytes = self.bytes + frame.len() as u64;
        if bytes > self.bytes_max {
            return NOT_KEPT;
        }
        (self.bytes, self.count) = (bytes, self.count + 1);
        match self.free.pop() {
            Some(place) => {
                self.frames[place as usize] = Some(frame);
                place
            }
            None => {
                self.frames.push(Some(frame));
                self.frames.len() as u32 - 1
            }
        }
    }

    /// The frame of a call, which is kept no longer.
    #[inline]
    pub(crate) fn release(&mut self, kept: u32) -> Option<Bytes> {
        let frame = self.frames.get_mut(kept as usize)?.take()?;
        self.bytes -= frame.len() as u64;
        self.count -= 1;
        self.free.push(kept);
        Some(frame)
    }

    /// A call earns a share of a retry for any other one.
    #[inline]
    pub(crate) fn count_call(&mut self) {
        self.budget = (self.budget + self.earned_by_call).min(BUDGET_MAX);
    }

    /// Whether there is room for so many bytes more.
    pub(crate) const fn has_room(&self, bytes: usize) -> bool {
        self.bytes + bytes as u64 <= self.bytes_max
    }

    fn spend(&mut self) -> bool {
        let enough = self.budget >= 100 || planted!("retries_unbounded");
        self.budget = self.budget.saturating_sub(100);
        enough
    }

    /// Bytes of the frames that are kept.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// As many frames as were ever kept at once.
    pub(crate) const fn places(&self) -> usize {
        self.frames.len()
    }

    /// Frames that are kept.
    pub(crate) const fn len(&self) -> u32 {
        self.count
    }
}

impl Shard {
    /// A call that was sent to an instance has ended: what that says of the instance.
    #[inline]
    pub(super) fn settle(
        &mut self,
        call: &OutCall,
        ending: Ending,
        now: Instant,
        out: &mut Outbox,
    ) {
        if call.slot.is_none() {
            return;
        }
        let took = now.since(call.sent_at);
        let routes = (ending == Ending::Failed).then(|| Arc::clone(&self.routes));
        let route = routes.as_ref().and_then(|routes| routes.route_of(call.slot));
        let route = route.map(|(_, route)| route);
        if let Some(state) = self.instances.ended(call.slot, ending, took, route, now) {
            self.tell_breaker(call.slot, state, out);
        }
    }

    #[cold]
    pub(super) fn tell_breaker(&self, slot: Slot, state: BreakerState, out: &mut Outbox) {
        let Some((service, route)) = self.routes.route_of(slot) else { return };
        let mut instances = route.near.iter().chain(route.far);
        let Some(instance) = instances.find(|instance| instance.slot == slot) else { return };
        let peer = instance.path.as_ref().and_then(|path| path.first());
        let (node, link) = (peer.unwrap_or(&instance.node).clone(), instance.link);
        out.event(Event::Breaker { service: Arc::clone(service), node, link, state });
    }

    /// Instances that a call may be sent to.
    pub(super) fn attempts_max(&self) -> u32 {
        self.config.limits.attempts_max
    }

    /// Sends a call to another instance after it failed at one, if that is safe and there is one.
    /// `over` is the link on which the error came; none when the link ended. Its frame is not kept
    /// any longer, whatever comes of it.
    pub(super) fn try_elsewhere(
        &mut self,
        call: &OutCall,
        error: &CallError,
        over: Option<LinkId>,
        now: Instant,
        out: &mut Outbox,
    ) -> bool {
        let Some(kept) = self.kept.release(call.kept) else { return false };
        if !self.may_retry(call, error, over) || call.deadline <= now {
            return false;
        }
        let mut frame = Frame::copy(&kept);
        drop(kept);
        let Some(mut plan) = self.plan_again(call, &frame, now) else { return false };
        if error.executed != Executed::No && !planted!("first_attempt_forgotten") {
            plan.options |= MAY_HAVE_RUN;
        }
        plan.options |= call.options & MAY_HAVE_RUN;
        let target = self.near(plan.target.link);
        let passes = self.check_passage(call.back, target, &frame, &plan, now);
        if passes.is_err() || self.pave(&mut frame, &plan).is_err() || !self.kept.spend() {
            return false;
        }
        if !self.send_again(call, target, frame, &plan, now, out) {
            return false;
        }
        self.stats.calls_retried += 1;
        if let Some((service, _)) = self.routes.route_of(plan.target.slot) {
            out.event(Event::Retried { service: Arc::clone(service), code: error.code });
        }
        true
    }

    /// Sends a call that has come back over `target`, as if it had never been sent before.
    pub(super) fn send_again(
        &mut self,
        call: &OutCall,
        target: LinkId,
        frame: Frame,
        plan: &Plan,
        now: Instant,
        out: &mut Outbox,
    ) -> bool {
        let Some(label) = self.enter(call.back, call.back_label, target, plan, now, out) else {
            return false;
        };
        if let Some(source) = self.links.get_mut(call.back) {
            source.inbound.redirect(call.back_label, Onward { link: target, label });
        }
        self.dispatch(target, label, frame, plan, now, out);
        let flow = *call.flow(Towards::Caller);
        if flow.allowed > 0 {
            self.grant_again((target, label), flow, now, out);
        }
        true
    }

    /// Whether a call may run elsewhere: its caller still waits, it provably did not run, or does
    /// no harm twice; and nobody on the way there has tried others already.
    fn may_retry(&self, call: &OutCall, error: &CallError, over: Option<LinkId>) -> bool {
        let waits = self.links.get(call.back).and_then(|back| back.inbound.peek(call.back_label));
        if waits.is_none() || u32::from(call.attempts) >= self.attempts_max() {
            return false;
        }
        let idempotent = call.options & OPTION_IDEMPOTENT != 0;
        let Some(over) = over else {
            return idempotent || planted!("retried_after_link_lost");
        };
        let decided_there = match self.links.get(over).map(|link| &link.end) {
            Some(End::Network(network)) => network
                .peer()
                .is_some_and(|peer| peer.role != Role::Main || peer.node.as_str() == error.node),
            Some(End::Local | End::Sibling(_)) | None => false,
        };
        let helps = matches!(error.retry, Retry::Safe | Retry::AfterMs(_));
        decided_there && error.executed == Executed::No && helps
    }

    fn plan_again(&mut self, call: &OutCall, frame: &Frame, now: Instant) -> Option<Plan> {
        let (mut envelope, _) = RequestEnvelope::decode(frame.payload()).ok()?;
        let forwards = envelope.ttl.checked_sub(frame.ttl())?;
        let (options, priority) = (envelope.options, envelope.priority());
        // The path was for the instance that failed.
        envelope.path = crate::message::Texts::default();
        let packed = frame.compression().map_or(0, Compression::bit);
        let target = self.resolve(call.back, &envelope, (call.slot, packed), now).ok()?;
        if target.slot.is_none() {
            return None;
        }
        Some(Plan {
            target,
            deadline: call.deadline,
            // The frame that was kept has spent its TTL for this hop.
            hops: forwards.saturating_add(1),
            options,
            priority,
            attempts: call.attempts.saturating_add(1),
            reads: envelope.reads,
            reads_cleared: false,
            packed: call.packed,
        })
    }
}

/// Retries that are there before the first call.
const BUDGET_AT_FIRST: u32 = 10 * 100;
/// Retries that can be saved up.
const BUDGET_MAX: u32 = 100 * 100;

//! The hot path: one request in, one frame out, towards the node that serves it.

use super::Shard;
use super::select::{NoInstance, Select};
use super::timers::to_tick;
use crate::calls::{LabelError, NOT_KEPT, Onward, OutCall};
use crate::close::CloseReason;
use crate::compress::Compression;
use crate::config::Role;
use crate::error::{CallError, ErrorCode, Retry};
use crate::frame::Frame;
use crate::mail::{MailBody, MailTo};
use crate::message::{Priority, RequestEnvelope};
use crate::name::NodeId;
use crate::outbox::{LinkId, Outbox};
use crate::route::{Instance, Route};
use crate::slots::Slot;
use crate::time::{Instant, millis};
use alloc::sync::Arc;
use core::time::Duration;

/// What a request needs besides its bytes.
pub(super) struct Plan {
    pub(super) target: Target,
    pub(super) deadline: Instant,
    /// Links crossed once the target's is.
    pub(super) hops: u8,
    pub(super) options: u8,
    pub(super) priority: Priority,
    /// Instances it was sent to, this one included.
    pub(super) attempts: u8,
    /// A bit for each compression that the answer may have, and whether some that the request
    /// names had to go.
    pub(super) reads: u8,
    pub(super) reads_cleared: bool,
    /// How this node compressed it.
    pub(super) packed: Option<Compression>,
}

/// Where a request goes from here.
pub(super) struct Target {
    pub(super) link: LinkId,
    /// The instance, where this shard chose it.
    pub(super) slot: Slot,
    /// The Mains on the way, where there are any and this node chose them.
    pub(super) path: Option<Arc<[NodeId]>>,
    /// There are others that it might go to.
    pub(super) has_others: bool,
    /// A bit for each compression that it takes, as far as that is known.
    pub(super) compressions: u8,
}

impl Target {
    const fn fixed(link: LinkId, compressions: u8) -> Self {
        Self { link, slot: Slot::NONE, path: None, has_others: false, compressions }
    }
}

impl Shard {
    /// Takes a request that came over `from` and sends it towards its service.
    #[inline]
    pub(super) fn handle_request(
        &mut self,
        from: LinkId,
        frame: Frame,
        now: Instant,
        out: &mut Outbox,
    ) {
        let planned =
            self.check_label(from, frame.id()).and_then(|()| self.plan(from, &frame, now));
        match planned {
            Ok(plan) if from.is_local() && self.config.compression.is_some() => {
                let (frame, plan) = self.pack_request(frame, plan, now);
                self.send_request(from, frame, &plan, now, out);
            }
            Ok(plan) => self.send_request(from, frame, &plan, now, out),
            Err(error) => self.refuse_request(from, &frame, &error, now, out),
        }
    }

    /// Answers a request that goes nowhere. To tell a caller that its call did not run, the label
    /// must be right. Where a frame came damaged from whoever wrote it, the link ends; where a Main
    /// passed it on, the damage is not of that link, and the answer promises nothing.
    #[cold]
    fn refuse_request(
        &mut self,
        from: LinkId,
        frame: &Frame,
        error: &CallError,
        now: Instant,
        out: &mut Outbox,
    ) {
        if frame.verify().is_ok() {
            return self.send_error(from, frame.id(), error, now, out);
        }
        if self.role_of(from).is_some_and(|writer| writer != Role::Main) {
            return self.doom(from, CloseReason::Fault(ErrorCode::BadChecksum));
        }
        let damaged = self.error(ErrorCode::BadChecksum, "the request was damaged on the way");
        self.send_error(from, frame.id(), &damaged, now, out);
    }

    /// Takes a request that another shard has already planned for a link of this one.
    pub(super) fn handle_request_for(
        &mut self,
        from: LinkId,
        target: LinkId,
        frame: Frame,
        now: Instant,
        out: &mut Outbox,
    ) {
        let planned = self.check_label(from, frame.id()).and_then(|()| {
            let (envelope, _) = RequestEnvelope::decode(frame.payload())
                .map_err(|error| self.error(error.code(), alloc::format!("{error}")))?;
            Ok(Plan {
                target: Target::fixed(target, 0),
                deadline: self.deadline(&envelope, now),
                hops: 0,
                options: envelope.options,
                priority: envelope.priority(),
                attempts: 1,
                reads: envelope.reads,
                reads_cleared: false,
                packed: None,
            })
        });
        match planned {
            Ok(plan) => self.send_request(from, frame, &plan, now, out),
            Err(error) => self.refuse_request(from, &frame, &error, now, out),
        }
    }

    /// Decides where a request goes. Reads the envelope, never the body.
    #[inline]
    fn plan(&mut self, from: LinkId, frame: &Frame, now: Instant) -> Result<Plan, CallError> {
        let (envelope, _) = match RequestEnvelope::decode(frame.payload()) {
            Ok(decoded) => decoded,
            Err(error) => return Err(self.error(error.code(), alloc::format!("{error}"))),
        };
        if self.draining {
            return Err(self.error(ErrorCode::Draining, ""));
        }
        let packed = frame.compression().map_or(0, Compression::bit);
        let target = self.resolve(from, &envelope, (Slot::NONE, packed), now)?;
        let deadline = self.deadline(&envelope, now);
        if deadline <= now {
            let error = self.error(ErrorCode::Deadline, "no time was left");
            return Err(error.with_executed(crate::Executed::No));
        }
        let hops = self.hops(&envelope, frame, from)?;
        let (options, priority) = (envelope.options, envelope.priority());
        let reads = if envelope.reads == 0 { 0 } else { self.carried_back(from, envelope.reads) };
        Ok(Plan {
            target,
            deadline,
            hops,
            options,
            priority,
            attempts: 1,
            reads,
            reads_cleared: reads != envelope.reads,
            packed: None,
        })
    }

    /// Finds the node that gets a request, or the Main through which it goes there. `except` was
    /// tried already, `packed` is the bit of the compression of the body.
    pub(super) fn resolve(
        &mut self,
        from: LinkId,
        envelope: &RequestEnvelope<'_>,
        (except, packed): (Slot, u8),
        now: Instant,
    ) -> Result<Target, CallError> {
        let main_asks = self.role_of(from) == Some(Role::Main);
        let from_main = self.is_main() && main_asks;
        if !envelope.path.is_empty() && !main_asks {
            // Only Mains know ways; whoever else names one wants to go where he may not.
            return Err(self.error(ErrorCode::BadRequest, "only a Main names a path"));
        }
        // At a Home every path is at its end.
        if from_main
            && !envelope.path.is_empty()
            && let Some(link) = self.next_main_from(from, envelope.path)?
        {
            return Ok(Target::fixed(link, 0));
        }
        let routes = Arc::clone(&self.routes);
        let mut why = NoInstance::Unknown;
        if let Some(route) = routes.route(envelope.service) {
            // A call crosses Mains on a path or not at all: what came from one goes no further.
            let far = if from_main && !planted!("main_to_main_to_main") { &[] } else { route.far };
            match self.select(from, envelope, route, far, (except, packed), now) {
                Ok(target) => return Ok(target),
                Err(worse) => why = worse,
            }
            if why == NoInstance::Full {
                self.claim_room(from, route.near.iter().chain(far), now);
            }
        }
        // Only what starts here goes up: a Home never sends a call back to where it came from.
        let starts_here = !self.links.is_network(from);
        let here = envelope.node == self.identity.node().as_str();
        if !self.is_main() && starts_here && !here {
            let upstream = self.routes.upstream();
            let target = upstream.map(|main| Target::fixed(main.link, main.compressions));
            return target.ok_or_else(|| {
                self.error(ErrorCode::Unavailable, "not connected to a Main at the moment")
            });
        }
        Err(self.no_instance(envelope, why, now))
    }

    /// One of the instances attached here, or else one behind another Main.
    #[inline]
    fn select(
        &mut self,
        caller: LinkId,
        envelope: &RequestEnvelope<'_>,
        route: Route<'_>,
        far: &[Instance],
        (except, packed): (Slot, u8),
        now: Instant,
    ) -> Result<Target, NoInstance> {
        let all = route.near.len() + far.len();
        let first = route.near.iter().chain(far).next().map_or(Slot::NONE, |first| first.slot);
        let turn = match self.instances.entry(first).filter(|_| all > 1) {
            Some(state) => {
                state.turn = state.turn.wrapping_add(1);
                state.turn
            }
            None => 0,
        };
        let select = Select {
            links: &self.links,
            instances: &self.instances,
            own: self.id,
            write_bytes_max: self.config.limits.write_bytes_max,
            caller,
            now,
            priority: envelope.priority(),
            node: envelope.node,
            main: if self.is_main() { self.identity.node().as_str() } else { "" },
            except,
            packed,
        };
        let balance = route.rules.balance;
        let chosen = match select.choose(route.near, balance, turn, &mut self.generator) {
            Ok(near) => near,
            Err(why) => select
                .choose(far, balance, turn, &mut self.generator)
                .map_err(|worse| why.and(worse))?,
        };
        Ok(Target {
            link: chosen.link,
            slot: chosen.slot,
            path: chosen.path.clone(),
            has_others: all > 1,
            compressions: chosen.compressions,
        })
    }

    /// Whoever found no room at any of these instances is left some when it comes again.
    #[cold]
    fn claim_room<'i>(
        &mut self,
        caller: LinkId,
        instances: impl Iterator<Item = &'i Instance>,
        now: Instant,
    ) {
        for instance in instances {
            let near = self.near(instance.link);
            if let Some(link) = self.links.get_mut(near) {
                link.outbound.claim(caller, now);
            }
        }
    }

    /// What is at the other end of a link, if it is a peer.
    pub(super) fn role_of(&self, link: LinkId) -> Option<Role> {
        self.links.peer(link).map(|peer| peer.role)
    }

    #[cold]
    fn no_instance(
        &self,
        envelope: &RequestEnvelope<'_>,
        why: NoInstance,
        now: Instant,
    ) -> CallError {
        let (service, node) = (envelope.service, envelope.node);
        match why {
            NoInstance::Packed => {
                let text = alloc::format!("no instance of '{service}' takes this compression");
                self.error(ErrorCode::Capabilities, text)
            }
            NoInstance::Full => {
                let text = alloc::format!("every instance of '{service}' is at its limit");
                self.error(ErrorCode::Overloaded, text)
            }
            NoInstance::Open(until) => {
                let text = alloc::format!("every instance of '{service}' failed too often");
                let mut error = self.error(ErrorCode::CircuitOpen, text);
                error.retry = Retry::AfterMs(millis(until.since(now)).max(1));
                error
            }
            NoInstance::Unknown if node.is_empty() => {
                let text = alloc::format!("Service not found: '{service}'");
                self.error(ErrorCode::NoSuchService, text)
            }
            NoInstance::Unknown => {
                let text = alloc::format!("Service not found: '{service}' on node '{node}'");
                self.error(ErrorCode::NoSuchService, text)
            }
        }
    }

    /// Counts the links crossed once the next one is, and stops what crossed too many.
    fn hops(
        &self,
        envelope: &RequestEnvelope<'_>,
        frame: &Frame,
        from: LinkId,
    ) -> Result<u8, CallError> {
        let Some(forwards) = envelope.ttl.checked_sub(frame.ttl()) else {
            return Err(self.error(ErrorCode::BadRequest, "the TTL grew on the way"));
        };
        Ok(forwards.saturating_add(1 + u8::from(self.links.is_network(from))))
    }

    fn deadline(&self, envelope: &RequestEnvelope<'_>, now: Instant) -> Instant {
        let asked = Duration::from_millis(u64::from(envelope.deadline_ms));
        now.after(asked.min(self.config.limits.deadline_max))
    }

    #[inline]
    fn check_label(&mut self, from: LinkId, label: u64) -> Result<(), CallError> {
        let Some(link) = self.links.get_mut(from) else {
            return Err(self.error(ErrorCode::LinkLost, ""));
        };
        let max = link.inbound_max;
        let checked = link.inbound.check(label, max);
        if checked == Err(LabelError::Skipped) && self.links.is_network(from) {
            // An honest peer takes the lowest index that is free, so a request was lost on the way.
            // Only a new link makes both tables alike again.
            self.doom(from, CloseReason::Fault(ErrorCode::BadRequest));
        }
        checked.map_err(|error| match error {
            LabelError::InUse => self.error(ErrorCode::IdReused, ""),
            LabelError::Skipped => {
                self.error(ErrorCode::BadRequest, "the message id skips indices never used")
            }
            LabelError::TooMany => {
                let text = "more calls in flight on this link than were granted";
                self.error(ErrorCode::Overloaded, text).with_limit(u64::from(max))
            }
        })
    }

    /// Sends a planned request over its link and remembers the way back.
    #[inline]
    fn send_request(
        &mut self,
        from: LinkId,
        mut frame: Frame,
        plan: &Plan,
        now: Instant,
        out: &mut Outbox,
    ) {
        let over = self.near(plan.target.link);
        let passes = self.check_passage(from, over, &frame, plan, now);
        if let Err(error) = passes.and_then(|()| self.pave(&mut frame, plan)) {
            if let (ErrorCode::Overloaded, Some(link)) = (error.code, self.links.get_mut(over)) {
                link.outbound.claim(from, now);
            }
            return self.refuse_request(from, &frame, &error, now, out);
        }
        let label = frame.id();
        let Some(onward) = self.enter(from, label, over, plan, now, out) else {
            let error = self.error(ErrorCode::IdExhausted, "no label is left on the link");
            return self.refuse_request(from, &frame, &error, now, out);
        };
        if let Some(source) = self.links.get_mut(from) {
            source.inbound.insert(label, Onward { link: over, label: onward });
        }
        self.stats.calls_forwarded += 1;
        self.kept.count_call();
        if self.links.is_network(from) && !plan.target.link.is_local() {
            frame.set_ttl(frame.ttl().saturating_sub(1));
        }
        self.dispatch(over, onward, frame, plan, now, out);
    }

    /// The link of this shard over which another one is reached.
    pub(super) fn near(&self, link: LinkId) -> LinkId {
        if link.shard == self.id { link } else { self.links.sibling(link.shard) }
    }

    /// Adds a call to the table of a link and returns its label there.
    #[inline]
    pub(super) fn enter(
        &mut self,
        back: LinkId,
        back_label: u64,
        over: LinkId,
        plan: &Plan,
        now: Instant,
        out: &mut Outbox,
    ) -> Option<u64> {
        let call = OutCall {
            back,
            back_label,
            deadline: plan.deadline,
            sent_at: now,
            slot: plan.target.slot,
            kept: NOT_KEPT,
            options: plan.options,
            attempts: plan.attempts,
            reads: plan.reads,
            packed: plan.packed,
            flows: Default::default(),
        };
        let link = self.links.get_mut(over)?;
        let onward = link.outbound.insert(call, link.outbound_max)?;
        let earlier = link.call_deadline.is_none_or(|earliest| plan.deadline < earliest);
        if earlier && !planted!("deadline_ignored") {
            link.call_deadline = Some(plan.deadline);
            self.wake_by(over, to_tick(plan.deadline));
        }
        if let Some(state) = self.instances.sent(plan.target.slot) {
            self.tell_breaker(plan.target.slot, state, out);
        }
        Some(onward)
    }

    /// Hands a request to the link it was entered for. Its frame is kept where it might have to be
    /// sent elsewhere.
    #[inline]
    pub(super) fn dispatch(
        &mut self,
        over: LinkId,
        label: u64,
        mut frame: Frame,
        plan: &Plan,
        now: Instant,
        out: &mut Outbox,
    ) {
        frame.set_id(label);
        let target = plan.target.link;
        if target.shard != self.id {
            if plan.packed.is_some() {
                self.keep_packed(over, label, &frame);
            }
            let (to, link) = (MailTo::Shard(target.shard), target);
            return out.mail(to, MailBody::Request { from: self.id, link, frame });
        }
        let keeps = plan.target.has_others && u32::from(plan.attempts) < self.attempts_max();
        if !(keeps || plan.packed.is_some()) || !self.links.is_network(over) {
            return self.emit(over, frame, now, out);
        }
        let frame = frame.freeze();
        let kept = self.kept.keep(frame.clone());
        if let Some(link) = self.links.get_mut(over) {
            link.outbound.keep(label, kept);
        }
        self.transmit_bytes(over, frame, out);
    }
}

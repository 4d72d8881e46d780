//! The hot path: one request in, one frame out, towards the node that serves it.

use super::choose::Loads;
use super::timers::to_tick;
use super::{End, Shard};
use crate::calls::{LabelError, Onward, OutCall};
use crate::close::CloseReason;
use crate::config::Role;
use crate::error::{CallError, ErrorCode};
use crate::frame::Frame;
use crate::mail::{MailBody, MailTo};
use crate::message::RequestEnvelope;
use crate::outbox::{LinkId, Outbox};
use crate::time::Instant;
use core::time::Duration;

/// What a request needs besides its bytes.
struct Plan {
    target: LinkId,
    deadline: Instant,
    /// Links crossed once the target's is.
    hops: u8,
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
        let writer = self.links.get(from).and_then(|link| match &link.end {
            End::Network(network) => network.peer().filter(|peer| peer.role != Role::Main),
            End::Local | End::Sibling(_) => None,
        });
        if writer.is_some() {
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
            Ok(Plan { target, deadline: self.deadline(&envelope, now), hops: 0 })
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
        let target = self.resolve(from, &envelope)?;
        let deadline = self.deadline(&envelope, now);
        if deadline <= now {
            let error = self.error(ErrorCode::Deadline, "no time was left");
            return Err(error.with_executed(crate::Executed::No));
        }
        Ok(Plan { target, deadline, hops: self.hops(&envelope, frame, from)? })
    }

    fn resolve(
        &mut self,
        from: LinkId,
        envelope: &RequestEnvelope<'_>,
    ) -> Result<LinkId, CallError> {
        let instances = self.routes.instances(envelope.service);
        let loads = Loads { links: &self.links, own: self.id, write_bytes_max: self.write_max() };
        if let Some(target) = loads.choose(instances, envelope.node, &mut self.generator) {
            return Ok(target);
        }
        // Only what starts here goes up: a Home never sends a call back to where it came from.
        let starts_here = !self.links.is_network(from);
        let here = envelope.node == self.identity.node().as_str();
        if !self.is_main() && starts_here && !here {
            return self.routes.upstream().ok_or_else(|| {
                self.error(ErrorCode::Unavailable, "not connected to a Main at the moment")
            });
        }
        Err(self.no_instance(envelope))
    }

    fn no_instance(&self, envelope: &RequestEnvelope<'_>) -> CallError {
        let instances = self.routes.instances(envelope.service);
        let (service, node) = (envelope.service, envelope.node);
        let known = instances.iter().any(|i| node.is_empty() || i.node.as_str() == node);
        if known {
            let text = alloc::format!("every instance of '{service}' is at its limit");
            return self.error(ErrorCode::Overloaded, text);
        }
        let text = if node.is_empty() {
            alloc::format!("Service not found: '{service}'")
        } else {
            alloc::format!("Service not found: '{service}' on node '{node}'")
        };
        self.error(ErrorCode::NoSuchService, text)
    }

    /// Counts the links crossed once the next one is, and stops what crossed too many.
    fn hops(
        &self,
        envelope: &RequestEnvelope<'_>,
        frame: &Frame,
        from: LinkId,
    ) -> Result<u8, CallError> {
        let crossed = envelope.ttl.checked_sub(frame.ttl());
        let Some(forwards) = crossed else {
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
        let label = frame.id();
        let near = plan.target.shard == self.id;
        let over = if near { plan.target } else { self.links.sibling(plan.target.shard) };
        if let Err(error) = self.check_passage(from, over, &frame, plan) {
            return self.refuse_request(from, &frame, &error, now, out);
        }
        let call = OutCall { back: from, back_label: label, deadline: plan.deadline };
        let Some(link) = self.links.get_mut(over) else { return };
        let Some(onward) = link.outbound.insert(call, link.outbound_max) else {
            let error = self.error(ErrorCode::IdExhausted, "no label is left on the link");
            return self.refuse_request(from, &frame, &error, now, out);
        };
        let earlier = link.call_deadline.is_none_or(|earliest| plan.deadline < earliest);
        if earlier && !cfg!(mutant = "deadline_ignored") {
            link.call_deadline = Some(plan.deadline);
            self.wake_by(over, to_tick(plan.deadline));
        }
        if let Some(source) = self.links.get_mut(from) {
            source.inbound.insert(label, Onward { link: over, label: onward });
        }
        self.stats.calls_forwarded += 1;
        frame.set_id(onward);
        if self.links.is_network(from) && !plan.target.is_local() {
            frame.set_ttl(frame.ttl().saturating_sub(1));
        }
        if near {
            self.emit(over, frame, now, out);
        } else {
            let (to, link) = (MailTo::Shard(plan.target.shard), plan.target);
            out.mail(to, MailBody::Request { from: self.id, link, frame });
        }
    }

    /// The last checks before a request leaves: the link takes it, it fits, it may still travel.
    #[inline]
    fn check_passage(
        &self,
        from: LinkId,
        over: LinkId,
        frame: &Frame,
        plan: &Plan,
    ) -> Result<(), CallError> {
        let limits = &self.config.limits;
        let Some(link) = self.links.get(over) else {
            return Err(self.error(ErrorCode::Unavailable, "the node has just gone"));
        };
        if !link.takes_calls(self.write_max()) {
            let text = "the link to the service is full";
            return Err(self.error(ErrorCode::Overloaded, text));
        }
        let forwarded = self.links.is_network(from);
        let spent = plan.hops > limits.hops_max || (forwarded && frame.ttl() == 0);
        if spent && !plan.target.is_local() {
            let limit = u64::from(limits.hops_max);
            return Err(self.error(ErrorCode::HopLimit, "").with_limit(limit));
        }
        let End::Network(network) = &link.end else { return Ok(()) };
        if frame.length() > network.frame_bytes_out {
            let text = "the message is larger than the link to the service takes";
            let limit = u64::from(network.frame_bytes_out);
            return Err(self.error(ErrorCode::TooLarge, text).with_limit(limit));
        }
        Ok(())
    }

    fn write_max(&self) -> u32 {
        self.config.limits.write_bytes_max
    }
}

//! Answers and cancels: back along the way that the labels remember.

use super::instances::Ending;
use super::receive::SMALL_PER_SECOND_MAX;
use super::{End, Shard};
use crate::calls::{Answered, MAY_HAVE_RUN, Onward, OutCall};
use crate::close::CloseReason;
use crate::config::Role;
use crate::error::{CallError, ErrorCode, Executed};
use crate::event::Event;
use crate::frame::{Frame, Kind};
use crate::mail::{MailBody, MailTo};
use crate::message::{ErrorEnvelope, HopList, encode_error, encode_hops};
use crate::outbox::{LinkId, Outbox};
use crate::time::Instant;
use alloc::string::String;
use core::time::Duration;

impl Shard {
    /// Takes the answer to a call that was sent over `from`, and to no other.
    #[inline]
    pub(super) fn handle_answer(
        &mut self,
        from: LinkId,
        frame: Frame,
        now: Instant,
        out: &mut Outbox,
    ) {
        let label = frame.id();
        let Some(link) = self.links.get_mut(from) else { return };
        let answered = link.outbound.answered(label);
        if link.outbound.is_used_up(link.outbound_max) {
            self.replace_if_used_up(from);
        }
        let Some(link) = self.links.get_mut(from) else { return };
        match answered {
            Answered::Live(call) if frame.kind() == Kind::Error => {
                let frame = self.vouched(from, frame);
                self.handle_error(from, &call, frame, now, out);
            }
            Answered::Live(call) if call.is_unfinished() => {
                self.settle(&call, Ending::Failed, now, out);
                self.kept.release(call.kept);
                let text = "the result came before the end of the stream";
                let error = self.error(ErrorCode::BadResponse, text);
                self.answer_error(&call, &error, now, out);
            }
            Answered::Live(call) => {
                self.settle(&call, Ending::Answered, now, out);
                self.kept.release(call.kept);
                self.send_answer(from, &call, frame, now, out);
            }
            Answered::Late => self.stats.answers_late += 1,
            Answered::Stray => {
                self.stats.answers_stray += 1;
                let End::Network(network) = &mut link.end else { return };
                if network.strays.over(STRAYS_PER_MINUTE_MAX, 60, now) {
                    self.doom(from, CloseReason::Fault(ErrorCode::BadState));
                }
                out.event(Event::StrayAnswer { link: from, label });
            }
        }
    }

    /// Takes an error as the answer to a call: another instance is asked, or the caller is told.
    #[cold]
    fn handle_error(
        &mut self,
        from: LinkId,
        call: &OutCall,
        frame: Frame,
        now: Instant,
        out: &mut Outbox,
    ) {
        let intact = frame.verify().is_ok();
        let error = ErrorEnvelope::decode(frame.payload()).ok().filter(|_| intact);
        let Some((error, _)) = error else {
            self.settle(call, Ending::Failed, now, out);
            self.kept.release(call.kept);
            return self.send_answer(from, call, frame, now, out);
        };
        self.settle(call, Self::ending_of(call, error.code, now), now, out);
        if self.try_plain(call, &error, now, out)
            || self.try_elsewhere(call, &error, Some(from), now, out)
        {
            return;
        }
        let frame = if call.options & MAY_HAVE_RUN == 0 { frame } else { self.doubted(frame) };
        self.send_answer(from, call, frame, now, out);
    }

    /// What an error says of the instance. A caller with no patience proves nothing about it.
    fn ending_of(call: &OutCall, code: ErrorCode, now: Instant) -> Ending {
        let is_patient = now.since(call.sent_at) >= PATIENCE_MIN;
        if code == ErrorCode::Deadline && !is_patient { Ending::Neutral } else { Ending::of(code) }
    }

    /// An error that says whether this attempt ran, for a call that may have run at an earlier one.
    fn doubted(&mut self, frame: Frame) -> Frame {
        let Ok((error, hops)) = ErrorEnvelope::decode(frame.payload()) else { return frame };
        if error.executed != Executed::No {
            return frame;
        }
        let error = error.with_executed(Executed::Unknown);
        self.write_error(frame.id(), &error, hops)
    }

    fn write_error(&mut self, label: u64, error: &CallError, hops: HopList<'_>) -> Frame {
        let write = |out: &mut bytes::BytesMut| {
            encode_error(error, out);
            if !hops.is_empty() {
                encode_hops(hops.packed(), out);
            }
        };
        self.writer.write(Kind::Error, label, 0, write, &[])
    }

    /// An error that came over a link, as this node passes it on. A Home speaks for itself only:
    /// the name in its errors is the one under which it authenticated, whatever it wrote.
    fn vouched(&mut self, from: LinkId, frame: Frame) -> Frame {
        let home = self.links.peer(from).filter(|peer| peer.role == Role::Home);
        let Some(peer) = home else { return frame };
        let read = frame.verify().ok().and_then(|()| ErrorEnvelope::decode(frame.payload()).ok());
        let (error, hops) = match read {
            Some((error, _)) if error.node == peer.node.as_str() => return frame,
            Some((mut error, hops)) => {
                error.node = String::from(peer.node.as_str());
                (error, hops)
            }
            None => {
                let text = "the error answer could not be read";
                (self.error(ErrorCode::BadResponse, text), HopList::default())
            }
        };
        self.write_error(frame.id(), &error, hops)
    }

    /// The caller gave up: the cancel follows the call, and no answer comes back.
    pub(super) fn handle_cancel(
        &mut self,
        from: LinkId,
        label: u64,
        now: Instant,
        out: &mut Outbox,
    ) {
        let Some(link) = self.links.get_mut(from) else { return };
        if let Some(onward) = link.inbound.release(label) {
            return self.cancel_onward(onward, now, out);
        }
        // An unknown label is no offence: the answer may have crossed the cancel on the way.
        let End::Network(network) = &mut link.end else { return };
        if network.cheap.over(SMALL_PER_SECOND_MAX, 1, now) {
            self.doom(from, CloseReason::Fault(ErrorCode::RateLimited));
        }
    }

    /// Ends a call at the node it was sent to.
    pub(super) fn cancel_onward(&mut self, onward: Onward, now: Instant, out: &mut Outbox) {
        let Some(link) = self.links.get_mut(onward.link) else { return };
        if let Some(call) = link.outbound.abandon(onward.label) {
            self.stats.calls_cancelled += 1;
            self.settle(&call, Ending::Neutral, now, out);
            self.kept.release(call.kept);
            if planted!("cancel_stays_here") {
                return;
            }
            let cancel = self.writer.write(Kind::Cancel, onward.label, 0, |_| {}, &[]);
            self.emit(onward.link, cancel, now, out);
            self.replace_if_used_up(onward.link);
        }
    }

    /// Ends a call whose time is over: its caller is told, its handler is told to stop.
    pub(super) fn expire(&mut self, over: LinkId, label: u64, now: Instant, out: &mut Outbox) {
        let Some(link) = self.links.get_mut(over) else { return };
        let Some(call) = link.outbound.peek(label).copied() else { return };
        let ending = Self::ending_of(&call, ErrorCode::Deadline, now);
        let mut error = self.error(ErrorCode::Deadline, "");
        if planted!("told_no_after_deadline") {
            error = error.with_executed(Executed::No);
        }
        if planted!("answered_twice") {
            self.send_error(call.back, call.back_label, &error, now, out);
        }
        self.end_call(over, label, ending, &error, now, out);
    }

    /// Ends a call that was sent on: its handler is told to stop, its caller what went wrong.
    pub(super) fn end_call(
        &mut self,
        over: LinkId,
        label: u64,
        ending: Ending,
        error: &CallError,
        now: Instant,
        out: &mut Outbox,
    ) {
        let Some(link) = self.links.get_mut(over) else { return };
        let Some(call) = link.outbound.abandon(label) else { return };
        self.settle(&call, ending, now, out);
        self.kept.release(call.kept);
        let cancel = self.writer.write(Kind::Cancel, label, 0, |_| {}, &[]);
        self.emit(over, cancel, now, out);
        self.answer_error(&call, error, now, out);
        self.replace_if_used_up(over);
    }

    /// A link without labels can carry no call ever again: it is closed, and dialled anew by the
    /// side that dialled it. No answer is lost, because none is awaited over it.
    fn replace_if_used_up(&mut self, id: LinkId) {
        let Some(link) = self.links.get(id) else { return };
        if self.links.is_network(id) && link.outbound.is_used_up(link.outbound_max) {
            self.doom(id, CloseReason::Fault(ErrorCode::IdExhausted));
        }
    }

    /// Answers a call that was sent on with an error of this node.
    pub(super) fn answer_error(
        &mut self,
        call: &OutCall,
        error: &CallError,
        now: Instant,
        out: &mut Outbox,
    ) {
        let Some(link) = self.links.get_mut(call.back) else { return };
        if link.inbound.answered(call) {
            self.stats.calls_failed += 1;
            let hops = HopList::default();
            let frame = self.traced_error(call.back_label, error, hops, call, now);
            self.emit(call.back, frame, now, out);
        }
    }

    /// Sends an error for a call that is in no table.
    pub(super) fn send_error(
        &mut self,
        back: LinkId,
        label: u64,
        error: &CallError,
        now: Instant,
        out: &mut Outbox,
    ) {
        self.stats.calls_failed += 1;
        let write = |out: &mut bytes::BytesMut| encode_error(error, out);
        let frame = self.writer.write(Kind::Error, label, 0, write, &[]);
        self.emit(back, frame, now, out);
    }

    /// Passes the answer on that came over `from`.
    #[inline]
    pub(super) fn send_answer(
        &mut self,
        from: LinkId,
        call: &OutCall,
        frame: Frame,
        now: Instant,
        out: &mut Outbox,
    ) {
        let Some(link) = self.links.get_mut(call.back) else { return };
        if !link.inbound.answered(call) {
            return;
        }
        let mut frame = self.with_hop(from, call, frame, now);
        let Some(link) = self.links.get(call.back) else { return };
        if let End::Network(network) = &link.end {
            let limit = network.frame_bytes_out;
            // Errors always fit, and must not lose their own outcome.
            if frame.kind() != Kind::Error && frame.length() > limit {
                let error = self.too_large(&frame, limit);
                return self.send_error(call.back, call.back_label, &error, now, out);
            }
            if let Some(compression) = frame.compression()
                && !self.takes(link, compression)
            {
                let error = self.unasked(&frame);
                return self.send_error(call.back, call.back_label, &error, now, out);
            }
        }
        if frame.kind() == Kind::Error {
            self.stats.calls_failed += 1;
        } else {
            self.stats.calls_answered += 1;
        }
        if !planted!("answer_keeps_label") {
            frame.set_id(call.back_label);
        }
        self.emit(call.back, frame, now, out);
    }

    /// What a caller is told of an answer that it would not take. That its call ran is certain only
    /// if the answer, and with it the label, is as it was written.
    #[cold]
    fn too_large(&self, answer: &Frame, limit: u32) -> CallError {
        if answer.verify().is_err() {
            return self.error(ErrorCode::BadResponse, "the answer was damaged on the way");
        }
        let text = "the answer is larger than the caller takes";
        let error = self.error(ErrorCode::TooLarge, text).with_limit(u64::from(limit));
        let said_no = planted!("too_large_told_no");
        error.with_executed(if said_no { Executed::No } else { Executed::Yes })
    }

    /// What a caller is told of an answer that its link does not take as it is compressed.
    #[cold]
    fn unasked(&self, answer: &Frame) -> CallError {
        if answer.verify().is_err() {
            return self.error(ErrorCode::BadResponse, "the answer was damaged on the way");
        }
        let text = "the answer is compressed in a way that the caller does not take";
        self.error(ErrorCode::BadResponse, text).with_executed(Executed::Yes)
    }

    /// Hands a frame of a call to whatever is at the other end of the link.
    #[inline]
    pub(super) fn emit(&mut self, over: LinkId, frame: Frame, now: Instant, out: &mut Outbox) {
        let Some(link) = self.links.get(over) else { return };
        match link.end {
            End::Network(_) => self.transmit(over, frame, out),
            End::Local => self.deliver(frame, now, out),
            End::Sibling(shard) => {
                out.mail(MailTo::Shard(shard), MailBody::Frame { from: self.id, frame });
            }
        }
    }
}

/// Answers to nothing that a peer may send in a minute before it is cut off.
pub(super) const STRAYS_PER_MINUTE_MAX: u32 = 100;
/// An instance that lets a caller wait so long for nothing has failed.
const PATIENCE_MIN: Duration = Duration::from_secs(1);

//! Bodies that are compressed: by the node that writes them, if all behind it take them so, and
//! inflated by the node that reads them. Nodes between pass them on as they are.
//!
//! A node knows what its next link takes, but not what is behind that. So a call may come back with
//! `CAPABILITIES`, having run nowhere; the node that compressed it then sends it again as it was,
//! and for a while compresses nothing for that service.

use super::forward::Plan;
use super::instances::Ending;
use super::links::Link;
use super::stream::Place;
use super::{End, Shard};
use crate::calls::{Answered, MAY_HAVE_RUN, OutCall};
use crate::compress::{Compression, InflateError, deflate, inflate};
use crate::error::{CallError, ErrorCode, Executed};
use crate::frame::{Frame, Kind};
use crate::message::{
    OPTION_IDEMPOTENT, OPTION_PATH, RequestEnvelope, Texts, Towards, encode, encode_error,
};
use crate::outbox::{CallId, LinkId, Outbox};
use crate::slots::Slot;
use crate::time::Instant;
use alloc::collections::BTreeMap;
use alloc::string::String;
use bytes::{Bytes, BytesMut};
use core::time::Duration;

/// Services that somebody on the way to does not take compressed bodies for, and until when to
/// believe so.
#[derive(Debug, Default)]
pub(super) struct PlainServices(BTreeMap<String, Instant>);

impl PlainServices {
    fn contains(&self, service: &str, now: Instant) -> bool {
        self.0.get(service).is_some_and(|until| now < *until)
    }

    fn insert(&mut self, service: &str, now: Instant) {
        if self.0.len() >= PLAIN_MAX {
            self.0.retain(|_, until| now < *until);
        }
        // What is forgotten costs one call a second way.
        if self.0.len() < PLAIN_MAX {
            self.0.insert(service.into(), now.after(PLAIN_FOR));
        }
    }
}

impl Shard {
    /// Whether frames over this link may be compressed like this. Another shard looks itself.
    #[cold]
    pub(super) fn takes(&self, link: &Link, compression: Compression) -> bool {
        let compressions = match &link.end {
            End::Network(network) => network.compressions_out,
            End::Local => self.readable(),
            End::Sibling(_) => Compression::BITS,
        };
        compressions & compression.bit() != 0
    }

    fn readable(&self) -> u8 {
        Compression::BUILT & self.config.compressions
    }

    /// What the answer to a call of the local application may be compressed with.
    pub(super) fn reads(&self) -> u8 {
        if self.is_main() {
            return self.readable();
        }
        // A Main that takes no compressed frames need not be asked to pass any back.
        self.readable() & self.routes.upstream().map_or(0, |upstream| upstream.compressions)
    }

    /// Of the compressions that an answer may have those that get from here back over `from`.
    #[inline]
    pub(super) fn carried_back(&self, from: LinkId, reads: u8) -> u8 {
        match self.links.get(from).map(|link| &link.end) {
            Some(End::Network(network)) => {
                reads & self.config.compressions & network.compressions_out
            }
            Some(End::Local | End::Sibling(_)) | None => reads,
        }
    }

    /// What this node compresses a body with, where these may be used.
    fn chosen(&self, compressions: u8) -> Option<Compression> {
        let wished = self.config.compression?;
        let allowed = compressions & Compression::BUILT;
        [wished, Compression::Lz4].into_iter().find(|one| allowed & one.bit() != 0)
    }

    /// Writes a frame with a body, compressed if it may be and if that makes it shorter.
    pub(super) fn write_body(
        &mut self,
        kind: Kind,
        label: u64,
        envelope: impl FnOnce(&mut BytesMut),
        body: &[u8],
        compression: Option<Compression>,
    ) -> Frame {
        let compression = compression.filter(|_| self.is_long(body));
        let packed = compression.and_then(|compression| deflate(body, compression));
        let Some(packed) = packed else {
            return self.writer.write(kind, label, 0, envelope, body);
        };
        self.stats.bodies_deflated += 1;
        self.writer.write_packed(kind, label, 0, envelope, &packed, compression)
    }

    fn is_long(&self, body: &[u8]) -> bool {
        body.len() >= self.config.limits.deflate_bytes_min as usize
    }

    /// Compresses a request of the local application, if the link that it goes over takes that. It
    /// must be possible to keep it, because somebody behind that link may not.
    pub(super) fn pack_request(
        &mut self,
        frame: Frame,
        mut plan: Plan,
        now: Instant,
    ) -> (Frame, Plan) {
        let compression = self.chosen(plan.target.compressions);
        let Some(compression) = compression.filter(|_| !plan.target.link.is_local()) else {
            return (frame, plan);
        };
        let Ok((envelope, body)) = RequestEnvelope::decode(frame.payload()) else {
            return (frame, plan);
        };
        let is_plain = self.plain.contains(envelope.service, now);
        if is_plain || !self.is_long(body) || !self.kept.has_room(frame.len()) {
            return (frame, plan);
        }
        let Some(packed) = deflate(body, compression) else { return (frame, plan) };
        self.stats.bodies_deflated += 1;
        plan.packed = Some(compression);
        let write = |out: &mut BytesMut| encode(&envelope, out);
        let (id, ttl) = (frame.id(), frame.ttl());
        let kind = Kind::Request;
        (self.writer.write_packed(kind, id, ttl, write, &packed, plan.packed), plan)
    }

    /// Keeps a request that this node compressed and another shard sends.
    pub(super) fn keep_packed(&mut self, over: LinkId, label: u64, frame: &Frame) {
        let kept = self.kept.keep(Bytes::copy_from_slice(frame.bytes()));
        if let Some(link) = self.links.get_mut(over) {
            link.outbound.keep(label, kept);
        }
    }

    /// Sends a call again as it was before this node compressed it, if it ran nowhere because
    /// somebody does not take it so. That happens once for a call: the second time it is plain.
    #[cold]
    pub(super) fn try_plain(
        &mut self,
        call: &OutCall,
        error: &CallError,
        now: Instant,
        out: &mut Outbox,
    ) -> bool {
        // Nobody has run the call as it was sent last; one who had it before may have, and it is
        // there again only because that does no harm.
        let again = error.executed == Executed::No || call.options & OPTION_IDEMPOTENT != 0;
        let helps = error.code == ErrorCode::Capabilities && again;
        if call.packed.is_none() || !helps || planted!("never_sent_plain") {
            return false;
        }
        let back = self.links.get(call.back);
        let waits = back.is_some_and(|back| back.inbound.peek(call.back_label).is_some());
        let Some(kept) = self.kept.release(call.kept) else { return false };
        if !waits {
            return false;
        }
        let doubt = if error.executed == Executed::No { 0 } else { MAY_HAVE_RUN };
        if let Err(error) = self.send_plain(call, &Frame::copy(&kept), doubt, now, out) {
            let executed = if doubt == 0 { error.executed } else { Executed::Unknown };
            self.answer_error(call, &error.with_executed(executed), now, out);
        }
        true
    }

    fn send_plain(
        &mut self,
        call: &OutCall,
        packed: &Frame,
        doubt: u8,
        now: Instant,
        out: &mut Outbox,
    ) -> Result<(), CallError> {
        if call.deadline <= now {
            let error = self.error(ErrorCode::Deadline, "no time was left");
            return Err(error.with_executed(Executed::No));
        }
        let (mut frame, mut plan) = self.unpack(call, packed, now)?;
        plan.options |= call.options & MAY_HAVE_RUN | doubt;
        let target = self.near(plan.target.link);
        self.check_passage(call.back, target, &frame, &plan, now)?;
        self.pave(&mut frame, &plan)?;
        if !self.send_again(call, target, frame, &plan, now, out) {
            return Err(self.error(ErrorCode::IdExhausted, "no label is left on the link"));
        }
        self.stats.calls_sent_plain += 1;
        Ok(())
    }

    /// A request of the local application as it was before it was compressed, and where it goes.
    fn unpack(
        &mut self,
        call: &OutCall,
        packed: &Frame,
        now: Instant,
    ) -> Result<(Frame, Plan), CallError> {
        let own =
            |shard: &Self| shard.error(ErrorCode::Internal, "a request that was kept is lost");
        let decoded = RequestEnvelope::decode(packed.payload()).ok();
        let (mut envelope, body) = decoded.ok_or_else(|| own(self))?;
        let compression = packed.compression().ok_or_else(|| own(self))?;
        self.plain.insert(envelope.service, now);
        let body = inflate(body, compression, u32::MAX, &[]).map_err(|_| own(self))?;
        // It goes where a call without a path goes, which may be elsewhere by now.
        envelope.path = Texts::default();
        envelope.options &= !OPTION_PATH;
        let target = self.resolve(call.back, &envelope, (Slot::NONE, 0), now)?;
        let plan = Plan {
            target,
            deadline: call.deadline,
            hops: 1,
            options: envelope.options,
            priority: envelope.priority(),
            attempts: call.attempts,
            reads: envelope.reads,
            reads_cleared: false,
            packed: None,
        };
        let write = |out: &mut BytesMut| encode(&envelope, out);
        let ttl = envelope.ttl;
        Ok((self.writer.write(Kind::Request, packed.id(), ttl, write, &body), plan))
    }

    /// What the answer of the local application to a call is compressed with.
    pub(super) fn answer_compression(&self, call: &OutCall) -> Option<Compression> {
        let back = self.links.get(call.back)?;
        let carried = match &back.end {
            End::Network(network) => network.compressions_out,
            End::Sibling(_) => Compression::BITS,
            End::Local => 0,
        };
        self.chosen(call.reads & carried)
    }

    /// What the local application's part of a stream is compressed with: as the answer, or as the
    /// request was, which its handler has taken.
    pub(super) fn stream_compression(&self, place: Place, to: Towards) -> Option<Compression> {
        let call = self.links.get(place.0)?.outbound.peek(place.1)?;
        match to {
            Towards::Caller => self.answer_compression(call),
            Towards::Handler => call.packed,
        }
    }

    /// The payload of a request with its body inflated.
    pub(super) fn inflate_request(
        &mut self,
        frame: &Frame,
        compression: Compression,
        from: LinkId,
    ) -> Result<Bytes, CallError> {
        let payload = frame.payload();
        let body = RequestEnvelope::decode(payload).map_or(payload, |(_, body)| body);
        let (head, body) = payload.split_at(payload.len() - body.len());
        let link_max = self.links.network(from).map_or(u32::MAX, |network| network.frame_bytes_in);
        self.stats.bodies_inflated += 1;
        let limit = self.inflate_max().min(link_max);
        let plain = inflate(body, compression, limit, head);
        plain.map(Bytes::from).map_err(|error| {
            let code = match error {
                InflateError::TooLarge { .. } => ErrorCode::TooLarge,
                InflateError::NotBuilt => ErrorCode::Capabilities,
                InflateError::Window { .. } | InflateError::Malformed => ErrorCode::BadRequest,
            };
            with_limit(self.error(code, alloc::format!("{error}")), error)
        })
    }

    /// The last `length` bytes of the payload, plain.
    pub(super) fn plain_body(
        &mut self,
        frame: Frame,
        length: usize,
        limit: u32,
    ) -> Result<Bytes, InflateError> {
        let start = frame.payload().len() - length;
        match frame.compression() {
            None => Ok(frame.into_payload().slice(start..)),
            Some(compression) => {
                self.stats.bodies_inflated += 1;
                inflate(&frame.payload()[start..], compression, limit, &[]).map(Bytes::from)
            }
        }
    }

    /// The longest body that is inflated.
    pub(super) fn inflate_max(&self) -> u32 {
        let limits = &self.config.limits;
        limits.inflate_bytes_max.min(limits.frame_bytes_max)
    }

    /// What the local application is told of an answer that it cannot be given. Its call ran.
    pub(super) fn uninflated(&self, error: InflateError) -> CallError {
        let code = match error {
            InflateError::TooLarge { .. } => ErrorCode::TooLarge,
            InflateError::NotBuilt | InflateError::Window { .. } | InflateError::Malformed => {
                ErrorCode::BadResponse
            }
        };
        let told = self.error(code, alloc::format!("{error}")).with_executed(Executed::Yes);
        with_limit(told, error)
    }

    /// Ends a call that came here and does not get to the local application.
    pub(super) fn fail(&mut self, call: CallId, error: &CallError, now: Instant, out: &mut Outbox) {
        let local = self.links.local();
        let Some(link) = self.links.get_mut(local) else { return };
        let Answered::Live(waiting) = link.outbound.answered(call.0) else { return };
        let write = |out: &mut BytesMut| encode_error(error, out);
        let frame = self.writer.write(Kind::Error, call.0, 0, write, &[]);
        self.settle(&waiting, Ending::of(error.code), now, out);
        self.send_answer(local, &waiting, frame, now, out);
    }
}

const fn with_limit(told: CallError, error: InflateError) -> CallError {
    match error {
        InflateError::TooLarge { limit } => told.with_limit(limit as u64),
        InflateError::Window { .. } | InflateError::Malformed | InflateError::NotBuilt => told,
    }
}

/// Services that are remembered at a time.
const PLAIN_MAX: usize = 256;
/// How long bodies for a service stay plain after one of them was not taken.
const PLAIN_FOR: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;

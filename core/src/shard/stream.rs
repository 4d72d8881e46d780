//! Streams of calls: chunks and credit follow the labels of their call in both directions, and end
//! nothing.
//!
//! Whoever consumes a stream grants what may be sent of it. Each node on the way counts what was
//! granted and what was sent, so nobody gets more than he asked for, whatever the other end does.

use super::instances::Ending;
use super::receive::{SMALL_PER_SECOND_MAX, may_send};
use super::{End, Shard};
use crate::calls::{MAY_HAVE_RUN, NOT_KEPT, OutCall};
use crate::close::CloseReason;
use crate::compress::{Compression, plain_length};
use crate::error::{CallError, ErrorCode, Executed};
use crate::flow::{Flow, FlowError};
use crate::frame::{Frame, Kind};
use crate::message::{
    CHUNK_BYTES_MAX, CHUNK_OVERHEAD_BYTES, ChunkEnvelope, Credit, OPTION_STREAM, Priority, Towards,
    encode,
};
use crate::outbox::{CallEnd, CallId, Delivery, LinkId, LocalCallId, Outbox, Output};
use crate::time::Instant;
use core::fmt;

/// Why a part of a stream, or leave to send one, was not taken. Nothing was sent then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum StreamError {
    /// The call has ended: nobody waits for more.
    CallEnded,
    /// The call was made without streams.
    NotStreaming,
    /// The other end has not granted enough; a [`Delivery::Credit`] tells when it does.
    NoCredit {
        /// What may be sent now. See [`chunk_cost`](crate::message::chunk_cost).
        allowed: u32,
    },
    /// The link has too much to write at the moment; try again a little later.
    LinkFull,
    /// The last chunk was sent before.
    StreamEnded,
    /// The body is too long for one chunk.
    TooLarge {
        /// The longest that is taken.
        limit: u32,
    },
    /// No bytes are granted, or more than may be granted and not used.
    Grant {
        /// The most that may be granted now.
        limit: u32,
    },
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CallEnded => f.write_str("the call has ended"),
            Self::NotStreaming => f.write_str("the call was made without streams"),
            Self::NoCredit { allowed } => {
                write!(f, "the other end takes only {allowed} bytes at the moment")
            }
            Self::LinkFull => f.write_str("the link is full at the moment"),
            Self::StreamEnded => f.write_str("the last chunk was sent before"),
            Self::TooLarge { limit } => write!(f, "a chunk has at most {limit} bytes"),
            Self::Grant { limit } => write!(f, "at most {limit} bytes may be granted now"),
        }
    }
}

impl core::error::Error for StreamError {}

/// Where a call is in the tables: the link it was sent over, and its label there.
pub(super) type Place = (LinkId, u64);

impl Shard {
    /// Sends the next chunk of a stream, from the end of the call at which the application is.
    ///
    /// # Errors
    /// [`StreamError`]; nothing was sent then.
    pub fn send(
        &mut self,
        call: impl Into<CallEnd>,
        body: &[u8],
        is_last: bool,
        now: Instant,
        out: &mut Outbox,
    ) -> Result<(), StreamError> {
        let (label, to) = match call.into() {
            CallEnd::Caller(call) => (call.0, Towards::Handler),
            CallEnd::Handler(call) => (call.0, Towards::Caller),
        };
        let (place, flow) = self.local_flow(label, to, to == Towards::Caller)?;
        let number = flow.next().ok_or(StreamError::StreamEnded)?;
        let next = self.links.get(self.next_link(place, to)).ok_or(StreamError::CallEnded)?;
        let limit = match &next.end {
            End::Network(network) => {
                let fits = network.frame_bytes_out.saturating_sub(CHUNK_OVERHEAD_BYTES);
                fits.min(CHUNK_BYTES_MAX as u32)
            }
            End::Local | End::Sibling(_) => CHUNK_BYTES_MAX as u32,
        };
        if body.len() > limit as usize {
            return Err(StreamError::TooLarge { limit });
        }
        let compression = self.stream_compression(place, to);
        let envelope = ChunkEnvelope { to, number, is_last };
        if envelope.cost(body.len()) > flow.allowed {
            return Err(StreamError::NoCredit { allowed: flow.allowed });
        }
        if !self.takes_chunks(place, to, false) {
            return Err(StreamError::LinkFull);
        }
        self.write_chunk(label, &envelope, (body, compression), now, out);
        self.close_doomed(now, out);
        Ok(())
    }

    /// Ends the stream of a handler that did not do so itself, before its result.
    pub(super) fn end_stream(&mut self, call: CallId, now: Instant, out: &mut Outbox) {
        let to = Towards::Caller;
        let Ok((_, flow)) = self.local_flow(call.0, to, true) else { return };
        if let Some(number) = flow.next() {
            let envelope = ChunkEnvelope { to, number, is_last: true };
            self.write_chunk(call.0, &envelope, (&[], None), now, out);
        }
    }

    fn write_chunk(
        &mut self,
        label: u64,
        envelope: &ChunkEnvelope,
        (body, compression): (&[u8], Option<Compression>),
        now: Instant,
        out: &mut Outbox,
    ) {
        let write = |out: &mut bytes::BytesMut| encode(envelope, out);
        let frame = self.write_body(Kind::Stream, label, write, body, compression);
        self.handle_chunk(self.links.local(), frame, now, out);
    }

    /// Lets the other end of a call send `bytes` more of its stream. What each chunk uses of them
    /// is [`chunk_cost`](crate::message::chunk_cost).
    ///
    /// # Errors
    /// [`StreamError`]; nothing was granted then.
    pub fn grant(
        &mut self,
        call: impl Into<CallEnd>,
        bytes: u32,
        now: Instant,
        out: &mut Outbox,
    ) -> Result<(), StreamError> {
        let (label, to) = match call.into() {
            CallEnd::Caller(call) => (call.0, Towards::Caller),
            CallEnd::Handler(call) => (call.0, Towards::Handler),
        };
        let (_, mut flow) = self.local_flow(label, to, to == Towards::Handler)?;
        let limit = crate::message::STREAM_BYTES_MAX - flow.allowed;
        if bytes == 0 || flow.grant(bytes).is_err() {
            return Err(StreamError::Grant { limit });
        }
        let credit = Credit { to, bytes };
        let write = |out: &mut bytes::BytesMut| encode(&credit, out);
        let frame = self.writer.write(Kind::Credit, label, 0, write, &[]);
        self.handle_credit(self.links.local(), frame, now, out);
        self.close_doomed(now, out);
        Ok(())
    }

    /// Takes a chunk that came over `from` and passes it on, or drops it if its call has ended.
    #[inline]
    pub(super) fn handle_chunk(
        &mut self,
        from: LinkId,
        frame: Frame,
        now: Instant,
        out: &mut Outbox,
    ) {
        let Ok((chunk, body)) = ChunkEnvelope::decode(frame.payload()) else {
            return self.offend(from, &frame, ErrorCode::BadRequest);
        };
        let Some(bytes) = plain_bytes(&frame, body) else {
            return self.offend(from, &frame, ErrorCode::BadRequest);
        };
        let (to, cost) = (chunk.to, chunk.cost(bytes));
        let as_answer = to == Towards::Caller;
        if !self.may_stream(from, as_answer) {
            return self.offend(from, &frame, ErrorCode::BadState);
        }
        let Some(place) = self.place_of(from, frame.id(), as_answer) else {
            return self.drop_late_chunk(from, &frame, (cost, as_answer), now);
        };
        let Some(call) = self.out_call(place) else { return };
        if call.options & OPTION_STREAM == 0 {
            return self.offend(from, &frame, ErrorCode::BadState);
        }
        if let Err(error) = call.flow_mut(to).take(chunk.number, cost, chunk.is_last) {
            return self.misused(from, &frame, place, (error, as_answer), now, out);
        }
        let kept = pin(call, as_answer);
        self.kept.release(kept);
        if cost > 0 && !self.takes_chunks(place, to, false) {
            let error =
                self.error(ErrorCode::Overloaded, "a link on the way of the stream is full");
            return self.break_off(place, &error, now, out);
        }
        let over = self.next_link(place, to);
        let limit = self.links.network(over).map(|network| network.frame_bytes_out);
        if let Some(limit) = limit.filter(|limit| frame.length() > *limit) {
            let text = "a chunk is larger than a link on its way takes";
            let error = self.error(ErrorCode::TooLarge, text).with_limit(u64::from(limit));
            return self.break_off(place, &error, now, out);
        }
        if let Some(compression) = frame.compression()
            && !self.links.get(over).is_some_and(|next| self.takes(next, compression))
        {
            if self.links.is_network(from) && frame.verify().is_err() {
                return self.doom(from, CloseReason::Fault(ErrorCode::BadChecksum));
            }
            let code = if as_answer { ErrorCode::BadResponse } else { ErrorCode::BadRequest };
            let error = self.error(code, "a chunk is compressed, and nobody asked for that");
            return self.break_off(place, &error, now, out);
        }
        self.stats.chunks_forwarded += 1;
        self.pass_on(frame, place, to, now, out);
    }

    /// Takes leave to send more that came over `from`. Its checksum was compared before.
    pub(super) fn handle_credit(
        &mut self,
        from: LinkId,
        frame: Frame,
        now: Instant,
        out: &mut Outbox,
    ) {
        let Ok(credit) = Credit::decode(frame.payload()) else {
            return self.offend(from, &frame, ErrorCode::BadRequest);
        };
        let to = credit.to;
        let as_answer = to == Towards::Handler;
        if !self.may_stream(from, as_answer) {
            return self.offend(from, &frame, ErrorCode::BadState);
        }
        let Some(place) = self.place_of(from, frame.id(), as_answer) else {
            let Some(network) = self.links.network(from) else { return };
            // The answer or the cancel may have crossed it.
            if network.cheap.over(SMALL_PER_SECOND_MAX, 1, now) {
                self.doom(from, CloseReason::Fault(ErrorCode::RateLimited));
            }
            return;
        };
        let Some(call) = self.out_call(place) else { return };
        if call.options & OPTION_STREAM == 0 {
            return self.offend(from, &frame, ErrorCode::BadState);
        }
        if let Err(error) = call.flow_mut(to).grant(credit.bytes) {
            return self.misused(from, &frame, place, (error, as_answer), now, out);
        }
        if as_answer {
            let kept = pin(call, true);
            self.kept.release(kept);
        }
        // A few bytes that make room elsewhere: they go where chunks would not.
        if !self.takes_chunks(place, to.opposite(), true) {
            let error =
                self.error(ErrorCode::Overloaded, "a link on the way of the stream is full");
            return self.break_off(place, &error, now, out);
        }
        self.pass_on(frame, place, to.opposite(), now, out);
    }

    /// Hands a frame of a stream to the local application.
    pub(super) fn deliver_chunk(&mut self, frame: Frame, now: Instant, out: &mut Outbox) {
        let label = frame.id();
        let Ok((chunk, body)) = ChunkEnvelope::decode(frame.payload()) else { return };
        let call = match chunk.to {
            Towards::Caller => CallEnd::Caller(LocalCallId(label)),
            Towards::Handler => CallEnd::Handler(CallId(label)),
        };
        let intact = frame.verify().is_ok() || planted!("damaged_chunk_delivered");
        let (number, is_last, length) = (chunk.number, chunk.is_last, body.len());
        let limit = CHUNK_BYTES_MAX as u32;
        if intact && let Ok(body) = self.plain_body(frame, length, limit) {
            return out.push(Output::Deliver(Delivery::Chunk { call, number, is_last, body }));
        }
        let local = self.links.local();
        let place = self.place_of(local, label, chunk.to == Towards::Handler);
        if let Some(place) = place {
            let code = match chunk.to {
                Towards::Caller => ErrorCode::BadResponse,
                Towards::Handler => ErrorCode::BadChecksum,
            };
            let text = if intact {
                "a chunk of the stream is compressed wrongly"
            } else {
                "a chunk of the stream was damaged on the way"
            };
            let error = self.error(code, text);
            self.break_off(place, &error, now, out);
        }
    }

    /// Hands leave to send more to the local application.
    pub(super) fn deliver_credit(&self, frame: &Frame, out: &mut Outbox) {
        let Ok(credit) = Credit::decode(frame.payload()) else { return };
        let call = match credit.to {
            Towards::Caller => CallEnd::Handler(CallId(frame.id())),
            Towards::Handler => CallEnd::Caller(LocalCallId(frame.id())),
        };
        out.push(Output::Deliver(Delivery::Credit { call, bytes: credit.bytes }));
    }

    /// Tells the instance to which a call was sent again what its caller had granted to the first
    /// one, which has not used anything of it.
    pub(super) fn grant_again(&mut self, place: Place, flow: Flow, now: Instant, out: &mut Outbox) {
        let Some(call) = self.out_call(place) else { return };
        *call.flow_mut(Towards::Caller) = flow;
        let credit = Credit { to: Towards::Caller, bytes: flow.allowed };
        let write = |out: &mut bytes::BytesMut| encode(&credit, out);
        let frame = self.writer.write(Kind::Credit, place.1, 0, write, &[]);
        self.emit(place.0, frame, now, out);
    }

    /// Sends a frame of a call on, in this direction.
    #[inline]
    fn pass_on(
        &mut self,
        mut frame: Frame,
        place: Place,
        to: Towards,
        now: Instant,
        out: &mut Outbox,
    ) {
        let label = match (to, self.out_call(place)) {
            (Towards::Caller, Some(call)) => call.back_label,
            (Towards::Handler, Some(_)) => place.1,
            (_, None) => return,
        };
        let over = self.next_link(place, to);
        frame.set_id(label);
        self.emit(over, frame, now, out);
    }

    /// The call that `label` stands for on this link: one that was sent over it, or one that came.
    #[inline]
    fn place_of(&self, from: LinkId, label: u64, was_sent: bool) -> Option<Place> {
        let link = self.links.get(from)?;
        if was_sent {
            return link.outbound.peek(label).map(|_| (from, label));
        }
        link.inbound.peek(label).map(|onward| (onward.link, onward.label))
    }

    #[inline]
    fn out_call(&mut self, (over, label): Place) -> Option<&mut OutCall> {
        self.links.get_mut(over)?.outbound.peek_mut(label)
    }

    pub(super) fn next_link(&self, (over, label): Place, to: Towards) -> LinkId {
        let call = self.links.get(over).and_then(|link| link.outbound.peek(label));
        match (to, call) {
            (Towards::Caller, Some(call)) => call.back,
            (Towards::Handler, _) | (Towards::Caller, None) => over,
        }
    }

    /// What the application knows of a call, and one of its streams.
    fn local_flow(
        &self,
        label: u64,
        to: Towards,
        was_sent: bool,
    ) -> Result<(Place, Flow), StreamError> {
        let place = self.place_of(self.links.local(), label, was_sent);
        let (over, onward) = place.ok_or(StreamError::CallEnded)?;
        let call = self.links.get(over).and_then(|link| link.outbound.peek(onward));
        let call = call.ok_or(StreamError::CallEnded)?;
        if call.options & OPTION_STREAM == 0 {
            return Err(StreamError::NotStreaming);
        }
        Ok(((over, onward), *call.flow(to)))
    }

    /// Whether the next link in this direction has room for a frame of a stream. As requests, they
    /// leave the rest of the queue to answers.
    #[inline]
    fn takes_chunks(&self, place: Place, to: Towards, is_credit: bool) -> bool {
        let (over, label) = place;
        let call = self.links.get(over).and_then(|link| link.outbound.peek(label));
        let Some(call) = call else { return false };
        let priority = if is_credit { Priority::High } else { Priority::of(call.options) };
        let bytes_max = self.config.limits.write_bytes_max;
        let next = self.links.get(self.next_link(place, to));
        next.is_some_and(|next| next.takes_bytes(bytes_max, priority))
    }

    /// Chunks that go towards the caller go as answers do, the others as requests.
    #[inline]
    fn may_stream(&self, from: LinkId, as_answer: bool) -> bool {
        let kind = if as_answer { Kind::Response } else { Kind::Request };
        self.role_of(from).is_none_or(|peer| may_send(kind, peer, self.config.role))
    }

    /// A chunk for a call that is in no table. As much as was granted may have been on its way. No
    /// node passes anything else on, so if it is damaged, it was damaged on this very link.
    #[cold]
    fn drop_late_chunk(
        &mut self,
        from: LinkId,
        frame: &Frame,
        (cost, as_answer): (u32, bool),
        now: Instant,
    ) {
        let Some(link) = self.links.get_mut(from) else { return };
        let was_granted = if as_answer {
            link.outbound.takes_late(frame.id(), cost)
        } else {
            link.inbound.takes_late(frame.id(), cost)
        };
        if was_granted {
            self.stats.chunks_late += 1;
            return;
        }
        if frame.verify().is_err() {
            return self.doom(from, CloseReason::Fault(ErrorCode::BadChecksum));
        }
        self.stats.answers_stray += 1;
        if let End::Network(network) = &mut link.end
            && network.strays.over(super::answer::STRAYS_PER_MINUTE_MAX, 60, now)
        {
            self.doom(from, CloseReason::Fault(ErrorCode::BadState));
        }
    }

    /// A frame that no node may send or pass on: the link ends.
    #[cold]
    fn offend(&mut self, from: LinkId, frame: &Frame, code: ErrorCode) {
        let code = if frame.verify().is_err() { ErrorCode::BadChecksum } else { code };
        self.doom(from, CloseReason::Fault(code));
    }

    /// A peer broke the rules of a stream: its call ends. Every node on the way counts the same, so
    /// a wrong frame that was damaged was damaged on this very link.
    #[cold]
    fn misused(
        &mut self,
        from: LinkId,
        frame: &Frame,
        place: Place,
        (error, by_handler): (FlowError, bool),
        now: Instant,
        out: &mut Outbox,
    ) {
        if self.links.is_network(from) && frame.verify().is_err() {
            return self.doom(from, CloseReason::Fault(ErrorCode::BadChecksum));
        }
        let code = if by_handler { ErrorCode::BadResponse } else { ErrorCode::BadRequest };
        let error = self.error(code, error.text());
        self.break_off(place, &error, now, out);
    }

    /// Ends a call whose stream cannot go on. Its handler may have run.
    #[cold]
    fn break_off(&mut self, place: Place, error: &CallError, now: Instant, out: &mut Outbox) {
        let error = error.clone().with_executed(Executed::Unknown);
        self.end_call(place.0, place.1, Ending::of(error.code), &error, now, out);
    }
}

/// How long the body of a chunk is for whoever consumes it: so long is what was granted. Nothing
/// for a length that no chunk has.
#[inline]
fn plain_bytes(frame: &Frame, body: &[u8]) -> Option<usize> {
    if frame.compression().is_none() || planted!("chunk_counted_packed") {
        return Some(body.len());
    }
    let bytes = plain_length(body)? as usize;
    (bytes <= CHUNK_BYTES_MAX).then_some(bytes)
}

/// From now on the call belongs to its instance: part of its stream has crossed this node. Returns
/// where its frame was kept.
#[inline]
fn pin(call: &mut OutCall, by_handler: bool) -> u32 {
    if by_handler {
        // Its handler runs, whatever it will say.
        call.options |= MAY_HAVE_RUN;
    }
    core::mem::replace(&mut call.kept, NOT_KEPT)
}

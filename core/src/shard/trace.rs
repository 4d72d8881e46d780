//! Traced calls: on its way back the answer gets an entry from each node.

use super::Shard;
use crate::calls::OutCall;
use crate::config::Role;
use crate::error::{CallError, ErrorCode};
use crate::frame::{Frame, Kind};
use crate::message::{
    ErrorEnvelope, Hop, HopList, OPTION_TRACE, ResponseEnvelope, encode, encode_error, encode_hops,
};
use crate::outbox::LinkId;
use crate::time::Instant;
use alloc::vec::Vec;

impl Shard {
    /// The answer to a traced call, which came over `from`, with the entry of this node; any other
    /// answer as it is.
    #[inline]
    pub(super) fn with_hop(
        &mut self,
        from: LinkId,
        call: &OutCall,
        frame: Frame,
        now: Instant,
    ) -> Frame {
        if call.options & OPTION_TRACE == 0 { frame } else { self.add_hop(from, call, frame, now) }
    }

    #[cold]
    fn add_hop(&mut self, from: LinkId, call: &OutCall, frame: Frame, now: Instant) -> Frame {
        let (label, mut space) = (frame.id(), Vec::new());
        if frame.verify().is_err() {
            let error = self.error(ErrorCode::BadResponse, "the answer was damaged on the way");
            return self.traced_error(label, &error, HopList::default(), call, now);
        }
        if frame.kind() == Kind::Error {
            return match ErrorEnvelope::decode(frame.payload()) {
                Ok((error, hops)) => {
                    let hops = self.vouched_hops(from, hops, &mut space);
                    self.traced_error(label, &error, hops, call, now)
                }
                Err(_) => frame,
            };
        }
        let Ok((envelope, hops, body)) = ResponseEnvelope::decode(frame.payload()) else {
            return frame;
        };
        let hops = self.vouched_hops(from, hops, &mut space).with(&self.hop(call, now));
        let envelope = ResponseEnvelope { status: envelope.status.traced(), ..envelope };
        let write = |out: &mut bytes::BytesMut| {
            encode(&envelope, out);
            encode_hops(&hops, out);
        };
        let forgets = planted!("rewritten_as_plain");
        let compression = frame.compression().filter(|_| !forgets);
        self.writer.write_packed(Kind::Response, label, 0, write, body, compression)
    }

    /// The hops that came over a link: a Main tells of those behind it as well, anyone else of
    /// itself only, and under the name by which it authenticated.
    fn vouched_hops<'h>(
        &self,
        from: LinkId,
        hops: HopList<'h>,
        space: &'h mut Vec<u8>,
    ) -> HopList<'h> {
        match self.links.peer(from) {
            Some(peer) if peer.role != Role::Main => hops.of(peer.node.as_str(), space),
            Some(_) | None => hops,
        }
    }

    /// An error with the hops so far and that of this node.
    pub(super) fn traced_error(
        &mut self,
        label: u64,
        error: &CallError,
        hops: HopList<'_>,
        call: &OutCall,
        now: Instant,
    ) -> Frame {
        let hops = if call.options & OPTION_TRACE == 0 {
            Vec::new()
        } else {
            hops.with(&self.hop(call, now))
        };
        let write = |out: &mut bytes::BytesMut| {
            encode_error(error, out);
            if !hops.is_empty() {
                encode_hops(&hops, out);
            }
        };
        self.writer.write(Kind::Error, label, 0, write, &[])
    }

    fn hop(&self, call: &OutCall, now: Instant) -> Hop<'_> {
        let took = now.since(call.sent_at).as_micros();
        Hop {
            node: self.identity.node().as_str(),
            micros: u64::try_from(took).unwrap_or(u64::MAX),
            attempts: call.attempts,
        }
    }
}

//! Opening a link: which handshake message is whose turn, and what both ends agree on.

use super::{End, Phase, Shard};
use crate::close::CloseReason;
use crate::config::Role;
use crate::event::Event;
use crate::frame::{Frame, Kind};
use crate::handshake::{Capabilities, Grant, HandshakeError, Peer, rejection};
use crate::mail::{MailBody, MailTo};
use crate::message::{ControlMessage, cut, encode};
use crate::outbox::{LinkId, Outbox, Output};
use crate::time::{Instant, millis};
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;

impl Shard {
    /// Takes a frame of a link that is not authenticated.
    pub(super) fn handle_handshake(
        &mut self,
        link: LinkId,
        frame: &Frame,
        now: Instant,
        out: &mut Outbox,
    ) {
        if frame.kind() != Kind::Handshake {
            return self.refuse(link, &HandshakeError::OutOfTurn, now, out);
        }
        match self.step(link, frame.payload(), now, out) {
            Ok(None) => {}
            Ok(Some(peer)) => self.opened(link, peer, out),
            Err(error) => self.refuse(link, &error, now, out),
        }
    }

    /// One step of the handshake. Returns the peer when it is the last one.
    fn step(
        &mut self,
        link: LinkId,
        payload: &[u8],
        now: Instant,
        out: &mut Outbox,
    ) -> Result<Option<Peer>, HandshakeError> {
        let (config, identity) = (Arc::clone(&self.config), Arc::clone(&self.identity));
        let unix_seconds = self.wall.unix_seconds(now);
        let next_epoch = self.next_epoch(unix_seconds);
        let Some(network) = self.links.network(link) else { return Ok(None) };
        let (reply, peer) = match &mut network.phase {
            Phase::Accepting(acceptor) if acceptor.awaits_request() => {
                let reply = acceptor.handle_request(payload, &config, &identity, unix_seconds)?;
                if self.leaving {
                    return Err(HandshakeError::Draining);
                }
                // Only who would be let in counts, so that strangers cannot use up the time.
                if let Some(wait_ms) = self.pace.refuses(now) {
                    return Err(HandshakeError::Later { wait_ms });
                }
                (Some(reply), None)
            }
            Phase::Accepting(acceptor) => {
                let grant = Grant { session: self.generator.bytes(), epoch: next_epoch };
                let (peer, reply) = acceptor.handle_proof(payload, &identity, grant)?;
                self.last_epoch = next_epoch;
                (Some(reply), Some(peer))
            }
            Phase::Dialling(dialler) if dialler.awaits_response() => {
                (None, Some(dialler.handle_response(payload)?))
            }
            Phase::Dialling(dialler) => {
                (Some(dialler.handle_challenge(payload, &config, &identity)?), None)
            }
            Phase::Open(_) => return Err(HandshakeError::OutOfTurn),
        };
        if let Some(reply) = reply {
            if planted!("challenge_amplified") && peer.is_none() {
                (0..20).for_each(|_| self.send_handshake(link, &reply, out));
            }
            self.send_handshake(link, &reply, out);
        }
        Ok(peer)
    }

    fn opened(&mut self, id: LinkId, peer: Peer, out: &mut Outbox) {
        let granted = Capabilities::new(&self.config, peer.role);
        let outbound_max = match peer.role {
            Role::Caller => 0,
            Role::Main | Role::Home => peer.capabilities.streams_max.min(STREAMS_MAX),
        };
        let peer = Arc::new(peer);
        let Some(link) = self.links.get_mut(id) else { return };
        link.inbound_max = granted.streams_max;
        link.outbound_max = outbound_max;
        let End::Network(network) = &mut link.end else { return };
        // What both agreed on is the smaller of what each can take.
        network.frame_bytes_in = granted.frame_bytes_max.min(peer.capabilities.frame_bytes_max);
        network.frame_bytes_out = network.frame_bytes_in;
        network.compressions_in = granted.compressions;
        network.compressions_out = peer.capabilities.compressions;
        network.phase = Phase::Open(Arc::clone(&peer));
        network.between_mains = peer.role == Role::Main && self.config.is_main();
        let dial = network.dial;
        self.links.handshaking -= 1;
        self.stats.links_opened += 1;
        self.rewind_timer(id);
        let (node, role, session) = (peer.node.clone(), peer.role, peer.session);
        out.mail(MailTo::Control, MailBody::LinkUp { link: id, peer, dial });
        out.event(Event::LinkUp { link: id, node, role, session });
    }

    /// Tells the other side why it is refused, where it is this side's turn to say so.
    fn refuse(&mut self, link: LinkId, error: &HandshakeError, now: Instant, out: &mut Outbox) {
        let Some(network) = self.links.network(link) else { return };
        if let HandshakeError::Later { wait_ms } = error {
            network.pause = Some(Duration::from_millis(u64::from(*wait_ms)));
        }
        if matches!(network.phase, Phase::Accepting(_)) {
            self.send_handshake(link, &rejection(error), out);
        }
        let reason = CloseReason::Fault(error.code());
        self.close(link, reason, &error.to_string(), now, out);
    }

    pub(super) fn send_handshake(&mut self, link: LinkId, payload: &[u8], out: &mut Outbox) {
        let frame = self.writer.write(Kind::Handshake, 0, 0, |_| {}, payload);
        self.transmit(link, frame, out);
    }

    /// Says why the link closes, to a peer that is authenticated and still there.
    pub(super) fn send_goodbye(
        &mut self,
        link: LinkId,
        reason: CloseReason,
        detail: &str,
        out: &mut Outbox,
    ) {
        let Some(network) = self.links.network(link) else { return };
        if network.peer().is_none() {
            return;
        }
        let reconnect_in_ms = network.pause.map_or(0, millis);
        let text = if detail.is_empty() { reason.to_string() } else { detail.to_string() };
        let goodbye = ControlMessage::Goodbye {
            code: reason.to_wire(),
            message: cut(&text, GOODBYE_BYTES_MAX),
            reconnect_in_ms,
        };
        let frame = self.writer.write(Kind::Control, 0, 0, |out| encode(&goodbye, out), &[]);
        self.transmit(link, frame, out);
    }

    /// Sends a control message that Control wrote.
    pub(super) fn send_control(
        &mut self,
        link: LinkId,
        payload: &[u8],
        now: Instant,
        out: &mut Outbox,
    ) {
        let Some(network) = self.links.network(link) else { return };
        if network.peer().is_some() {
            let frame = self.writer.write(Kind::Control, 0, 0, |_| {}, payload);
            self.transmit(link, frame, out);
        }
        self.close_doomed(now, out);
    }

    /// Hands a frame to the connection and counts it against the link.
    pub(super) fn transmit(&mut self, link: LinkId, frame: Frame, out: &mut Outbox) {
        self.transmit_bytes(link, frame.freeze(), out);
    }

    /// The same for a whole frame that others hold as well.
    pub(super) fn transmit_bytes(&mut self, link: LinkId, frame: Bytes, out: &mut Outbox) {
        let write_bytes_max = self.config.limits.write_bytes_max;
        let Some(network) = self.links.network(link) else { return };
        let length = frame.len();
        let full = network.write_bytes > write_bytes_max.saturating_mul(OVERRUN_FACTOR);
        network.write_bytes = network.write_bytes.saturating_add(length as u32);
        self.stats.frames_out += 1;
        self.stats.bytes_out += length as u64;
        out.push(Output::Transmit { link, frame });
        if full && !planted!("slow_consumer_kept") {
            self.doom(link, CloseReason::Fault(crate::ErrorCode::SlowConsumer));
        }
    }

    /// Rises with every link of this node, across restarts and across shards.
    fn next_epoch(&self, unix_seconds: u64) -> u64 {
        let shards = u64::from(self.shards);
        let after_last = self.last_epoch / shards + 1;
        let by_clock = unix_seconds << EPOCHS_PER_SECOND_BITS;
        after_last.max(by_clock) * shards + u64::from(self.id)
    }
}

/// Writes a control message for [`Shard::send_control`].
pub(crate) fn control_payload(message: &ControlMessage<'_>) -> Vec<u8> {
    postcard::to_allocvec(message).unwrap_or_default()
}

/// What a peer may grant is bounded here too: labels are kept in an array of that length.
const STREAMS_MAX: u32 = 1 << 20;
const GOODBYE_BYTES_MAX: usize = 256;
/// Answers still go to a link that takes no new calls, up to this many times its bound.
const OVERRUN_FACTOR: u32 = 4;
/// Links per second for which epochs taken from the clock stay ahead of a restarted node.
const EPOCHS_PER_SECOND_BITS: u32 = 20;

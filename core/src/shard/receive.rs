//! Bytes in: whole frames off the front, and what each kind may do in which state.

use super::timers::RETIRING_PING;
use super::{Phase, Shard};
use crate::close::CloseReason;
use crate::config::Role;
use crate::error::ErrorCode;
use crate::frame::{Frame, FrameError, Kind, says_compressed};
use crate::mail::{MailBody, MailTo};
use crate::outbox::{LinkId, Outbox};
use crate::time::Instant;
use alloc::string::ToString;
use bytes::BytesMut;

impl Shard {
    /// Takes whole frames off the front of `input`; a partial tail stays there for the next call.
    ///
    /// When the link is closed by what it received, the rest of `input` is dropped: nothing after
    /// a framing error is ever read.
    pub fn handle_received(
        &mut self,
        link: LinkId,
        input: &mut BytesMut,
        now: Instant,
        out: &mut Outbox,
    ) {
        while self.take_frame(link, input, now, out) {}
    }

    /// Takes one frame off the front of `input`. Tells whether there may be another.
    #[inline]
    pub(crate) fn take_frame(
        &mut self,
        link: LinkId,
        input: &mut BytesMut,
        now: Instant,
        out: &mut Outbox,
    ) -> bool {
        let Some(network) = self.links.network(link) else {
            input.clear();
            return false;
        };
        network.heard_at = now;
        match Frame::take(input, network.frame_bytes_in, network.compressions_in) {
            Ok(Some(frame)) => {
                network.partial = None;
                self.stats.frames_in += 1;
                self.stats.bytes_in += frame.len() as u64;
                self.handle_frame(link, frame, now, out);
                self.close_doomed(now, out);
                true
            }
            Ok(None) if planted!("tail_dropped") => {
                input.clear();
                false
            }
            Ok(None) => {
                self.wait_for_rest(link, input.len(), now);
                false
            }
            Err(error) => {
                let is_stranger = network.peer().is_none();
                let code = if is_stranger && is_about_compression(error) {
                    // Nothing is inflated for strangers, so it is too early to talk of it.
                    ErrorCode::BadState
                } else {
                    code_of(error)
                };
                self.close(link, CloseReason::Fault(code), &error.to_string(), now, out);
                true
            }
        }
    }

    #[inline]
    fn handle_frame(&mut self, link: LinkId, frame: Frame, now: Instant, out: &mut Outbox) {
        let Some(network) = self.links.network(link) else { return };
        let Phase::Open(peer) = &network.phase else {
            return match frame.verify() {
                Ok(()) => self.handle_handshake(link, &frame, now, out),
                Err(error) => {
                    let reason = CloseReason::Fault(code_of(error));
                    self.close(link, reason, "", now, out);
                }
            };
        };
        let kind = frame.kind();
        if !may_send(kind, peer.role, self.config.role) {
            let text = alloc::format!("a {} may not send {kind:?} here", peer.role.name());
            return self.close(link, CloseReason::Fault(ErrorCode::BadState), &text, now, out);
        }
        match kind {
            Kind::Request | Kind::Response | Kind::Error | Kind::Stream => {
                self.handle_call_frame(link, frame, now, out);
            }
            // No one behind this node would notice that a cancel or a credit is for another call,
            // or that an extension was something else.
            Kind::Cancel | Kind::Credit | Kind::Extension if frame.verify().is_err() => {
                let reason = CloseReason::Fault(ErrorCode::BadChecksum);
                self.close(link, reason, "", now, out);
            }
            Kind::Cancel | Kind::Credit => self.handle_call_frame(link, frame, now, out),
            Kind::Ping | Kind::Pong | Kind::Control => self.handle_small(link, &frame, now, out),
            Kind::Extension => {
                self.stats.extensions_ignored += 1;
                if network.extensions.over(EXTENSIONS_PER_SECOND_MAX, 1, now) {
                    self.doom(link, CloseReason::Fault(ErrorCode::RateLimited));
                }
            }
            Kind::Publish => self.handle_publication(link, frame, now, out),
            Kind::Handshake => {
                debug_assert!(false, "nobody may send {kind:?} on an open link");
            }
        }
    }

    /// A frame of a call, from any link.
    #[inline]
    pub(super) fn handle_call_frame(
        &mut self,
        link: LinkId,
        frame: Frame,
        now: Instant,
        out: &mut Outbox,
    ) {
        match frame.kind() {
            Kind::Request => self.handle_request(link, frame, now, out),
            Kind::Response | Kind::Error => self.handle_answer(link, frame, now, out),
            Kind::Cancel => self.handle_cancel(link, frame.id(), now, out),
            Kind::Stream => self.handle_chunk(link, frame, now, out),
            Kind::Credit => self.handle_credit(link, frame, now, out),
            Kind::Handshake
            | Kind::Ping
            | Kind::Pong
            | Kind::Control
            | Kind::Publish
            | Kind::Extension => debug_assert!(false, "not a frame of a call"),
        }
    }

    /// Frames that end here and whose checksum is therefore checked here.
    fn handle_small(&mut self, link: LinkId, frame: &Frame, now: Instant, out: &mut Outbox) {
        let Some(network) = self.links.network(link) else { return };
        if let Err(error) = frame.verify() {
            let reason = CloseReason::Fault(code_of(error));
            return self.close(link, reason, "", now, out);
        }
        if network.cheap.over(SMALL_PER_SECOND_MAX, 1, now) {
            return self.doom(link, CloseReason::Fault(ErrorCode::RateLimited));
        }
        match frame.kind() {
            Kind::Ping if frame.payload().len() <= PING_BYTES_MAX => {
                let kind = if planted!("ping_storm") { Kind::Ping } else { Kind::Pong };
                let pong = self.writer.write(kind, frame.id(), 0, |_| {}, frame.payload());
                self.transmit(link, pong, out);
            }
            Kind::Pong if frame.payload().len() <= PING_BYTES_MAX => {
                network.pinged = false;
                let sent_at = frame.payload().first_chunk::<8>().map(|at| u64::from_be_bytes(*at));
                let sent_at = sent_at.map(Instant::from_nanos).filter(|sent_at| *sent_at <= now);
                network.round_trip = sent_at.map(|at| now.since(at)).or(network.round_trip);
                if let (Some(retiring), RETIRING_PING) = (&mut network.retiring, frame.id()) {
                    retiring.is_heard = true;
                }
                // The timer may be set to the end of the wait for this very pong.
                if let Some((at, _)) = network.next_due(&self.config.limits) {
                    self.wake_by(link, at);
                }
            }
            Kind::Control => {
                let payload = bytes::Bytes::copy_from_slice(frame.payload());
                out.mail(MailTo::Control, MailBody::Control { link, payload });
            }
            Kind::Ping
            | Kind::Pong
            | Kind::Handshake
            | Kind::Request
            | Kind::Response
            | Kind::Error
            | Kind::Stream
            | Kind::Credit
            | Kind::Cancel
            | Kind::Publish
            | Kind::Extension => {
                self.close(link, CloseReason::Fault(ErrorCode::BadRequest), "", now, out);
            }
        }
    }

    /// Gives a frame that has begun its time to arrive.
    fn wait_for_rest(&mut self, link: LinkId, bytes: usize, now: Instant) {
        let Some(network) = self.links.network(link) else { return };
        if bytes == 0 {
            network.partial = None;
            return;
        }
        let (since, bytes) = (network.partial.map_or(now, |(since, _)| since), bytes as u32);
        network.partial = Some((since, bytes));
        let due = super::Network::frame_due(since, bytes, &self.config.limits);
        self.wake_by(link, due);
    }
}

/// Which role may send which kind to which role on an authenticated link.
#[must_use]
#[inline]
pub(super) const fn may_send(kind: Kind, sender: Role, receiver: Role) -> bool {
    match kind {
        Kind::Ping | Kind::Pong | Kind::Control | Kind::Extension => true,
        // Calls go up from everyone to a Main, and down from a Main to those who serve.
        Kind::Request | Kind::Cancel => match (sender, receiver) {
            (_, Role::Main) | (Role::Main, Role::Home) => true,
            (_, Role::Caller) | (Role::Home | Role::Caller, Role::Home) => false,
        },
        // Answers go the other way.
        Kind::Response | Kind::Error => match (sender, receiver) {
            (Role::Main, _) | (Role::Home, Role::Main) => true,
            (Role::Caller, _) | (Role::Home, Role::Home | Role::Caller) => false,
        },
        // In one direction they go as requests do and in the other as answers: see the shard.
        Kind::Stream | Kind::Credit => {
            may_send(Kind::Request, sender, receiver) || may_send(Kind::Response, sender, receiver)
        }
        // From whoever publishes to a Main, between Mains, and from a Main to whoever subscribed.
        Kind::Publish => matches!((sender, receiver), (Role::Main, _) | (_, Role::Main)),
        // Authenticated once.
        Kind::Handshake => false,
    }
}

const fn is_about_compression(error: FrameError) -> bool {
    matches!(error, FrameError::Flags { flags } if says_compressed(flags))
}

const fn code_of(error: FrameError) -> ErrorCode {
    match error {
        FrameError::TooShort { .. } => ErrorCode::BadRequest,
        FrameError::TooLarge { .. } => ErrorCode::TooLarge,
        FrameError::Version { .. } => ErrorCode::Version,
        FrameError::UnknownKind { .. } => ErrorCode::BadState,
        FrameError::Flags { .. } => ErrorCode::BadFlags,
        FrameError::Checksum => ErrorCode::BadChecksum,
    }
}

/// Pings carry at most a time stamp and a little more.
const PING_BYTES_MAX: usize = 64;
/// Control messages, pings, pongs and idle cancels a peer may send in a second.
pub(super) const SMALL_PER_SECOND_MAX: u32 = 1_000;
const EXTENSIONS_PER_SECOND_MAX: u32 = 100;
